"""What the chat service can be told."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from services.mesh.settings import ServiceSettings


class ProviderSettings(BaseModel):
    """A provider of models that speaks the OpenAI API."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    """What errors and the model list call it."""
    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    """Where its API is, up to and including /v1."""
    api_key: SecretStr = SecretStr("")
    """Its key; empty where it needs none. Never logged or returned."""
    models: list[str] = Field(min_length=1)
    """The models to offer: `id`, or `id=name` where the provider calls it otherwise. Two providers may offer one id."""
    timeout: float = Field(default=60.0, gt=0, le=3600)
    """Longest silence of the provider, in seconds: before its answer and between parts of it."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    """Longest time that connecting may take, in seconds."""
    retries: int = Field(default=1, ge=0, le=10)
    """How often a failed request is tried again here before the next provider is; only before the first token."""
    max_connections: int = Field(default=256, ge=1, le=10000)
    """Most connections at once."""
    stream_usage: bool = True
    """Whether it understands stream_options.include_usage."""
    description: str = ""
    """What the model list says of its models."""


class ChatSettings(ServiceSettings):
    """Settings of the chat service."""

    model_config = SettingsConfigDict(
        env_prefix="PARLEY_CHAT_", use_attribute_docstrings=True, extra="ignore", env_ignore_empty=True
    )

    database_url: SecretStr = SecretStr("sqlite:///chat.db")
    """Where conversations are stored, as a SQLAlchemy URL (sqlite or postgresql)."""
    sql_target: str = ""
    """Address of the sql service, host:port. Empty: there are no database tools."""
    asr_target: str = ""
    """Address of the asr service, host:port. Empty: audio is not transcribed."""
    default_model: str = "parley-embedded"
    """The model that answers where a request names none."""
    providers: Annotated[list[ProviderSettings], NoDecode] = Field(default_factory=list)
    """Upstream model providers: a JSON list of {name, base_url, api_key, models, timeout, retries, …}."""
    providers_file: str = ""
    """A file with the same JSON list, instead of `providers`."""
    history_messages: int = Field(default=40, ge=1, le=1000)
    """How many earlier messages of a conversation a model sees."""
    max_tool_rounds: int = Field(default=6, ge=0, le=50)
    """How often a model may call tools before it has to answer."""
    tool_timeout: float = Field(default=60.0, gt=0, le=3600)
    """Longest time that one tool may take, in seconds."""
    save_seconds: float = Field(default=1.0, ge=0.05, le=60)
    """How often an answer that is being written is stored, and a request to stop it looked for, in seconds."""
    stale_seconds: float = Field(default=30.0, ge=1, le=3600)
    """After how long without a sign of life an answer that another replica writes counts as interrupted, in seconds."""
    replica: str = Field(default_factory=socket.gethostname)
    """Name of this process among the replicas of the service; must differ between those that run at the same time."""

    @field_validator("providers", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not a JSON list of providers: {error}") from None

    @model_validator(mode="after")
    def _read_file(self) -> ChatSettings:
        if self.providers_file and not self.providers:
            try:
                records = json.loads(Path(self.providers_file).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ValueError(f"providers_file: is not a readable JSON file: {error}") from None
            try:
                self.providers = TypeAdapter(list[ProviderSettings]).validate_python(records)
            except ValidationError as error:
                # Its own text would quote the file, keys included.
                faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors())
                raise ValueError(f"providers_file: {faults}") from None
        return self

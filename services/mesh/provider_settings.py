"""Settings of model providers, the same for every service that asks models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Self

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
from pydantic_settings import NoDecode

from services.mesh.settings import ReportingSettings


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


class ProvidersSettings(ReportingSettings):
    """Settings of a service that asks models."""

    providers: Annotated[list[ProviderSettings], NoDecode] = Field(default_factory=list)
    """Upstream model providers: a JSON list of {name, base_url, api_key, models, timeout, retries, …}."""
    providers_file: str = ""
    """A file with the same JSON list, instead of `providers`."""

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
    def _read_file(self) -> Self:
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

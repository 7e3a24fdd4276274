"""What the chat service can be told."""

from __future__ import annotations

import socket

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.mesh.provider_settings import ProvidersSettings


class ChatSettings(ProvidersSettings):
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
    image_target: str = ""
    """Address of the image service, host:port. Empty: nothing is drawn."""
    default_model: str = "parley-embedded"
    """The model that answers where a request names none."""
    history_messages: int = Field(default=40, ge=1, le=1000)
    """How many earlier messages of a conversation a model sees."""
    max_tool_rounds: int = Field(default=6, ge=0, le=50)
    """How often a model may call tools before it has to answer."""
    tool_timeout: float = Field(default=60.0, gt=0, le=3600)
    """Longest time that one tool may take, in seconds; recordings in the background have `recording_timeout`, pictures
    `picture_timeout`."""
    question_seconds: float = Field(default=30.0, ge=1, le=600)
    """Longest spoken question, in seconds. Longer audio is a recording: transcribed with its speakers, to be asked
    about."""
    recording_timeout: float = Field(default=3600.0, gt=0, le=86400)
    """Longest time that the transcription of a recording may take, in seconds."""
    recording_tokens: int = Field(default=8000, ge=500, le=1_000_000)
    """How much of a recording's transcript a provider's model is shown, in tokens: the parts that the question is
    about, where not all fits."""
    picture_timeout: float = Field(default=600.0, gt=0, le=86400)
    """Longest time that pictures may take, with their waiting in the queue, in seconds."""
    public_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """The gateway's address as clients see it, e.g. https://parley.example: begins the links to pictures in answers.
    Empty: the links are paths, for clients that take them to be on the gateway."""
    save_seconds: float = Field(default=1.0, ge=0.05, le=60)
    """How often an answer that is being written is stored, and a request to stop it looked for, in seconds."""
    stale_seconds: float = Field(default=30.0, ge=1, le=3600)
    """After how long without a sign of life an answer that another replica writes counts as interrupted, in seconds."""
    replica: str = Field(default_factory=socket.gethostname)
    """Name of this process among the replicas of the service; must differ between those that run at the same time."""

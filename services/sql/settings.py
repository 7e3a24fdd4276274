"""Settings of the sql service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.mesh.provider_settings import ProvidersSettings


class SqlSettings(ProvidersSettings):
    """Settings of the sql service, from environment variables PARLEY_SQL_…."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_SQL_")

    database_url: SecretStr = SecretStr("sqlite:///sql.db")
    """Where this service keeps the registered databases and their schemas; SQLAlchemy URL, SQLite or PostgreSQL."""
    encryption_key: SecretStr = SecretStr("")
    """Key that the URLs of registered databases are encrypted with: 32 bytes, urlsafe base64 (Fernet). Empty: they are
    stored as they are, and only what protects the storage protects their passwords."""
    sqlite_root: Path | None = None
    """Folder that SQLite files must lie in to be registered, links followed. Empty: none may be registered."""
    engine: str = "embedded"
    """Engine that answers when a request names none: `embedded`, or a model of a provider."""
    max_rows: int = Field(default=1000, ge=1, le=1_000_000)
    """Rows that a query gives when the request does not say."""
    max_rows_limit: int = Field(default=100_000, ge=1, le=1_000_000)
    """Rows that a request may ask for at most."""
    timeout_seconds: float = Field(default=30.0, gt=0, le=3600)
    """How long a statement may work when the request does not say, in seconds."""
    timeout_limit_seconds: float = Field(default=120.0, gt=0, le=3600)
    """How long a request may let a statement work at most, in seconds."""
    max_queries: int = Field(default=16, ge=1, le=1000)
    """Statements that run at the same time; more wait."""

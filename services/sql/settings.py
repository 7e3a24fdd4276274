"""Settings of the sql service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from services.mesh.hosts import HostList
from services.mesh.provider_settings import ProvidersSettings
from services.mesh.sealing import Keys
from services.mesh.settings import listed


class SqlSettings(ProvidersSettings):
    """Settings of the sql service, from environment variables PARLEY_SQL_…."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_SQL_")

    database_url: SecretStr = SecretStr("sqlite:///sql.db")
    """Where this service keeps the registered databases and their schemas; SQLAlchemy URL, SQLite or PostgreSQL."""
    encryption_key: Keys = SecretStr("")
    """Keys that the URLs of registered databases are encrypted with, separated by commas; each 32 bytes, urlsafe base64
    (Fernet). The first encrypts, all decrypt: to change the key, put the new one first; at its next start the service
    encrypts everything with it, and the old one may go. Empty: URLs are stored as they are, and only what protects the
    storage protects their passwords."""
    sqlite_root: Path | None = None
    """Folder that SQLite and DuckDB files and chDB folders must lie in to be registered, links followed. Empty: none
    may be registered. Those of an organisation other than `default` must lie in a folder of its name in it: acme's in
    `acme`."""
    upload_root: Path | None = None
    """Folder for the databases that are made of uploaded files; all replicas need the same one. Empty: no uploads."""
    upload_bytes: int = Field(default=200_000_000, ge=1)
    """Size of an upload at most, in bytes, all its files together."""
    upload_rows: int = Field(default=5_000_000, ge=1)
    """Rows of an uploaded table at most; the rest is left out, and said."""
    hosts: Annotated[tuple[str, ...], NoDecode] = ("*",)
    """Hosts that databases may be at, separated by commas: names (`db.example.com`, `*.example.com`), addresses and
    networks (`192.0.2.7`, `10.0.0.0/8`, `[fd00::/8]:5432`), each with a port or for any; `*` is every host. A name is
    judged by itself or by the addresses that it leads to, at every connection anew. Loopback, link-local, multicast and
    unspecified addresses and the metadata services of clouds are reached only where they are listed as addresses or
    networks, or as `localhost`; what belongs to this deployment only where an entry is exactly its host and port."""
    closed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """What belongs to this deployment besides this service's own database and the identity service, written as `hosts`
    is: no database is there. `parley up` and the Helm chart name the other services."""
    max_connections: int = Field(default=8, ge=1, le=1000)
    """Connections to one database that may be open at the same time, in this process."""
    idle_seconds: float = Field(default=60.0, gt=0)
    """After how long without use a connection to a database is closed, in seconds."""
    check_seconds: float = Field(default=30.0, ge=0)
    """How old may be what is known about a database, in seconds: whether it answers, and whether its schema changed."""
    engine: str = "embedded"
    """Engine that answers when a request names none: `embedded`, or a model of a provider."""
    clear_confidence: float = Field(default=0.5, ge=0, le=1)
    """From this confidence on a question is answered although it has another reading that is nearly as likely; below
    it, Ask asks back which one is meant. Not below answer_confidence. 0: never asks back."""
    answer_confidence: float = Field(default=0.0, ge=0, le=1)
    """An answer that is less sure than this is not given, unless the request has `guess`: the question is asked back
    where another reading is nearly as likely, and refused otherwise. 0: none is refused for that. At most
    clear_confidence, unless that is 0."""
    probe_seconds: float = Field(default=0.5, ge=0, le=60)
    """How long the embedded engine may try readings of one question out on the database, in seconds, all together; it
    then answers with the one that fits best. 0: it never does."""
    prompt_tokens: int = Field(default=6000, ge=500, le=1_000_000)
    """Tokens of a language model's prompt at most: the part of the schema that a question is about is cut to fit."""
    repairs: int = Field(default=1, ge=0, le=10)
    """How often a language model may write a statement anew that was refused or failed."""
    candidates: int = Field(default=1, ge=1, le=32)
    """Statements that a language model writes when the request does not say; of several, the one is taken whose result
    most of them share."""
    thinking_tokens: int = Field(default=60_000, ge=1)
    """Tokens that a language model may use for one question at most when it writes several statements."""
    thinking_seconds: float = Field(default=60.0, gt=0, le=3600)
    """How long a language model may think about one question at most when it writes several statements, in seconds."""
    max_rows: int = Field(default=1000, ge=1, le=1_000_000)
    """Rows that a query gives when the request does not say."""
    max_rows_limit: int = Field(default=100_000, ge=1, le=1_000_000)
    """Rows that a request may ask for at most."""
    timeout_seconds: float = Field(default=30.0, gt=0, le=3600)
    """How long a statement may work when the request does not say, in seconds."""
    timeout_limit_seconds: float = Field(default=120.0, gt=0, le=3600)
    """How long a request may let a statement work at most, in seconds."""
    cost_ceiling: float = Field(default=100_000_000.0, ge=0)
    """Estimated cost above which a statement runs only when the request confirms it, in the database's own unit; where
    a database estimates none, in rows that its plan visits. 0: nothing is to be confirmed, and nothing is estimated."""
    max_queries: int = Field(default=16, ge=1, le=1000)
    """Statements that run at the same time; more wait."""
    history_days: int = Field(default=90, ge=0, le=3650)
    """How long it is remembered who asked what and what came of it, in days; rows of results never are. 0: not at
    all."""

    _list = field_validator("hosts", "closed_hosts", mode="before")(listed)

    @field_validator("hosts", "closed_hosts")
    @classmethod
    def _understood(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        HostList(hosts)
        return hosts

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        """Both are marks on one scale: refused, then asked back where there is doubt, then answered in any case."""
        if 0 < self.clear_confidence < self.answer_confidence:
            raise ValueError(
                f"clear_confidence: {self.clear_confidence:g} says that questions are answered in any case which "
                f"answer_confidence, {self.answer_confidence:g}, refuses. Raise clear_confidence to at least "
                "answer_confidence, lower answer_confidence, or set clear_confidence to 0: nothing is then asked back."
            )
        return self

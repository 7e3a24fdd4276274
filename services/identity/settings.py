"""Settings of the identity service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from limits import parse
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.identity.oidc_provider import Provider
from services.identity.scopes import Role
from services.mesh.sealing import Keys
from services.mesh.settings import ServiceSettings

TIERS = {
    "free": {
        "requests": "100/hour",
        "tokens": "100000/day",
        "audio_seconds": "3600/day",
        "megapixel_steps": "5000/day",
        "rows": "100000/day",
    },
    "pro": {
        "requests": "1000/hour",
        "tokens": "2000000/day",
        "audio_seconds": "36000/day",
        "megapixel_steps": "100000/day",
        "rows": "5000000/day",
    },
    "enterprise": {},
}


class ProviderSettings(BaseModel):
    """An OpenID provider that people log in at."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    id: str = Field(pattern="^[a-z][a-z0-9-]{0,62}$")
    """Its name in BeginOidcLogin."""
    display_name: str = ""
    """What people call it."""
    issuer: str
    """Its issuer URL; `/.well-known/openid-configuration` below it says the rest."""
    client_id: str
    """Our id there."""
    client_secret: SecretStr = SecretStr("")
    """Our secret there. Empty: a public client, which PKCE alone protects."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """Scopes to ask for."""
    organisation: str = "default"
    """The organisation that its people belong to."""
    groups_claim: str = "groups"
    """The claim of the id token that lists groups."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """The role that each group gives."""
    default_roles: tuple[Role, ...] = ()
    """Roles of whom no group gives one. Empty: they may not come in."""
    redirect_uris: tuple[str, ...] = ()
    """Where people may be sent back to, besides any port of the loopback with the path /callback."""

    def provider(self) -> Provider:
        """The same for the domain."""
        return Provider(
            id=self.id,
            display_name=self.display_name or self.id,
            issuer=self.issuer,
            client_id=self.client_id,
            client_secret=self.client_secret.get_secret_value(),
            scopes=self.scopes,
            organisation=self.organisation,
            groups_claim=self.groups_claim,
            roles=self.roles,
            default_roles=self.default_roles,
            redirect_uris=self.redirect_uris,
        )


class IdentitySettings(ServiceSettings):
    """Settings of the identity service, from environment variables PARLEY_IDENTITY_…."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_IDENTITY_")

    database_url: SecretStr = SecretStr("sqlite:///identity.db")
    """Where identities are kept; SQLAlchemy URL. SQLite for one process, PostgreSQL for several: its LISTEN/NOTIFY
    tells each of them within a second that a key was revoked."""
    encryption_key: Keys = SecretStr("")
    """Keys that private signing keys are encrypted with at rest, separated by commas; each 32 bytes, urlsafe base64
    (Fernet). The first encrypts, all decrypt. Empty: only what protects the storage protects them."""
    admin_key_file: Path | None = None
    """File that the first start writes the administrator's API key to, readable by its owner only. Empty: no user is
    made; somebody has to put one into the storage."""
    issuer: str = "http://127.0.0.1:8080"
    """Who signs the access tokens (`iss`): the URL of this deployment."""
    token_algorithm: Literal["RS256", "EdDSA"] = "RS256"  # noqa: S105 — an algorithm
    """Signs access tokens: RS256, which everybody can check, or EdDSA (Ed25519)."""
    token_seconds: int = Field(default=86400, ge=60, le=604800)
    """How long an access token lives, in seconds."""
    refresh_seconds: int = Field(default=7 * 86400, ge=60)
    """How long a refresh token waits to be used, in seconds."""
    session_seconds: int = Field(default=90 * 86400, ge=60)
    """After how long one has to log in again, however often the session was refreshed, in seconds."""
    signing_key_seconds: int = Field(default=30 * 86400, ge=3600)
    """After how long the next signing key takes over, in seconds."""
    cache_seconds: float = Field(default=300.0, ge=0, le=3600)
    """How long the identity behind a key or session is kept in memory, in seconds. A change is told within a second all
    the same."""
    cache_entries: int = Field(default=200_000, ge=100)
    """How many identities are kept in memory; each takes about 2 KB."""
    decision_seconds: float = Field(default=0.5, ge=0, le=1)
    """For how long the gateway goes by an answer without asking again about the same request of the same caller, where
    their tier limits nothing, in seconds. It adds to the time until a revoked key is out. 0: asks every time."""
    batch_seconds: float = Field(default=2.0, gt=0, le=60)
    """How often audit entries about calls, and when keys were last used, are written, in seconds."""
    redis_url: SecretStr = SecretStr("")
    """Redis that limits are counted in, redis://host:port/0, for several processes. Empty: memory. While it is away
    every process counts for itself."""
    tiers: dict[str, dict[str, str]] = TIERS
    """Limits by tier and unit (requests, tokens, audio_seconds, megapixel_steps, rows), each a number a window:
    {"free": {"requests": "100/hour"}}. A unit that is not there is not limited."""
    default_tier: str = "free"
    """The tier of organisations that have none."""
    first_tier: str = "enterprise"
    """The tier of the organisation that the first start makes."""
    login_limit: str = "10/5 minutes"
    """How often a user's password may be tried, in a window."""
    oidc_providers: list[ProviderSettings] = Field(default_factory=list)
    """OpenID providers that people may log in at: a JSON list of {id, issuer, client_id, client_secret, scopes,
    organisation, groups_claim, roles, default_roles, redirect_uris}."""

    @field_validator("tiers")
    @classmethod
    def _limits(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        """Says that a limit is none, or limits nothing that is counted."""
        for tier, units in value.items():
            for unit, limit in units.items():
                if unit not in TIERS["free"]:
                    raise ValueError(f"{tier}: {unit!r} is none of {', '.join(TIERS['free'])}")
                try:
                    parse(limit)
                except ValueError:
                    raise ValueError(f"{tier}: {limit!r} is no limit such as 100/hour") from None
        return value

    @field_validator("login_limit")
    @classmethod
    def _login_limit(cls, value: str) -> str:
        """Says that it is no limit."""
        parse(value)
        return value

    @model_validator(mode="after")
    def _tiers_exist(self) -> IdentitySettings:
        """Says that a tier is none before the first caller finds out."""
        for tier in (self.default_tier, self.first_tier):
            if tier not in self.tiers:
                raise ValueError(f"{tier!r} is none of the tiers {', '.join(self.tiers)}")
        return self

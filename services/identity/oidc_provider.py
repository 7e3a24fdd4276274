"""An OpenID provider, and what is known of it by discovery (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.identity.scopes import Role

CALLBACK = "/callback"
"""The path that programs on a person's machine listen at."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider that people log in at."""

    id: str
    display_name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    organisation: str
    groups_claim: str
    roles: Mapping[str, Role]
    default_roles: tuple[Role, ...]
    redirect_uris: tuple[str, ...]

    def allows(self, redirect_uri: str) -> bool:
        """Whether a person may be sent back there: as it is configured, or to a program on their own machine.

        The port of the loopback is the program's choice (RFC 8252, section 7.3).
        """
        if redirect_uri in self.redirect_uris:
            return True
        try:
            parts = urlsplit(redirect_uri)
            loopback = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"} and parts.port is not None
        except ValueError:
            return False
        plain = parts.path == CALLBACK and not parts.query and not parts.fragment and parts.username is None
        return loopback and plain

    def roles_of(self, claims: Mapping[str, object]) -> tuple[Role, ...]:
        """The roles that the groups of a person give."""
        groups = claims.get(self.groups_claim)
        named = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        given = {self.roles[group] for group in named if isinstance(group, str) and group in self.roles}
        return tuple(role for role in Role if role in given) or self.default_roles

"""What there is to be allowed: scopes, and the roles that are sets of them."""

from __future__ import annotations

import enum
from collections.abc import Iterable

SCOPES = {
    "chat": "Hold conversations with models, and use the OpenAI API's chat and models.",
    "sql:read": "Ask databases, and run SQL that only reads.",
    "sql:admin": "Register, change and forget databases, their knowledge and their semantic layers.",
    "asr": "Transcribe audio.",
    "image": "Make pictures.",
    "keys": "Make and revoke one's own API keys.",
    "keys:admin": "Make and revoke the API keys of everybody in the organisation.",
    "users:admin": "Administer users, grants and the organisation's restrictions.",
    "audit:admin": "Read the audit log.",
    "usage:read": "See one's own usage.",
    "usage:admin": "See the usage of everybody in the organisation.",
    "organisations:operator": "Administer the deployment: organisations, tiers, signing keys.",
}
"""Every scope, and what it is for. An RPC that asks for another one fails a test."""

INTERNAL = "internal"
"""Never given to anybody: what only services call."""


class Role(enum.StrEnum):
    """A set of scopes that a user has."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OPERATOR = "operator"


_VIEWER = frozenset({"sql:read", "usage:read", "keys"})
_MEMBER = _VIEWER | {"chat", "asr", "image"}
_ADMIN = frozenset(SCOPES) - {"organisations:operator"}
ROLES: dict[Role, frozenset[str]] = {
    Role.VIEWER: _VIEWER,
    Role.MEMBER: _MEMBER,
    Role.ADMIN: _ADMIN,
    Role.OPERATOR: frozenset(SCOPES),
}
ADMINISTRATORS = frozenset({Role.ADMIN, Role.OPERATOR})
"""Roles that grants do not restrict."""


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """What roles together may do."""
    return frozenset().union(*(ROLES[Role(role)] for role in roles))

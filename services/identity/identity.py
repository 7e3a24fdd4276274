"""An identity: who calls, in the form that travels with a call from the gateway to every service."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.identity.scopes import Role
from services.mesh.context import GRANTS, KEY, SUBJECT


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. Made from a key or a session, kept in the cache, and never changed.

    Attributes:
        organisation: The tenant.
        user: The user's id, unique in the tenant.
        roles: What the user is.
        scopes: What this credential may do: the roles' scopes, and of those the key's, where it names some.
        tier: The tier of limits.
        grants: What databases and models the user may use, and as whom: JSON, see grants.py.
        key_id: The API key; empty for a session.
        session_id: The session; empty for a key.
        expire_time: When the credential ends, in microseconds since 1970; None: never.
        headers: What services are told of it, made once. Roles and scopes are identity's own matter.
    """

    organisation: str
    user: str
    roles: tuple[Role, ...]
    scopes: frozenset[str]
    tier: str
    grants: str
    key_id: str = ""
    session_id: str = ""
    expire_time: int | None = None
    headers: tuple[tuple[str, str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        headers = ((SUBJECT, self.subject), (KEY, self.key_id), (GRANTS, self.grants))
        object.__setattr__(self, "headers", headers)

    @property
    def subject(self) -> str:
        """Names the user in the whole deployment: the owner of what they make."""
        return f"{self.organisation}/{self.user}"

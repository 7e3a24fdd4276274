"""Who asks for a use case, and from where: what permissions are checked against and the audit log names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.identity.errors import NotAllowed
from services.identity.identity import Identity


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    address: str = ""
    """IP address; empty where it is not known."""
    request_id: str = ""


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody known who asks for something."""

    identity: Identity
    origin: Origin = NOWHERE

    @property
    def organisation(self) -> str:
        """The tenant: the only one whose rows the caller sees."""
        return self.identity.organisation

    @property
    def user(self) -> str:
        """The user's id."""
        return self.identity.user

    def may(self, scope: str) -> bool:
        """Whether the credential has a scope."""
        return scope in self.identity.scopes

    def require(self, scope: str) -> None:
        """Raises NotAllowed where the credential lacks a scope."""
        if not self.may(scope):
            raise NotAllowed(scope)

    def outranks(self, scopes: Iterable[str]) -> None:
        """Raises NotAllowed where the scopes are more than the credential's: nobody hands on what they lack."""
        lacking = sorted(set(scopes) - self.identity.scopes)
        if lacking:
            raise NotAllowed(
                lacking[0], f"This would give or touch {', '.join(lacking)}, which this credential does not have."
            )

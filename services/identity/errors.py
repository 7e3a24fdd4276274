"""What can go wrong in the identity service beyond what every service knows."""

from __future__ import annotations

from collections.abc import Collection

from services.mesh import errors

OTHER_KEY = "A secret was stored under another encryption key. Set that key again (PARLEY_IDENTITY_ENCRYPTION_KEY)."


class InvalidCredential(errors.Unauthenticated):
    """There is no credential, or it is not valid. The text never says more than the caller may know."""


class NotAllowed(errors.PermissionDenied):
    """The caller is known and may not do this.

    Args:
        permission: What is lacking, e.g. a scope.
        message: A sentence in place of the usual one.
    """

    def __init__(self, permission: str, message: str = "") -> None:
        super().__init__(
            message or f"This needs the scope {permission}, which this credential does not have.",
            metadata={"permission": permission},
        )


class NoSuchMethod(errors.NotFound):
    """There is no method at a path; or there is, with other verbs.

    Args:
        path: What was asked for.
        verbs: HTTP methods that the path takes.
    """

    def __init__(self, path: str, verbs: Collection[str] = ()) -> None:
        super().__init__(path[:200], "This path does not take this method." if verbs else "There is no such method.")
        self.verbs = tuple(sorted(verbs))


class LimitReached(errors.ResourceExhausted):
    """A limit of the caller's tier is used up.

    Args:
        unit: What is limited, e.g. `requests`.
        limit: How much of it there is in a window.
        reset: Seconds until the window ends.
    """

    def __init__(self, unit: str, limit: int, reset: float) -> None:
        super().__init__(
            f"The limit of {limit} {unit.replace('_', ' ')} of this tier is used up. Try again in {round(reset)} s.",
            retry_after=max(1.0, reset),
            metadata={"limit": str(limit), "unit": unit},
        )
        self.unit, self.limit, self.reset = unit, limit, reset

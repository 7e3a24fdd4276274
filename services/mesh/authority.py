"""What a caller may use: the databases and models that the identity service granted, as they travel with every call.

The gateway sets `x-parley-identity-grants` from identity's answer, and services pass it on to each other:

    {"databases": {"*": {}, "shop": {"role": "reporting", "settings": {"app.tenant": "7"}}}, "models": ["*"]}

`*` stands for all that are not named. A call without the header comes from inside, where nobody restricts anybody; one
whose header cannot be read may use nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from services.mesh import context, telemetry
from services.mesh.errors import PermissionDenied

log = telemetry.get_logger(__name__)

LONGEST = 16_384
"""Characters that are read: identity sends 6,000 at most, and HTTP/2 peers refuse headers beyond this."""
ALL = "*"


class NotGranted(PermissionDenied):
    """The caller has no grant for a database or model.

    Args:
        resource: Its name: databases/{database} or models/{model}.
    """

    def __init__(self, resource: str) -> None:
        super().__init__(
            f"You have no grant for {resource}. An administrator of your organisation can give you one.",
            metadata={"resource": resource},
        )


@dataclass(frozen=True, slots=True)
class Persona:
    """As whom a database sees somebody."""

    role: str = ""
    """The database's own role; empty: that of the connection."""
    settings: tuple[tuple[str, str], ...] = ()
    """Settings of the session, for row-level security: name and value, ordered by name."""

    def __bool__(self) -> bool:
        return bool(self.role or self.settings)


NOBODY = Persona()
"""Nobody in particular: whoever the connection belongs to."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What somebody may use."""

    databases: Mapping[str, Persona] = field(default_factory=dict)
    """By their ids; `*` for all others."""
    models: frozenset[str] = frozenset()
    """Their ids, or `*`."""

    def may_use_database(self, identifier: str) -> bool:
        """Whether a database is open at all."""
        return identifier in self.databases or ALL in self.databases

    def persona(self, identifier: str) -> Persona:
        """As whom a database sees the caller. Raises NotGranted where it is not open."""
        if not self.may_use_database(identifier):
            raise NotGranted(f"databases/{identifier}")
        return self.databases[identifier if identifier in self.databases else ALL]

    def may_use_model(self, identifier: str) -> bool:
        """Whether a model is open."""
        return identifier in self.models or ALL in self.models

    def require_model(self, identifier: str) -> None:
        """Raises NotGranted where a model is not open."""
        if not self.may_use_model(identifier):
            raise NotGranted(f"models/{identifier}")


EVERYTHING = Authority({ALL: NOBODY}, frozenset({ALL}))
NOTHING = Authority()


def current() -> Authority:
    """What the caller of the present call may use; everything outside of calls, and for calls from inside."""
    call = context.current()
    lines = [value for key, value in call.identity if key == context.GRANTS] if call is not None else []
    if not lines:
        return EVERYTHING
    # Two of them are not of one gateway: nobody knows which is meant.
    return parse(lines[0]) if len(lines) == 1 else NOTHING


@lru_cache(maxsize=1024)
def parse(line: str) -> Authority:
    """What a header's value grants; nothing where it is not of that form or longer than LONGEST."""
    try:
        if len(line) > LONGEST:
            raise ValueError("it is too long")
        data = json.loads(line)
        databases = {_text(name): _persona(given) for name, given in data["databases"].items()}
        return Authority(databases, frozenset(map(_text, data["models"])))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.warning("grants cannot be read: nothing is open to this caller", fault=type(error).__name__)
        return NOTHING


def _persona(given: Any) -> Persona:
    settings = given.get("settings", {})
    return Persona(
        _text(given.get("role", "")), tuple(sorted((_text(name), _text(value)) for name, value in settings.items()))
    )


def _text(value: Any) -> str:
    """The value itself. Raises TypeError where it is no text."""
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value

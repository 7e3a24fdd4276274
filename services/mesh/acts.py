"""What callers did to which resource: the methods whose calls are written to the audit log, and what is written.

A method is audited where its contract says so (parley.options.v1.access). An entry has names only: the method, the
resource's name as the request or the answer has it, and how it ended; never a statement, a text, or a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.mesh.contracts import ACCESS
from services.mesh.usage import Payer

NAMES = ("name", "parent", "database", "conversation")
"""Fields of requests that hold a resource's name, the most telling first."""
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Act:
    """A call that somebody made."""

    who: Payer
    method: str
    """Full name: parley.sql.v1.SqlService/CreateDatabase."""
    resource: str
    """Its name; empty where the call names none."""
    code: int
    """How it ended: the number of a gRPC code."""
    address: str
    """The client's IP address."""
    request_id: str
    time: datetime


class Log(Protocol):
    """Takes acts. It never waits, and never fails."""

    def acted(self, act: Act) -> None:
        """Adds an entry."""


NameOf = Callable[[Any], str]


def names_of(method: str) -> NameOf | None:
    """What finds the resource's name in a request or answer of a method; None where the method is not audited.

    Args:
        method: Full gRPC name, `/parley.sql.v1.SqlService/Ask`.
    """
    try:
        found: Any = descriptor_pool.Default().FindMethodByName(method.strip("/").replace("/", "."))
    except KeyError:
        return None
    if not found.GetOptions().Extensions[ACCESS].audited:
        return None
    paths = {kind.full_name: tuple(_paths(kind)) for kind in (found.input_type, found.output_type)}

    def name(message: Any) -> str:
        for path in paths.get(message.DESCRIPTOR.full_name, ()):
            value = message
            for field in path:
                value = getattr(value, field)
            if value:
                # A resource that is to be made has an id, and no name yet.
                last = path[-1]
                return f"{last.removesuffix('_id')}s/{value}"[:LONGEST] if last.endswith("_id") else value[:LONGEST]
        return ""

    return name


def _paths(kind: Descriptor) -> Iterator[tuple[str, ...]]:
    """Where in a message a resource's name may stand: of its own, or of the resource in it."""
    yield from ((name,) for name in NAMES if name in kind.fields_by_name and _is_text(kind.fields_by_name[name]))
    for field in kind.fields:
        inner = field.message_type
        if inner is None or field.is_repeated or not inner.full_name.startswith("parley."):
            continue
        if "name" in inner.fields_by_name and _is_text(inner.fields_by_name["name"]):
            yield field.name, "name"
    yield from ((field.name,) for field in kind.fields if field.name.endswith("_id") and _is_text(field))


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated

"""Checks a request against the buf.validate rules of its proto."""

from __future__ import annotations

import protovalidate
from google.protobuf.message import Message

from services.mesh.errors import FieldViolation, InvalidRequest

# More than this many faults help nobody, and a status's details must fit into a header.
SHOWN = 16


def check(message: Message) -> None:
    """Raises InvalidRequest that names every field at fault (the first 16) with what would be right."""
    violations = protovalidate.collect_violations(message)
    if violations:
        raise InvalidRequest([FieldViolation(_path(v), v.proto.message or v.proto.rule_id) for v in violations[:SHOWN]])


def _path(violation: protovalidate.Violation) -> str:
    """The field as a client writes it: `config.hints.phrases[3]`."""
    field = violation.proto.field
    text = ""
    for element in field.elements if field is not None else ():
        text += ("." if text else "") + element.field_name
        subscript = element.subscript
        if subscript is not None:
            text += f"[{subscript.value}]"
    return text

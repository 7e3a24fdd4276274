"""Checks a request against the buf.validate rules of its proto."""

from __future__ import annotations

from typing import Any

import protovalidate
from google.protobuf.message import Message

from buf.validate import validate_pb2
from services.mesh.errors import FieldViolation, InvalidRequest

# More than this many faults help nobody, and a status's details must fit into a header.
SHOWN = 16


# What the patterns of protos/ mean, in words; a test wants every pattern here.
PATTERNS = {
    "^[a-z][a-z0-9-]{0,62}$": "must be lower-case letters, digits and hyphens, start with a letter, at most 63 long",
    "^databases/[a-z][a-z0-9-]{0,62}$": "must be databases/{database}, e.g. databases/shop",
    "^(databases/[a-z][a-z0-9-]{0,62})?$": "must be empty or databases/{database}, e.g. databases/shop",
    "^conversations/[0-9a-zA-Z-]{1,64}$": "must be conversations/{conversation}, as CreateConversation gave it",
    "^(messages/[0-9a-zA-Z-]{1,64})?$": "must be empty or messages/{message}, as ListMessages gives it",
    "^transcriptions/[0-9a-zA-Z-]{1,64}$": "must be transcriptions/{transcription}, as CreateTranscription gave it",
    "^recordings/[0-9a-zA-Z-]{1,64}$": "must be recordings/{recording}, as UploadRecording gave it",
    "^databases/[a-z][a-z0-9-]{0,62}/examples/[0-9a-zA-Z-]{1,64}$": "must be databases/{database}/examples/{example}",
    "^(databases/[a-z][a-z0-9-]{0,62}/queries/[0-9a-zA-Z-]{1,64})?$": "empty or databases/{database}/queries/{query}",
    "^imageJobs/[0-9a-zA-Z_()-]{1,64}$": "must be imageJobs/{image_job}, as the stream's first event gave it",
    "^images/[0-9a-zA-Z-]{1,64}$": "must be images/{image}, as the stream gave it",
    "^[0-9a-zA-Z_()-]{0,64}$": "must be at most 64 letters, digits and any of -_()",
    "^users/[a-z0-9][a-z0-9._-]{0,62}$": "must be users/{user}, e.g. users/lan, or users/me",
    "^(users/[a-z0-9][a-z0-9._-]{0,62})?$": "must be empty or users/{user}, e.g. users/lan",
    "^[a-z0-9][a-z0-9._-]{0,62}$": "must be lower-case letters, digits and ._-, at most 63, the first no sign",
    "^organisations/[a-z][a-z0-9-]{0,62}$": "must be organisations/{organisation}, e.g. organisations/default",
    "^(organisations/[a-z][a-z0-9-]{0,62})?$": "must be empty or organisations/{organisation}",
    "^apiKeys/[0-9a-z]{1,32}$": "must be apiKeys/{api_key}, as CreateApiKey gave it",
    "^(apiKeys/[0-9a-z]{1,32})?$": "must be empty or apiKeys/{api_key}, as CreateApiKey gave it",
    "^grants/[0-9a-z]{1,32}$": "must be grants/{grant}, as CreateGrant gave it",
    "^(users/[a-z0-9][a-z0-9._-]{0,62}|roles/(viewer|member|admin|operator)|everyone)$": (
        "must be users/{user}, roles/viewer, roles/member, roles/admin, roles/operator or everyone"
    ),
    "^(databases/([a-z][a-z0-9-]{0,62}|[*])|models/([!-)+-~]{1,200}|[*]))$": (
        "must be databases/{database}, models/{model}, databases/* or models/*"
    ),
    "^([A-Za-z_][A-Za-z0-9_]{0,62})?$": "must be empty or letters, digits and underscores, not starting with a digit",
    "^[a-z_][a-z0-9_]{0,30}[.][a-z_][a-z0-9_]{0,30}$": "must be two lower-case names with a dot, e.g. app.tenant",
    "^[ -~]{0,200}$": "must be at most 200 printable ASCII characters",
    "^[a-z]+(:[a-z]+)?$": "must be a scope, e.g. chat or sql:read; ListRoles names them",
    "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$": "must be empty or a day, e.g. 2026-07-01",
    "^generations/[0-9a-zA-Z-]{1,64}$": "must be generations/{generation}, as the stream's first event gave it",
}
# The extensions that hold rules.
MESSAGE: Any = validate_pb2.message
ONEOF: Any = validate_pb2.oneof
FIELD: Any = validate_pb2.field
# Message types seen so far, and whether anything in them has a rule. Façades carry bodies that only they can judge:
# looking into those for nothing costs 20 µs a call.
_has_rules: dict[str, bool] = {}


def check(message: Message) -> None:
    """Raises InvalidRequest that names every field at fault (the first 16) with what would be right."""
    name = message.DESCRIPTOR.full_name
    if name not in _has_rules:
        _has_rules[name] = has_rules(message.DESCRIPTOR, set())
    if not _has_rules[name]:
        return
    violations = protovalidate.collect_violations(message)
    if violations:
        raise InvalidRequest([FieldViolation(_path(v), _said(v)) for v in violations[:SHOWN]])


def has_rules(message: Any, seen: set[str]) -> bool:
    """Whether a message type, or any that it holds, has a buf.validate rule.

    Args:
        message: The type's descriptor; there are two implementations, and the stubs know one.
        seen: Types that are being looked at: messages may hold themselves.
    """
    if message.full_name in seen:
        return False
    seen.add(message.full_name)
    return (
        message.GetOptions().HasExtension(MESSAGE)
        or any(oneof.GetOptions().HasExtension(ONEOF) for oneof in message.oneofs)
        or any(field.GetOptions().HasExtension(FIELD) for field in message.fields)
        or any(field.message_type is not None and has_rules(field.message_type, seen) for field in message.fields)
    )


def _said(violation: protovalidate.Violation) -> str:
    """What is wrong, and what would be right."""
    if violation.proto.rule_id == "string.pattern":
        return PATTERNS.get(str(violation.rule_value), violation.proto.message)
    return violation.proto.message or violation.proto.rule_id


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

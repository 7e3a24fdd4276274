"""What every contract in protos/ holds to, besides what buf lints: bounds on all that comes in, REST for every RPC."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from google.api import annotations_pb2, field_behavior_pb2

from buf.validate import validate_pb2
from tests.conftest import ROOT

# Bidirectional streams cannot be had over REST; the comment at the RPC says so.
# What only services call is not offered to clients.
WITHOUT_REST = {
    "parley.asr.v1.SpeechRecognition.StreamingRecognize",
    "parley.identity.v1.AuditService.RecordActs",
    "parley.identity.v1.UsageService.RecordUsage",
}


def methods() -> Iterator[Any]:
    """The descriptors of all RPCs."""
    for path in sorted((ROOT / "protos").rglob("*.proto")):
        module = ".".join(path.relative_to(ROOT / "protos").with_suffix("").parts) + "_pb2"
        for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values():
            yield from service.methods


def inbound(message: Any, seen: set[str]) -> Iterator[Any]:
    """The fields that a client may fill, in a message of ours and those that it holds."""
    if message.full_name in seen or not message.full_name.startswith("parley."):
        return
    seen.add(message.full_name)
    for field in message.fields:
        behaviours = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in behaviours:
            continue
        yield field
        if field.message_type is not None:
            yield from inbound(field.message_type, seen)


def rules(field: Any) -> Any:
    """The buf.validate rules of a field."""
    return field.GetOptions().Extensions[validate_pb2.field]


def bounded(rule: Any, kind: str) -> bool:
    """Whether a string or bytes rule limits the length."""
    typed = getattr(rule, kind)
    return bool(typed.HasField("max_len") or typed.HasField("pattern"))


@pytest.mark.parametrize("method", list(methods()), ids=lambda method: method.full_name)
def test_all_that_comes_in_is_bounded(method: Any) -> None:
    for field in inbound(method.input_type, set()):
        kind = {field.TYPE_STRING: "string", field.TYPE_BYTES: "bytes"}.get(field.type)
        if field.is_repeated:
            assert rules(field).repeated.HasField("max_items"), field.full_name
            assert kind is None or bounded(rules(field).repeated.items, kind), field.full_name
        elif kind:
            assert bounded(rules(field), kind), field.full_name


@pytest.mark.parametrize("method", list(methods()), ids=lambda method: method.full_name)
def test_every_rpc_has_a_rest_rule_or_is_known_to_have_none(method: Any) -> None:
    has_rule = method.GetOptions().HasExtension(annotations_pb2.http)
    assert has_rule != (method.full_name in WITHOUT_REST)

"""Every RPC of the mesh as the descriptors describe it, and how to call it without knowing it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from buf.validate import validate_pb2
from services.mesh import contracts

RULES: Any = validate_pb2.field
BEHAVIOUR: Any = field_behavior_pb2.field_behavior
REFERENCE = re.compile(r"\^\(?[a-zA-Z]+/")
"""A pattern of resource names: `^databases/…$`, `^(databases/…)?$`."""
SECONDS = 60.0
Metadata = Sequence[tuple[str, str]]


class Answer(NamedTuple):
    """How a call ended."""

    code: grpc.StatusCode
    """OK where there was an answer."""
    message: str
    """What the status says."""
    first: Message | None
    """The first answer."""


@dataclass(frozen=True)
class Method:
    """An RPC."""

    descriptor: MethodDescriptor

    @property
    def path(self) -> str:
        """Of a gRPC call."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def name(self) -> str:
        """Without its package: `SqlService.Ask`."""
        return f"{self.descriptor.containing_service.name}.{self.descriptor.name}"

    @property
    def access(self) -> Any:
        """Who may call it, as its contract says."""
        return self.descriptor.GetOptions().Extensions[contracts.ACCESS]

    @property
    def references(self) -> list[str]:
        """The fields of its request that name a thing that somebody made."""
        found = list(_references(self.descriptor.input_type, ""))
        if self.descriptor.name.startswith("Update"):
            # What is changed names itself.
            inner = {field.name: field.message_type for field in self.descriptor.input_type.fields}
            found += [
                f"{name}.name" for name, kind in inner.items() if kind is not None and "name" in kind.fields_by_name
            ]
        return sorted(set(found))

    def call(self, channel: grpc.Channel, metadata: Metadata, request: Mapping[str, Any]) -> Answer:
        """Calls it and hangs up after the first answer.

        Raises:
            json_format.ParseError: The request is none of this method's.
        """
        call = self._started(channel, metadata, request)
        try:
            return Answer(grpc.StatusCode.OK, "", next(iter(call), None))
        except grpc.RpcError:
            return Answer(call.code(), call.details() or "", None)
        finally:
            call.cancel()

    def answers(self, channel: grpc.Channel, metadata: Metadata, request: Mapping[str, Any]) -> list[Message]:
        """Calls it to its end: all answers. Raises grpc.RpcError."""
        return list(self._started(channel, metadata, request))

    def _started(self, channel: grpc.Channel, metadata: Metadata, request: Mapping[str, Any]) -> Any:
        kind = GetMessageClass(self.descriptor.input_type)
        message = json_format.ParseDict(dict(request), kind())
        start = channel.stream_stream if self.descriptor.client_streaming else channel.unary_stream
        method = start(self.path, kind.SerializeToString, GetMessageClass(self.descriptor.output_type).FromString)
        given: Any = iter([message]) if self.descriptor.client_streaming else message
        return method(given, metadata=tuple(metadata), timeout=SECONDS)


def _references(message: Descriptor | None, prefix: str) -> Iterator[str]:
    """Names of the fields that name things, of a message and those in it."""
    for field in message.fields if message is not None else ():
        rule = field.GetOptions().Extensions[RULES]
        if field.message_type is not None and field.message_type.file.package.startswith("parley."):
            yield from _references(field.message_type, f"{prefix}{field.name}.")
        elif (
            REFERENCE.match(rule.string.pattern)
            or field_behavior_pb2.IDENTIFIER in field.GetOptions().Extensions[BEHAVIOUR]
        ):
            yield f"{prefix}{field.name}"


METHODS = {
    method.name: method
    for service in contracts.service_names()
    for method in map(Method, descriptor_pool.Default().FindServiceByName(service).methods)
}
"""All RPCs of the mesh by their names."""

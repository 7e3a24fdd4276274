"""Writes gateway/openapi.json: OpenAPI 3.1 of the native REST API, from the descriptors and their comments.

    python -m gateway.openapi [--check]

Rules: google.api.http says path, method and body; proto3's JSON mapping says how types look; buf.validate's bounds
become JSON Schema's. Output-only fields are readOnly, input-only ones writeOnly. The OpenAI façades are not described:
their bodies are OpenAI's own (https://platform.openai.com/docs/api-reference).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2 as pb

from buf.validate import validate_pb2
from gateway import config
from parley.options.v1 import options_pb2

HERE = Path(__file__).resolve().parent
TARGET = HERE / "openapi.json"
PREFIX = "/api/v1/"
Json = dict[str, Any]
F = pb.FieldDescriptorProto

SCALARS: dict[int, Json] = {
    F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    F.TYPE_FLOAT: {"type": "number", "format": "float"},
    F.TYPE_INT32: {"type": "integer", "format": "int32"},
    F.TYPE_UINT32: {"type": "integer", "format": "uint32"},
    F.TYPE_INT64: {"type": "string", "format": "int64"},
    F.TYPE_UINT64: {"type": "string", "format": "uint64"},
    F.TYPE_BOOL: {"type": "boolean"},
    F.TYPE_STRING: {"type": "string"},
    F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
WELL_KNOWN: dict[str, Json] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$", "description": "e.g. 1.5s"},
    ".google.protobuf.FieldMask": {"type": "string", "description": "Field names, separated by commas."},
    ".google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    ".google.protobuf.Value": {},
    ".google.protobuf.ListValue": {"type": "array", "items": {}},
    ".google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
}
SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (sk-parley-…) or an access token."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key."},
    "basic": {"type": "http", "scheme": "basic", "description": "An API key as the password; any user."},
}
REFUSALS = {
    "400": ("Invalid", "A field does not fit, which `details` name, or the thing is not in a state for this.", ()),
    "401": ("NotAuthenticated", "There is no credential, or it is not valid.", ("WWW-Authenticate",)),
    "403": ("NotAllowed", "The credential does not have the scope, or its user not the right.", ()),
    "404": ("NotFound", "There is no such thing, or it is somebody else's.", ()),
    "409": ("Conflict", "There is one of that name, or it was changed meanwhile.", ()),
    "413": ("TooLarge", "The request is larger than the gateway takes.", ()),
    "429": ("TooMany", "A limit is used up: of the caller's tier, or of the address's requests.", ("Retry-After",)),
    "431": ("HeadersTooLarge", "The path with its query and the headers are larger than the gateway takes.", ()),
    "500": ("Failed", "A fault of the server; the message holds the id that it is logged under.", ()),
    "501": ("NotOffered", "This deployment does not have what that needs.", ()),
    "503": ("Unavailable", "What answers, or decides who may ask, cannot be reached now.", ("Retry-After",)),
    "504": ("TooSlow", "It took longer than it may.", ()),
}
"""Answers that every operation may have: their names, what they mean, the headers that say what would help."""
FIELD, NESTED, ENUM, METHOD, VALUE = 2, 3, 5, 2, 2  # field numbers that make up source paths


def camel(name: str) -> str:
    """A field's name in JSON."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


class Contracts:
    """The descriptors of parley.binpb, by name, with their comments."""

    def __init__(self, files: pb.FileDescriptorSet) -> None:
        self.messages: dict[str, pb.DescriptorProto] = {}
        self.enums: dict[str, pb.EnumDescriptorProto] = {}
        self.services: list[pb.ServiceDescriptorProto] = []
        self.comments: dict[str, str] = {}
        served = frozenset(config.transcoded())
        for file in files.file:
            self._file(file, served)

    def _file(self, file: pb.FileDescriptorProto, served: frozenset[str]) -> None:
        """Takes a file in; of its services those that the gateway serves."""
        texts = {tuple(place.path): _text(place.leading_comments) for place in file.source_code_info.location}
        scope = f".{file.package}."
        for number, message in enumerate(file.message_type):
            self._message(scope + message.name, message, (4, number), texts)
        for number, enum in enumerate(file.enum_type):
            self._enum(scope + enum.name, enum, (5, number), texts)
        for number, service in enumerate(file.service):
            if f"{file.package}.{service.name}" in served:
                self.services.append(service)
            self.comments[service.name] = texts.get((6, number), "")
            for index, method in enumerate(service.method):
                self.comments[f"{service.name}.{method.name}"] = texts.get((6, number, METHOD, index), "")

    def _message(
        self, name: str, message: pb.DescriptorProto, path: tuple[int, ...], texts: dict[tuple[int, ...], str]
    ) -> None:
        """Takes a message in, with those inside it."""
        self.messages[name] = message
        self.comments[name] = texts.get(path, "")
        for index, field in enumerate(message.field):
            self.comments[f"{name}.{field.name}"] = texts.get((*path, FIELD, index), "")
        for index, nested in enumerate(message.nested_type):
            self._message(f"{name}.{nested.name}", nested, (*path, NESTED, index), texts)

    def _enum(
        self, name: str, enum: pb.EnumDescriptorProto, path: tuple[int, ...], texts: dict[tuple[int, ...], str]
    ) -> None:
        """Takes an enum in."""
        self.enums[name] = enum
        lines = [f"- `{v.name}`: {texts.get((*path, VALUE, i), '')}" for i, v in enumerate(enum.value)]
        self.comments[name] = "\n".join([texts.get(path, ""), "", *lines])


def _text(comment: str) -> str:
    """A comment without its line breaks and the notes to tools."""
    lines = [line.strip() for line in comment.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("buf:lint:"))


class Document:
    """The OpenAPI document of some contracts; schemas are added as operations need them.

    Args:
        contracts: What to describe.
    """

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._schemas: dict[str, Json] = {}
        self._waiting: list[str] = []

    def build(self) -> Json:
        """The whole document."""
        paths: dict[str, Json] = {}
        tags = []
        for service in self._contracts.services:
            operations = list(self._operations(service))
            if operations:
                tags.append({"name": service.name, "description": self._contracts.comments[service.name]})
            for path, method, operation in operations:
                paths.setdefault(path, {})[method] = operation
        error = self._reference(".google.rpc.Status")
        self._fill()
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Parley",
                "version": "v1",
                "description": "The native REST API. The same calls are there as gRPC; streams are JSON objects, one a "
                "line. The OpenAI API is served beside it under /v1.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": tags,
            "security": [{name: []} for name in SCHEMES],
            "paths": dict(sorted(paths.items())),
            "components": {
                "securitySchemes": SCHEMES,
                "schemas": dict(sorted(self._schemas.items())),
                "responses": {name: _response(text, error, headers) for name, text, headers in REFUSALS.values()},
            },
        }

    def _operations(self, service: pb.ServiceDescriptorProto) -> Iterator[tuple[str, str, Json]]:
        """Path, method and operation of each of a service's RPCs with a rule under PREFIX."""
        for method in service.method:
            rule = method.options.Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            if verb is None or not getattr(rule, verb).startswith(PREFIX):
                continue
            path, bound = _path(getattr(rule, verb))
            yield path, verb, self._operation(service, method, rule, bound)

    def _operation(
        self, service: pb.ServiceDescriptorProto, method: pb.MethodDescriptorProto, rule: Any, bound: dict[str, Part]
    ) -> Json:
        """The operation of an RPC."""
        body = rule.body
        # The stubs type extensions for one of the two implementations of descriptors.
        access: Any = method.options.Extensions[options_pb2.access]  # type: ignore[index]
        comment = self._contracts.comments[f"{service.name}.{method.name}"]
        if access.scope:
            comment = f"{comment} Needs the scope `{access.scope}`."
        operation: Json = {
            "operationId": f"{service.name}_{method.name}",
            "summary": re.split(r"(?<=[.!?:]) ", comment)[0].rstrip(".:"),
            "description": comment,
            "tags": [service.name],
            "parameters": [
                *self._path_parameters(method.input_type, bound),
                *self._query(method.input_type, body, bound),
            ],
            "responses": {
                "200": self._answer(method, rule.response_body),
                **{status: {"$ref": f"#/components/responses/{name}"} for status, (name, *_) in REFUSALS.items()},
            },
        }
        if access.public:
            operation["security"] = []
        if body:
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": self._body(method.input_type, body, bound)}},
            }
        return operation

    def _answer(self, method: pb.MethodDescriptorProto, response_body: str) -> Json:
        """The response of a call that worked; bytes where the RPC answers with a body of its own."""
        if response_body:
            return {"description": "The bytes; content-type says what they are.", "content": {"*/*": {"schema": {}}}}
        # Envoy's transcoder gives streams the same type.
        text = "JSON objects, one a line." if method.server_streaming else "It worked."
        return {"description": text, "content": {"application/json": {"schema": self._reference(method.output_type)}}}

    def _path_parameters(self, type_name: str, bound: dict[str, Part]) -> Iterator[Json]:
        """The parameters of a path."""
        for name, part in bound.items():
            schema = {"type": "string", "pattern": self._segment(type_name, part)}
            text = f"The id of the {name}: the part of its resource name after `{name}s/`."
            yield {"name": name, "in": "path", "required": True, "schema": schema, "description": text}

    def _segment(self, type_name: str, part: Part) -> str:
        """What a part of a resource name looks like, by the pattern of the field that holds the whole name."""
        *outer, last = part.field.split(".")
        for name in outer:
            [type_name] = [field.type_name for field in self._contracts.messages[type_name].field if field.name == name]
        [field] = [field for field in self._contracts.messages[type_name].field if field.name == last]
        # validate.proto is an edition file, whose extensions the stubs type wrongly.
        rules: Any = field.options.Extensions[validate_pb2.field]  # type: ignore[index]
        parts = rules.string.pattern.removeprefix("^").removesuffix("$").split("/")
        return f"^{parts[part.place]}$" if len(parts) > part.place else "^[^/]+$"

    def _query(self, type_name: str, body: str, bound: dict[str, Part]) -> Iterator[Json]:
        """The fields of a request that travel in the query: those that neither the path nor the body takes."""
        if body == "*":
            return
        for field in self._contracts.messages[type_name].field:
            if field.name == body or field.name in _roots(bound):
                continue
            schema = self._field(type_name, field)
            name = camel(field.name)
            if field.type_name == ".google.protobuf.FieldMask":
                # What Envoy's transcoder reads: the message's own field.
                name, schema = f"{name}.paths", {"type": "array", "items": {"type": "string"}}
            required = field_behavior_pb2.REQUIRED in field.options.Extensions[field_behavior_pb2.field_behavior]
            description = schema.pop("description", self._contracts.comments[f"{type_name}.{field.name}"])
            yield {"name": name, "in": "query", "required": required, "schema": schema, "description": description}

    def _body(self, type_name: str, body: str, bound: dict[str, Part]) -> Json:
        """The schema of a request's body."""
        message = self._contracts.messages[type_name]
        if body != "*":
            [field] = [field for field in message.field if field.name == body]
            return self._reference(field.type_name)
        taken = _roots(bound)
        return self._object(type_name, [field for field in message.field if field.name not in taken])

    def _reference(self, type_name: str) -> Json:
        """A reference to a message's or enum's schema, which is made later; the schema itself of a well-known type."""
        if type_name in WELL_KNOWN:
            return dict(WELL_KNOWN[type_name])
        name = type_name.removeprefix(".")
        if name not in self._schemas:
            self._schemas[name] = {}
            self._waiting.append(type_name)
        return {"$ref": f"#/components/schemas/{name}"}

    def _fill(self) -> None:
        """Makes the schemas that were referred to."""
        while self._waiting:
            type_name = self._waiting.pop()
            if type_name in self._contracts.enums:
                names = [value.name for value in self._contracts.enums[type_name].value]
                schema = {"type": "string", "enum": names, "description": self._contracts.comments[type_name]}
            else:
                schema = self._object(type_name, list(self._contracts.messages[type_name].field))
            self._schemas[type_name.removeprefix(".")] = schema

    def _object(self, type_name: str, fields: list[F]) -> Json:
        """The schema of a message with these of its fields."""
        schema: Json = {
            "type": "object",
            "description": self._contracts.comments[type_name],
            "properties": {camel(field.name): self._field(type_name, field) for field in fields},
        }
        behaviours = {f.name: f.options.Extensions[field_behavior_pb2.field_behavior] for f in fields}
        required = [camel(name) for name, known in behaviours.items() if field_behavior_pb2.REQUIRED in known]
        return {**schema, "required": required} if required else schema

    def _field(self, type_name: str, field: F) -> Json:
        """The schema of a field."""
        # validate.proto is an edition file, whose extensions the stubs type wrongly.
        rules: Any = field.options.Extensions[validate_pb2.field]  # type: ignore[index]
        repeated = field.label == F.LABEL_REPEATED
        schema = dict(SCALARS[field.type]) if field.type in SCALARS else self._reference(field.type_name)
        schema |= _bounds(rules.repeated.items if repeated else rules)
        if repeated:
            schema = {"type": "array", "items": schema}
            if rules.repeated.HasField("max_items"):
                schema["maxItems"] = rules.repeated.max_items
        if comment := self._contracts.comments.get(f"{type_name}.{field.name}"):
            schema["description"] = comment
        behaviour = field.options.Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in behaviour:
            schema["readOnly"] = True
        if field_behavior_pb2.INPUT_ONLY in behaviour:
            schema["writeOnly"] = True
        return schema


def _response(description: str, schema: Json, headers: tuple[str, ...] = ()) -> Json:
    """A response whose body is an error."""
    response: Json = {"description": description, "content": {"application/json": {"schema": schema}}}
    if headers:
        response["headers"] = {name: {"schema": {"type": "string"}} for name in headers}
    return response


def _bounds(rules: Any) -> Json:
    """The bounds of a field's buf.validate.FieldRules as JSON Schema has them, but for bytes: JSON carries base64."""
    kind = rules.WhichOneof("type")
    if kind not in {"string", "int32", "double"}:
        return {}
    bounds = getattr(rules, kind)
    names = {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern", "gte": "minimum", "lte": "maximum"}
    return {names[field.name]: value for field, value in bounds.ListFields() if field.name in names}


class Part(NamedTuple):
    """The part of a resource name that a parameter of a path is."""

    field: str
    """Of the request, that holds the name: `name`, `conversation.name`."""
    place: int
    """Counted from 0: 1 is the `*` of `databases/*`."""


def _path(template: str) -> tuple[str, dict[str, Part]]:
    """The OpenAPI path of a google.api.http template, and what each of its parameters fills.

    `/x/{name=things/*}` is `/x/things/{thing}` with the `thing` as part 1 of `name`.
    """
    bound: dict[str, Part] = {}

    def replace(match: re.Match[str]) -> str:
        field, parts = match[1], (match[2] or "*").split("/")
        for place, part in enumerate(parts):
            if part.startswith("*"):
                parameter = parts[place - 1].rstrip("s") if place else field
                bound[parameter] = Part(field, place)
                parts[place] = f"{{{parameter}}}"
        return "/".join(parts)

    return re.sub(r"\{([\w.]+)(?:=([^}]*))?\}", replace, template), bound


def _roots(bound: dict[str, Part]) -> set[str]:
    """The request's own fields that the path fills; one filled in part (`conversation.name`) is not among them."""
    return {part.field for part in bound.values() if "." not in part.field}


def render() -> str:
    """The document's text."""
    files = pb.FileDescriptorSet.FromString((HERE / "parley.binpb").read_bytes())
    return json.dumps(Document(Contracts(files)).build(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes the document; with --check only compares, and returns 1 where it differs."""
    text = render()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == text:
            return 0
        sys.stderr.write("gateway/openapi.json is out of date: run `make generate`.\n")
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

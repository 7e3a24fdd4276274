"""Writes third_party/protos: the .proto files that ours import, taken from the installed wheels.

`googleapis-common-protos` carries its sources, which are copied. `protovalidate` carries only compiled descriptors, so
`buf/validate/validate.proto` is printed from its descriptor: names, numbers and types, without the CEL rule texts (the
runtime reads those from the wheel). With the files in the repository, buf needs no schema registry.

Run by `make generate`; `make check` fails when the result differs from what is committed.
"""

from __future__ import annotations

import importlib.util
import pathlib
import shutil

from google.protobuf import descriptor_pb2 as pb
from protovalidate import ViolationPb

ROOT = pathlib.Path(__file__).resolve().parent.parent / "third_party" / "protos"
COPIED = [
    "google/api/annotations.proto",
    "google/api/client.proto",
    "google/api/field_behavior.proto",
    "google/api/http.proto",
    "google/api/httpbody.proto",
    "google/api/launch_stage.proto",
    "google/api/resource.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
]
F = pb.FieldDescriptorProto
SCALARS = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in F.Type.items()
    if value not in (F.TYPE_MESSAGE, F.TYPE_ENUM, F.TYPE_GROUP)
}
LABELS = {F.LABEL_OPTIONAL: "optional ", F.LABEL_REPEATED: "repeated ", F.LABEL_REQUIRED: "required "}


def field_line(field: F, *, in_oneof: bool) -> str:
    """One field declaration of a proto2 file, options left out."""
    kind = field.type_name or SCALARS[field.type]
    label = "" if in_oneof else LABELS[field.label]
    return f"{label}{kind} {field.name} = {field.number};"


def enum_lines(enum: pb.EnumDescriptorProto) -> list[str]:
    """An enum declaration, with an alias option where two values share a number."""
    numbers = [value.number for value in enum.value]
    alias = ["  option allow_alias = true;"] if len(set(numbers)) < len(numbers) else []
    return [f"enum {enum.name} {{", *alias, *(f"  {v.name} = {v.number};" for v in enum.value), "}"]


def extension_lines(fields: list[F]) -> list[str]:
    """`extend` blocks, one for each extended message."""
    out: list[str] = []
    for extendee in dict.fromkeys(field.extendee for field in fields):
        mine = [field for field in fields if field.extendee == extendee]
        out += [f"extend {extendee} {{", *("  " + field_line(f, in_oneof=False) for f in mine), "}"]
    return out


def message_lines(message: pb.DescriptorProto) -> list[str]:
    """A message declaration with its nested types, oneofs and extension ranges."""
    body: list[str] = []
    for nested in message.nested_type:
        body += message_lines(nested)
    for enum in message.enum_type:
        body += enum_lines(enum)
    written: set[int] = set()
    for field in message.field:
        if not field.HasField("oneof_index"):
            body.append(field_line(field, in_oneof=False))
        elif field.oneof_index not in written:
            written.add(field.oneof_index)
            members = [f for f in message.field if f.HasField("oneof_index") and f.oneof_index == field.oneof_index]
            body += [f"oneof {message.oneof_decl[field.oneof_index].name} {{"]
            body += ["  " + field_line(f, in_oneof=True) for f in members] + ["}"]
    for span in message.extension_range:
        end = "max" if span.end > 2**29 - 1 else str(span.end - 1)
        body.append(f"extensions {span.start} to {end};")
    return [f"message {message.name} {{", *("  " + line for line in body), "}"]


def print_proto(file: pb.FileDescriptorProto) -> str:
    """The proto2 source text of a descriptor: declarations only."""
    out = [
        "// Printed from the descriptor in the `protovalidate` wheel (Apache-2.0) by scripts/vendor_protos.py.",
        'syntax = "proto2";',
        f"package {file.package};",
        *(f'import "{name}";' for name in file.dependency),
    ]
    for enum in file.enum_type:
        out += enum_lines(enum)
    for message in file.message_type:
        out += message_lines(message)
    return "\n".join(out + extension_lines(list(file.extension))) + "\n"


def main() -> None:
    """Replaces third_party/protos."""
    shutil.rmtree(ROOT / "google", ignore_errors=True)
    spec = importlib.util.find_spec("google.api")
    assert spec is not None and spec.submodule_search_locations is not None
    site = pathlib.Path(next(iter(spec.submodule_search_locations))).parent.parent
    for name in COPIED:
        target = ROOT / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((site / name).read_text())
    file = pb.FileDescriptorProto.FromString(ViolationPb.desc().file.proto.to_binary())
    target = ROOT / "buf/validate/validate.proto"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(print_proto(file))


if __name__ == "__main__":
    main()

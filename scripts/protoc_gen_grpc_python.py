"""A protoc plugin that generates gRPC stubs: buf starts it, it runs the generator compiled into grpcio-tools.

grpcio-tools offers its generator only as part of its own protoc, while buf talks the plugin protocol: a
CodeGeneratorRequest on standard input, a CodeGeneratorResponse on standard output.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc


def main() -> None:
    """Answers the one request on standard input. Raises SystemExit when the generator fails."""
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    # The generator looks at services only: `optional` fields mean nothing to it.
    feature = plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    response = plugin_pb2.CodeGeneratorResponse(supported_features=feature)
    with tempfile.TemporaryDirectory() as folder:
        descriptors = pathlib.Path(folder) / "descriptors.binpb"
        descriptors.write_bytes(descriptor_pb2.FileDescriptorSet(file=request.proto_file).SerializeToString())
        out = pathlib.Path(folder) / "out"
        out.mkdir()
        arguments = ["protoc", f"--descriptor_set_in={descriptors}", f"--grpc_python_out={out}"]
        if protoc.main([*arguments, *request.file_to_generate]) != 0:
            raise SystemExit("grpc_tools.protoc failed")
        for path in sorted(out.rglob("*_grpc.py")):
            response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text())
    sys.stdout.buffer.write(response.SerializeToString())


if __name__ == "__main__":
    main()

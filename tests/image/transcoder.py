"""HTTP clients in front of a gRPC façade, without a gateway: what Envoy's transcoder does with an HttpBody.

Paths come from the contracts' own `google.api.http` rules. For `requests` there is an adapter, for the OpenAI SDK's own
client a transport; both block, so tests run them in a thread.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import grpc
import httpx2  # the SDK's own HTTP client
import requests
from google.api import annotations_pb2, httpbody_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from requests.adapters import BaseAdapter

from services.mesh.openai import STATUS_HEADER
from services.mesh.status import HTTP


@dataclass(frozen=True)
class Answer:
    """What came back: status, content type, further headers, and the body as it arrives."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    content: Iterator[bytes]


class Transcoder:
    """Calls the RPCs of services that HTTP requests stand for.

    Args:
        address: host:port of the server.
        services: What it serves.
        metadata: What the gateway would add, such as who calls.
    """

    def __init__(self, address: str, *services: ServiceDescriptor, **metadata: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 100 << 20)])
        self._metadata = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        self._methods = {_rule(method): method for service in services for method in service.methods}

    def call(self, verb: str, url: str, content_type: str, body: bytes) -> Answer:
        """One request; blocks until the first part of the answer is there."""
        path, query = urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))
        method = self._methods.get((verb, path))
        if method is None:
            return Answer(404, "text/plain", {}, iter([b"nothing here"]))
        # Messages that are made from descriptors have no types that could be checked.
        kind: Any = message_factory.GetMessageClass(method.input_type)
        answered: Any = message_factory.GetMessageClass(method.output_type)
        if verb == "POST":
            request = kind(body=httpbody_pb2.HttpBody(content_type=content_type, data=body))
        else:
            fields = method.input_type.fields_by_name
            request = kind(**{k: v == "true" if fields[k].type == fields[k].TYPE_BOOL else v for k, v in query.items()})
        rpc: Any = self._channel.unary_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answered.FromString,
        )
        stream = rpc(request, metadata=self._metadata)
        try:
            first = next(stream).body
        except grpc.RpcError as error:
            return Answer(HTTP[error.code()], "application/json", {}, iter([str(error.details()).encode()]))
        headers = {key: str(value) for key, value in stream.initial_metadata()}
        status = int(headers.pop(STATUS_HEADER, "200"))

        def content() -> Iterator[bytes]:
            yield first.data
            try:
                for part in stream:
                    yield part.body.data
            except grpc.RpcError:
                # The façade said it in the body.
                return
            finally:
                stream.cancel()

        return Answer(status, first.content_type, headers, content())

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def _rule(method: MethodDescriptor) -> tuple[str, str]:
    """Verb and path of an RPC."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    kind = rule.WhichOneof("pattern")
    return kind.upper(), getattr(rule, kind)


class Adapter(BaseAdapter):
    """For sessions of `requests`: webuiapi's.

    Args:
        transcoder: Where to.
    """

    def __init__(self, transcoder: Transcoder) -> None:
        super().__init__()
        self._transcoder = transcoder

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """One request."""
        body = request.body or b""
        content_type = str(request.headers.get("content-type", ""))
        raw = body if isinstance(body, bytes) else str(body).encode()
        answer = self._transcoder.call(request.method or "GET", request.url or "", content_type, raw)
        response = requests.Response()
        response.status_code, response.url, response.request = answer.status, request.url or "", request
        response.headers["content-type"] = answer.content_type
        response.raw = io.BytesIO(b"".join(answer.content))
        return response

    def close(self) -> None:
        """Nothing is open here."""


class Transport(httpx2.BaseTransport):
    """For the OpenAI SDK.

    Args:
        transcoder: Where to.
    """

    def __init__(self, transcoder: Transcoder) -> None:
        self._transcoder = transcoder

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request."""
        content_type = request.headers.get("content-type", "")
        answer = self._transcoder.call(request.method, str(request.url), content_type, request.read())
        return httpx2.Response(
            answer.status, headers={"content-type": answer.content_type, **answer.headers}, content=answer.content
        )

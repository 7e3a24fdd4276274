"""A scripted gateway that speaks the real one's JSON, and the `parley` command as a real process."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conftest import ROOT


class Request(NamedTuple):
    """What the command sent."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Reply:
    """What the gateway answers.

    Attributes:
        body: The parts of the body, sent one by one.
        status: The HTTP status.
        then_hang: Keep the connection open after the last part until the client hangs up.
    """

    body: Sequence[bytes] = ()
    status: int = 200
    then_hang: bool = False


def json_reply(value: Any, status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply([json.dumps(value).encode()], status)


def stream_reply(*events: Any, then_hang: bool = False) -> Reply:
    """Events as lines of JSON."""
    return Reply([json.dumps(event).encode() + b"\n" for event in events], then_hang=then_hang)


@dataclass
class Gateway:
    """The scripted gateway: answers by method and path, and keeps what it was asked."""

    url: str
    replies: dict[tuple[str, str], Reply] = field(default_factory=dict)
    prefixes: dict[tuple[str, str], Reply] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    arrived: dict[str, threading.Event] = field(default_factory=dict)

    def on(self, method: str, path: str, reply: Reply) -> None:
        """Sets the answer to a request."""
        self.replies[method, path] = reply
        self.arrived[path] = threading.Event()

    def answer_any(self, method: str, prefix: str, reply: Reply) -> None:
        """Sets the answer to requests whose path begins so, for names that the command makes up."""
        self.prefixes[method, prefix] = reply

    def reply_to(self, method: str, path: str) -> Reply:
        """What a request is answered."""
        missing = json_reply({"code": 5, "message": f"No such path: {path}"}, 404)
        begun = (r for (known, prefix), r in self.prefixes.items() if known == method and path.startswith(prefix))
        return self.replies.get((method, path)) or next(begun, missing)

    def only(self, path: str) -> Request:
        """The one request to a path."""
        (found,) = (request for request in self.requests if request.path == path)
        return found


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self._body()
            gateway.requests.append(Request(self.command, parts.path, parse_qs(parts.query), body))
            reply = gateway.reply_to(self.command, parts.path)
            self.send_response(reply.status)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for part in reply.body:
                self._chunk(part)
            if parts.path in gateway.arrived:
                gateway.arrived[parts.path].set()
            if reply.then_hang:
                self.connection.settimeout(20)
                # A client that is gone before it read all that was sent resets the connection.
                with contextlib.suppress(ConnectionResetError):
                    if self.connection.recv(1) != b"":
                        return
                gateway.hung_up.set()
                self.close_connection = True
                return
            self._chunk(b"")

        def _body(self) -> bytes:
            if "content-length" in self.headers:
                return self.rfile.read(int(self.headers["content-length"]))
            read = b""
            while "transfer-encoding" in self.headers and (size := int(self.rfile.readline(), 16)):
                read += self.rfile.read(size + 2)[:-2]
            return read

        def _chunk(self, part: bytes) -> None:
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 -- the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
            """Says nothing."""

    return Handler


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A scripted gateway on a free port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        scripted = Gateway(f"http://127.0.0.1:{server.server_address[1]}")
        server.RequestHandlerClass = _handler(scripted)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield scripted
        server.shutdown()
        thread.join()


def environment(url: str) -> dict[str, str]:
    """The environment of a command: nothing of this machine's own PARLEY_ settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PARLEY_") and key != "NO_COLOR"}
    return {**kept, "PARLEY_GATEWAY": url, "TERM": "xterm-256color", "COLUMNS": "120"}


def start(gateway_url: str, *arguments: str, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """Starts `parley` with pipes for its three streams."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.Popen(
        command, env=environment(gateway_url), cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(gateway: Gateway) -> Run:
    """Runs `parley` against the scripted gateway, piped."""

    def run(*arguments: str, stdin: str = "", url: str = "") -> subprocess.CompletedProcess[str]:
        with start(url or gateway.url, *arguments) as process:
            out, err = process.communicate(stdin, timeout=30)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return run


@pytest.fixture
def run_on_terminal(gateway: Gateway) -> Callable[..., tuple[int, str]]:
    """Runs `parley` with a pseudo-terminal as its three streams; gives the exit code and all that it wrote."""

    def run(*arguments: str, **variables: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        variables = environment(gateway.url) | variables
        with subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            env=variables,
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            written = b""
            # A terminal whose other end is closed reads as an error on Linux: that is its end of file.
            while True:
                try:
                    read = os.read(ours, 65536)
                except OSError:
                    break
                if not read:
                    break
                written += read
            process.wait(timeout=30)
        os.close(ours)
        return process.returncode, written.decode()

    return run

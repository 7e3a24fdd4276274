"""A chDB folder behind the part of ClickHouse's HTTP interface that its clients use to ask: `python -m … FOLDER`.

It reads a token, the password of all requests, from its standard input, prints its port on loopback, and ends when the
input does, or when nobody asked for a while. Every statement runs with `readonly = 1`; the one exception is KILL QUERY.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

IDLE_SECONDS = 300.0
_KILL = re.compile(r"\s*KILL QUERY WHERE query_id = '(\w+)'", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")
_NAME = re.compile(r"\w+")
# Parameters of the interface that are no settings of a statement, and those that have no meaning here.
_NO_SETTINGS = re.compile(
    r"query|query_id|database|default_format|session_\w+|compress|client_\w+|\w*http\w*|wait_end_of_query|user|password|"
    r"readonly|send_progress\w*|buffer_size|role"
)


class Server(ThreadingHTTPServer):
    """The server.

    Args:
        folder: The chDB folder.
        token: The password of all requests.
    """

    daemon_threads = True

    def __init__(self, folder: str, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.authorization = "Basic " + base64.b64encode(f"parley:{token}".encode()).decode()
        self.asked = time.monotonic()
        # chDB keeps a folder open as long as one connection is.
        self.keeper = chdb.connect(folder)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """`/ping`, and statements in the address."""
        if urlsplit(self.path).path == "/ping":
            self._whole(200, b"Ok.\n")
        else:
            self._answer()

    def do_POST(self) -> None:
        """Statements in the body."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class calls it so
        """Nothing: the service logs what it asks."""

    def _answer(self) -> None:
        self.server.asked = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if not hmac.compare_digest(self.headers.get("Authorization", ""), self.server.authorization):
            self._failed("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")
            return
        statement = "\n".join(part for part in (given.get("query", ""), body) if part)
        try:
            blocks = self._blocks(statement, given)
            first = next(blocks, b"")
        except chdb.ChdbError as error:
            self._failed(str(error))
            return
        self._stream(first, blocks)

    def _blocks(self, statement: str, given: dict[str, str]) -> Iterator[bytes]:
        """The result's blocks. Raises chdb.ChdbError."""
        connection = chdb.connect(self.server.folder)
        kill = _KILL.match(statement)
        if kill is not None:
            yield connection.query(
                f"KILL QUERY WHERE Settings['log_comment'] = '{kill[1]}' ASYNC", "TabSeparated"
            ).bytes()
            return
        connection.query(f"USE {_quoted(given.get('database') or 'default')}")
        settings = {name: value for name, value in given.items() if not _NO_SETTINGS.fullmatch(name)}
        settings["log_comment"] = given.get("query_id", "")
        for name, value in settings.items():
            if _NAME.fullmatch(name):
                escaped = value.replace("\\", "\\\\").replace("'", "\\'")
                connection.query(f"SET {name} = '{escaped}'")
        # From here on nothing can be changed any more, this setting included.
        connection.query("SET readonly = 1")
        form = given.get("default_format", "TabSeparated")
        try:
            result = connection.send_query(statement, form)
        except chdb.ChdbError as error:
            if "Streaming query is not supported" not in str(error):
                raise
            # EXPLAIN and SHOW come whole.
            yield connection.query(statement, form).bytes()
            return
        try:
            for block in result:
                yield block.bytes()
        finally:
            with contextlib.suppress(chdb.ChdbError, RuntimeError):
                result.close()  # type: ignore[no-untyped-call]  # chdb types half of it

    def _stream(self, first: bytes, blocks: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._chunk(first)
            for block in blocks:
                self._chunk(block)
            self.wfile.write(b"0\r\n\r\n")
        except (chdb.ChdbError, OSError):
            # Half an answer: the broken connection says so.
            self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _failed(self, text: str) -> None:
        found = _CODE.search(text)
        self._whole(500, text.encode(), {"X-ClickHouse-Exception-Code": found[1] if found else "1001"})

    def _whole(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _end_with_input(server: Server) -> None:
    """Ends the process when its parent is gone, or when nobody asked for a while."""
    sys.stdin.read()
    os._exit(0)


def _end_when_idle(server: Server) -> None:
    while time.monotonic() - server.asked < IDLE_SECONDS:
        time.sleep(IDLE_SECONDS / 10)
    os._exit(0)


def main() -> None:
    """Serves until its input ends."""
    token = sys.stdin.readline().strip()
    folder = Path(sys.argv[1])
    if not folder.is_dir():
        raise SystemExit(f"{folder} is no folder")
    server = Server(str(folder), token)
    for watch in (_end_with_input, _end_when_idle):
        threading.Thread(target=watch, args=(server,), daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()

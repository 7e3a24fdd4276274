"""The largest stand-in for a MongoDB server that can be installed here: MongoDB's wire protocol before mongomock.

No package of PyPI, Debian or npm carries a MongoDB server. The driver, its protocol, its cursors and its errors are the
real ones here; what a pipeline means is mongomock's reimplementation.
"""

from __future__ import annotations

import itertools
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson
import mongomock

_HEADER = struct.Struct("<iiii")
_REPLY, _QUERY, _MESSAGE = 1, 2004, 2013


class MongoServer(socketserver.ThreadingTCPServer):
    """A server on a free port of loopback; `client` writes into it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.client: Any = mongomock.MongoClient()
        self.cursors: dict[int, Iterator[dict[str, Any]]] = {}
        self.ids = itertools.count(1)
        self.commands: list[str] = []
        self.members: list[str] = []
        """With them it is the primary of a replica set of these, host:port each."""
        self.refuses = False
        """Refuses every command, as after a password that was changed."""
        self.dies = False
        """Ends the connection when more rows are asked for."""
        self.hangs = threading.Event()
        """Cleared, aggregations wait for it."""
        self.hangs.set()

    @property
    def url(self) -> str:
        """The database `shop` on it."""
        return f"mongodb://127.0.0.1:{self.server_address[1]}/shop"

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """What the server says to a command."""
        name = next(iter(command))
        self.commands.append(name)
        if name.lower() in ("hello", "ismaster"):
            return {
                "ok": 1.0, "isWritablePrimary": True, "ismaster": True, "helloOk": True,
                "maxBsonObjectSize": 16 << 20,
                "maxMessageSizeBytes": 48 << 20, "maxWriteBatchSize": 100_000, "minWireVersion": 0,
                "maxWireVersion": 21,
                "logicalSessionTimeoutMinutes": 30, "readOnly": False,
                **({"setName": "shops", "setVersion": 1, "hosts": self.members} if self.members else {}),
            }  # fmt: skip
        if self.refuses:
            return {"ok": 0.0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}
        handler = getattr(self, f"_{name.lower()}", None)
        if handler is None:
            return {"ok": 1.0}
        try:
            return {"ok": 1.0, **handler(command, self.client[command["$db"]])}
        except Exception as error:  # noqa: BLE001  whatever mongomock says is what the server says
            return {"ok": 0.0, "code": 2, "codeName": "BadValue", "errmsg": f"{type(error).__name__}: {error}"}

    def _listcollections(self, _command: dict[str, Any], database: Any) -> dict[str, Any]:
        names = [{"name": name, "type": "collection", "options": {}} for name in database.list_collection_names()]
        return {"cursor": {"id": 0, "ns": "shop.$cmd.listCollections", "firstBatch": names}}

    def _count(self, command: dict[str, Any], database: Any) -> dict[str, Any]:
        return {"n": database[command["count"]].count_documents({})}

    def _find(self, command: dict[str, Any], database: Any) -> dict[str, Any]:
        found = database[command["find"]].find(command.get("filter") or {})
        if command.get("sort"):
            found = found.sort(list(command["sort"].items()))
        return self._first(iter(list(found.limit(command.get("limit", 0)))), command["find"], command)

    def _aggregate(self, command: dict[str, Any], database: Any) -> dict[str, Any]:
        if not self.hangs.wait(timeout=command.get("maxTimeMS", 60_000) / 1000):
            return {"ok": 0.0, "code": 50, "codeName": "MaxTimeMSExpired", "errmsg": "operation exceeded time limit"}
        found = database[command["aggregate"]].aggregate(command["pipeline"])
        return self._first(iter(found), command["aggregate"], command.get("cursor", {}))

    def _first(self, found: Iterator[dict[str, Any]], name: str, given: dict[str, Any]) -> dict[str, Any]:
        batch = list(itertools.islice(found, given.get("batchSize", 101)))
        identifier = next(self.ids)
        self.cursors[identifier] = found
        return {"cursor": {"id": bson.Int64(identifier), "ns": f"shop.{name}", "firstBatch": batch}}

    def _getmore(self, command: dict[str, Any], _database: Any) -> dict[str, Any]:
        if self.dies:
            raise ConnectionAbortedError
        identifier = command["getMore"]
        batch = list(itertools.islice(self.cursors[identifier], command.get("batchSize", 256)))
        left = bson.Int64(identifier if batch else 0)
        return {"cursor": {"id": left, "ns": f"shop.{command['collection']}", "nextBatch": batch}}


class _Connection(socketserver.StreamRequestHandler):
    """One client's connection."""

    server: MongoServer

    def handle(self) -> None:
        while True:
            header = self.rfile.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return
            length, request, _to, code = _HEADER.unpack(header)
            body = self.rfile.read(length - _HEADER.size)
            command = _query(body) if code == _QUERY else _message(body)
            if self.server.dies and "getMore" in command:
                return
            answer = bson.encode(self.server.answer(command))
            if code == _QUERY:
                payload, reply = struct.pack("<iqii", 8, 0, 0, 1) + answer, _REPLY
            else:
                payload, reply = struct.pack("<iB", 0, 0) + answer, _MESSAGE
            self.wfile.write(_HEADER.pack(_HEADER.size + len(payload), 0, request, reply) + payload)


def _query(body: bytes) -> dict[str, Any]:
    """The command of an OP_QUERY: the handshake of drivers that do not know the server yet."""
    start = body.index(b"\x00", 4) + 1 + 8
    return {**bson.decode(body[start:]), "$db": "admin"}


def _message(body: bytes) -> dict[str, Any]:
    """The command of an OP_MSG."""
    assert body[4] == 0, "no document sequences: nothing is ever inserted over the wire"
    return bson.decode(body[5:])


@contextmanager
def running() -> Iterator[MongoServer]:
    """A server, for a block."""
    with MongoServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.hangs.set()
            server.shutdown()
            thread.join()

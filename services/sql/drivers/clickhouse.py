"""ClickHouse over its HTTP interface: `readonly = 1` and a time limit with every statement, blocks as they come."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import all_managers, get_pool_manager_options
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.exceptions import HTTPError

from services.mesh import telemetry
from services.mesh.hosts import normal
from services.sql.drivers.driver import MAX_TABLES, OWN_SECONDS, Clock, Described, grouped, refused, stopped
from services.sql.errors import DatabaseRefused, DatabaseUnreachable, SchemaOutdated
from services.sql.hosts import Hosts, first_of
from services.sql.schema import Column, Table, kind_of
from services.sql.target import CONNECT_SECONDS, Target
from services.sql.values import ColumnType, ResultColumn

T = TypeVar("T")

log = telemetry.get_logger(__name__)

# It logs failed requests with their addresses.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

# Longer than any statement may work, in seconds: `sever` ends the wait for a server that hangs.
_READ_SECONDS = 4000
# Rows that are read and thrown away before a statement is stopped instead.
_DRAINED = 1000
_CODE = re.compile(r"[Cc]ode: (\d+)")
_MESSAGE = re.compile(r"DB::Exception: (?:\w+: )?(.*?)(?: \(for url|$)", re.MULTILINE)
# Of ClickHouse's error codes: no such user, wrong password, authentication failed, access denied, no such database.
_REFUSED = {192, 193, 194, 516, 497, 81}
_MISSING = {47, 60, 16}
_STOPPED = {159, 160, 394}
_WRAPPERS = re.compile(r"^(?:Nullable|LowCardinality|SimpleAggregateFunction\(\w+, )\(?(.*?)\)*$")
_TYPES = (
    (re.compile(r"U?Int\d+"), ColumnType.INTEGER),
    (re.compile(r"B?Float\d+"), ColumnType.NUMBER),
    (re.compile(r"Decimal"), ColumnType.DECIMAL),
    (re.compile(r"Bool"), ColumnType.BOOLEAN),
    (re.compile(r"DateTime"), ColumnType.TIMESTAMP),
    (re.compile(r"Date"), ColumnType.DATE),
    (re.compile(r"Array|Map|Tuple|Nested|JSON|Object"), ColumnType.JSON),
)
_TABLES = f"""
    SELECT name, engine IN ('View', 'MaterializedView', 'LiveView'), ifNull(total_rows, 0), comment
    FROM system.tables WHERE database = currentDatabase() AND NOT is_temporary AND name NOT LIKE '.inner%'
    ORDER BY name LIMIT {MAX_TABLES}"""  # noqa: S608  constants of this module
_COLUMNS = """
    SELECT table, name, type, comment FROM system.columns WHERE database = currentDatabase() ORDER BY table, position"""
_FINGERPRINT = """
    SELECT toString(count()) || '-' || toString(sum(cityHash64(table, name, type)))
    FROM system.columns WHERE database = currentDatabase()"""


def connect(target: Target, hosts: Hosts) -> ClickhouseSession:
    """A session with a server, at one of the addresses that `hosts` gives for its name. Raises HostRefused."""
    return ClickhouseSession(target, hosts.addresses(target.hosts[0], _port(target)))


class ClickhouseSession:
    """Implements services.sql.drivers.driver.Session.

    Args:
        target: The database.
        addresses: Where its host is; the first that answers is connected to.
    """

    kept = True

    def __init__(self, target: Target, addresses: Sequence[str]) -> None:
        # clickhouse-connect asks for the version and the settings.
        self.round_trips = 2
        self._target = target
        self._clock = Clock(OWN_SECONDS)
        self._query_id = ""
        self._stream: Any = None
        self._rows: Iterator[Sequence[Any]] = iter(())
        self._cancelled = False
        self._sockets: list[socket.socket] = []
        with self._faults():
            self._address, self._client = first_of(
                addresses, lambda address: _client(target, address, self._sockets), ClickHouseError, HTTPError, OSError
            )
        # A user whose profile is read-only may change no setting: the server already sees to what they say.
        limit = self._client.server_settings.get("max_execution_time")
        self._changeable = limit is None or int(limit.readonly) == 0

    def start(self, sql: str, seconds: float) -> None:
        """Starts a statement; the server stops it in time."""
        self._clock = Clock(seconds)
        self._query_id = uuid.uuid4().hex
        settings = {"query_id": self._query_id, **self._limits(seconds)}

        def begin() -> Any:
            # clickhouse-connect substitutes %(name)s only with parameters; there are none.
            stream = self._client.query_rows_stream(sql, settings=settings)
            self._rows = iter(stream.__enter__())  # type: ignore[no-untyped-call]  # clickhouse-connect does not type it
            return stream

        self._stream = self._step(begin)

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows."""
        return self._step(lambda: [tuple(row) for row in islice(self._rows, count)])

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, as the server types them."""
        if self._stream is None:
            return ()
        source = self._stream.source
        return tuple(
            ResultColumn(name, _type(kind.name))
            for name, kind in zip(source.column_names, source.column_types, strict=True)
        )

    def finish(self) -> None:
        """Drops what was not read; where that is much, the server is told to stop first."""
        stream, rows = self._stream, self._rows
        self._stream, self._rows = None, iter(())
        if stream is not None:
            with contextlib.suppress(ClickHouseError, HTTPError, OSError):
                if len(list(islice(rows, _DRAINED))) == _DRAINED:
                    self._kill()
                stream.__exit__(None, None, None)

    def cancel(self) -> None:
        """Has the server stop what runs now: everybody may stop their own statements."""
        self._cancelled = True
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ClickHouseError, HTTPError, OSError, DatabaseUnreachable, DatabaseRefused):
            other = _client(self._target, self._address, [])
            try:
                other.command(f"KILL QUERY WHERE query_id = '{self._query_id}' ASYNC")
            finally:
                _close(other)

    def sever(self) -> None:
        """Ends the sockets."""
        for found in self._sockets:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    def alive(self) -> bool:
        """Whether the server still answers."""
        return not self._cancelled and (self._clock.fresh() or self._client.ping())

    def close(self) -> None:
        """Ends the connection."""
        with contextlib.suppress(ClickHouseError, HTTPError, OSError):
            _close(self._client)

    def fingerprint(self) -> str:
        """A sum over the columns."""
        return str(self._own(_FINGERPRINT)[0][0])

    def catalogue(self) -> list[Described]:
        """Tables and views of the database; ClickHouse knows no foreign keys, and its primary key is an order."""
        columns = grouped(self._own(_COLUMNS), lambda row: str(row[0]))
        return [Described(_table(row, columns.get(row[0], [])), bool(row[1])) for row in self._own(_TABLES)]

    def explain(self, sql: str) -> str:
        """The plan with the parts and marks that it reads."""
        return "\n".join(str(row[0]) for row in self._own(f"EXPLAIN indexes = 1 {sql}"))

    def _limits(self, seconds: float) -> dict[str, Any]:
        if not self._changeable:
            return {}
        # Without join_use_nulls an outer join fills in zeros and empty text.
        return {"readonly": 1, "max_execution_time": math.ceil(seconds), "join_use_nulls": 1}

    def _own(self, sql: str) -> list[tuple[Any, ...]]:
        """A statement of Parley's own."""
        self._clock = Clock(OWN_SECONDS)
        settings = self._limits(OWN_SECONDS)
        return self._step(lambda: [tuple(row) for row in self._client.query(sql, settings=settings).result_rows])

    def _step(self, work: Callable[[], T]) -> T:
        self.round_trips += 1
        # The server counts whole seconds, and not while it waits for a client to read.
        alarm = threading.Timer(max(self._clock.left, 0.0), self._kill)
        alarm.daemon = True
        alarm.start()
        try:
            with self._clock.running(), self._faults():
                return work()
        finally:
            alarm.cancel()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns the driver's errors into ours."""
        try:
            yield
        except (ClickHouseError, HTTPError, OSError) as error:
            raise self._mapped(error) from None

    def _mapped(self, error: Exception) -> Exception:
        text = str(error)
        found = _CODE.search(text)
        code = int(found[1]) if found else 0
        if code in _STOPPED:
            return stopped()
        if code in _REFUSED:
            log.warning("database refuses", code=code)
            return DatabaseRefused()
        if not code:
            log.warning("database unavailable", error=self._target.scrub(text))
            return DatabaseUnreachable("The database cannot be reached or ended the connection.")
        message = _MESSAGE.search(text)
        said = self._target.scrub(message[1] if message else f"error {code}")[:400]
        return SchemaOutdated(said) if code in _MISSING else refused(said)


class PinnedManager(PoolManager):
    """Connections to the one address that a client is for.

    Args:
        sockets: Every connection's socket is added to it.
        name: The host's name, which certificates are checked by.
    """

    def __init__(self, sockets: list[socket.socket], name: str) -> None:
        super().__init__(**get_pool_manager_options(assert_hostname=name, server_hostname=name))
        self.pool_classes_by_scheme = {
            "http": _noted(HTTPConnectionPool, sockets),
            "https": _noted(HTTPSConnectionPool, sockets),
        }
        # clickhouse-connect drops the connections of managers that it does not know.
        all_managers[self] = int(time.time())

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> BaseHTTPResponse:  # type: ignore[override]  # urllib3's own
        """Follows no redirect: nobody checked where it leads."""
        return super().urlopen(method, url, redirect=False, **options)


def _noted(pool: type[HTTPConnectionPool], sockets: list[socket.socket]) -> type[HTTPConnectionPool]:
    """A kind of pool whose connections note their sockets."""

    class Connection(pool.ConnectionCls):  # type: ignore[name-defined,misc]  # either of urllib3's two
        """A connection whose socket can be reached."""

        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    return type("Noted", (pool,), {"ConnectionCls": Connection})


def _port(target: Target) -> int:
    return target.url.port or (8443 if _secure(target) else 8123)


def _secure(target: Target) -> bool:
    return str(target.url.query.get("secure", "")).lower() in ("1", "true")


def _client(target: Target, address: str, sockets: list[socket.socket]) -> Client:
    """A client of a server at an address, which notes its sockets. Raises ClickHouseError, HTTPError, OSError."""
    url = target.url
    name = normal(target.hosts[0])
    manager = PinnedManager(sockets, name)
    try:
        return clickhouse_connect.get_client(
            host=address,
            port=_port(target),
            username=url.username or "default",
            password=str(url.password or ""),
            database=url.database or "default",
            secure=_secure(target),
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=_READ_SECONDS,
            autogenerate_session_id=False,
            client_name="parley-sql",
            query_retries=0,
            pool_mgr=manager,
            server_host_name=name,
        )
    except BaseException:
        _forget(manager)
        raise


def _close(client: Client) -> None:
    """Ends a client with its connections."""
    client.close()
    _forget(client.http)  # type: ignore[attr-defined]  # of clients over HTTP


def _forget(manager: PoolManager) -> None:
    """Ends a manager's connections; clickhouse-connect would keep it for good."""
    manager.clear()
    all_managers.pop(manager, None)


def _type(name: str) -> ColumnType:
    """A result column's type, from ClickHouse's name for it."""
    while (inner := _WRAPPERS.sub(r"\1", name)) != name:
        name = inner
    return next((kind for pattern, kind in _TYPES if pattern.match(name)), ColumnType.TEXT)


def _table(found: tuple[Any, ...], columns: list[tuple[Any, ...]]) -> Table:
    name, _view, count, comment = found
    return Table(
        name,
        tuple(
            Column(item[1], item[2], kind_of(item[2]), "Nullable(" in item[2], description=item[3]) for item in columns
        ),
        row_count=int(count),
        description=comment,
    )

"""MongoDB: SQL as aggregation pipelines; the schema from a sample of the documents.

Only `aggregate`, `find`, `listCollections` and `ping` are ever sent, and no stage that writes or runs code.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import pymongo
from bson import Binary, Decimal128, ObjectId
from bson.json_util import dumps
from pymongo import errors

from services.mesh import telemetry
from services.sql.drivers.driver import MAX_TABLES, OWN_SECONDS, Clock, Described, refused, stopped
from services.sql.drivers.mongo_hosts import CheckedPool, check
from services.sql.drivers.mongo_pipeline import MAX_MEMBERS, Pipeline, Translator
from services.sql.errors import DatabaseRefused, DatabaseUnreachable, SchemaOutdated, SqlFailed
from services.sql.hosts import Hosts
from services.sql.schema import Column, Kind, Table
from services.sql.target import CONNECT_SECONDS, Target
from services.sql.values import ColumnType, ResultColumn

T = TypeVar("T")

log = telemetry.get_logger(__name__)

# Documents that a collection's fields are read from: so many of the oldest, and of the newest.
SAMPLED = 100
MAX_FIELDS = 500
MAX_DEPTH = 3
# The server may take so much longer than the statement's time until the connection is given up, in seconds.
_GRACE_SECONDS = 5
# Unauthorized, AuthenticationFailed.
_REFUSED = {13, 18, 8000}
# MaxTimeMSExpired, Interrupted, CursorKilled, CursorNotFound.
_STOPPED = {50, 11601, 237, 43}
_KINDS = {
    "string": Kind.TEXT,
    "objectId": Kind.TEXT,
    "int": Kind.INTEGER,
    "double": Kind.NUMBER,
    "decimal": Kind.NUMBER,
    "bool": Kind.BOOLEAN,
    "date": Kind.TIMESTAMP,
}
_TYPES: tuple[tuple[type | tuple[type, ...], str, ColumnType], ...] = (
    (bool, "bool", ColumnType.BOOLEAN),
    (int, "int", ColumnType.INTEGER),
    (float, "double", ColumnType.NUMBER),
    ((Decimal128, Decimal), "decimal", ColumnType.DECIMAL),
    (dt.datetime, "date", ColumnType.TIMESTAMP),
    (ObjectId, "objectId", ColumnType.TEXT),
    (str, "string", ColumnType.TEXT),
    ((bytes, Binary), "binData", ColumnType.BYTES),
    (list, "array", ColumnType.JSON),
    (dict, "object", ColumnType.JSON),
)


def connect(target: Target, hosts: Hosts) -> MongoSession:
    """A session with a server, or with those of a replica set, as far as `hosts` has them. Raises HostRefused."""
    return MongoSession(target, hosts)


class MongoSession:
    """Implements services.sql.drivers.driver.Session.

    Args:
        target: The database.
        hosts: Where it may be: also asked about the hosts that a server names as other members of its set.
    """

    kept = True

    def __init__(self, target: Target, hosts: Hosts) -> None:
        self.round_trips = 0
        self._target = target
        self._clock = Clock(OWN_SECONDS)
        self._cursor: Any = None
        self._columns: list[str] = []
        self._cancelled = False
        self._fields: dict[str, dict[str, str]] = {}
        with self._faults():
            check(target.source, hosts)
            self._client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
                target.source,
                serverSelectionTimeoutMS=CONNECT_SECONDS * 1000,
                connectTimeoutMS=CONNECT_SECONDS * 1000,
                maxPoolSize=2,
                appname="parley-sql",
                tz_aware=False,
                retryReads=False,
                _pool_class=partial(CheckedPool, hosts),
            )
        self._database = self._client[str(target.url.database)]
        # Its server session is what `cancel` ends.
        self._session: Any = None
        try:
            self._step(lambda: self._database.command("ping"), limit=CONNECT_SECONDS)
            self._session = self._step(self._client.start_session)
        except BaseException:
            self._client.close()
            raise

    def start(self, sql: str, seconds: float) -> None:
        """Translates a statement and starts its pipeline; the server stops it in time."""
        self._clock = Clock(seconds)
        try:
            pipeline = Translator(self._known, self._values).translate(sql)
        except SchemaOutdated:
            # Documents may have come with new fields.
            self._fields.clear()
            pipeline = Translator(self._known, self._values).translate(sql)
        self._columns = pipeline.columns
        self._cursor = self._step(lambda: self._aggregate(pipeline))

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows."""
        if self._cursor is None:
            return []
        found = self._step(lambda: list(islice(self._cursor, count)))
        names = [f"o{index}" for index in range(len(self._columns))]
        return [tuple(_plain(row.get(name)) for name in names) for row in found]

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, typed by their first values."""
        return tuple(
            ResultColumn(name, _result_type([row[index] for row in rows])) for index, name in enumerate(self._columns)
        )

    def finish(self) -> None:
        """Ends the cursor in the server."""
        cursor, self._cursor = self._cursor, None
        self._clock = Clock(OWN_SECONDS)
        if cursor is not None:
            self._step(cursor.close)

    def cancel(self) -> None:
        """Ends the server session, and with it what runs in it: everybody may end their own."""
        self._cancelled = True
        with contextlib.suppress(errors.PyMongoError):
            self._client.admin.command("killSessions", [self._session.session_id])

    def sever(self) -> None:
        """Nothing: every call has a time limit of its own."""

    def alive(self) -> bool:
        """Whether the server still answers."""
        if self._cancelled or self._clock.fresh():
            return not self._cancelled
        try:
            self._step(lambda: self._database.command("ping"))
        except (DatabaseUnreachable, DatabaseRefused):
            return False
        return True

    def close(self) -> None:
        """Ends the connection."""
        with contextlib.suppress(errors.PyMongoError):
            self._client.close()

    def fingerprint(self) -> str:
        """A digest of the collections' names: fields come and go with documents."""
        return hashlib.sha256("\n".join(name for name, _view in self._collections()).encode()).hexdigest()[:32]

    def catalogue(self) -> list[Described]:
        """Collections and views, with the fields that a sample of their documents has."""
        return [Described(self._table(name), view) for name, view in self._collections()[:MAX_TABLES]]

    def explain(self, sql: str) -> str:
        """The pipeline that a statement becomes, as the mongo shell takes it."""
        pipeline = Translator(self._known, self._values).translate(sql)
        return f"db.getCollection({dumps(pipeline.collection)}).aggregate({dumps(pipeline.stages, indent=2)})"

    def _collections(self) -> list[tuple[str, bool]]:
        """Names of collections, and whether they are views."""
        self._clock = Clock(OWN_SECONDS)
        found = self._step(lambda: list(self._database.list_collections()))
        names = [(str(item["name"]), item.get("type") == "view") for item in found]
        return sorted(item for item in names if not item[0].startswith("system."))

    def _table(self, name: str) -> Table:
        documents = self._sample(name)
        seen: dict[str, Counter[str]] = {}
        for document in documents:
            for path, value in _flattened(document):
                seen.setdefault(path, Counter())[_bson_type(value)] += 1
        columns = tuple(
            Column(path, _main(kinds), _kind(kinds), nullable=kinds["null"] > 0 or kinds.total() < len(documents))
            for path, kinds in list(seen.items())[:MAX_FIELDS]
        )
        count = self._step(lambda: self._database[name].estimated_document_count())
        return Table(name, columns, ("_id",) if "_id" in seen else (), row_count=int(count))

    def _sample(self, name: str) -> list[dict[str, Any]]:
        """The oldest and the newest documents of a collection."""
        collection = self._database[name]
        oldest = self._step(lambda: list(collection.find().limit(SAMPLED)))
        if len(oldest) < SAMPLED:
            return oldest
        return oldest + self._step(lambda: list(collection.find().sort("_id", -1).limit(SAMPLED)))

    def _known(self, name: str) -> Mapping[str, str] | None:
        """The fields of a collection with their BSON types; None where there is none of that name."""
        if name not in self._fields:
            if name not in self._step(self._database.list_collection_names):
                return None
            self._fields[name] = {column.name: column.type for column in self._table(name).columns}
        return self._fields[name]

    def _values(self, pipeline: Pipeline) -> list[Any]:
        """The values of a pipeline's first column."""
        found = self._step(lambda: list(islice(self._aggregate(pipeline), MAX_MEMBERS + 1)))
        if len(found) > MAX_MEMBERS:
            raise SqlFailed(f"MongoDB: a subquery in a condition gives more than {MAX_MEMBERS} rows. Write a JOIN.")
        return [row.get("o0") for row in found]

    def _aggregate(self, pipeline: Pipeline) -> Any:
        return self._database[pipeline.collection].aggregate(
            pipeline.stages,
            session=self._session,
            maxTimeMS=max(1, math.ceil(self._clock.left * 1000)),
            batchSize=256,
            comment="parley-sql",
        )

    def _step(self, work: Callable[[], T], limit: float | None = None) -> T:
        self.round_trips += 1
        seconds = max(self._clock.left, 0.0) + _GRACE_SECONDS if limit is None else limit
        with self._clock.running(), self._faults(), pymongo.timeout(seconds):
            return work()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns the driver's errors into ours."""
        try:
            yield
        except (errors.PyMongoError, errors.InvalidURI, OSError) as error:
            raise self._mapped(error) from None

    def _mapped(self, error: Exception) -> Exception:
        code = error.code if isinstance(error, errors.OperationFailure) else None
        given_up = isinstance(error, errors.PyMongoError) and error.timeout and self._clock.expired()
        if given_up or isinstance(error, errors.ExecutionTimeout) or code in _STOPPED:
            return stopped()
        if code in _REFUSED:
            log.warning("database refuses", code=code)
            return DatabaseRefused()
        if isinstance(error, errors.OperationFailure):
            details = error.details or {}
            return refused(self._target.scrub(str(details.get("errmsg") or error))[:400])
        log.warning("database unavailable", error=type(error).__name__)
        return DatabaseUnreachable("The database's host cannot be reached, or nothing answers there.")


def _flattened(document: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    """The fields of a document, nested ones with dots."""
    for name, value in document.items():
        # A name with a dot or dollar sign cannot be asked for by a path.
        if "." in name or name.startswith("$") or not name:
            continue
        if isinstance(value, dict) and value and depth < MAX_DEPTH:
            yield from _flattened(value, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", value


def _bson_type(value: object) -> str:
    if value is None:
        return "null"
    return next((name for kinds, name, _type in _TYPES if isinstance(value, kinds)), "other")


def _main(kinds: Counter[str]) -> str:
    """The type of most values."""
    return next((name for name, _count in kinds.most_common() if name != "null"), "null")


def _kind(kinds: Counter[str]) -> Kind:
    found = {name for name in kinds if name != "null"}
    if found and found <= {"int", "double", "decimal"}:
        return Kind.INTEGER if found == {"int"} else Kind.NUMBER
    return _KINDS.get(_main(kinds), Kind.OTHER) if len(found) == 1 else Kind.OTHER


def _result_type(values: list[Any]) -> ColumnType:
    found = {
        next((kind for kinds, _name, kind in _TYPES if isinstance(value, kinds)), ColumnType.TEXT)
        for value in values
        if value is not None
    }
    if found == {ColumnType.INTEGER, ColumnType.NUMBER}:
        return ColumnType.NUMBER
    return found.pop() if len(found) == 1 else ColumnType.UNSPECIFIED


def _plain(value: Any) -> Any:
    """A BSON value as Python's own."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, Binary):
        return bytes(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str, bytes, Decimal, dt.datetime)):
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return str(value)

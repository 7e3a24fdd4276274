"""What Parley wants of a database, whatever its product: `Session`, implemented once in each module beside this one."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from services.mesh.authority import Persona
from services.mesh.errors import FailedPrecondition
from services.sql.errors import NoRoles, NotOpen, SqlFailed, SqlTimeout
from services.sql.hosts import DEFAULT, Hosts
from services.sql.schema import Table
from services.sql.target import Target
from services.sql.values import ResultColumn

T = TypeVar("T")

# Tables that are described; more help nobody.
MAX_TABLES = 2000
# A statement of Parley's own (a ping, the catalogue) may take so long, in seconds.
OWN_SECONDS = 30.0
# A connection that was used so lately is taken without asking whether it lives, in seconds.
FRESH_SECONDS = 2.0


@dataclass(frozen=True)
class Described:
    """A table as the catalogue has it: without values; `row_count` is the database's own estimate."""

    table: Table
    view: bool = False
    """Whether reading it may take as long as any query."""


class Session(Protocol):
    """A connection that can only read. One thread at a time uses it; `cancel` and `sever` may be called from any.

    Every other method raises DatabaseUnreachable and DatabaseRefused when the database is lost, and those that
    take SQL raise SqlFailed, SchemaOutdated and SqlTimeout besides.
    """

    round_trips: int
    """How often the database was asked something."""
    kept: bool
    """Whether it may stay open between statements: nobody can write to a DuckDB file that is open here."""

    def start(self, sql: str, seconds: float) -> None:
        """Starts a statement that the guard passed, in a read-only transaction.

        Args:
            sql: The statement.
            seconds: How long the database may work on it, rows included.
        """

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows; none at the end."""

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns; known after the first fetch. Judged by the first rows where the database types no results."""

    def finish(self) -> None:
        """Ends the statement and its transaction; the session is as new."""

    def cancel(self) -> None:
        """Stops what runs now, in the database. The session is of no more use than to be closed."""

    def sever(self) -> None:
        """Drops the connection from under a call that waits for a database that hangs. From any thread; no error."""

    def alive(self) -> bool:
        """Whether it can still be used: one round trip at most, and no error."""

    def close(self) -> None:
        """Ends the connection; no error."""

    def fingerprint(self) -> str:
        """Changes when tables or columns do; one cheap statement."""

    def catalogue(self) -> list[Described]:
        """All tables and views with columns, keys and comments, in a number of statements that does not grow."""

    def explain(self, sql: str) -> str:
        """The database's plan for a statement, as it prints it; nothing runs."""


@runtime_checkable
class Actor(Protocol):
    """A session with a database that can run statements as somebody else than the connection's user."""

    def act_as(self, persona: Persona) -> None:
        """From the next statement on, as somebody. Asks the database nothing; never while a statement runs."""


_MODULES = {
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "mysql": "mysql",
    "duckdb": "duckdb",
    "clickhouse": "clickhouse",
    "chdb": "chdb",
    "mongodb": "mongodb",
}

_EXTRAS = {"chdb": "sql-chdb"}


def connect(target: Target, hosts: Hosts = DEFAULT) -> Session:
    """A new session with a database.

    Drivers are imported when the first database of their kind is asked: some take hundreds of megabytes.

    Args:
        target: Where it is.
        hosts: Where it may be. Drivers connect to the addresses that this gives, whatever the name leads to later.

    Raises:
        HostRefused: It is where none may be.
        DatabaseUnreachable: Nothing answers there, or what does is no such database.
        DatabaseRefused: It answers and refuses the credentials.
        FailedPrecondition: Its driver is not installed.
    """
    name = target.url.get_backend_name()
    try:
        module = importlib.import_module(f"services.sql.drivers.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"The driver for {name} is not installed here: an administrator installs "
            f"parley[{_EXTRAS.get(name, 'sql')}].",
            metadata={"driver": str(error.name)},
        ) from error
    return cast("Session", module.connect(target, hosts))


def act_as(session: Session, persona: Persona) -> None:
    """Has a session run its next statements as somebody. Raises NoRoles where the database cannot."""
    if isinstance(session, Actor):
        session.act_as(persona)
    elif persona:
        raise NoRoles("this kind of database")


class Clock:
    """The time that a database may still work; it stands still between the steps.

    Args:
        seconds: How long it may work, in seconds.
    """

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.deadline = 0.0
        self._last = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Takes the time of a step. Raises SqlTimeout when the steps together took too long."""
        started = time.monotonic()
        self.deadline = started + self.left
        try:
            yield
        finally:
            self._last = time.monotonic()
            self.left -= self._last - started
        if self.left < 0:
            raise stopped()

    def fresh(self) -> bool:
        """Whether the last step was so lately that its connection lives."""
        return time.monotonic() - self._last < FRESH_SECONDS

    def expired(self) -> bool:
        """Whether the step that is running has used up the time."""
        return time.monotonic() > self.deadline


def rows(session: Session, sql: str, seconds: float, limit: int) -> list[tuple[Any, ...]]:
    """A statement's first rows, in one go. Raises what `Session.start` raises."""
    try:
        session.start(sql, seconds)
        return session.fetch(limit)
    finally:
        session.finish()


def stopped() -> SqlTimeout:
    """The error for a statement whose time is up."""
    return SqlTimeout("The statement ran longer than its timeout and was stopped.")


def refused(text: str) -> SqlFailed:
    """The error for a statement that the database refused, with what it said."""
    return SqlFailed(f"The database refused the statement: {text.rstrip('.')}.")


def not_open(sql: str, text: str) -> NotOpen:
    """The error for a statement that reads what the role may not; it names only what the statement names.

    Args:
        sql: The statement.
        text: What the database said, e.g. `permission denied for table salaries`.
    """
    words = re.findall(r"\w+", text.rpartition(" for ")[2])
    named = [word for word in words if re.search(rf"\b{re.escape(word)}\b", sql, re.IGNORECASE)]
    what = f"{named[-1]!r} is" if named else "Something that this statement reads is"
    return NotOpen(f"{what} not open to you: your grant's database role may not read it.")


def grouped(found: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Rows by a key, in their order."""
    groups: dict[str, list[T]] = {}
    for item in found:
        groups.setdefault(key(item), []).append(item)
    return groups

"""Whose rows a transaction works on: the one place where stored rows are kept apart by organisation, and by owner.

A table is marked by its mixin: `Tenant` rows belong to an organisation, `Owned` rows to a person in one. In a session
of `services.mesh.database`, such rows as the ORM's queries read, change and delete are those of the scope that holds:
the call's that is being served, or the one that work outside of calls names with `acting_for` or `everyone`. New rows
are the scope's. Nothing of this is left to the queries.

It fails closed. Before any statement reaches the database, it must name an organisation for every marked table that it
names: the text of a query that the ORM cannot filter, SQL written by hand, or a statement outside of any scope is
refused with TenancyError. What the ORM writes by itself is checked row by row before it is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, Select, String, event, inspect
from sqlalchemy.orm import Mapped, ORMExecuteState, Session, UOWTransaction, mapped_column, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption

from services.mesh import context

DEFAULT_ORGANISATION = "default"
"""The organisation that an installation's first start makes; what was stored before there were any is its own."""
DEFAULT_OWNER = f"{DEFAULT_ORGANISATION}/admin"
"""Its first user, whose is what was stored before there were users."""

_INFO = "parley_tenancy"
_FLUSHING = "parley_flushing"


class TenancyError(Exception):
    """Rows were to be touched that are not the scope's, or that nobody said whose they are: a fault of this program."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a transaction works on."""

    organisation: str | None
    """None: every organisation's."""
    owner: str | None
    """Who, as `services.mesh.context.owner` names them; None: everybody in the organisation."""


EVERYONE = Scope(None, None)

_marked: list[type[Tenant]] = []
"""The classes of the marked tables."""


class Tenant:
    """Mixin of tables whose rows belong to an organisation."""

    organisation: Mapped[str] = mapped_column(String(context.MAX_ORGANISATION), server_default=DEFAULT_ORGANISATION)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "__tablename__" in cls.__dict__:
            _marked.append(cls)
            _criteria.cache_clear()
            _unfiltered.cache_clear()
        super().__init_subclass__(**kwargs)


class Owned(Tenant):
    """Mixin of tables whose rows belong to a person in an organisation."""

    owner: Mapped[str] = mapped_column(String(context.MAX_OWNER), server_default=DEFAULT_OWNER)


_scope: ContextVar[tuple[Scope, context.Call | None] | None] = ContextVar("parley_scope", default=None)
"""The scope that was named, and the call that was being served then: what another call inherits is not its own."""


def current() -> Scope | None:
    """Whose rows the present task works on; None where nobody has said so."""
    named, call = _scope.get(), context.current()
    if named is not None and named[1] is call:
        return named[0]
    return None if call is None else Scope(context.organisation(), context.owner())


def organisation() -> str:
    """The organisation that the present task works for. Raises TenancyError where it is none, or every one."""
    scope = current()
    if scope is None or scope.organisation is None:
        raise TenancyError("This is neither in a call nor in tenancy.acting_for().")
    return scope.organisation


def key(name: str) -> str:
    """A name as one that no other organisation has: what is kept in memory by name is kept by this."""
    return f"{organisation()}/{name}"


def own(name: str) -> str:
    """What stands for a name that the scope's people chose where names of all must differ: 64 hexadecimal digits."""
    scope = current()
    if scope is None or scope.owner is None:
        raise TenancyError("A name belongs to somebody: this is neither in a call nor in tenancy.acting_for().")
    return hashlib.sha256(f"{scope.organisation}\n{scope.owner}\n{name}".encode()).hexdigest()


@contextlib.contextmanager
def acting_for(organisation: str, owner: str | None = None) -> Iterator[None]:
    """For the block, and tasks that it starts, what is stored is that organisation's.

    Args:
        organisation: Its name.
        owner: Who in it; None: everybody in it. New rows that have owners must then name theirs.
    """
    with _entered(Scope(organisation, owner)):
        yield


@contextlib.contextmanager
def everyone(why: str) -> Iterator[None]:
    """For the block, and tasks that it starts, what is stored is everybody's. New rows must say whose they are.

    Args:
        why: The reason, for whoever reads the code: nothing that a caller asks for is one.
    """
    assert why, "say why"
    with _entered(EVERYONE):
        yield


@contextlib.contextmanager
def _entered(scope: Scope) -> Iterator[None]:
    token = _scope.set((scope, context.current()))
    try:
        yield
    finally:
        _scope.reset(token)


class TenantSession(Session):
    """A session whose queries see and write the rows of one scope.

    Args:
        engine: One that `watch` watches.
        scope: Whose rows; None: no marked table may be touched.
    """

    def __init__(self, engine: Engine, scope: Scope | None) -> None:
        super().__init__(engine, expire_on_commit=False, info={_INFO: scope})

    @property
    def scope(self) -> Scope | None:
        """Whose rows."""
        found: Scope | None = self.info[_INFO]
        return found


def watch(engine: Engine) -> None:
    """Lets no statement pass that names a marked table and not whose rows of it."""
    event.listen(engine, "before_cursor_execute", _checked)


def unwatched(connection: Connection) -> Connection:
    """A connection whose statements are everybody's: changes of the schema know no tenants."""
    return connection.execution_options(**{_INFO: {_INFO: EVERYONE}})


@event.listens_for(TenantSession, "after_begin")
def _begun(session: TenantSession, _transaction: object, connection: Connection) -> None:
    """Tells the connection whose statements it will carry."""
    connection.execution_options(**{_INFO: session.info})


@event.listens_for(TenantSession, "do_orm_execute")
def _filter(state: ORMExecuteState) -> None:
    """Narrows a query to the scope's rows, wherever in it a marked table is named."""
    scope: Scope | None = state.session.info[_INFO]
    if scope is None or scope.organisation is None or not _marked:
        return
    if state.is_column_load:
        _narrow_load(state, scope.organisation, scope.owner)
    else:
        state.statement = state.statement.options(*_criteria(scope.organisation, scope.owner))


@lru_cache(maxsize=1024)
def _criteria(organisation: str, owner: str | None) -> tuple[ExecutableOption, ...]:
    """What narrows a query to a scope's rows; kept, for making it takes as long as all else that is done here."""
    # Functions, because what names columns is not carried over to aliases everywhere.
    of_organisation = with_loader_criteria(Tenant, lambda rows: rows.organisation == organisation, include_aliases=True)
    if owner is None:
        return (of_organisation,)
    return of_organisation, with_loader_criteria(Owned, lambda rows: rows.owner == owner, include_aliases=True)


def _narrow_load(state: ORMExecuteState, organisation: str, owner: str | None) -> None:
    """Narrows what loads more columns of a row that is there: options do not reach it."""
    rows: Any = state.bind_mapper.class_ if state.bind_mapper is not None else object
    if issubclass(rows, Tenant) and isinstance(state.statement, Select):
        state.statement = state.statement.where(rows.organisation == organisation)
        if issubclass(rows, Owned) and owner is not None:
            state.statement = state.statement.where(rows.owner == owner)


@event.listens_for(TenantSession, "before_flush")
def _vouch(session: TenantSession, _flush: UOWTransaction, _instances: object) -> None:
    """Checks every row that is about to be written."""
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Tenant):
            _claim(row, session.scope)
    session.info[_FLUSHING] = True


@event.listens_for(TenantSession, "after_flush")
@event.listens_for(TenantSession, "after_soft_rollback")
def _flushed(session: TenantSession, *_: object) -> None:
    session.info[_FLUSHING] = False


def _claim(row: Tenant, scope: Scope | None) -> None:
    """Makes a new row the scope's, and raises TenancyError where a row is another's, or would become so."""
    if scope is None:
        raise _outside(type(row).__name__)
    wanted = {"organisation": scope.organisation} | ({"owner": scope.owner} if isinstance(row, Owned) else {})
    state = inspect(row)
    for column, value in wanted.items():
        if state.persistent and state.attrs[column].history.has_changes():
            raise TenancyError(f"A {type(row).__name__} cannot change its {column}.")
        if getattr(row, column) is None and not state.persistent:
            setattr(row, column, value)
        found = getattr(row, column)
        if found is None:
            raise TenancyError(f"A new {type(row).__name__} must say its {column}: it is made for more than one.")
        if value is not None and found != value:
            raise TenancyError(f"A {type(row).__name__} is another {column}'s.")


def _checked(
    connection: Connection, _cursor: object, statement: str, _parameters: object, _context: object, _many: bool
) -> None:
    """Raises TenancyError for a statement that does not say whose rows of a marked table it is about."""
    info: MutableMapping[str, Any] | None = connection.get_execution_options().get(_INFO)
    scope: Scope | None = info[_INFO] if info is not None else None
    if scope is not None and (scope.organisation is None or (info is not None and info.get(_FLUSHING))):
        return
    fault = _unfiltered(statement, owners=scope is not None and scope.owner is not None)
    if fault:
        raise _outside(fault) if scope is None else TenancyError(
            f"A statement names {fault} without its rows' organisation or owner. Write it with the ORM, with the class "
            "among what it selects, or in its select_from()."
        )  # fmt: skip


@lru_cache(maxsize=4096)
def _unfiltered(statement: str, *, owners: bool) -> str:
    """The marked table that a statement names more often than it filters it; empty where there is none.

    Args:
        statement: SQL, as the driver gets it: values are parameters, and columns are named with their tables.
        owners: Whether rows that have owners must be filtered by them, too.
    """
    for rows in _marked:
        table = str(rows.__dict__["__tablename__"])
        columns = ("organisation", "owner") if owners and issubclass(rows, Owned) else ("organisation",)
        for name, count in _mentions(statement, table).items():
            if any(len(re.findall(rf'\b{name}"?\.{column} = ', statement)) < count for column in columns):
                return table
    return ""


def _mentions(statement: str, table: str) -> Counter[str]:
    """By which names a statement reads or writes a table, and how often; columns that it names are none."""
    found = re.findall(rf'(?<!\w)"?{table}\b"?(?!\s*\.)(?:\s+AS\s+"?(\w+)"?)?', statement, re.IGNORECASE)
    return Counter(alias or table for alias in found)


def _outside(what: str) -> TenancyError:
    return TenancyError(f"{what} is touched neither in a call nor in tenancy.acting_for() or tenancy.everyone().")

"""Schemas as databases' roles see them: read as that role, kept in memory, and never shown to another one.

A schema holds values of rows, and row-level security may show each role other rows. So each persona (a role with its
session settings) has a schema of its own here: its tables and columns, its values, and all that is made of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from services.mesh import telemetry
from services.mesh.authority import Persona
from services.sql.errors import DatabaseUnavailable
from services.sql.schema import Column, Schema

log = telemetry.get_logger(__name__)

KEPT = 64
"""Views that are kept; reading one again takes as long as registering the database did."""
LONGEST_SECONDS = 600.0
"""After how long a view is read again, in seconds: no fingerprint tells that a role sees other rows now."""


@dataclass(frozen=True)
class Found:
    """What a database looked like when it was read."""

    schema: Schema
    fingerprint: str
    read: datetime


Version = tuple[object, ...]
"""What a view was made of besides the database: another one makes it outdated."""


@dataclass(frozen=True)
class _View:
    version: Version
    found: Found
    made: float
    checked: float
    """When it was made and when it was last found to be right, on the monotonic clock."""


def seen(schema: Schema) -> Schema:
    """A role's schema without what the semantic layer calls values that the role does not see."""
    tables = (replace(table, columns=tuple(map(_seen, table.columns))) for table in schema.tables)
    return replace(schema, tables=tuple(tables))


def _seen(column: Column) -> Column:
    known = tuple((said, value) for said, value in column.value_synonyms if value in column.values)
    return replace(column, value_synonyms=known)


class Views:
    """The views of all databases.

    Args:
        check_seconds: After how long a view is checked: whether the role may read other tables and columns now.
    """

    def __init__(self, check_seconds: float) -> None:
        self._check_seconds = check_seconds
        self._kept: OrderedDict[tuple[str, Persona], _View] = OrderedDict()
        self._reading: dict[tuple[str, Persona], asyncio.Lock] = {}

    async def get(
        self,
        identifier: str,
        persona: Persona,
        version: Version,
        read: Callable[[], Awaitable[Found]],
        fingerprint: Callable[[], Awaitable[str]],
    ) -> Found:
        """A persona's view of a database.

        Args:
            identifier: The database's.
            persona: As whom it sees the caller.
            version: What the view is made of besides.
            read: Reads the database as the persona.
            fingerprint: The database's fingerprint, as the persona sees it.

        Raises what `read` raises; a database that does not answer keeps the view that was last read.
        """
        key = (identifier, persona)
        lock = self._reading.setdefault(key, asyncio.Lock())
        try:
            async with lock:  # many who ask at once read once
                view = self._kept.get(key)
                if view is None or view.version != version or time.monotonic() - view.made > LONGEST_SECONDS:
                    view = await self._read(view, version, read)
                elif time.monotonic() - view.checked > self._check_seconds:
                    view = await self._checked(view, read, fingerprint)
                self._kept[key] = view
                self._kept.move_to_end(key)
                while len(self._kept) > KEPT:
                    gone, _view = self._kept.popitem(last=False)
                    self._reading.pop(gone, None)
                return view.found
        finally:
            if key not in self._kept and not lock.locked():
                self._reading.pop(key, None)

    def forget(self, identifier: str) -> None:
        """Forgets all views of a database."""
        for key in [key for key in self._kept if key[0] == identifier]:
            del self._kept[key]

    async def _checked(
        self, view: _View, read: Callable[[], Awaitable[Found]], fingerprint: Callable[[], Awaitable[str]]
    ) -> _View:
        try:
            if await fingerprint() != view.found.fingerprint:
                return await self._read(view, view.version, read)
        except DatabaseUnavailable as error:
            log.info("view not checked", error=type(error).__name__)
        return replace(view, checked=time.monotonic())

    async def _read(self, old: _View | None, version: Version, read: Callable[[], Awaitable[Found]]) -> _View:
        try:
            found = await read()
        except DatabaseUnavailable:
            if old is None or old.version != version:
                raise
            return replace(old, checked=time.monotonic())
        return _View(version, found, time.monotonic(), time.monotonic())

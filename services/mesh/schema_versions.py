"""Which versions of a service work on a database's schema, while two of them run side by side.

A release's migrations only add (docs/operations/upgrade.md): the version before goes on working on the larger schema,
also when one of its processes is started again. A revision that takes something away says `contracts = True` at its
top; which one was the last is kept in the database, so that a version which does not know it refuses to start.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from services.mesh.errors import StorageUnavailable
from services.mesh.revisions import Revision

METADATA = MetaData()
CONTRACTED = Table("parley_schema", METADATA, Column("contracted", String(32), nullable=False))
"""One row: the last revision that took something away; empty where none did."""
REACHED = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own: one row, the revision that the schema is at; none, or no table, before the first."""


def reached(connection: Connection) -> set[str]:
    """The revision that a database's schema is at; nothing where it has none."""
    if not inspect(connection).has_table(REACHED.name):
        return set()
    return set(connection.scalars(select(REACHED.c.version_num)))


def newer(connection: Connection, revisions: Sequence[Revision]) -> str:
    """The database's revision where it is a newer version's that leaves room for this one; "" where it is this one's.

    Args:
        connection: To the database.
        revisions: Those that this version knows.

    Raises:
        StorageUnavailable: It is another version's, and this one cannot work on it.
    """
    known = {revision.name for revision in revisions}
    unknown = reached(connection) - known
    if not unknown:
        return ""
    revision = ", ".join(sorted(unknown))
    if not inspect(connection).has_table(CONTRACTED.name):
        raise StorageUnavailable(f"The database's schema is {revision}, which this version does not know.")
    contracted = connection.execute(CONTRACTED.select()).scalar_one()
    if contracted and contracted not in known:
        raise StorageUnavailable(
            f"The database's schema is {revision}, and since {contracted} it lacks what this version needs. "
            "Run the version that brought it there, or restore the database as it was before."
        )
    return revision


def complete(connection: Connection, revisions: Sequence[Revision]) -> bool:
    """Whether a schema is at the newest revision, and says which one was the last to take something away.

    Args:
        connection: To the database.
        revisions: Those that this version knows, the newest first.
    """
    if reached(connection) != {revision.name for revision in revisions[:1]}:
        return False
    if not inspect(connection).has_table(CONTRACTED.name):
        return False
    return list(connection.scalars(select(CONTRACTED.c.contracted))) == [last_contracting(revisions)]


def record(connection: Connection, revisions: Sequence[Revision]) -> None:
    """Writes into a database of the newest revision which one was the last to take something away.

    Args:
        connection: To the database.
        revisions: Those that this version knows, the newest first.
    """
    METADATA.create_all(connection)
    connection.execute(CONTRACTED.delete())
    connection.execute(CONTRACTED.insert().values(contracted=last_contracting(revisions)))


def last_contracting(revisions: Sequence[Revision]) -> str:
    """The newest revision that takes something away; empty where none does."""
    return next((revision.name for revision in revisions if revision.contracts), "")

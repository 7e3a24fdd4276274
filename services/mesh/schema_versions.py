"""Which versions of a service work on a database's schema, while two of them run side by side.

A release's migrations only add (docs/operations/upgrade.md): the version before goes on working on the larger schema,
also when one of its processes is started again. A revision that takes something away says `contracts = True` at its
top; which one was the last is kept in the database, so that a version which does not know it refuses to start.
"""

from __future__ import annotations

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, String, Table, inspect

from services.mesh.errors import StorageUnavailable

METADATA = MetaData()
CONTRACTED = Table("parley_schema", METADATA, Column("contracted", String(32), nullable=False))
"""One row: the last revision that took something away; empty where none did."""


def newer(connection: Connection, script: ScriptDirectory) -> str:
    """The database's revision where it is a newer version's that leaves room for this one; "" where it is this one's.

    Args:
        connection: To the database.
        script: The revisions that this version knows.

    Raises:
        StorageUnavailable: It is another version's, and this one cannot work on it.
    """
    known = {revision.revision for revision in script.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
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


def record(connection: Connection, script: ScriptDirectory) -> None:
    """Writes into a database of the newest revision which one was the last to take something away."""
    # The newest one comes first.
    contracting = (one.revision for one in script.walk_revisions() if getattr(one.module, "contracts", False))
    METADATA.create_all(connection)
    connection.execute(CONTRACTED.delete())
    connection.execute(CONTRACTED.insert().values(contracted=next(contracting, "")))

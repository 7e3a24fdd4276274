"""Which organisation jobs, pictures and options belong to.

It is the first part of their owner. What has no owner, because it is from before there were users, belongs to the first
user of the organisation that the first start makes.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("jobs", "pictures", "options")
DEFAULT, FIRST_USER = "default", "default/admin"


def upgrade() -> None:
    """Adds the column; on SQLite too without making the tables anew."""
    connection = op.get_bind()
    for name in TABLES:
        op.add_column(name, sa.Column("organisation", sa.String(63), nullable=False, server_default=DEFAULT))
        table = sa.table(name, sa.column("owner"), sa.column("organisation"))
        connection.execute(sa.update(table).where(table.c.owner == "").values(owner=FIRST_USER))
        for owner in connection.scalars(sa.select(table.c.owner).distinct()).all():
            organisation = owner.rpartition("/")[0]
            if organisation not in ("", DEFAULT):
                mine = sa.update(table).where(table.c.owner == owner)
                connection.execute(mine.values(organisation=organisation))


def downgrade() -> None:
    """Drops it; who owns what stays."""
    for name in TABLES:
        op.drop_column(name, "organisation")

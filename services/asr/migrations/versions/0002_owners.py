"""Whose recordings and transcriptions are whose.

What is there belongs to the first user of the organisation that the first start makes, and so does what processes of
the version before write meanwhile: they know of no others.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("recordings", "transcriptions", "segments")


def upgrade() -> None:
    """Adds the columns; on SQLite too without making the tables anew."""
    for table in TABLES:
        op.add_column(table, sa.Column("organisation", sa.String(63), nullable=False, server_default="default"))
        op.add_column(table, sa.Column("owner", sa.String(200), nullable=False, server_default="default/admin"))
    op.create_index("transcriptions_by_owner", "transcriptions", ["organisation", "owner", "create_time", "id"])


def downgrade() -> None:
    """Drops them."""
    op.drop_index("transcriptions_by_owner", "transcriptions")
    for table in TABLES:
        op.drop_column(table, "owner")
        op.drop_column(table, "organisation")

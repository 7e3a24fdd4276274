"""The semantic layer of a database, as YAML."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds its column; on SQLite too without making the table anew."""
    op.add_column("databases", sa.Column("semantics", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Drops it."""
    op.drop_column("databases", "semantics")

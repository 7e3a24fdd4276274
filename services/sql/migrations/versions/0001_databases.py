"""The table of registered databases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates it."""
    op.create_table(
        "databases",
        sa.Column("id", sa.String(63), primary_key=True),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("dialect", sa.String(20), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("schema_read", sa.DateTime, nullable=False),
        sa.Column("schema", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_table("databases")

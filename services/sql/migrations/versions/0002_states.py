"""Whether a database answers, when that was checked, a fingerprint of its schema, and a schema that was given."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; what is registered already counts as not checked."""
    op.add_column("databases", sa.Column("state", sa.String(20), nullable=False, server_default="unspecified"))
    op.add_column("databases", sa.Column("state_message", sa.Text, nullable=False, server_default=""))
    op.add_column("databases", sa.Column("checked", sa.DateTime, nullable=True))
    op.add_column("databases", sa.Column("fingerprint", sa.String(64), nullable=False, server_default=""))
    op.add_column("databases", sa.Column("given", sa.JSON, nullable=True))


def downgrade() -> None:
    """Drops them."""
    with op.batch_alter_table("databases") as table:
        for name in ("state", "state_message", "checked", "fingerprint", "given"):
            table.drop_column(name)

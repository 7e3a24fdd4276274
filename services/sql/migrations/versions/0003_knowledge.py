"""The knowledge base: examples, verdicts and the history of questions; they go with their database."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _database() -> sa.Column[str]:
    return sa.Column("database", sa.String(63), sa.ForeignKey("databases.id", ondelete="CASCADE"), nullable=False)


def upgrade() -> None:
    """Creates the tables. A later change of `databases` must not recreate it on SQLite: that would empty them."""
    op.create_table(
        "examples",
        sa.Column("id", sa.String(64), primary_key=True),
        _database(),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("sql", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reviewed", sa.Boolean, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("changed", sa.DateTime, nullable=False),
        sa.Column("use_count", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("database", "fingerprint", name="one_example_each"),
    )
    op.create_index("examples_by_time", "examples", ["database", "created", "id"])
    op.create_table(
        "verdicts",
        sa.Column("id", sa.String(64), primary_key=True),
        _database(),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("right", sa.Boolean, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.UniqueConstraint("database", "fingerprint", "person", name="one_verdict_each"),
    )
    op.create_table(
        "queries",
        sa.Column("id", sa.String(64), primary_key=True),
        _database(),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("sql", sa.Text, nullable=False),
        sa.Column("engine", sa.String(200), nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("unknown_words", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
    )
    op.create_index("queries_by_time", "queries", ["database", "person", "created", "id"])
    op.create_index("queries_by_age", "queries", ["created"])


def downgrade() -> None:
    """Drops them."""
    for table in ("queries", "verdicts", "examples"):
        op.drop_table(table)

"""Jobs, and what is known of pictures.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema to this revision."""
    op.create_table(
        "jobs",
        sa.Column("owner", sa.String(256)),
        sa.Column("id", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("wish", sa.String(16), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("images_done", sa.Integer, nullable=False),
        sa.Column("fraction", sa.Float, nullable=False),
        sa.Column("remaining", sa.Float),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("preview", sa.LargeBinary),
        sa.Column("preview_type", sa.String(100), nullable=False),
        sa.Column("preview_index", sa.Integer, nullable=False),
        sa.Column("preview_step", sa.Integer, nullable=False),
        sa.Column("error_reason", sa.String(64), nullable=False),
        sa.Column("error_message", sa.Text, nullable=False),
        sa.Column("lease_time", sa.BigInteger, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("start_time", sa.BigInteger),
        sa.Column("end_time", sa.BigInteger),
        sa.Column("expire_time", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "id"),
    )
    op.create_index("jobs_by_create", "jobs", ["owner", "create_time", "id"])
    op.create_index("jobs_by_state", "jobs", ["state", "lease_time"])
    op.create_index("jobs_by_expiry", "jobs", ["expire_time"])
    op.create_table(
        "pictures",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("content_type", sa.String(100), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("infotext", sa.Text, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("expire_time", sa.BigInteger, nullable=False),
    )
    op.create_index("pictures_by_create", "pictures", ["owner", "create_time", "id"])
    op.create_index("pictures_by_job", "pictures", ["owner", "job"])
    op.create_index("pictures_by_expiry", "pictures", ["expire_time"])


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("pictures")
    op.drop_table("jobs")

"""Transcriptions, their segments, and uploaded recordings.

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
        "recordings",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("expire_time", sa.BigInteger, nullable=False),
    )
    op.create_index("recordings_by_expiry", "recordings", ["expire_time"])
    op.create_table(
        "transcriptions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("recording", sa.String(64), nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("request_id", sa.String(64), unique=True),
        sa.Column("request_digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("total_seconds", sa.Float, nullable=False),
        sa.Column("done_seconds", sa.Float, nullable=False),
        sa.Column("heard_seconds", sa.Float, nullable=False),
        sa.Column("segment_count", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("checkpoint", sa.Text, nullable=False),
        sa.Column("attempt_time", sa.BigInteger, nullable=False),
        sa.Column("attempt_seconds", sa.Float, nullable=False),
        sa.Column("lease_time", sa.BigInteger, nullable=False),
        sa.Column("speakers", sa.JSON, nullable=False),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("error_reason", sa.String(64), nullable=False),
        sa.Column("error_message", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("start_time", sa.BigInteger),
        sa.Column("end_time", sa.BigInteger),
    )
    op.create_index("transcriptions_by_create", "transcriptions", ["create_time", "id"])
    op.create_index("transcriptions_by_state", "transcriptions", ["state", "lease_time"])
    op.create_index("transcriptions_by_recording", "transcriptions", ["recording"])
    op.create_table(
        "segments",
        sa.Column("transcription_id", sa.String(64), sa.ForeignKey("transcriptions.id", ondelete="CASCADE")),
        sa.Column("number", sa.BigInteger),
        sa.Column("segment", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("transcription_id", "number"),
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("segments")
    op.drop_table("transcriptions")
    op.drop_table("recordings")

"""Organisations, users, keys, grants, sessions, signing keys, logins, the audit log, usage.

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

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# What makes the audit log append-only, whoever is connected: the application's mistakes and its intruders alike.
SQLITE_TRIGGERS = [
    f"CREATE TRIGGER audit_entries_{verb} BEFORE {verb} ON audit_entries "
    "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    for verb in ("UPDATE", "DELETE")
]
POSTGRES_TRIGGERS = [
    "CREATE FUNCTION audit_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
    "BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
    "CREATE TRIGGER audit_entries_change BEFORE UPDATE OR DELETE ON audit_entries "
    "FOR EACH ROW EXECUTE FUNCTION audit_entries_refuse()",
    "CREATE TRIGGER audit_entries_truncate BEFORE TRUNCATE ON audit_entries "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse()",
]


def _text(name: str, length: int, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False, primary_key=key)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _time(name: str, *, optional: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=optional)


def _owner() -> sa.ForeignKeyConstraint:
    """What belongs to a user goes with them."""
    return sa.ForeignKeyConstraint(["organisation", "user_id"], ["users.organisation", "users.id"], ondelete="CASCADE")


def upgrade() -> None:
    """Brings the schema to this revision."""
    op.create_table(
        "organisations",
        _text("organisation", 63, key=True),
        _text("display_name", 200),
        _text("tier", 63),
        _flag("restrict_databases"),
        _flag("restrict_models"),
        _flag("disabled"),
        _time("create_time"),
    )
    op.create_table(
        "users",
        _text("organisation", 63, key=True),
        _text("id", 63, key=True),
        _text("kind", 20),
        _text("display_name", 200),
        _text("email", 320),
        sa.Column("roles", sa.JSON, nullable=False),
        _text("tier", 63),
        _flag("disabled"),
        sa.Column("password", sa.Text, nullable=False),
        _time("create_time"),
        sa.ForeignKeyConstraint(["organisation"], ["organisations.organisation"]),
    )
    op.create_table("retired_users", _text("organisation", 63, key=True), _text("id", 63, key=True), _time("time"))
    op.create_table(
        "api_keys",
        _text("id", 32, key=True),
        _text("organisation", 63),
        _text("user_id", 63),
        _text("display_name", 200),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("scopes", sa.JSON, nullable=False),
        _time("create_time"),
        _time("expire_time", optional=True),
        _time("revoke_time", optional=True),
        _time("last_used_time", optional=True),
        _owner(),
    )
    op.create_index("api_keys_by_user", "api_keys", ["organisation", "user_id"])
    op.create_index("api_keys_by_time", "api_keys", ["organisation", "create_time", "id"])
    op.create_table(
        "grants",
        _text("id", 32, key=True),
        _text("organisation", 63),
        _text("subject", 80),
        _text("resource", 300),
        _text("database_role", 63),
        sa.Column("session_settings", sa.JSON, nullable=False),
        _time("create_time"),
        sa.UniqueConstraint("organisation", "subject", "resource"),
    )
    op.create_table(
        "sessions",
        _text("id", 32, key=True),
        _text("organisation", 63),
        _text("user_id", 63),
        _time("create_time"),
        _time("expire_time"),
        _time("revoke_time", optional=True),
        _owner(),
    )
    op.create_index("sessions_by_user", "sessions", ["organisation", "user_id"])
    op.create_index("sessions_by_expiry", "sessions", ["expire_time"])
    op.create_table(
        "refresh_tokens",
        _text("hash", 64, key=True),
        _text("organisation", 63),
        _text("session_id", 32),
        _time("expire_time"),
        _time("used_time", optional=True),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
    )
    op.create_index("refresh_tokens_by_session", "refresh_tokens", ["session_id"])
    _signing_and_logins()
    _records()


def _signing_and_logins() -> None:
    op.create_table(
        "signing_keys",
        _text("id", 64, key=True),
        _text("algorithm", 20),
        _text("state", 20),
        sa.Column("public", sa.JSON, nullable=False),
        sa.Column("private", sa.Text, nullable=False),
        _time("change_time"),
    )
    op.create_table(
        "oidc_accounts",
        _text("issuer", 500, key=True),
        _text("subject", 255, key=True),
        _text("organisation", 63, key=True),
        _text("user_id", 63),
        _time("create_time"),
        _owner(),
    )
    op.create_table(
        "oidc_logins",
        _text("state", 64, key=True),
        _text("organisation", 63),
        _text("provider", 63),
        _text("redirect_uri", 500),
        sa.Column("verifier", sa.Text, nullable=False),
        _text("nonce", 100),
        _time("expire_time"),
    )


def _records() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        _text("organisation", 63),
        _time("time"),
        _text("actor", 63),
        _text("key_id", 32),
        _text("action", 200),
        _text("resource", 300),
        _text("outcome", 20),
        _text("address", 64),
        _text("request_id", 128),
        _text("detail", 500),
    )
    op.create_index("audit_entries_by_organisation", "audit_entries", ["organisation", "number"])
    for trigger in SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRES_TRIGGERS:
        op.execute(trigger)
    op.create_table(
        "usage",
        _text("organisation", 63, key=True),
        _text("day", 10, key=True),
        _text("user_id", 63, key=True),
        _text("key_id", 32, key=True),
        _text("service", 63, key=True),
        _text("model", 200, key=True),
        _text("unit", 20, key=True),
        sa.Column("amount", sa.Float, nullable=False),
    )
    op.create_table("usage_batches", _text("id", 64, key=True), _text("organisation", 63), _time("time"))
    op.create_index("usage_batches_by_time", "usage_batches", ["time"])


def downgrade() -> None:
    """Takes it back. The audit log goes with its triggers."""
    for table in (
        *("usage_batches", "usage", "audit_entries", "oidc_logins", "oidc_accounts", "signing_keys"),
        *("refresh_tokens", "sessions", "grants", "api_keys", "retired_users", "users", "organisations"),
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_entries_refuse()")

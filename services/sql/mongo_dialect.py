"""The SQL that is asked of MongoDB: PostgreSQL's syntax, with MongoDB's order of nulls. Known to sqlglot by import."""

from __future__ import annotations

from sqlglot.dialects.postgres import Postgres


class MongoDB(Postgres):
    """sqlglot calls it `mongodb`."""

    # As MongoDB sorts; PostgreSQL has them last.
    NULL_ORDERING = "nulls_are_small"

"""Where a user's database is: its URL, checked and parsed. Nothing here shows the URL in an error or a log."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from services.mesh.errors import InvalidArgument
from services.sql.schema import Dialect

if TYPE_CHECKING:
    import psycopg2.extensions

CONNECT_SECONDS = 5
FIELD = "database.url"


@dataclass(frozen=True)
class Target:
    """A user's database."""

    url: URL = field(repr=False)

    @property
    def dialect(self) -> Dialect:
        """Its dialect."""
        return Dialect.SQLITE if self.url.get_backend_name() == "sqlite" else Dialect.POSTGRESQL

    def scrub(self, text: str) -> str:
        """A driver's text without the URL's password, user and host, fit for the log."""
        for secret in (self.url.password, self.url.username, self.url.host, self.url.database):
            if secret:
                text = text.replace(str(secret), "…")
        return text


def parse(url: str, sqlite_root: Path | None) -> Target:
    """A target from what a user wrote.

    Args:
        url: `sqlite:///file/path` or `postgresql://user:password@host:port/name`.
        sqlite_root: The folder that SQLite files must lie in; None allows none.

    Raises:
        InvalidArgument: It is not such a URL, or its file lies elsewhere.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidArgument(FIELD, "it is not a URL. Write postgresql://user:password@host:port/name.") from None
    if parsed.drivername == "sqlite":
        return Target(parsed.set(database=str(_sqlite_file(parsed, sqlite_root)), query={}))
    if parsed.drivername in ("postgresql", "postgres"):
        if not parsed.database:
            raise InvalidArgument(FIELD, "it names no database. Write postgresql://user:password@host:port/name.")
        return Target(parsed.set(drivername="postgresql+psycopg2"))
    raise InvalidArgument(FIELD, "only sqlite:/// and postgresql:// are supported.")


def _sqlite_file(url: URL, root: Path | None) -> Path:
    if root is None:
        raise InvalidArgument(FIELD, "SQLite files may not be registered here: PARLEY_SQL_SQLITE_ROOT is not set.")
    if not url.database or url.database.startswith((":", "file:")):
        raise InvalidArgument(FIELD, "it names no file. Write sqlite:///file/path.")
    try:
        path = (root / url.database).resolve()
    except (OSError, ValueError):
        raise InvalidArgument(FIELD, "it is not the name of a file.") from None
    # The same words for "missing" and "elsewhere": nobody learns which files exist outside the folder.
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise InvalidArgument(FIELD, "there is no such file in the folder that SQLite files may lie in.")
    return path


def connect_sqlite(target: Target) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error."""
    uri = Path(str(target.url.database)).as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=2, check_same_thread=False)
    # Files in the wild hold text in other encodings; a wrong byte must not lose the row.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.execute("PRAGMA query_only=1")
    return connection


def connect_postgres(target: Target) -> psycopg2.extensions.connection:
    """A connection whose transactions only read. Raises psycopg2.Error."""
    import psycopg2.extensions  # here: an installation with SQLite databases only needs no driver

    url = target.url
    options = {"sslmode": str(url.query["sslmode"])} if "sslmode" in url.query else {}
    parts = {"host": url.host, "port": url.port, "user": url.username, "password": url.password, "dbname": url.database}
    dsn = psycopg2.extensions.make_dsn(
        **{key: str(value) for key, value in parts.items() if value is not None}, **options
    )
    connection = psycopg2.connect(dsn, connect_timeout=CONNECT_SECONDS, application_name="parley-sql")
    connection.set_session(readonly=True)
    return connection

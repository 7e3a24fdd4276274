"""Where a user's database is: its URL, checked and parsed. Nothing here shows the URL in an error or a log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from services.mesh.authority import NOBODY, Persona
from services.mesh.errors import InvalidArgument
from services.mesh.hosts import normal
from services.sql.errors import NoRoles
from services.sql.schema import Dialect

CONNECT_SECONDS = 5
FIELD = "database.url"
# What this service itself calls the files that were made of uploads; nobody may register one by its URL.
UPLOAD = "upload"
_EXAMPLE = "Write postgresql://user:password@host:port/name."
_SERVERS = {
    "postgresql": Dialect.POSTGRESQL,
    "mysql": Dialect.MYSQL,
    "clickhouse": Dialect.CLICKHOUSE,
    "mongodb": Dialect.MONGODB,
}
_FILES = {"sqlite": Dialect.SQLITE, "duckdb": Dialect.DUCKDB, "chdb": Dialect.CLICKHOUSE}
_ALIASES = {"postgres": "postgresql", "mariadb": "mysql"}
ROLES = frozenset({Dialect.POSTGRESQL, Dialect.MYSQL})
"""Dialects whose servers can run a statement as somebody else than the connection's user."""
_MORE_HOSTS = re.compile(r"(?<=[^/,]),[^/?]*")


@dataclass(frozen=True)
class Target:
    """A user's database."""

    url: URL = field(repr=False)
    source: str = field(default="", repr=False)
    """The URL as it was written, where it says more than `url` can hold: several hosts of a MongoDB replica set."""
    organisation: str = ""
    """Whose it is: organisations share no connections, not even to the same server as the same user."""
    persona: Persona = field(default=NOBODY, compare=False)
    """As whom it is to see the caller; all of them share its connections."""

    @property
    def dialect(self) -> Dialect:
        """Its dialect."""
        return {**_SERVERS, **_FILES}[self.url.get_backend_name()]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of a server as they were written; PostgreSQL may have several. All of MongoDB's are in `source`."""
        host = str(self.url.host)
        return tuple(host.split(",")) if self.dialect is Dialect.POSTGRESQL else (host,)

    @property
    def path(self) -> Path:
        """The file or folder, for a database that is one."""
        return Path(str(self.url.database))

    def seen_by(self, persona: Persona) -> Target:
        """The same database as it sees somebody. Raises NoRoles where it cannot tell people apart."""
        if persona and self.dialect not in ROLES:
            raise NoRoles(self.dialect.value)
        if persona.settings and self.dialect is not Dialect.POSTGRESQL:
            raise NoRoles(self.dialect.value, "session settings")
        return replace(self, persona=persona)

    def scrub(self, text: str) -> str:
        """A driver's text without the URL's password, user and host, fit for the log."""
        for secret in (self.url.password, self.url.username, self.url.host, self.url.database):
            if secret:
                text = text.replace(str(secret), "…")
        return text


def parse(url: str, root: Path | None, uploads: Path | None = None) -> Target:
    """A target from what a user wrote.

    Args:
        url: `sqlite:///file/path`, `postgresql://user:password@host:port/name`, `mysql://…`, `duckdb:///file/path`,
            `clickhouse://…`, `chdb:///folder/path`, `mongodb://…`.
        root: The folder that files must lie in; None allows none.
        uploads: The folder of databases that were made of uploads; None, where the URL comes from outside.

    Raises:
        InvalidArgument: It is not such a URL, or its file lies elsewhere.
    """
    try:
        # SQLAlchemy's URLs have one host; MongoDB's may have several.
        parsed = make_url(_MORE_HOSTS.sub("", url, count=1) if url.startswith("mongodb") else url)
    except (ArgumentError, ValueError):
        raise InvalidArgument(FIELD, f"it is not a URL. {_EXAMPLE}") from None
    name = parsed.drivername.partition("+")[0]
    name = _ALIASES.get(name, name)
    if name == UPLOAD and uploads is not None:
        return Target(URL.create("duckdb", database=str(uploads / Path(str(parsed.database)).name)))
    if name in _FILES:
        return Target(URL.create(name, database=str(_inside(parsed, name, root))))
    if name not in _SERVERS:
        known = ", ".join(f"{item}://" for item in sorted([*_SERVERS, *_FILES]))
        raise InvalidArgument(FIELD, f"its kind of database is not supported. It must start with one of: {known}.")
    if not parsed.host:
        raise InvalidArgument(FIELD, f"it names no host. {_EXAMPLE}")
    if not parsed.database:
        raise InvalidArgument(FIELD, f"it names no database. {_EXAMPLE}")
    found = Target(parsed.set(drivername=name), url if name == "mongodb" else "")
    try:
        for host in found.hosts:
            normal(host)
    except ValueError:
        raise InvalidArgument(FIELD, f"what stands for its host is no name and no address. {_EXAMPLE}") from None
    return found


def _inside(url: URL, name: str, root: Path | None) -> Path:
    """The file or folder that a URL names, links followed; it must be there and lie in `root`."""
    if root is None:
        raise InvalidArgument(FIELD, "files may not be registered here: PARLEY_SQL_SQLITE_ROOT is not set.")
    if not url.database or url.database.startswith((":", "file:")):
        raise InvalidArgument(FIELD, f"it names no file. Write {name}:///file/path.")
    try:
        path = (root / url.database).resolve()
        there = path.is_dir() if name == "chdb" else path.is_file()
    except (OSError, ValueError):
        raise InvalidArgument(FIELD, "it is not the name of a file.") from None
    # The same words for "missing" and "elsewhere": nobody learns which files exist outside the folder.
    if not path.is_relative_to(root.resolve()) or not there:
        raise InvalidArgument(FIELD, "there is no such file in the folder that database files may lie in.")
    return path

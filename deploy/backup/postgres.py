"""Backs up a service's PostgreSQL database: dumped, checked, encrypted, stored, read back, and old ones taken away.

    python -m deploy.backup.postgres backup chat --store s3://bucket/parley --recipients FILE --keep 14
    python -m deploy.backup.postgres restore chat --store s3://bucket/parley --identity FILE
    python -m deploy.backup.postgres list chat --store s3://bucket/parley

The database's URL is the service's own setting (PARLEY_CHAT_DATABASE_URL), from the environment or from a file of that
name in PARLEY_SECRETS_DIR. pg_dump and pg_restore are PostgreSQL's, of the server's major version or newer. The store
is a folder or a URL that fsspec knows; its credentials are its library's (AWS_…, a workload identity).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
from sqlalchemy import make_url

from deploy.backup import encryption
from deploy.backup.errors import BackupError

NAME = re.compile(r"(?P<service>[a-z]+)-(?P<time>\d{8}T\d{6}Z)\.dump\.age")
SERVICE = re.compile(r"[a-z]{1,30}")
BUCKETS = frozenset({"s3", "gs", "abfs"})
"""Stores that need no folder to be made."""
BLOCK = 1024 * 1024


class Store:
    """Where dumps are kept: a folder for each service.

    Args:
        url: A folder, or a URL that fsspec knows.
        service: The service.

    Raises:
        BackupError: It is no such URL.
    """

    def __init__(self, url: str, service: str) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise BackupError(f"--store {url!r} is no folder or URL that fsspec knows: {error}.") from None
        self._root = f"{root.rstrip('/')}/{service}"
        self._service = service
        self._url = url

    def names(self) -> list[str]:
        """The dumps of this service, the oldest first."""
        try:
            with self._asked():
                found = self._files.ls(self._root, detail=False, refresh=True)
        except FileNotFoundError:
            return []
        names = (path.rpartition("/")[2] for path in found)
        return sorted(name for name in names if (match := NAME.fullmatch(name)) and match["service"] == self._service)

    def put(self, name: str, file: Path) -> None:
        """Stores a dump under its own name once it is whole there. Raises BackupError where it came back another."""
        draft = f"{self._root}/{name}.partial"
        with self._asked():
            # Buckets have no folders; asked for one, some libraries would make a bucket that is not there.
            known = self._files.protocol
            if not BUCKETS & set([known] if isinstance(known, str) else known):
                self._files.makedirs(self._root, exist_ok=True)
            self._files.put_file(str(file), draft)
            if self._digest(draft) != _digest(file):
                self._files.rm_file(draft)
                raise BackupError(f"{name} came back from the store as something else: nothing was kept of it.")
            self._files.mv(draft, f"{self._root}/{name}")

    def get(self, name: str, file: Path) -> None:
        """Fetches a dump."""
        with self._asked():
            self._files.get_file(f"{self._root}/{name}", str(file))

    def drop_but(self, keep: int) -> list[str]:
        """Takes all dumps away but the newest; the names of those that are gone."""
        gone = self.names()[:-keep]
        with self._asked():
            for name in gone:
                self._files.rm_file(f"{self._root}/{name}")
        return gone

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Around what the store is asked: its library's errors become BackupErrors; those of files stay."""
        try:
            yield
        except (BackupError, OSError):
            raise
        except Exception as error:
            raise BackupError(f"The store {self._url} refused: {type(error).__name__}: {error}") from error

    def _digest(self, path: str) -> str:
        digest = hashlib.sha256()
        with self._files.open(path, "rb") as data:
            while block := data.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()


def backup(service: str, url: str, store: str, recipients: Sequence[str], keep: int) -> str:
    """Backs a database up; the name of the dump.

    Args:
        service: The service, `chat`.
        url: SQLAlchemy URL of its database.
        store: A folder, or a URL that fsspec knows.
        recipients: Who can read it (see encryption.encrypt).
        keep: How many dumps are kept, this one counted.

    Raises:
        BackupError: It cannot be dumped, checked, encrypted or stored; older dumps are all still there.
    """
    name = f"{service}-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}.dump.age"
    kept = Store(store, service)
    with tempfile.TemporaryDirectory() as work:
        plain, encrypted = Path(work) / "dump", Path(work) / "dump.age"
        _run("pg_dump", ["--format=custom", "--no-owner", "--no-privileges", f"--file={plain}"], connection(url))
        # A dump whose list of contents cannot be read would be found out on the worst of days.
        _run("pg_restore", ["--list", str(plain)], {})
        encryption.encrypt(plain, encrypted, recipients)
        kept.put(name, encrypted)
    kept.drop_but(keep)
    return name


def restore(service: str, url: str, store: str, identity: Path, name: str = "") -> str:
    """Restores a dump into an empty database, whole or not at all; its name.

    Args:
        service: The service that it is of.
        url: SQLAlchemy URL of the database, which has no tables.
        store: A folder, or a URL that fsspec knows.
        identity: File with the key.
        name: The dump; the newest when empty.

    Raises:
        BackupError: There is no such dump; it cannot be decrypted; the database is not empty, or away.
    """
    kept = Store(store, service)
    names = kept.names()
    chosen = name or (names[-1] if names else "")
    if chosen not in names:
        raise BackupError(
            f"There is no dump {chosen or 'of ' + service} in {store}; there are: {', '.join(names) or 'none'}."
        )
    if _tables(url):
        raise BackupError("The database is not empty: make a new one, restore into that, and point the service to it.")
    with tempfile.TemporaryDirectory() as work:
        encrypted, plain = Path(work) / "dump.age", Path(work) / "dump"
        kept.get(chosen, encrypted)
        encryption.decrypt(encrypted, plain, identity)
        target = connection(url)
        how = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
        _run("pg_restore", [*how, f"--dbname={target['PGDATABASE']}", str(plain)], target)
    return chosen


def _tables(url: str) -> int:
    """How many tables a database has."""
    query = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    how = ["--no-psqlrc", "--tuples-only", "--no-align", f"--command={query}"]
    return int(_run("psql", how, connection(url)))


def connection(url: str) -> dict[str, str]:
    """A database's URL as libpq's variables: a password on a command line could be read by everybody.

    Raises:
        BackupError: It is not PostgreSQL's.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql" and parsed.drivername != "postgres":
        raise BackupError(f"The database is {parsed.get_backend_name()}: only PostgreSQL's are dumped here.")
    given = {
        "PGHOST": parsed.host,
        "PGPORT": parsed.port,
        "PGUSER": parsed.username,
        "PGPASSWORD": parsed.password,
        "PGDATABASE": parsed.database,
    }
    asked = {f"PG{name.upper()}": value for name, value in parsed.query.items() if name.startswith("ssl")}
    return {
        name: str(value) for name, value in {**given, **asked, "PGCONNECT_TIMEOUT": 10}.items() if value is not None
    }


def setting(service: str) -> str:
    """The service's database URL, as the service itself would find it. Raises BackupError where there is none."""
    name = f"PARLEY_{service.upper()}_DATABASE_URL"
    folder = os.environ.get("PARLEY_SECRETS_DIR")
    value = os.environ.get(name) or (_content(Path(folder) / name) if folder else "")
    if not value:
        raise BackupError(f"{name} is not set, and no file in PARLEY_SECRETS_DIR has that name.")
    return value


def _content(file: Path) -> str:
    return file.read_text().strip() if file.is_file() else ""


def _digest(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _run(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Runs one of PostgreSQL's programs; its output. Raises BackupError with what it complained of."""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, env={**os.environ, **environment}, check=False
        )
    except FileNotFoundError:
        raise BackupError(f"{program} is not installed: PostgreSQL's client programs are needed.") from None
    if done.returncode:
        raise BackupError(f"{program} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.backup.postgres", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("command", choices=["backup", "restore", "list"])
    parser.add_argument("service")
    parser.add_argument("--store", required=True, help="a folder, or a URL that fsspec knows")
    parser.add_argument("--recipients", default="", help="backup: a file of public keys (age1…, ssh-ed25519 …)")
    parser.add_argument("--keep", type=int, default=14, help="backup: how many dumps are kept")
    parser.add_argument("--identity", type=Path, help="restore: the file with the private key")
    parser.add_argument("--name", default="", help="restore: the dump; the newest without it")
    given = parser.parse_args(arguments)
    if not SERVICE.fullmatch(given.service):
        parser.error("service: lower-case letters only")
    if given.keep < 1:
        parser.error("--keep: at least 1")
    try:
        sys.stdout.write(_done(given) + "\n")
    except (BackupError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _done(given: Any) -> str:
    """Does what the arguments say; what to tell of it."""
    if given.command == "list":
        return "\n".join(Store(given.store, given.service).names())
    url = setting(given.service)
    if given.command == "restore":
        if given.identity is None:
            raise BackupError("--identity is needed: the file with the private key.")
        return restore(given.service, url, given.store, given.identity, given.name)
    if not given.recipients:
        raise BackupError("--recipients is needed: a file with the public keys of who can read the dump.")
    return backup(given.service, url, given.store, [given.recipients], given.keep)


if __name__ == "__main__":
    sys.exit(main())

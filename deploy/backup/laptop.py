"""Backs up and restores the state folder of `parley up`: databases, files, and the keys that open them.

back_up(state, target)      while the stack runs: each database as of one moment (SQLite's backup API), then the files
restore(archive, state)     checked whole in a folder beside the old one, which it replaces in one step and keeps
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.backup import archive, encryption
from deploy.backup.errors import BackupError
from deploy.local import state as stack_state
from services.mesh import revisions

KEPT = ("key", "secrets", "data", "databases", "uploads", "recordings", "pictures")
"""What is backed up. Certificates, logs and what runs are made anew."""
SQLITE = b"SQLite format 3\x00"
BESIDE = ("-wal", "-shm", "-journal")
"""Files beside a SQLite file that its copy does not need."""
ROOT = Path(__file__).resolve().parent.parent.parent


class Done(NamedTuple):
    """A backup that was made or restored."""

    file: Path
    """The archive."""
    manifest: archive.Manifest
    """What it holds."""
    size: int
    """Bytes of the archive."""
    before: Path | None = None
    """Where what was there before a restore is now."""


def back_up(state: Path, target: Path, recipients: Sequence[str] = ()) -> Done:
    """Makes a backup of a state folder; the stack may run.

    Databases are copied first, each as of one moment; then the files, which are never changed once they are written. So
    every file that a database knows of is there, unless it was deleted meanwhile.

    Args:
        state: The state folder.
        target: The archive; replaced in one step, readable by its owner only.
        recipients: Who can read it (see encryption.encrypt). None: it is not encrypted, and holds the keys to all.

    Raises:
        BackupError: There is nothing to back up; a database is damaged; a recipient is none.
        OSError: The archive cannot be written.
    """
    state = state.resolve()
    if not any((state / name).exists() for name in KEPT):
        raise BackupError(f"There is no stack's state in {state}: `parley up` makes one; --state names another folder.")
    target = target.resolve()
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as work:
        files = _collected(state, Path(work))
        manifest = archive.Manifest(
            version=importlib.metadata.version("parley"),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            revisions={name: revision for name, file in files.items() if (revision := _revision(file))},
            members={name: archive.describe(file) for name, file in files.items()},
        )
        draft = Path(work) / "archive"
        archive.write(draft, manifest, files)
        if recipients:
            encrypted = Path(work) / "archive.age"
            encryption.encrypt(draft, encrypted, recipients)
            encrypted.chmod(0o600)
            draft = encrypted
        with draft.open("rb") as data:
            os.fsync(data.fileno())
        draft.replace(target)
    return Done(target, manifest, target.stat().st_size)


def restore(file: Path, state: Path, identity: Path | None = None) -> Done:
    """Puts a backup in the place of a state folder, whose stack must not run.

    Everything is unpacked and checked beside it first: what cannot be restored changes nothing.

    Args:
        file: The archive.
        state: The state folder; what is in it is kept in a folder beside it.
        identity: The key of an encrypted one.

    Raises:
        BackupError: It is no backup, damaged, encrypted to somebody else, or made by a newer version.
        deploy.local.state.AlreadyRunningError: The stack runs.
        OSError: It cannot be read, or the folder cannot be written.
    """
    state = state.resolve()
    state.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=state.parent) as work:
        plain = _plain(file, Path(work), identity)
        fresh = Path(work) / "state"
        fresh.mkdir(mode=0o700)
        manifest = archive.unpack(plain, fresh)
        _check(fresh, manifest)
        before = _exchange(fresh, state)
    return Done(file, manifest, file.stat().st_size, before)


def _collected(state: Path, work: Path) -> dict[str, Path]:
    """Where each file to be stored lies, by its path in the state folder; databases are copies."""
    files: dict[str, Path] = {}
    found = [file for name in KEPT for file in _files(state / name)]
    # Databases before files: see back_up.
    for number, file in enumerate(sorted(found, key=lambda one: not _is_sqlite(one))):
        name = file.relative_to(state).as_posix()
        if _is_sqlite(file):
            files[name] = _copied(file, work / f"{number}.db")
        elif not file.name.endswith(BESIDE) or not _is_sqlite(file.with_name(file.name.rpartition("-")[0])):
            files[name] = file
    return files


def _files(path: Path) -> Iterator[Path]:
    """The regular files at or below a path; links are no part of the state."""
    if path.is_symlink():
        return
    if path.is_file():
        yield path
    elif path.is_dir():
        for one in sorted(path.iterdir()):
            yield from _files(one)


def _is_sqlite(file: Path) -> bool:
    try:
        with file.open("rb") as data:
            return data.read(len(SQLITE)) == SQLITE
    except FileNotFoundError:
        return False


def _copied(file: Path, copy: Path) -> Path:
    """A copy of a database as of one moment, while others write. Raises BackupError where it is damaged."""
    source = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)
    with contextlib.closing(source), contextlib.closing(sqlite3.connect(copy)) as target:
        try:
            source.backup(target)
            # One file, whatever the mode of the original.
            target.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.DatabaseError as error:
            raise BackupError(f"The database {file} cannot be copied: {error}.") from None
    _check_database(copy, file.name)
    return copy


def _check_database(file: Path, name: str) -> None:
    """Raises BackupError where a SQLite file is damaged."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        try:
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            answer = str(error)
    if answer != "ok":
        raise BackupError(f"The database {name} is damaged: {answer}.")


def _revision(file: Path) -> str:
    """The schema revision of a service's database; empty for any other file."""
    if not _is_sqlite(file):
        return ""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError:
            return ""
    return str(row[0]) if row else ""


def _plain(file: Path, work: Path, identity: Path | None) -> Path:
    """The archive, decrypted where it is encrypted."""
    if not file.is_file():
        raise BackupError(f"There is no file {file}.")
    if not encryption.is_encrypted(file):
        return file
    if identity is None:
        raise BackupError(f"{file} is encrypted: name the file with the key by --identity.")
    plain = work / "archive"
    encryption.decrypt(file, plain, identity)
    return plain


def _check(fresh: Path, manifest: archive.Manifest) -> None:
    """Raises BackupError where what was unpacked cannot be used by this version."""
    for name in manifest.members:
        if name.partition("/")[0] not in KEPT:
            raise BackupError(f"The archive holds {name[:100]!r}, which is no part of a stack's state.")
        if _is_sqlite(fresh / name):
            _check_database(fresh / name, name)
    for name in manifest.members:
        folder, _, service = name.removesuffix(".db").rpartition("/")
        revision = _revision(fresh / name) if folder == "data" else ""
        if revision and revision not in _known_revisions(service):
            raise BackupError(
                f"{name} has schema revision {revision}, which this version of Parley does not know: it was made by "
                f"{manifest.version}. Restore it with that version or a newer one."
            )


def _known_revisions(service: str) -> set[str]:
    """The schema revisions that this version has for a service."""
    return {revision.name for revision in revisions.read(ROOT / "services" / service / "migrations")}


def _exchange(fresh: Path, state: Path) -> Path | None:
    """Puts a folder in another's place; where that is now, None where there was none."""
    if not state.exists():
        fresh.replace(state)
        return None
    with stack_state.held(state):
        before = state.with_name(f"{state.name}.before-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}")
        if before.exists():
            before = Path(tempfile.mkdtemp(prefix=f"{before.name}-", dir=state.parent)) / state.name
        state.replace(before)
        try:
            fresh.replace(state)
        except OSError:
            before.replace(state)
            raise
    return before


def free_name(folder: Path) -> Path:
    """A name for a backup that is made now."""
    return folder / f"parley-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}.backup"

"""The archive: a tar whose first member lists all others with their sizes and SHA-256.

What is read from one is believed no further than that list goes: names stay below the folder that they are unpacked to,
there are regular files only, and a byte more, less or different is a damaged archive.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from deploy.backup.errors import BackupError

MANIFEST = "manifest.json"
FORMAT = 1
LARGEST_MANIFEST = 256 * 1024 * 1024
NAME = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[^/\x00-\x1f]+(/[^/\x00-\x1f]+)*")
"""A path below a folder: relative, without `.` and `..`."""
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    size: int
    """Bytes."""
    sha256: str
    """In hexadecimal."""


@dataclass(frozen=True)
class Manifest:
    """What an archive holds."""

    version: str
    """The version of Parley that made it."""
    created: str
    """When: RFC 3339, UTC."""
    revisions: dict[str, str]
    """The schema revision of each database, by its path."""
    members: dict[str, Member]
    """The files, by their paths."""

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Reads it. Raises BackupError where it is none, or of a newer format."""
        try:
            values: Any = json.loads(data)
            if values["format"] > FORMAT:
                raise BackupError(
                    f"The archive has format {values['format']}, and this version of Parley knows {FORMAT}: "
                    "restore it with the version that made it, or a newer one."
                )
            members = {
                str(name): Member(int(one["size"]), str(one["sha256"])) for name, one in values["members"].items()
            }
            revisions = {str(name): str(revision) for name, revision in values["revisions"].items()}
            return cls(str(values["version"]), str(values["created"]), revisions, members)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BackupError(f"The archive's list of contents cannot be read: {error!r}.") from None


def write(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Writes an archive that only its owner may read.

    Args:
        target: The file; replaced.
        manifest: What it holds.
        files: Where each member lies.

    Raises:
        OSError: It cannot be written.
        BackupError: A file changed since it was listed.
    """
    with (
        open(target, "wb", opener=_private) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, MANIFEST, io.BytesIO(manifest.to_json()), len(manifest.to_json()))
        for name, member in manifest.members.items():
            with files[name].open("rb") as data:
                if files[name].stat().st_size != member.size:
                    raise BackupError(f"{name} changed while it was copied. Try again.")
                _add(tar, name, data, member.size)


def describe(file: Path) -> Member:
    """A file's size and digest."""
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256")
    return Member(file.stat().st_size, digest.hexdigest())


def manifest_of(archive: Path) -> Manifest:
    """What an archive says that it holds. Raises BackupError where it is no archive."""
    with _opened(archive) as tar:
        return _first(tar, archive)


def unpack(archive: Path, folder: Path) -> Manifest:
    """Unpacks an archive into an empty folder, and makes sure that everything is as it was.

    Raises:
        BackupError: It is no archive, damaged, cut off, or holds what it does not list.
        OSError: The folder cannot be written.
    """
    with _opened(archive) as tar:
        manifest = _first(tar, archive)
        left = dict(manifest.members)
        try:
            for info in tar:
                if info.name == MANIFEST:
                    continue
                member = left.pop(info.name, None)
                if member is None or not info.isreg() or not NAME.fullmatch(info.name):
                    raise BackupError(
                        f"{archive} holds {info.name[:100]!r}, which it does not list, or which is no file."
                    )
                _take(tar, info, member, folder / info.name)
        except (tarfile.TarError, EOFError) as error:
            raise BackupError(f"{archive} is damaged or cut off: {error}.") from None
    if left:
        raise BackupError(f"{archive} is damaged or cut off: {len(left)} files are missing, {next(iter(left))} first.")
    return manifest


def _take(tar: tarfile.TarFile, info: tarfile.TarInfo, member: Member, target: Path) -> None:
    """Writes one member, and checks it while it passes."""
    source = tar.extractfile(info)
    digest = hashlib.sha256()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(target, "xb", opener=_private) as out:
        while source is not None and (block := source.read(BLOCK)):
            digest.update(block)
            out.write(block)
    if info.size != member.size or digest.hexdigest() != member.sha256:
        raise BackupError(f"{info.name} in the archive is not what was put there: it is damaged.")


def _opened(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, mode="r:")
    except (tarfile.TarError, EOFError):
        raise BackupError(f"{archive} is no backup of Parley's.") from None


def _first(tar: tarfile.TarFile, archive: Path) -> Manifest:
    info = tar.next()
    if info is None or info.name != MANIFEST or not info.isreg() or info.size > LARGEST_MANIFEST:
        raise BackupError(f"{archive} is no backup of Parley's: it does not begin with {MANIFEST}.")
    source = tar.extractfile(info)
    manifest = Manifest.from_json(source.read() if source is not None else b"")
    wrong = next((name for name in manifest.members if not NAME.fullmatch(name)), None)
    if wrong is not None:
        raise BackupError(f"{archive} lists {wrong[:100]!r}, which is no path below a folder.")
    return manifest


def _add(tar: tarfile.TarFile, name: str, data: IO[bytes], size: int) -> None:
    """Adds a member without anything about the machine: no owner, no time."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    tar.addfile(info, data)


def _private(path: str, flags: int) -> int:
    """Opens a file that only its owner may read."""
    return os.open(path, flags, 0o600)

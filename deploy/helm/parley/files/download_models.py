"""Fetches models' weights into a shared folder: `python download.py SOURCES.json FOLDER SECONDS`.

A source is {"name", "url", "revision", "sha256"}: a folder at s3://, gs://, abfs://, hf://, https:// … that becomes
FOLDER/name. Files are fetched beside it and moved there together when all are right: a model is whole or absent.
What was fetched before an interruption is not fetched again. One process works at a time; others find it done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import fsspec

BLOCK = 16 * 1024 * 1024
# A lock whose holder has not touched it for so long is a dead one's, in seconds.
STALE = 120.0


@contextlib.contextmanager
def lock(path: pathlib.Path, seconds: float) -> Iterator[None]:
    """Holds a lock file, which works on network file systems that have no other locks.

    Raises:
        TimeoutError: Somebody else has held it for all that time.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()
                    continue
            if time.monotonic() > until:
                raise TimeoutError(f"{path} has been held for {seconds:.0f} s") from None
            time.sleep(1)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def fetch(file_system: Any, remote: str, target: pathlib.Path, size: int | None, held: pathlib.Path) -> None:
    """Fetches one file, from where an earlier attempt ended.

    Args:
        file_system: An fsspec file system.
        remote: The file in it.
        target: Where it goes.
        size: Its length in bytes; None where the source does not say.
        held: The lock, touched to show that this process lives.

    Raises:
        OSError: The source cannot be read, or gave another length than it said.
    """
    if target.exists() and target.stat().st_size == size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    done = part.stat().st_size if part.exists() and size is not None else 0
    with file_system.open(remote, "rb") as source, part.open("r+b" if done else "wb") as out:
        source.seek(done)
        out.seek(done)
        while block := source.read(BLOCK):
            out.write(block)
            held.touch()
    if size is not None and part.stat().st_size != size:
        length = part.stat().st_size
        part.unlink()
        raise OSError(f"{remote} has {size} bytes, {length} came")
    part.replace(target)


def check(folder: pathlib.Path, sums: Mapping[str, str]) -> None:
    """Compares files with their SHA-256. Raises ValueError; the file that is wrong is removed."""
    for name, expected in sums.items():
        path = folder / name
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            path.unlink()
            raise ValueError(
                f"{name}: SHA-256 is {found}, expected {expected}; it was removed, the next attempt fetches it anew"
            )


def provide(source: Mapping[str, Any], folder: pathlib.Path, held: pathlib.Path) -> bool:
    """Makes `folder/name` hold a source's revision; whether anything had to be fetched.

    Raises:
        OSError: The source cannot be read or the folder cannot be written.
        ValueError: A file is not what its checksum says.
    """
    name, revision = source["name"], str(source.get("revision", ""))
    mark = json.dumps({"url": source["url"], "revision": revision}, sort_keys=True)
    state = folder / ".parley" / f"{name}.json"
    if state.exists() and state.read_text() == mark and (folder / name).is_dir():
        return False
    incoming = folder / ".parley" / f"{name}-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
    options = {"revision": revision} if source["url"].startswith("hf://") and revision else {}
    file_system, root = fsspec.core.url_to_fs(source["url"], **options)
    for remote, facts in sorted(file_system.find(root, detail=True).items()):
        inside = remote[len(root) :].lstrip("/") or pathlib.PurePosixPath(remote).name
        sys.stderr.write(f"{name}: {inside}\n")
        fetch(file_system, remote, incoming / inside, facts.get("size"), held)
    if not incoming.is_dir():
        raise FileNotFoundError(f"{source['url']} holds nothing")
    check(incoming, source.get("sha256") or {})
    old = folder / ".parley" / f"{name}.old"
    shutil.rmtree(old, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        (folder / name).rename(old)
    incoming.rename(folder / name)
    state.write_text(mark)
    shutil.rmtree(old, ignore_errors=True)
    return True


def main(sources: pathlib.Path, folder: pathlib.Path, seconds: float) -> None:
    """Fetches what is missing."""
    (folder / ".parley").mkdir(parents=True, exist_ok=True)
    held = folder / ".parley" / "lock"
    with lock(held, seconds):
        for source in json.loads(sources.read_text()):
            provide(source, folder, held)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3]))

"""Where drawn pictures are saved: under the name that was asked for, else under one made of the text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from cli.errors import UsageError

NAME_LENGTH = 60
MOST_OF_A_NAME = 10_000
SUFFIXES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


class Format(StrEnum):
    """The formats of pictures."""

    png = "png"
    jpeg = "jpeg"
    webp = "webp"


class PictureFiles:
    """The files of a drawing.

    Args:
        prompt: Names the files where nothing else does.
        count: How many pictures there will be.
        out: The file that was asked for; a folder where it is one, or has no suffix; None: the current folder.
        form: The format that was asked for; None: what `out` says, else PNG.
        force: Whether files may be overwritten.

    Raises:
        UsageError: The format is none that `out` names, or a file that was asked for is there already.
    """

    def __init__(self, prompt: str, count: int, out: Path | None, form: Format | None, *, force: bool) -> None:
        self._force = force
        self._chosen = out if out is not None and out.suffix and not out.is_dir() else None
        self.format = _format(self._chosen, form)
        named = self._chosen or (out or Path()) / f"{slug(prompt)}.{self.format}"
        numbers = [""] if count == 1 else [f"-{number}" for number in range(1, count + 1)]
        self._files = [named.with_name(f"{named.stem}{number}{named.suffix}") for number in numbers]
        taken = next((file for file in self._files if file.exists()), None)
        if self._chosen and taken is not None and not force:
            raise UsageError(f"--out: {taken} exists already. Choose another name, or pass --force.")

    def save(self, index: int, content: bytes) -> Path:
        """Saves a picture, the `index`-th, whole or not at all; where its name is taken, under the next free one.

        Raises:
            OSError: It cannot be written, or the name that was asked for was taken meanwhile.
        """
        file = self._files[index]
        file.parent.mkdir(parents=True, exist_ok=True)
        if self._force:
            partial = file.with_name(f".{file.name}.{os.getpid()}")
            _write(partial, content)
            return partial.replace(file)
        for free in [file] if self._chosen else _numbered(file):
            if not free.exists():
                _write(free, content)
                return free
        raise FileExistsError(17, "that name is taken")


def _write(file: Path, content: bytes) -> None:
    """Writes a file that is not there yet; half of one does not stay. Raises OSError."""
    with file.open("xb") as target:
        try:
            target.write(content)
            target.flush()
        except OSError:
            file.unlink(missing_ok=True)
            raise


def _numbered(file: Path) -> Iterator[Path]:
    """A name, then the same with 2, 3 and so on."""
    yield file
    for number in range(2, MOST_OF_A_NAME):
        yield file.with_name(f"{file.stem}-{number}{file.suffix}")


def _format(chosen: Path | None, form: Format | None) -> Format:
    """The format that is asked for. Raises UsageError where the file's name says another one, or none."""
    if chosen is None:
        return form or Format.png
    said = SUFFIXES.get(chosen.suffix.lower())
    if said is None or form not in (None, said):
        wanted = form or "png, jpeg or webp"
        raise UsageError(f"--out: {chosen} is no name for a picture in {wanted}. End it in .{form or 'png'}")
    return Format(said)


def slug(prompt: str) -> str:
    """A file's name from a text: its words, cut between two of them."""
    name = "-".join(re.findall(r"\w+", prompt.casefold()))
    cut = name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH + 1].rpartition("-")[0]
    return cut or name[:NAME_LENGTH] or "picture"

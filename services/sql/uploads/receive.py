"""An upload as it comes in: a multipart form in pieces, whose files go to disk as they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import multipart

from services.mesh.errors import InvalidArgument, TooLarge

MAX_FILES = 50
MAX_FIELD_BYTES = 8000
FIELDS = ("database_id", "display_name", "description")


@dataclass(frozen=True)
class UploadedFile:
    """A file of an upload."""

    name: str
    """As its owner calls it; only its last part, and no path."""
    path: Path


@dataclass
class Receiver:
    """Takes a form apart.

    Args:
        content_type: Of the form, with its boundary.
        folder: Where the files go; a temporary one of this upload's own.
        max_bytes: Of all files together.
    """

    content_type: str
    folder: Path
    max_bytes: int
    fields: dict[str, str] = field(default_factory=dict)
    files: list[UploadedFile] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raises InvalidArgument for what is no multipart form."""
        kind, options = multipart.parse_options_header(self.content_type)
        if kind != "multipart/form-data" or not options.get("boundary"):
            raise InvalidArgument("body", "must be multipart/form-data with a boundary.")
        self._parser = multipart.PushMultipartParser(
            options["boundary"], max_segment_count=MAX_FILES + len(FIELDS) + 5, max_segment_size=self.max_bytes
        )
        self._bytes = 0
        self._name = ""
        self._file: IO[bytes] | None = None
        self._text = bytearray()

    def feed(self, piece: bytes) -> None:
        """Takes the next piece. Blocks on the disk.

        Raises:
            InvalidArgument: It is no well-formed form, or a field is wrong.
            TooLarge: The files are larger than allowed.
        """
        self._bytes += len(piece)
        if self._bytes > self.max_bytes + 100_000:
            raise TooLarge(f"The upload is larger than {self.max_bytes} bytes, the limit here.")
        for event in self._events(piece):
            if isinstance(event, multipart.MultipartSegment):
                self._begin(event)
            elif event is None:
                self._end()
            else:
                self._take(event)

    def finish(self) -> None:
        """Says that all has come. Raises InvalidArgument where something is missing."""
        self.close()
        try:
            self._parser.close()
        except multipart.MultipartError:
            raise InvalidArgument("body", "the form ends in the middle: its last boundary is missing.") from None
        if not self.files:
            raise InvalidArgument("file", "is required: a CSV, Parquet or XLSX file as a part called `file`.")

    def close(self) -> None:
        """Closes the file that is being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _events(self, piece: bytes) -> Iterator[multipart.MultipartSegment | bytes | None]:
        try:
            yield from self._parser.parse(piece)
        except multipart.MultipartError as error:
            raise InvalidArgument("body", f"not a well-formed multipart form: {error}.") from None

    def _begin(self, segment: multipart.MultipartSegment) -> None:
        self._name, self._text = segment.name, bytearray()
        if segment.name != "file":
            if segment.name not in FIELDS:
                raise InvalidArgument(segment.name[:80], f"is not a field; there are: file, {', '.join(FIELDS)}.")
            return
        if len(self.files) >= MAX_FILES:
            raise InvalidArgument("file", f"there are more than {MAX_FILES} files.")
        name = (segment.filename or "table.csv").replace("\\", "/").rpartition("/")[2]
        path = self.folder / f"{len(self.files)}.upload"
        self.files.append(UploadedFile(name[:200], path))
        self._file = path.open("wb")

    def _take(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
            return
        self._text += data
        if len(self._text) > MAX_FIELD_BYTES:
            raise InvalidArgument(self._name, f"must not be longer than {MAX_FIELD_BYTES} bytes.")

    def _end(self) -> None:
        if self._file is not None:
            self.close()
        elif self._name:
            self.fields[self._name] = self._text.decode("utf-8", "replace").strip()
        self._name = ""

"""`parley transcribe`: recordings to text, subtitles or documents, with the speakers' names."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.errors import CommandError, GatewayUnreachableError, IncompleteError, UsageError, from_status
from cli.gateway import DEFAULT, Gateway, GatewayOption

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Format(StrEnum):
    """What to make of a recording."""

    text = "text"
    json = "json"
    srt = "srt"
    vtt = "vtt"
    verbose_json = "verbose_json"
    diarized_json = "diarized_json"
    rttm = "rttm"
    csv = "csv"
    docx = "docx"


SUFFIXES = {Format.text: ".txt", Format.verbose_json: ".json", Format.diarized_json: ".json"}
"""Of files whose format is not their suffix."""
JSON = frozenset({Format.json, Format.verbose_json, Format.diarized_json})
SEPARATE = frozenset({Format.srt, Format.vtt, Format.csv})
"""Formats of which two files do not mix."""
KNOWN_BYTES = 8 << 20
"""Largest recording of a known voice."""


def transcribe(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Recordings, in any format.", exists=True, dir_okay=False)
    ],
    form: Annotated[Format, typer.Option("--format", "-f", help="What to print.")] = Format.text,
    diarize: Annotated[bool, typer.Option("--diarize", "-d", help="Tell speakers apart.")] = False,
    speakers: Annotated[int | None, typer.Option(help="How many people speak.", min=1, max=32)] = None,
    min_speakers: Annotated[int | None, typer.Option(help="At least so many.", min=1, max=32)] = None,
    max_speakers: Annotated[int | None, typer.Option(help="At most so many.", min=1, max=32)] = None,
    known: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="A speaker by a recording of the voice; repeatable.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="The speech model; the deployment's default where it is left out."),
    ] = None,
    language: Annotated[str | None, typer.Option(help="The language spoken, e.g. en or vi.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What is likely to be said: phrases, one to a line or separated by commas.")
    ] = None,
    enhance: Annotated[
        bool, typer.Option(help="Let a language model restore punctuation, where one is loaded.")
    ] = False,
    keep: Annotated[bool, typer.Option(help="Keep the transcription on the server, and say its name.")] = False,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Write a file for each recording here.", file_okay=False)
    ] = None,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Transcribe recordings of any length: text, subtitles, JSON, tables or documents, with who said what.

    One recording that fails does not stop the others; the exit code says that one did.
    """
    if output_dir is None and (form is Format.docx or (len(files) > 1 and form in SEPARATE)):
        raise UsageError(f"{form} needs --output-dir: it cannot go to the terminal, or would mix there.")
    if speakers and (min_speakers or max_speakers):
        raise UsageError("--speakers is exact: leave --min-speakers and --max-speakers away.")
    config: dict[str, Any] = {"model": model or "", "languageCode": language or "", "enhance": enhance}
    if prompt:
        config["hints"] = {"phrases": [part.strip() for part in prompt.replace(",", "\n").splitlines() if part.strip()]}
    if diarize or speakers or min_speakers or max_speakers or known or form in {Format.diarized_json, Format.rttm}:
        config["diarization"] = {
            "speakers": speakers or 0,
            "minSpeakers": min_speakers or 0,
            "maxSpeakers": max_speakers or 0,
            "knownSpeakers": [_known(one) for one in known or ()],
        }
    names = _names(files, form)
    failed = 0
    with Gateway(gateway) as client:
        for file, name in zip(files, names, strict=True):
            try:
                body = _transcribed(client, file, config, form, keep=keep)
            except GatewayUnreachableError:
                raise
            except CommandError as error:
                output.failure(f"{file}: {error}")
                failed += 1
                continue
            _deliver(body, form, file, output_dir / name if output_dir else None, several=len(files) > 1)
    if failed:
        raise CommandError(f"{failed} of {len(files)} recordings failed.") if len(files) > 1 else typer.Exit(1)


def _known(given: str) -> dict[str, str]:
    """`NAME=FILE` as a known speaker. Raises UsageError."""
    name, _, path = given.partition("=")
    if not name or not path:
        raise UsageError(f"--known: {given!r} is not NAME=FILE.")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"--known: cannot read {path}: {error.strerror}.") from None
    if len(data) > KNOWN_BYTES:
        raise UsageError(f"--known: {path} is over 8 MiB. A few seconds of the voice are enough.")
    return {"name": name, "audio": base64.b64encode(data).decode()}


def _transcribed(client: Gateway, file: Path, config: dict[str, Any], form: Format, *, keep: bool) -> bytes:
    """Uploads a recording, follows its transcription to the end, and fetches the transcript."""
    with _progress(file) as bar:
        recording = client.upload("/api/v1/recordings", file, bar.sent)["recording"]
        request = {
            "recording": recording,
            "config": config,
            "displayName": file.name[:200],
            "requestId": str(uuid.uuid4()),
        }
        name = client.post("/api/v1/transcriptions", request)["transcription"]["name"]
        done = False
        try:
            _follow(client, name, bar)
            done = True
            path = f"/api/v1/{name}/transcript:export?format=TRANSCRIPT_FORMAT_{form.upper()}"
            body = b"".join(client.bytes_of(path))
        finally:
            if not (keep and done):
                # Also after Ctrl-C: nobody waits for it any more. If the gateway is away, there is nothing to do.
                with contextlib.suppress(CommandError):
                    client.delete(f"/api/v1/{name}")
    if keep:
        output.note(f"kept as {name}")
    return body


def _follow(client: Gateway, name: str, bar: _Bar) -> None:
    """Returns when the transcription is complete. Raises CommandError when it failed or was cancelled."""
    for event in client.follow(f"/api/v1/{name}:watch"):
        if "error" in event:
            raise from_status(event["error"])
        job = event.get("transcription")
        if job is None:
            continue
        bar.done(float(job.get("progress", 0)), job.get("remaining"))
        match job["state"].removeprefix("TRANSCRIPTION_STATE_"):
            case "SUCCEEDED":
                return
            case "FAILED":
                raise from_status(job["error"])
            case "CANCELLED":
                raise CommandError("somebody cancelled the transcription.")
    raise IncompleteError("transcription")


def _names(files: Sequence[Path], form: Format) -> list[str]:
    """A file name for each result: a.wav becomes a.txt, unless a.mp3 is there too: then a.wav.txt and a.mp3.txt."""
    stems = Counter(file.stem for file in files)
    suffix = SUFFIXES.get(form, f".{form}")
    names = [(file.stem if stems[file.stem] == 1 else file.name) + suffix for file in files]
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"FILE: {count} recordings would all become {name}. Transcribe them one by one.")
    return names


class _Bar:
    """How far a recording is, for people; says nothing without a bar.

    Args:
        size: Bytes of the recording.
        bar: Where it is drawn.
        task: The line in it.
    """

    def __init__(self, size: int, bar: Progress | None = None, task: TaskID | None = None) -> None:
        self._size, self._bar, self._task = size, bar, task

    def sent(self, count: int) -> None:
        """So many bytes are sent."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=count / max(1, self._size), step="sending")

    def done(self, share: float, remaining: str | None) -> None:
        """So much is transcribed; `remaining` is a duration as JSON has it, e.g. `12.5s`."""
        if self._bar is not None and self._task is not None:
            left = f"{float(remaining[:-1]):.0f} s left" if remaining else ""
            self._bar.update(self._task, completed=share, step=f"transcribing {left}")


@contextmanager
def _progress(file: Path) -> Iterator[_Bar]:
    """A bar on standard error; nothing when that is no terminal."""
    size = file.stat().st_size
    if not sys.stderr.isatty():
        yield _Bar(size)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[step]}", markup=False),
    )
    with Progress(*columns, console=output.error_console(), transient=True) as bar:
        yield _Bar(size, bar, bar.add_task(output.safe(file.name), total=1.0, step="sending"))


def _deliver(body: bytes, form: Format, file: Path, target: Path | None, *, several: bool) -> None:
    """Writes a transcript to its file, or to standard output."""
    if target is not None:
        _write(target, body)
        output.note(f"{file} → {target}")
        return
    text = body.decode("utf-8", "replace")
    if form in JSON and several:
        output.line({"file": str(file), **json.loads(text)})
    elif form in JSON:
        output.document(json.loads(text))
    else:
        heading = f"==> {file} <==\n" if several else ""
        output.write(heading + text + ("" if text.endswith("\n") else "\n"))


def _write(target: Path, body: bytes) -> None:
    """Writes a file whole or not at all. Raises CommandError."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(body)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CommandError(f"cannot write {target}: {error.strerror}. Choose another --output-dir.") from None

"""`parley transcribe`: recordings to text or subtitles."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.errors import CommandError, GatewayUnreachableError, UsageError
from cli.gateway import DEFAULT, Gateway, GatewayOption


class Format(StrEnum):
    """What to make of a recording."""

    text = "text"
    json = "json"
    srt = "srt"
    vtt = "vtt"
    verbose_json = "verbose_json"


SUFFIXES = {
    Format.text: ".txt",
    Format.json: ".json",
    Format.srt: ".srt",
    Format.vtt: ".vtt",
    Format.verbose_json: ".json",
}

Progress = Callable[[int], None]


def transcribe(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Recordings, in any format.", exists=True, dir_okay=False)
    ],
    form: Annotated[Format, typer.Option("--format", "-f", help="What to print.")] = Format.text,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="The speech model; the deployment's default where it is left out."),
    ] = None,
    language: Annotated[str | None, typer.Option(help="The language spoken, e.g. en or vi.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Words that are likely to occur: names, terms.")] = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Write a file for each recording here.", file_okay=False)
    ] = None,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Transcribe recordings: text, JSON with times, or subtitles.

    One recording that fails does not stop the others; the exit code says that one did.
    """
    if output_dir is None and len(files) > 1 and form in {Format.srt, Format.vtt}:
        raise UsageError(f"several files as {form} need --output-dir: subtitles of two recordings do not mix.")
    names = _names(files, form)
    failed = 0
    with Gateway(gateway) as client:
        fields = {"model": model or _default_model(client), "response_format": form.value}
        fields |= {key: value for key, value in (("language", language), ("prompt", prompt)) if value}
        for file, name in zip(files, names, strict=True):
            try:
                with _progress(file) as sent:
                    body = client.upload("/v1/audio/transcriptions", file, fields, sent)
            except GatewayUnreachableError:
                raise
            except CommandError as error:
                output.failure(f"{file}: {error}")
                failed += 1
                continue
            _deliver(body, form, file, output_dir / name if output_dir else None, several=len(files) > 1)
    if failed:
        raise CommandError(f"{failed} of {len(files)} recordings failed.") if len(files) > 1 else typer.Exit(1)


def _default_model(client: Gateway) -> str:
    """The id of the first speech model. Raises CommandError when there is none."""
    models = client.get("/api/v1/speech/models").get("models", [])
    if not models:
        raise CommandError("no speech model is loaded. `parley status` says what runs.")
    identifier: str = models[0]["id"]
    return identifier


def _names(files: Sequence[Path], form: Format) -> list[str]:
    """A file name for each result: a.wav becomes a.txt, unless a.mp3 is there too: then a.wav.txt and a.mp3.txt."""
    stems = Counter(file.stem for file in files)
    names = [(file.stem if stems[file.stem] == 1 else file.name) + SUFFIXES[form] for file in files]
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"FILE: {count} recordings would all become {name}. Transcribe them one by one.")
    return names


@contextmanager
def _progress(file: Path) -> Iterator[Progress]:
    """A bar on standard error: what is sent, then how long the recognition takes. Nothing when that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _sent: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    size = file.stat().st_size
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[step]}"))
    with Progress(*columns, TimeElapsedColumn(), console=output.error_console(), transient=True) as bar:
        task = bar.add_task(output.safe(file.name), total=size, step="sending")

        def sent(count: int) -> None:
            if count < size:
                bar.update(task, completed=count)
            else:
                # Nobody knows how far the recogniser is: the bar pulses rather than invent a figure.
                bar.update(task, total=None, step="recognising")

        yield sent


def _deliver(body: bytes, form: Format, file: Path, target: Path | None, *, several: bool) -> None:
    """Writes a transcript to its file, or to standard output."""
    text = body.decode("utf-8", "replace")
    if target is not None:
        _write(target, text)
        output.note(f"{file} → {target}")
    elif form in {Format.json, Format.verbose_json} and several:
        output.line({"file": str(file), **json.loads(text)})
    elif form in {Format.json, Format.verbose_json}:
        output.document(json.loads(text))
    else:
        heading = f"==> {file} <==\n" if several else ""
        output.write(heading + text + ("" if text.endswith("\n") else "\n"))


def _write(target: Path, text: str) -> None:
    """Writes a file whole or not at all. Raises CommandError."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CommandError(f"cannot write {target}: {error.strerror}. Choose another --output-dir.") from None

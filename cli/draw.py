"""`parley draw`: pictures from a text, from a picture, inside a mask, along edges; each saved as a file."""

from __future__ import annotations

import base64
import re
import sys
import uuid
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.easel import Easel
from cli.errors import INTERRUPTED, CommandError, IncompleteError, UsageError, from_status
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json
from cli.output import JsonOption
from cli.picture_files import Format, PictureFiles

PREVIEW_STEPS = 5
FILE_BYTES = 32 << 20
"""Largest file that goes along."""


def draw(
    prompt: Annotated[
        str | None, typer.Argument(help="What to draw; `-`, or none with piped input, reads it from there.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Draw this picture anew.", exists=True, dir_okay=False, readable=True)
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Only the white of this picture, of the size of --init.", exists=True, dir_okay=False, readable=True
        ),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How much of --init is drawn anew.", min=0, max=1, show_default="0.75")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The model; `parley models` lists them.")] = None,
    lora: Annotated[
        list[str] | None, typer.Option(metavar="NAME[:WEIGHT]", help="A LoRA that takes part; repeatable.")
    ] = None,
    control: Annotated[
        list[str] | None, typer.Option(metavar="NAME:FILE", help="A ControlNet and what it follows; repeatable.")
    ] = None,
    preprocessor: Annotated[
        str | None, typer.Option(help="What makes the ControlNet's picture of each --control file: canny.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same one gives the same picture.", min=0, max=(1 << 32) - 1)
    ] = None,
    count: Annotated[int, typer.Option("--n", "-n", help="How many pictures.", min=1, max=16)] = 1,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="In pixels, multiples of 8.", show_default="the model's")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="More are slower.", min=1, max=150)] = None,
    guidance: Annotated[float | None, typer.Option(help="How closely to follow the text.", min=0, max=30)] = None,
    sampler: Annotated[str | None, typer.Option(help="For example “Euler a”.")] = None,
    negative: Annotated[str | None, typer.Option(help="What not to draw.")] = None,
    form: Annotated[
        Format | None, typer.Option("--format", "-f", help="Of the file; PNG where --out does not say.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file, or without a suffix the folder.", show_default="named by the text"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files.")] = False,
    preview: Annotated[bool, typer.Option(help="Show the picture, on a terminal with 24-bit colours.")] = True,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Draw pictures and save them; prints their paths.

    Ctrl-C stops the drawing; pictures that are done are saved.
    """
    if init is None and (mask or strength is not None):
        raise UsageError("--mask and --strength are about a picture: name it with --init.")
    text = _prompt(prompt)
    files = PictureFiles(text, count, out, form, force=force)
    settings: Json = {
        "prompt": text,
        "negativePrompt": negative,
        "model": model,
        "width": _size(size)[0],
        "height": _size(size)[1],
        "steps": steps,
        "guidanceScale": guidance,
        "seed": seed,
        "sampler": sampler,
        "count": count,
        "loras": [_lora(one) for one in lora or ()],
        "controls": [_control(one, preprocessor) for one in control or ()],
    }
    request: Json = {"settings": {key: value for key, value in settings.items() if value not in (None, [])}}
    if init:
        request["image"] = _encoded(init, "--init")
    if mask:
        request["mask"] = _encoded(mask, "--mask")
    if strength is not None:
        request["strength"] = strength
    with Easel(text, shown=preview and not as_json, quiet=as_json) as easel, Gateway(gateway) as client:
        interval = PREVIEW_STEPS if easel.looks else 0
        request["output"] = {"format": f"IMAGE_FORMAT_{files.format.upper()}", "previewInterval": interval}
        drawing = Drawing(client, files, easel)
        drawing.run("edit" if init else "generate", request)
    if as_json:
        output.document({"images": drawing.images})


class Drawing:
    """A job that draws.

    Args:
        client: The gateway.
        files: Where pictures go.
        easel: Shows them.
    """

    def __init__(self, client: Gateway, files: PictureFiles, easel: Easel) -> None:
        self._client = client
        self._files = files
        self._easel = easel
        self._job = uuid.uuid4().hex
        self._ended = False
        self.images: list[Json] = []
        """What is known of those that are saved, each with its `file`."""

    def run(self, method: str, request: Json) -> None:
        """Draws and saves. On Ctrl-C stops the job and exits with 130. Raises CommandError."""
        events = self._client.events(f"/api/v1/images:{method}", {**request, "jobId": self._job}, last="event")
        try:
            with closing(events):
                for event in events:
                    self._take(event.get("event", {}))
        except KeyboardInterrupt:
            self._stop()
            raise typer.Exit(INTERRUPTED) from None
        if not self._ended:
            # Over REST an error that comes after the first event ends the stream without a word: the job has it.
            self._follow(self._client.get(f"/api/v1/imageJobs/{self._job}").get("job", {}))
            raise IncompleteError("job")

    def _take(self, event: Json) -> None:
        match event:
            case {"job": job}:
                self._follow(job)
            case {"progress": progress}:
                self._easel.progress(progress)
            case {"preview": preview}:
                self._easel.look(base64.b64decode(preview.get("content", "")))
            case {"image": image}:
                self._save(image)

    def _follow(self, job: Json) -> None:
        """Where the job stands. Raises CommandError where it failed or was stopped."""
        match str(job.get("state", "")).removeprefix("JOB_STATE_"):
            case "QUEUED":
                self._easel.wait(int(job.get("position", 0)))
            case "SUCCEEDED":
                self._ended = True
            case "FAILED":
                raise from_status(job.get("error", {}))
            case "CANCELLED":
                raise CommandError("somebody stopped the drawing.")

    def _save(self, image: Json) -> None:
        content = base64.b64decode(image.pop("content", ""))
        try:
            file = self._files.save(int(image.get("index", 0)), content)
        except OSError as error:
            kept = self._client.picture_url(image)
            raise CommandError(f"cannot save the picture ({error.strerror}). It is kept at {kept} for now.") from None
        self.images.append({**image, "file": str(file)})
        self._easel.done(content, file, image)

    def _stop(self) -> None:
        """Stops the job for good: hanging up alone would leave that to the server's notice."""
        self._easel.close()
        # The connection is closed already, which stops it too: a failure here changes nothing.
        with suppress(CommandError):
            self._client.post(f"/api/v1/imageJobs/{self._job}:interrupt", {})
        output.note("Stopped.")


def _prompt(given: str | None) -> str:
    """What to draw. Raises UsageError when nothing says."""
    text = given or ""
    if given == "-" or (given is None and not sys.stdin.isatty()):
        text = sys.stdin.read()
    text = text.strip()
    if not text:
        raise UsageError('nothing to draw: parley draw "a red circle", or pipe a description in.')
    return text


def _size(given: str | None) -> tuple[int | None, int | None]:
    """`512x768` as width and height. Raises UsageError."""
    if given is None:
        return None, None
    found = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", given.strip())
    if found is None:
        raise UsageError(f"--size: {given!r} is not WxH, for example 512x768.")
    return int(found[1]), int(found[2])


def _lora(given: str) -> Json:
    """`NAME[:WEIGHT]` as a LoraUse in JSON. Raises UsageError."""
    name, colon, weight = given.rpartition(":")
    if not colon:
        return {"lora": given}
    try:
        return {"lora": name, "weight": float(weight)}
    except ValueError:
        raise UsageError(f"--lora: {weight!r} is no weight; write NAME:0.8.") from None


def _control(given: str, preprocessor: str | None) -> Json:
    """`NAME:FILE` as a ControlUse in JSON. Raises UsageError."""
    name, _, path = given.partition(":")
    if not name or not path:
        raise UsageError(f"--control: {given!r} is not NAME:FILE.")
    return {"controlNet": name, "image": _encoded(Path(path), "--control"), "preprocessor": preprocessor or ""}


def _encoded(file: Path, option: str) -> str:
    """A file in base64. Raises UsageError when it cannot be read, is empty or too large."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{option}: cannot read {file}: {error.strerror}.") from None
    if not content:
        raise UsageError(f"{option}: {file} is empty.")
    if len(content) > FILE_BYTES:
        raise UsageError(f"{option}: {file} is over 32 MiB. Scale it down.")
    return base64.b64encode(content).decode()

"""`parley ask`: a question, typed or spoken, and its answer as it is generated."""

from __future__ import annotations

import base64
import mimetypes
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer

from cli import blocks, output
from cli.errors import INTERRUPTED, CommandError, UsageError
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json, resource
from cli.output import JsonOption


def ask(
    question: Annotated[
        str | None, typer.Argument(help="The question; `-`, or none with piped input, reads it from there.")
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            help="A recording, in any format: a spoken question, or a conversation to ask about.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", "-c", help="Continue this conversation; otherwise a new one begins.")
    ] = None,
    last: Annotated[bool, typer.Option("--last", "-l", help="Continue the conversation last written in.")] = False,
    database: Annotated[
        str | None, typer.Option("--database", "-d", envvar="PARLEY_DATABASE", help="The database that it is about.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The chat model that answers.")] = None,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Ask a question and see the answer as it is generated.

    Ctrl-C stops the generation; what was generated so far stays in the conversation.
    """
    if conversation and last:
        raise UsageError("--conversation and --last exclude each other: name one.")
    request: Json = {"text": _question(question, required=audio is None)}
    if audio:
        request["attachments"] = [attachment(audio)]
    if database:
        request["database"] = resource("databases", database)
    if model:
        request["model"] = model
    with Gateway(gateway) as client:
        name = resource("conversations", conversation) if conversation else _conversation(client, last)
        answer = Answer(client, name, as_json)
        try:
            answer.run(request)
        except CommandError:
            if not (answer.started or conversation or last):
                # The message was refused: the conversation that was begun for it would stay empty.
                with suppress(CommandError):
                    client.delete(f"/api/v1/{name}")
            raise


def _question(given: str | None, *, required: bool) -> str:
    """The text of the question. Raises UsageError when there is none and no recording either."""
    text = given or ""
    if given == "-" or (given is None and required and not sys.stdin.isatty()):
        text = sys.stdin.read()
    text = text.strip()
    if required and not text:
        raise UsageError('no question: parley ask "…", parley ask --audio FILE, or pipe one in.')
    return text


def attachment(file: Path) -> Json:
    """A file as an Attachment message in JSON. Raises UsageError when it is empty."""
    content = file.read_bytes()
    if not content:
        raise UsageError(f"--audio: {file} is empty. Record it again.")
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return {"filename": file.name, "contentType": kind, "content": base64.b64encode(content).decode()}


def _conversation(client: Gateway, last: bool) -> str:
    """The name of the conversation to continue, or of a new one."""
    if not last:
        created: str = client.post("/api/v1/conversations", {})["conversation"]["name"]
        return created
    found = client.pages("/api/v1/conversations", "conversations", 1)
    if not found:
        raise CommandError("there is no conversation to continue yet. Leave --last out.")
    name: str = found[0]["name"]
    return name


class Answer:
    """An answer that is being generated, shown as it comes.

    Args:
        client: The gateway.
        conversation: conversations/{conversation}
        as_json: Print the events as they are, one in each line.
    """

    def __init__(self, client: Gateway, conversation: str, as_json: bool) -> None:
        self._client = client
        self._conversation = conversation
        self._as_json = as_json
        self._generation = ""
        self._line_open = False
        self._progress_shown = False
        self._drawing = False

    @property
    def started(self) -> bool:
        """Whether the server took the message."""
        return bool(self._generation)

    def run(self, request: Json) -> None:
        """Sends the message and shows the events. On Ctrl-C stops the generation and exits with 130."""
        events = self._client.events(f"/api/v1/{self._conversation}/messages:send", request, last="done")
        try:
            with closing(events):
                self._show_all(events)
        except KeyboardInterrupt:
            self._stop()
            raise typer.Exit(INTERRUPTED) from None
        finally:
            self._end_progress()
            self._end_line()
        if not self._as_json:
            output.note(f"Continue with: parley ask -c {self._conversation.removeprefix('conversations/')} …")

    def _show_all(self, events: Iterator[Json]) -> None:
        for event in events:
            self._generation = event.get("started", {}).get("generation", self._generation)
            if self._as_json:
                output.line(event)
            else:
                self._show(event)

    def _show(self, event: Json) -> None:
        """Shows one event."""
        self._end_progress()
        match event:
            case {"textDelta": delta}:
                self._text(delta.get("text", ""))
            case {"toolCall": call}:
                self._end_line()
                self._drawing = call.get("tool") == "image.generate"
                output.note(f"→ {call.get('tool', '')} {_arguments(call.get('arguments', {}))}".rstrip())
            case {"toolProgress": progress}:
                self._progress(progress)
            case {"toolResult": result}:
                self._end_line()
                self._tool_result(result)
            case {"done": {"finishReason": "FINISH_REASON_LENGTH"}}:
                self._end_line()
                output.note("The answer was cut off at the model's token limit.")
            case {"done": {"finishReason": "FINISH_REASON_CONTENT_FILTER"}}:
                self._end_line()
                output.note("The provider's content filter cut the answer off.")
            case {"done": {"finishReason": "FINISH_REASON_CANCELLED"}}:
                self._end_line()
                output.note("The generation was stopped.")

    def _tool_result(self, result: Json) -> None:
        """Shows what a tool answered: rows, words, a picture, or why it failed."""
        took = output.milliseconds(result.get("elapsed"))
        match result:
            case {"table": table}:
                if table.get("sql"):
                    output.note(table["sql"])
                output.table(table.get("columns", []), table.get("rows", []))
                count = len(table.get("rows", []))
                more = ", cut off at the row limit" if table.get("truncated") else ""
                output.note(f"{count} row{'' if count == 1 else 's'}{more}, {took}")
            case {"transcript": transcript} if transcript.get("speakers") and len(transcript["segments"]) > 1:
                _conversation_heard(transcript, took)
            case {"transcript": transcript}:
                output.note(
                    f"heard “{transcript.get('text', '')}” ({transcript.get('duration', 0):.1f} s of audio, {took})"
                )
            case {"image": image}:
                self._picture(image, took)
            case {"error": error}:
                output.note(f"✗ {error.get('message', 'failed')} ({took})")
            case {"text": text}:
                output.note(text)

    def _picture(self, image: Json, took: str) -> None:
        """Shows a picture where the terminal can, and where it is."""
        console = output.error_console()
        content = base64.b64decode(image.get("content", ""))
        shown = blocks.half_blocks(content) if content and blocks.can_show(console) else None
        if shown is not None:
            console.print(shown)
        facts = f"{image.get('width', 0)} × {image.get('height', 0)}, seed {image.get('seed', 0)}, {took}"
        output.note(f"{self._client.picture_url(image)} ({facts})")

    def _progress(self, progress: Json) -> None:
        """Shows on a terminal how far a tool is; the next event takes the line away."""
        if not sys.stderr.isatty():
            return
        left, done = output.seconds(progress.get("remaining")), "drawn" if self._drawing else "transcribed"
        sys.stderr.write(f"\r\033[K{progress.get('progress', 0):.0%} {done}" + (f", {left:.0f} s left" if left else ""))
        sys.stderr.flush()
        self._progress_shown = True

    def _end_progress(self) -> None:
        if self._progress_shown:
            sys.stderr.write("\r\033[K")
            self._progress_shown = False

    def _text(self, text: str) -> None:
        output.write(text)
        self._line_open = not text.endswith("\n") if text else self._line_open

    def _end_line(self) -> None:
        if self._line_open:
            output.write("\n")
            self._line_open = False

    def _stop(self) -> None:
        """Stops the generation for good: hanging up alone would leave that to the server's notice."""
        self._end_line()
        if self._generation:
            # The connection is closed already, which stops it too: a failure here changes nothing.
            with suppress(CommandError):
                self._client.post(f"/api/v1/{self._generation}:cancel", {})
        output.note("Stopped.")


def _conversation_heard(transcript: Json, took: str) -> None:
    """Shows a recording of several segments: who speaks, and who said what when."""
    speakers = transcript["speakers"]
    names = {speaker["id"]: str(speaker.get("displayName") or speaker["id"]) for speaker in speakers}
    each = ", ".join(f"{names[speaker['id']]} {speaker.get('seconds', 0):.0f} s" for speaker in speakers)
    output.note(f"heard {transcript.get('duration', 0):.1f} s of audio: {each} ({took})")
    for segment in transcript["segments"]:
        minutes, seconds = divmod(int(segment.get("start", 0)), 60)
        name = names.get(segment.get("speaker", ""), "?")
        output.write(f"[{minutes}:{seconds:02}] {name}: {segment.get('text', '')}\n")


def _arguments(arguments: Json) -> str:
    """The arguments of a tool call in a few words."""
    return " ".join(f"{key}={output.cell(value)}" for key, value in arguments.items())

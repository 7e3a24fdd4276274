"""`parley listen`: live captions of the microphone, a pipe or a file, on the terminal."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from cli import credentials, output
from cli.errors import CommandError, GatewayUnreachableError, UsageError, from_status
from cli.gateway import DEFAULT, GatewayOption
from cli.output import JsonOption

if TYPE_CHECKING:
    import grpc

RATE = 16000
PIECE = 3200
"""Bytes that are read at a time, at most: a tenth of a second of 16 kHz."""
AHEAD = 50
"""Pieces that may wait to be sent: a pipe that is faster than the server is read no faster."""
LAST_WORDS = 5.0
"""Seconds that the server has, after Ctrl-C, for what was said last."""
PIPE = "arecord -f S16_LE -r 16000 | parley listen -"
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")


class Encoding(StrEnum):
    """How audio is encoded."""

    auto = "auto"
    pcm = "pcm"
    mulaw = "mulaw"
    alaw = "alaw"
    flac = "flac"
    opus = "opus"


NAMES = {"pcm": "LINEAR_PCM", "mulaw": "MULAW", "alaw": "ALAW", "flac": "FLAC", "opus": "OGG_OPUS"}
MAGIC = {b"fLaC": Encoding.flac, b"OggS": Encoding.opus}
"""How a stream begins that says itself what it is. What begins with the header of a WAV file is taken as PCM."""


def listen(
    source: Annotated[
        str | None, typer.Argument(metavar="[FILE|-]", help="Audio; - for standard input, nothing for the microphone.")
    ] = None,
    rate: Annotated[int, typer.Option(help="Samples per second of raw audio.", min=8000, max=192_000)] = RATE,
    channels: Annotated[int, typer.Option(help="Channels of raw audio.", min=1, max=8)] = 1,
    encoding: Annotated[Encoding, typer.Option(help="How the audio is encoded; auto looks at it.")] = Encoding.auto,
    speakers: Annotated[
        int | None, typer.Option(help="Name speakers; how many there are, 0 when you do not know.", min=0, max=64)
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="The speech model.")] = "",
    language: Annotated[str, typer.Option(help="The language spoken, e.g. en-US.")] = "",
    prompt: Annotated[list[str] | None, typer.Option(help="A phrase that is likely to occur; repeatable.")] = None,
    endpoint_silence: Annotated[
        float, typer.Option(help="Silence in seconds that ends a segment; 0: the server's.", min=0, max=10)
    ] = 0.0,
    as_json: JsonOption = False,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Show what is said while it is said. Ctrl-C ends it, and what was said last is still shown.

    Without a microphone, pipe audio in: arecord -f S16_LE -r 16000 | parley listen -
    """
    pieces = Pieces()
    begin = pieces.open(source, rate)
    if encoding is Encoding.auto:
        encoding = MAGIC.get(begin[:4], Encoding.pcm)

    from parley.asr.v1 import asr_pb2

    recognition = asr_pb2.RecognitionConfig(
        model=model, language_code=language, hints=asr_pb2.RecognitionHints(phrases=prompt or [])
    )
    if speakers is not None:
        recognition.diarization.speakers = speakers
    config = asr_pb2.StreamingConfig(
        config=recognition,
        sample_rate_hertz=rate,
        channel_count=channels,
        encoding=f"AUDIO_ENCODING_{NAMES[encoding]}",
        interim_results=True,
        endpoint_silence=endpoint_silence,
    )
    screen = Events() if as_json else Captions() if output.on_terminal() else Lines()
    converse(gateway, config, pieces, screen)


class Pieces:
    """Audio, piece by piece, from a thread that reads it: the end can be asked for while it waits for more."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(AHEAD)
        self._begin = b""
        self._closed = threading.Event()

    def open(self, source: str | None, rate: int) -> bytes:
        """Begins to read; returns how it begins. Raises UsageError when there is nothing to read."""
        if source is None:
            self._microphone(rate)
            return b""
        if source == "-" and sys.stdin.isatty():
            raise UsageError(f"standard input is a terminal. Pipe audio in, e.g. {PIPE}")
        try:
            # Not by file objects: one that a thread reads at the end of the process aborts it.
            descriptor = sys.stdin.fileno() if source == "-" else os.open(source, os.O_RDONLY)
        except OSError as error:
            raise UsageError(f"{source}: {(error.strerror or str(error)).lower()}") from None
        threading.Thread(target=self._read, args=(descriptor,), daemon=True).start()
        while len(self._begin) < 4 and (piece := self._queue.get()) is not None:
            self._begin += piece
        if not self._begin:
            raise UsageError(f"{'standard input' if source == '-' else source} is empty; there is nothing to listen to")
        if len(self._begin) < 4:
            self.close()
        return self._begin

    def __iter__(self) -> Iterator[bytes]:
        """All pieces, until the audio is over or `close` was called."""
        if self._begin:
            yield self._begin
        while not self._closed.is_set() and (piece := self._queue.get()) is not None:
            yield piece

    @property
    def closed(self) -> bool:
        """Whether it was ended."""
        return self._closed.is_set()

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)

    def _read(self, descriptor: int) -> None:
        # What is there, however little: a pipe is not waited for until a piece is full.
        with suppress(OSError):
            while not self._closed.is_set() and (piece := os.read(descriptor, PIECE)):
                self._queue.put(piece)
        self._queue.put(None)

    def _microphone(self, rate: int) -> None:
        """Reads the microphone. Raises UsageError when there is none, or nothing to read it with."""
        try:
            import sounddevice

            def take(data: Any, _frames: int, _time: Any, _status: Any) -> None:
                with suppress(queue.Full):  # the server is behind: captions of now matter more than those of then
                    self._queue.put_nowait(bytes(data))

            self._stream = sounddevice.RawInputStream(
                samplerate=rate, channels=1, dtype="int16", blocksize=rate // 10, callback=take
            )
            self._stream.start()
        except ImportError:
            raise UsageError(
                f"the microphone needs the sounddevice package (pip install sounddevice). Or pipe audio in: {PIPE}"
            ) from None
        except Exception as error:  # noqa: BLE001 -- PortAudio's own errors, and OSError where its library is missing
            raise UsageError(f"no microphone can be opened ({error}). Pipe audio in: {PIPE}") from None


class Events:
    """Every event as a line of JSON, as the server sends it."""

    def show(self, event: Any) -> None:
        """Shows an event."""
        from google.protobuf.json_format import MessageToDict

        output.line(MessageToDict(event))

    def close(self) -> None:
        """Nothing is left to show."""


class Lines:
    """Final results, a line each; other speakers on standard error."""

    def show(self, event: Any) -> None:
        """Shows an event."""
        if event.result.is_final:
            output.write(f"{captioned(event.result.segment)}\n")
        for segment in event.revision.segments:
            output.note(f"segment {segment.number} was said by {segment.speaker}")

    def close(self) -> None:
        """Nothing is left to show."""


def captioned(segment: Any) -> str:
    """What was said, and by whom where that is known."""
    return f"{segment.speaker}: {segment.text}" if segment.speaker else str(segment.text)


class Captions:
    """Captions on a terminal: what is being said in a line that is rewritten, what was said above it."""

    def __init__(self) -> None:
        self._console = output.console()
        self._colours: dict[str, str] = {}
        self._said: dict[int, tuple[str, str]] = {}  # speaker and text of each segment

    def show(self, event: Any) -> None:
        """Shows an event."""
        from rich.text import Text

        segment = event.result.segment
        match event.WhichOneof("event"):
            case "result" if event.result.is_final:
                self._wipe()
                self._said[segment.number] = segment.speaker, segment.text
                self._spoken(segment.speaker, Text(output.safe(segment.text)))
            case "result":
                self._interim(output.safe(segment.text))
            case "revision":
                self._wipe()
                for revised in event.revision.segments:
                    before, text = self._said.get(revised.number, ("", ""))
                    self._said[revised.number] = revised.speaker, text
                    said = Text(output.safe(f"and not {before or 'nobody'} said: {text}"), style="dim")
                    said.truncate(self._console.width - len(revised.speaker) - 2, overflow="ellipsis")
                    self._spoken(revised.speaker, said)

    def close(self) -> None:
        """Takes away what was not final."""
        self._wipe()

    def _interim(self, text: str) -> None:
        # One line, whatever the terminal is resized to: the end of what is said counts.
        room = shutil.get_terminal_size().columns - 3
        shown = text if len(text) <= room else "…" + text[1 - room :]
        sys.stdout.write(f"\r\x1b[2K\x1b[2m{shown}\x1b[0m")
        sys.stdout.flush()

    @staticmethod
    def _wipe() -> None:
        sys.stdout.write("\r\x1b[2K")
        sys.stdout.flush()

    def _spoken(self, speaker: str, text: Any) -> None:
        """Shows who says what: a longer text stays beside its speaker."""
        from rich.table import Table
        from rich.text import Text

        if not speaker:
            self._console.print(text)
            return
        colour = self._colours.setdefault(speaker, COLOURS[len(self._colours) % len(COLOURS)])
        line = Table.grid(padding=(0, 2))
        line.add_row(Text(output.safe(speaker), style=f"bold {colour}"), text)
        self._console.print(line)


def converse(gateway: str, config: Any, pieces: Pieces, screen: Events | Lines | Captions) -> None:
    """Sends audio and shows what comes back, until the audio is over or Ctrl-C is pressed."""
    import grpc

    from parley.asr.v1 import asr_pb2, asr_pb2_grpc

    def requests() -> Iterator[asr_pb2.StreamingRecognizeRequest]:
        yield asr_pb2.StreamingRecognizeRequest(config=config)
        for piece in pieces:
            yield asr_pb2.StreamingRecognizeRequest(audio=piece)

    credential = tuple(credentials.headers(gateway.rstrip("/")).items())
    with channel(gateway) as opened:
        events = asr_pb2_grpc.SpeechRecognitionStub(opened).StreamingRecognize(requests(), metadata=credential)
        last = threading.Timer(LAST_WORDS, events.cancel)

        def end(_signal: int, _frame: Any) -> None:
            """Ends the audio; what was said before is still shown. The second time, it ends everything."""
            if pieces.closed:
                events.cancel()
                return
            pieces.close()
            last.start()

        before = signal.signal(signal.SIGINT, end)
        try:
            for event in events:
                screen.show(event)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                raise failure(gateway, error) from None
        finally:
            signal.signal(signal.SIGINT, before)
            last.cancel()
            pieces.close()
            events.cancel()
            screen.close()


def channel(url: str) -> grpc.Channel:
    """A channel to the gateway. Raises UsageError for what is no URL."""
    import grpc

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"--gateway: {url!r} is no URL such as {DEFAULT}")
    secure = parts.scheme == "https"
    target = f"{parts.hostname}:{parts.port or (443 if secure else 80)}"
    # A proxy of the environment knows no way to this machine's own loopback.
    loopback = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    options = [("grpc.enable_http_proxy", 0)] if loopback else []
    if secure:
        file = os.environ.get("SSL_CERT_FILE")
        roots = Path(file).read_bytes() if file else None
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options)
    return grpc.insecure_channel(target, options)


def failure(gateway: str, error: Any) -> CommandError:
    """What a call's status stands for."""
    import grpc
    from google.protobuf.json_format import MessageToDict
    from google.rpc import error_details_pb2 as error_details_pb2  # its messages are read out of the status
    from grpc_status import rpc_status

    status = rpc_status.from_call(error)
    if status is not None:
        return from_status(MessageToDict(status))
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return GatewayUnreachableError(gateway, " ".join((error.details() or "no answer").split())[:120])
    return CommandError(error.details() or error.code().name.lower())

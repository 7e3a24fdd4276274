"""`parley listen`: audio up, captions down, against a scripted gateway that speaks gRPC."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import errors, status
from tests.cli.conftest import environment, start
from tests.conftest import ROOT

PCM = bytes(32000)


def result(number: int, text: str, *, final: bool = True, speaker: str = "") -> asr_pb2.StreamingRecognizeResponse:
    segment = asr_pb2.Segment(number=number, text=text, speaker=speaker)
    return asr_pb2.StreamingRecognizeResponse(result=asr_pb2.StreamingResult(segment=segment, is_final=final))


def revision(number: int, speaker: str) -> asr_pb2.StreamingRecognizeResponse:
    revised = asr_pb2.RevisedSegment(number=number, speaker=speaker)
    return asr_pb2.StreamingRecognizeResponse(revision=asr_pb2.SpeakerRevision(segments=[revised]))


@dataclass
class Script:
    """What the gateway answers, and what it got."""

    url: str = ""
    first: list[Any] = field(default_factory=list)
    """Sent as soon as there is audio."""
    last: list[Any] = field(default_factory=list)
    """Sent when the audio is over."""
    error: errors.ParleyError | None = None
    config: asr_pb2.StreamingConfig = field(default_factory=asr_pb2.StreamingConfig)
    audio: bytes = b""
    heard: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Servicer(asr_pb2_grpc.SpeechRecognitionServicer):
    """Answers by a script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def StreamingRecognize(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        script = self._script
        script.config = next(request_iterator).config
        if script.error is not None:
            answer = status.to_status(script.error)
            details = (("grpc-status-details-bin", answer.SerializeToString()),)
            context.set_trailing_metadata(details)
            context.abort(status.code_of(script.error), answer.message)
        for index, request in enumerate(request_iterator):
            script.audio += request.audio
            if index == 0:
                yield from script.first
                script.heard.set()
        yield from script.last
        script.done.set()


@pytest.fixture
def script() -> Iterator[Script]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    made = Script()
    asr_pb2_grpc.add_SpeechRecognitionServicer_to_server(Servicer(made), server)
    made.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield made
    server.stop(None).wait()


Piped = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def piped(script: Script) -> Piped:
    """Runs `parley listen` with audio on standard input."""

    def run(*arguments: str, audio: bytes = PCM) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "cli", "listen", *arguments]
        return subprocess.run(
            command, input=audio, env=environment(script.url), cwd=ROOT, capture_output=True, timeout=30, check=False
        )

    return run


def test_finals_are_lines_and_all_audio_arrives(script: Script, piped: Piped) -> None:
    script.first = [result(1, "how are", final=False), result(1, "how are you", speaker="S1")]
    script.last = [result(2, "fine", speaker="S2"), revision(1, "Ann")]
    done = piped("-", "--speakers", "2", "--language", "en-US", "--endpoint-silence", "0.4", "--prompt", "fine thanks")
    assert done.stdout.decode() == "S1: how are you\nS2: fine\n"
    assert done.stderr.decode() == "segment 1 was said by Ann\n"
    assert done.returncode == 0
    assert script.audio == PCM
    config = script.config
    assert (config.sample_rate_hertz, config.encoding) == (16000, asr_pb2.AUDIO_ENCODING_LINEAR_PCM)
    assert config.config.diarization.speakers == 2
    assert config.config.language_code == "en-US"
    assert list(config.config.hints.phrases) == ["fine thanks"]
    assert config.endpoint_silence == 0.4


def test_without_speakers_nobody_is_named(script: Script, piped: Piped) -> None:
    script.last = [result(1, "hello")]
    assert piped("-").stdout == b"hello\n"
    assert not script.config.config.HasField("diarization")


def test_json_is_a_line_for_each_event(script: Script, piped: Piped) -> None:
    script.last = [result(1, "he", final=False), result(1, "hello", speaker="S1"), revision(1, "S2")]
    lines = [json.loads(line) for line in piped("-", "--json").stdout.splitlines()]
    assert [next(iter(line)) for line in lines] == ["result", "result", "revision"]
    assert lines[1]["result"] == {"segment": {"text": "hello", "number": "1", "speaker": "S1"}, "isFinal": True}


@pytest.mark.parametrize(
    ("begin", "options", "encoding"),
    [
        (b"fLaC", (), asr_pb2.AUDIO_ENCODING_FLAC),
        (b"OggS", (), asr_pb2.AUDIO_ENCODING_OGG_OPUS),
        (b"RIFF", (), asr_pb2.AUDIO_ENCODING_LINEAR_PCM),
        (b"\0\1", ("--encoding", "mulaw", "--rate", "8000"), asr_pb2.AUDIO_ENCODING_MULAW),
    ],
)
def test_the_encoding_is_found_out_or_said(
    script: Script, piped: Piped, tmp_path: Path, begin: bytes, options: tuple[str, ...], encoding: int
) -> None:
    file = tmp_path / "audio"
    file.write_bytes(begin + PCM)
    assert piped(str(file), *options).returncode == 0
    assert script.config.encoding == encoding
    assert script.audio == begin + PCM


def test_the_servers_no_is_one_line(script: Script, piped: Piped) -> None:
    script.error = errors.ResourceExhausted("All 16 live streams are taken.", retry_after=5)
    done = piped("-")
    assert done.returncode == 1
    assert done.stderr.decode() == "parley: All 16 live streams are taken. Worth another try in 5 s.\n"


def test_no_gateway_is_said(script: Script, piped: Piped) -> None:
    done = piped("-", "--gateway", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert "parley: no gateway answers at http://127.0.0.1:9" in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "audio", "said"),
    [
        (["-"], b"", "standard input is empty"),
        (["/no/such/file"], b"", "no such file"),
        (["-", "--rate", "10"], b"", "8000"),
        (["-", "--gateway", "ftp://x"], PCM, "is no URL"),
    ],
)
def test_wrong_usage_is_said(piped: Piped, arguments: list[str], audio: bytes, said: str) -> None:
    done = piped(*arguments, audio=audio)
    assert done.returncode == 2
    assert said in done.stderr.decode()


def test_without_a_microphone_it_says_how_to_pipe(piped: Piped) -> None:
    blocked = "import sys; sys.modules['sounddevice'] = None; from cli.main import app; app(['listen'])"
    done = subprocess.run([sys.executable, "-c", blocked], cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "arecord -f S16_LE -r 16000 | parley listen -" in done.stderr.decode()


def test_ctrl_c_ends_the_audio_and_shows_what_was_said_last(script: Script) -> None:
    script.first, script.last = [result(1, "first")], [result(2, "last")]
    process = start(script.url, "listen", "-")
    assert process.stdin is not None
    os.write(process.stdin.fileno(), PCM)
    assert script.heard.wait(20)
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "last\n"
    assert process.wait(20) == 0
    assert script.done.is_set()
    process.communicate()


def test_a_terminal_shows_interim_results_in_place(script: Script) -> None:
    script.first = [result(1, "how", final=False), result(1, "how are", final=False)]
    script.last = [
        result(1, "how are \x1b[31myou", speaker="S1"),
        result(2, "long " * 60, final=False),
        result(2, "fine", speaker="S2"),
        revision(1, "Ann"),
    ]
    ours, theirs = pty.openpty()
    source, sink = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "listen", "-"],
        env=environment(script.url),
        cwd=ROOT,
        stdin=source,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        os.close(source)
        os.write(sink, PCM)
        os.close(sink)
        written = b""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                written += os.read(ours, 65536)
            except OSError:  # how Linux says that the other end of a terminal is closed
                break
        assert process.wait(20) == 0
    os.close(ours)
    shown = written.decode()
    # What a person sees in the end: what was rewritten is gone.
    lines = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line.rpartition("\x1b[2K")[2]).strip() for line in shown.split("\n")]
    assert lines[:3] == [
        "S1  how are \N{REPLACEMENT CHARACTER}[31myou",
        "S2  fine",
        "Ann  and not S1 said: how are \N{REPLACEMENT CHARACTER}[31myou",
    ]
    interim = re.findall(r"\x1b\[2m(.*?)\x1b\[0m", shown)
    assert interim[0] == "how"
    assert max(map(len, interim)) < 120

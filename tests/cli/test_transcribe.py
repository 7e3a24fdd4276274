"""`parley transcribe`: recordings up, transcripts down."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Gateway, Reply, Run, json_reply, start, stream_reply

UPLOAD = "/api/v1/recordings"
JOB = "/api/v1/transcriptions/t1"
EXPORT = f"{JOB}/transcript:export"


def state(name: str, progress: float = 0.0, **more: object) -> dict[str, object]:
    """An event that says where a transcription stands."""
    job = {"name": "transcriptions/t1", "state": f"TRANSCRIPTION_STATE_{name}", "progress": progress}
    return {"transcription": {**job, **more}}


@pytest.fixture
def recordings(tmp_path: Path) -> list[str]:
    """Two recordings."""
    files = [tmp_path / "one.wav", tmp_path / "two.wav"]
    for file in files:
        file.write_bytes(b"RIFF" + file.name.encode())
    return [str(file) for file in files]


@pytest.fixture
def listening(gateway: Gateway) -> Gateway:
    """A gateway that hears the same in everything."""
    gateway.on("POST", UPLOAD, json_reply({"recording": "recordings/r1", "size": "11"}))
    gateway.on("POST", "/api/v1/transcriptions", json_reply(state("QUEUED")))
    events = state("RUNNING", 0.5, remaining="12.5s"), {"segment": {"text": "hello world"}}, state("SUCCEEDED", 1)
    gateway.on("GET", f"{JOB}:watch", stream_reply(*events))
    gateway.on("GET", EXPORT, Reply([b"hello world\n"]))
    gateway.on("DELETE", JOB, json_reply({}))
    return gateway


def created(gateway: Gateway) -> Any:
    """What the command asked for."""
    return gateway.only("/api/v1/transcriptions").json


def test_text_goes_to_standard_output_and_nothing_stays_on_the_server(
    listening: Gateway, run: Run, recordings: list[str]
) -> None:
    result = run("transcribe", recordings[0], "--language", "en")
    assert (result.returncode, result.stdout, result.stderr) == (0, "hello world\n", "")
    assert listening.only(UPLOAD).body == b"RIFFone.wav"
    asked = created(listening)
    assert asked["recording"] == "recordings/r1"
    assert asked["displayName"] == "one.wav"
    assert asked["config"]["languageCode"] == "en"
    assert "diarization" not in asked["config"]
    assert listening.only(EXPORT).query == {"format": ["TRANSCRIPT_FORMAT_TEXT"]}
    assert listening.only(JOB).method == "DELETE"


def test_it_is_kept_if_so_wished(listening: Gateway, run: Run, recordings: list[str]) -> None:
    result = run("transcribe", recordings[0], "--keep")
    assert "transcriptions/t1" in result.stderr
    assert not [request for request in listening.requests if request.method == "DELETE"]


def test_speakers_hints_and_voices_are_asked_for(
    listening: Gateway, run: Run, recordings: list[str], tmp_path: Path
) -> None:
    voice = tmp_path / "lan.wav"
    voice.write_bytes(b"her voice")
    arguments = ["--min-speakers", "2", "--known", f"Lan={voice}", "--prompt", "Parley, Triton", "--enhance"]
    assert run("transcribe", recordings[0], "-m", "whisper", *arguments).returncode == 0
    config = created(listening)["config"]
    assert config["model"] == "whisper"
    assert config["enhance"] is True
    assert config["hints"] == {"phrases": ["Parley", "Triton"]}
    assert config["diarization"]["minSpeakers"] == 2
    assert config["diarization"]["knownSpeakers"] == [{"name": "Lan", "audio": base64.b64encode(b"her voice").decode()}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--speakers", "2", "--max-speakers", "3"], "--speakers"),
        (["--known", "Lan"], "NAME=FILE"),
        (["--known", "Lan=/nothing"], "/nothing"),
        (["-f", "docx"], "--output-dir"),
        (["--speakers", "0"], "--speakers"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_sent(
    listening: Gateway, run: Run, recordings: list[str], arguments: list[str], said: str
) -> None:
    result = run("transcribe", recordings[0], *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert not listening.requests


def test_a_document_is_written_as_it_is(listening: Gateway, run: Run, recordings: list[str], tmp_path: Path) -> None:
    listening.on("GET", EXPORT, Reply([b"PK\x03\x04\xff"]))
    assert run("transcribe", recordings[0], "-f", "docx", "-o", str(tmp_path)).returncode == 0
    assert (tmp_path / "one.docx").read_bytes() == b"PK\x03\x04\xff"


def test_a_transcription_that_fails_says_why(listening: Gateway, run: Run, recordings: list[str]) -> None:
    error = {"code": 3, "message": "audio: it cannot be read as audio"}
    listening.on("GET", f"{JOB}:watch", stream_reply(state("RUNNING"), state("FAILED", error=error)))
    result = run("transcribe", recordings[0])
    assert result.returncode == 1
    assert "cannot be read as audio" in result.stderr
    assert listening.only(JOB).method == "DELETE"


def test_several_texts_are_told_apart(listening: Gateway, run: Run, recordings: list[str]) -> None:
    shown = run("transcribe", *recordings, "-m", "whisper").stdout
    assert shown == "".join(f"==> {file} <==\nhello world\n" for file in recordings)


def test_several_json_are_lines_that_name_their_file(listening: Gateway, run: Run, recordings: list[str]) -> None:
    listening.on("GET", EXPORT, json_reply({"text": "hello"}))
    shown = run("transcribe", *recordings, "-f", "json").stdout
    assert [json.loads(line) for line in shown.splitlines()] == [{"file": file, "text": "hello"} for file in recordings]


def test_subtitles_go_to_a_folder(listening: Gateway, run: Run, recordings: list[str], tmp_path: Path) -> None:
    listening.on("GET", EXPORT, Reply([b"1\n00:00:00,000 --> 00:00:01,000\nhello\n\n"]))
    folder = tmp_path / "new" / "folder"
    assert run("transcribe", *recordings, "-f", "srt", "-o", str(folder)).returncode == 0
    assert sorted(file.name for file in folder.iterdir()) == ["one.srt", "two.srt"]
    assert (folder / "one.srt").read_text().endswith("hello\n\n")


def test_recordings_of_the_same_stem_do_not_overwrite_each_other(listening: Gateway, run: Run, tmp_path: Path) -> None:
    files = [tmp_path / "a.wav", tmp_path / "a.mp3"]
    for file in files:
        file.write_bytes(b"x")
    folder = tmp_path / "out"
    assert run("transcribe", *map(str, files), "-o", str(folder)).returncode == 0
    assert sorted(file.name for file in folder.iterdir()) == ["a.mp3.txt", "a.wav.txt"]


def test_several_subtitles_do_not_mix_on_standard_output(gateway: Gateway, run: Run, recordings: list[str]) -> None:
    result = run("transcribe", *recordings, "-f", "vtt")
    assert result.returncode == 2
    assert "--output-dir" in result.stderr
    assert gateway.requests == []


def test_a_recording_that_fails_does_not_stop_the_others(gateway: Gateway, run: Run, recordings: list[str]) -> None:
    gateway.on("POST", UPLOAD, json_reply({"code": 8, "message": "The store is full."}, 429))
    result = run("transcribe", *recordings, "-m", "whisper")
    assert result.returncode == 1
    assert len([request for request in gateway.requests if request.path == UPLOAD]) == 2
    said = result.stderr.splitlines()
    assert said[0].startswith(f"parley: {recordings[0]}: The store is full.")
    assert said[-1] == "parley: 2 of 2 recordings failed."


def test_ctrl_c_deletes_the_transcription_and_exits_with_130(listening: Gateway, recordings: list[str]) -> None:
    watch = f"{JOB}:watch"
    listening.on("GET", watch, Reply([json.dumps(state("RUNNING")).encode() + b"\n"], then_hang=True))
    with start(listening.url, "transcribe", recordings[0]) as process:
        assert listening.arrived[watch].wait(20)
        process.send_signal(signal.SIGINT)
        out, _err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert listening.hung_up.wait(10)
    assert listening.only(JOB).method == "DELETE"


def test_a_folder_that_cannot_be_written_is_named(listening: Gateway, run: Run, recordings: list[str]) -> None:
    result = run("transcribe", recordings[0], "-o", "/proc/nothing")
    assert result.returncode == 1
    assert "/proc/nothing/one.txt" in result.stderr

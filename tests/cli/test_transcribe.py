"""`parley transcribe`: recordings up, transcripts down."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Gateway, Reply, Run, json_reply, start

UPLOAD = "/v1/audio/transcriptions"


@pytest.fixture
def recordings(tmp_path: Path) -> list[str]:
    """Two recordings."""
    files = [tmp_path / "one.wav", tmp_path / "two.wav"]
    for file in files:
        file.write_bytes(b"RIFF" + file.name.encode())
    return [str(file) for file in files]


@pytest.fixture
def listening(gateway: Gateway) -> Gateway:
    """A gateway with a speech model that hears the same in everything."""
    gateway.on("GET", "/api/v1/speech/models", json_reply({"models": [{"id": "pocketsphinx-en"}]}))
    gateway.on("POST", UPLOAD, Reply([b"hello world\n"]))
    return gateway


def test_text_goes_to_standard_output(listening: Gateway, run: Run, recordings: list[str]) -> None:
    result = run("transcribe", recordings[0], "--language", "en")
    assert (result.returncode, result.stdout, result.stderr) == (0, "hello world\n", "")
    body = listening.only(UPLOAD).body
    assert b'name="file"; filename="one.wav"' in body
    assert b"RIFFone.wav" in body
    for name, value in (("model", "pocketsphinx-en"), ("response_format", "text"), ("language", "en")):
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in body


def test_several_texts_are_told_apart(listening: Gateway, run: Run, recordings: list[str]) -> None:
    shown = run("transcribe", *recordings, "-m", "whisper").stdout
    assert shown == "".join(f"==> {file} <==\nhello world\n" for file in recordings)


def test_several_json_are_lines_that_name_their_file(listening: Gateway, run: Run, recordings: list[str]) -> None:
    listening.on("POST", UPLOAD, json_reply({"text": "hello"}))
    shown = run("transcribe", *recordings, "-f", "json").stdout
    assert [json.loads(line) for line in shown.splitlines()] == [{"file": file, "text": "hello"} for file in recordings]


def test_subtitles_go_to_a_folder(listening: Gateway, run: Run, recordings: list[str], tmp_path: Path) -> None:
    listening.on("POST", UPLOAD, Reply([b"1\n00:00:00,000 --> 00:00:01,000\nhello\n\n"]))
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
    error = {"message": "This is not audio.", "type": "invalid_request_error", "param": "file", "code": "invalid_audio"}
    gateway.on("POST", UPLOAD, json_reply({"error": error}, 400))
    result = run("transcribe", *recordings, "-m", "whisper")
    assert result.returncode == 1
    assert len([request for request in gateway.requests if request.path == UPLOAD]) == 2
    assert result.stderr.splitlines() == [
        *(f"parley: {file}: file: This is not audio." for file in recordings),
        "parley: 2 of 2 recordings failed.",
    ]


def test_ctrl_c_hangs_up_and_exits_with_130(listening: Gateway, recordings: list[str]) -> None:
    listening.on("POST", UPLOAD, Reply(then_hang=True))
    with start(listening.url, "transcribe", recordings[0]) as process:
        assert listening.arrived[UPLOAD].wait(20)
        process.send_signal(signal.SIGINT)
        out, _err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert listening.hung_up.wait(10)


def test_a_folder_that_cannot_be_written_is_named(listening: Gateway, run: Run, recordings: list[str]) -> None:
    result = run("transcribe", recordings[0], "-o", "/proc/nothing")
    assert result.returncode == 1
    assert "/proc/nothing/one.txt" in result.stderr

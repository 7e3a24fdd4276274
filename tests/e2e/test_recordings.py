"""A conversation of two people is attached to a message and asked about: real gateway, real asr, real diarizer."""

from __future__ import annotations

import base64
import json
import wave
from pathlib import Path
from typing import Any

import pytest

from deploy.local import demo_talk
from tests.e2e.conftest import MeshStack

SECONDS = 120.0


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Anna and Ben, some 11 seconds."""
    return demo_talk.record(tmp_path_factory.mktemp("talk")).conversation


def send(stack: MeshStack, conversation: str, **message: Any) -> list[Any]:
    """The events of an answer."""
    url = f"/api/v1/{conversation}/messages:send"
    with stack.http.stream("POST", url, json=message, timeout=SECONDS) as answer:
        assert answer.status_code == 200
        return [json.loads(line) for line in answer.iter_lines() if line]


def said(events: list[Any]) -> str:
    return "".join(event.get("textDelta", {}).get("text", "") for event in events)


def attachment(file: Path) -> dict[str, str]:
    content = base64.b64encode(file.read_bytes()).decode()
    return {"filename": file.name, "contentType": "audio/wav", "content": content}


def test_a_conversation_of_two_is_transcribed_kept_and_asked_about(stack: MeshStack, talk: Path) -> None:
    made = stack.http.post("/api/v1/conversations", json={}, timeout=SECONDS).json()["conversation"]["name"]
    events = send(stack, made, attachments=[attachment(talk)])
    (transcript,) = [e["toolResult"]["transcript"] for e in events if "transcript" in e.get("toolResult", {})]
    assert [speaker["id"] for speaker in transcript["speakers"]] == ["S1", "S2"]
    assert [segment["speaker"] for segment in transcript["segments"]] == ["S1", "S2", "S1", "S2"]
    assert "2 people speak" in said(events)
    assert said(send(stack, made, text="S1 is Anna and S2 is Ben")) == "Noted: S1 = Anna, S2 = Ben."
    answer = said(send(stack, made, text="What did Ben say?"))
    assert answer.startswith("Ben says:\n\n[0:0")
    assert answer.count("Ben: ") == 2
    assert "11" in said(send(stack, made, text="How long did Anna speak in the meeting?"))


def test_what_is_asked_beside_it_is_answered_also_through_the_openai_api(stack: MeshStack, talk: Path) -> None:
    data = base64.b64encode(talk.read_bytes()).decode()
    content = [
        {"type": "text", "text": "Who spoke in this meeting?"},
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
    ]
    body = {"model": "parley-embedded", "messages": [{"role": "user", "content": content}]}
    answer = stack.http.post("/v1/chat/completions", json=body, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].startswith("2 people speak: ")


def test_a_recording_of_minutes_shows_its_progress(stack: MeshStack, talk: Path, tmp_path: Path) -> None:
    long = repeated(talk, 6, tmp_path / "meeting.wav")
    made = stack.http.post("/api/v1/conversations", json={}, timeout=SECONDS).json()["conversation"]["name"]
    events = send(stack, made, text="Who spoke?", attachments=[attachment(long)])
    progress = [event["toolProgress"] for event in events if "toolProgress" in event]
    assert progress
    assert " people speak: " in said(events)
    listed = stack.http.get("/api/v1/transcriptions", timeout=SECONDS).json().get("transcriptions", [])
    assert "meeting.wav" not in [job["displayName"] for job in listed]


def repeated(file: Path, times: int, target: Path) -> Path:
    """The recording several times in a row."""
    with wave.open(str(file), "rb") as source, wave.open(str(target), "wb") as whole:
        whole.setparams(source.getparams())
        frames = source.readframes(source.getnframes())
        for _ in range(times):
            whole.writeframes(frames)
    return target

"""Transcriptions through the real gateway: a recording up in pieces, its state and segments down as they come."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.e2e.conftest import MeshStack

SECONDS = 120.0


def upload(stack: MeshStack, data: bytes) -> str:
    """Uploads a recording; returns its name."""
    answer = stack.http.post("/api/v1/recordings", content=data, headers={"content-type": "audio/wav"}, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["size"] == str(len(data))
    name: str = answer.json()["recording"]
    return name


def watch(stack: MeshStack, name: str) -> list[Any]:
    """All events of a transcription."""
    with stack.http.stream("GET", f"/api/v1/{name}:watch", timeout=SECONDS) as answer:
        assert answer.status_code == 200
        return [json.loads(line) for line in answer.iter_lines() if line]


def test_a_recording_is_transcribed_in_the_background(stack: MeshStack) -> None:
    recording = upload(stack, stack.spoken_question.read_bytes())
    hints = {"phrases": ["how many customers are there", "how many orders are there"]}
    body = {
        "recording": recording,
        "displayName": "question.wav",
        "config": {"diarization": {}, "hints": hints},
        "requestId": str(uuid.uuid4()),
    }
    answers = [stack.http.post("/api/v1/transcriptions", json=body, timeout=SECONDS) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    name = answers[0].json()["transcription"]["name"]
    assert answers[1].json()["transcription"]["name"] == name
    events = watch(stack, name)
    last = events[-1]["transcription"]
    assert last["state"] == "TRANSCRIPTION_STATE_SUCCEEDED"
    assert last["progress"] == 1
    assert [event["segment"]["text"] for event in events if "segment" in event] == ["how many customers are there"]
    transcript = stack.http.get(f"/api/v1/{name}/transcript", timeout=SECONDS).json()["transcript"]
    assert [speaker["id"] for speaker in transcript["speakers"]] == ["S1"]
    renamed = stack.http.post(
        f"/api/v1/{name}:renameSpeaker", json={"speaker": "S1", "displayName": "Lan"}, timeout=SECONDS
    )
    assert renamed.status_code == 200
    exported = stack.http.get(
        f"/api/v1/{name}/transcript:export", params={"format": "TRANSCRIPT_FORMAT_TEXT"}, timeout=SECONDS
    )
    assert exported.headers["content-type"] == "text/plain; charset=utf-8"
    assert exported.text == "Lan: how many customers are there\n"
    assert name in stack.http.get("/api/v1/transcriptions", timeout=SECONDS).text
    assert stack.http.delete(f"/api/v1/{name}", timeout=SECONDS).status_code == 200
    assert stack.http.get(f"/api/v1/{name}", timeout=SECONDS).status_code == 404


def test_a_recording_larger_than_any_message_is_uploaded(stack: MeshStack) -> None:
    # What is no audio is kept like any other: it is looked at when it is transcribed.
    name = upload(stack, b"\0" * (100 << 20))
    body = {"recording": name, "config": {}}
    made = stack.http.post("/api/v1/transcriptions", json=body, timeout=SECONDS).json()["transcription"]["name"]
    last = watch(stack, made)[-1]["transcription"]
    assert last["state"] == "TRANSCRIPTION_STATE_FAILED"
    assert last["error"]["code"] == 3


@pytest.mark.parametrize("uri", ["https://127.0.0.1:8080/a.wav", "http://example.com/a.wav", "file:///etc/passwd"])
def test_urls_are_refused_unless_the_operator_lists_them(stack: MeshStack, uri: str) -> None:
    answer = stack.http.post("/api/v1/transcriptions", json={"uri": uri, "config": {}}, timeout=SECONDS)
    assert answer.status_code == 400
    assert "uri" in answer.text

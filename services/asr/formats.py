"""Transcripts as OpenAI's clients want them: json, text, SubRip, WebVTT and verbose JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from services.asr.transcript import Segment, Transcript

JSON, TEXT = "application/json", "text/plain; charset=utf-8"


def usage(transcript: Transcript) -> dict[str, Any]:
    """What is billed by duration: whole seconds, rounded up."""
    return {"type": "duration", "seconds": -int(-transcript.duration // 1)}


def as_json(transcript: Transcript, _words: bool, _segments: bool) -> tuple[str, bytes]:
    """`{"text", "usage"}`."""
    return JSON, _dumped({"text": transcript.text, "usage": usage(transcript)})


def as_text(transcript: Transcript, _words: bool, _segments: bool) -> tuple[str, bytes]:
    """The text and a line end."""
    return TEXT, (transcript.text + "\n").encode()


def as_srt(transcript: Transcript, _words: bool, _segments: bool) -> tuple[str, bytes]:
    """SubRip: numbered cues, times with a comma."""
    cues = [
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text}\n\n"
        for number, segment in enumerate(transcript.segments, 1)
    ]
    return TEXT, "".join(cues).encode()


def as_vtt(transcript: Transcript, _words: bool, _segments: bool) -> tuple[str, bytes]:
    """WebVTT. Text is escaped, so that what was said cannot be taken for markup."""
    cues = [
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{_escaped(segment.text)}\n\n"
        for segment in transcript.segments
    ]
    return "text/vtt; charset=utf-8", "".join(["WEBVTT\n\n", *cues]).encode()


def as_verbose(transcript: Transcript, words: bool, segments: bool) -> tuple[str, bytes]:
    """Language, duration, and as asked words and segments.

    What only Whisper's own decoder knows (tokens, temperature, compression_ratio, avg_logprob, no_speech_prob) has its
    neutral value: clients require the fields.
    """
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
    }
    if words:
        body["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in transcript.words
        ]
    if segments:
        body["segments"] = [_segment(number, segment) for number, segment in enumerate(transcript.segments)]
    return JSON, _dumped(body | {"usage": usage(transcript)})


FORMATS: dict[str, Callable[[Transcript, bool, bool], tuple[str, bytes]]] = {
    "json": as_json,
    "text": as_text,
    "srt": as_srt,
    "vtt": as_vtt,
    "verbose_json": as_verbose,
}
"""By response_format: (transcript, with words, with segments) → content type and body."""


def event(kind: str, **fields: Any) -> bytes:
    """A server-sent event of a streamed transcription."""
    return b"data: " + _dumped({"type": kind, **fields}) + b"\n\n"


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": int(segment.start * 100),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _dumped(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()

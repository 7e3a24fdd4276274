"""Transcripts as files: JSON as the OpenAI API has it, text, subtitles, RTTM, tables, documents."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from services.asr.document import as_docx, turns
from services.asr.subtitles import cues
from services.asr.transcript import Segment, Transcript, Word

JSON, TEXT = "application/json", "text/plain; charset=utf-8"
NUMBERED = re.compile(r"S\d+")
"""Ids of speakers whom nobody has named."""
Format = Callable[[Transcript], tuple[str, bytes]]
"""Content type and body of a transcript."""


def usage(transcript: Transcript) -> dict[str, Any]:
    """What is billed by duration: whole seconds, rounded up."""
    return {"type": "duration", "seconds": math.ceil(transcript.duration)}


def as_json(transcript: Transcript, *, logprobs: bool = False) -> tuple[str, bytes]:
    """`{"text", "usage"}`, the languages where they are known, and as asked log probabilities."""
    body: dict[str, Any] = {"text": transcript.text}
    languages = dict.fromkeys(segment.language for segment in transcript.segments if segment.language)
    if languages:
        body["languages"] = [{"code": language} for language in languages]
    if logprobs:
        body["logprobs"] = log_probabilities(transcript.words)
    return JSON, _dumped(body | {"usage": usage(transcript)})


def log_probabilities(words: Iterable[Word]) -> list[dict[str, Any]]:
    """A token for each word, with the logarithm of the model's confidence in it: models here have no finer ones."""
    return [
        {
            "token": word.text,
            "bytes": list(word.text.encode()),
            "logprob": round(math.log(max(word.confidence, 1e-9)), 6),
        }
        for word in words
    ]


def as_text(transcript: Transcript) -> tuple[str, bytes]:
    """The text and a line end; with speakers, a line for each turn."""
    if not transcript.speakers:
        return TEXT, (transcript.text + "\n").encode()
    names = _names(transcript)
    lines = [f"{names[speaker]}: {text}\n" if speaker else f"{text}\n" for _, speaker, text in turns(transcript)]
    return TEXT, "".join(lines).encode()


def as_srt(transcript: Transcript) -> tuple[str, bytes]:
    """SubRip: numbered cues, times with a comma; the speaker before the text."""
    parts = [
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        + (f"{_line(cue.speaker)}: " if cue.speaker else "")
        + "\n".join(cue.lines)
        + "\n\n"
        for number, cue in enumerate(cues(transcript), 1)
    ]
    return TEXT, "".join(parts).encode()


def as_vtt(transcript: Transcript) -> tuple[str, bytes]:
    """WebVTT, with a voice span where the speaker is known. Text is escaped: nothing said is taken for markup."""
    parts = ["WEBVTT\n\n"]
    for cue in cues(transcript):
        text = _escaped("\n".join(cue.lines))
        voiced = f"<v {_escaped(_line(cue.speaker))}>{text}</v>" if cue.speaker else text
        parts.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{voiced}\n\n")
    return "text/vtt; charset=utf-8", "".join(parts).encode()


def as_verbose(
    transcript: Transcript, *, words: bool = False, segments: bool = True, task: str = "transcribe"
) -> tuple[str, bytes]:
    """Language, duration, and as asked words and segments.

    What only Whisper's own decoder knows (tokens, temperature, compression_ratio, no_speech_prob) has its neutral
    value: clients require the fields. `avg_logprob` is the logarithm of the words' mean confidence.
    """
    body: dict[str, Any] = {
        "task": task,
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


def as_diarized(transcript: Transcript) -> tuple[str, bytes]:
    """`{task, duration, text, segments[{type, id, start, end, text, speaker}], usage}`; see `diarized_segment`."""
    names = letters(transcript)
    body = {
        "task": "transcribe",
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": [diarized_segment(segment, names) for segment in transcript.segments],
        "usage": usage(transcript),
    }
    return JSON, _dumped(body)


def diarized_segment(segment: Segment, names: dict[str, str]) -> dict[str, Any]:
    """A segment as the OpenAI API has it, for JSON and for events alike."""
    return {
        "type": "transcript.text.segment",
        "id": segment_id(segment),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "speaker": names.get(segment.speaker, segment.speaker),
    }


def segment_id(segment: Segment) -> str:
    """What events and JSON call a segment."""
    return f"seg_{segment.number:03}"


def letters(transcript: Transcript) -> dict[str, str]:
    """The names of speakers by id. Those who have none are A, B …, in order of appearance, as OpenAI's are."""
    nameless = [one.id for one in transcript.speakers if one.display_name == one.id and NUMBERED.fullmatch(one.id)]
    names = {one.id: one.display_name for one in transcript.speakers if one.id not in nameless}
    free = (letter for letter in map(_letter, itertools.count()) if letter not in names.values())
    return names | dict(zip(nameless, free, strict=False))


def as_rttm(transcript: Transcript) -> tuple[str, bytes]:
    """NIST's Rich Transcription Time Marked: a line for each turn, seconds; spaces in names become underscores."""
    names = {id_: "_".join(name.split()) for id_, name in _names(transcript).items()}
    lines = [
        f"SPEAKER audio {part.channel + 1} {start:.3f} {end - start:.3f} <NA> <NA> {names[part.speaker]} <NA> <NA>"
        for part in transcript.segments
        if part.speaker
        for start, end in [_spoken(part)]
    ]
    return TEXT, "".join(f"{line}\n" for line in lines).encode()


def as_csv(transcript: Transcript) -> tuple[str, bytes]:
    """A table after RFC 4180: number, start, end, speaker, channel, confidence, text; UTF-8 with a mark for Excel."""
    names = _names(transcript)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["number", "start", "end", "speaker", "channel", "confidence", "text"])
    for segment in transcript.segments:
        times = f"{segment.start:.3f}", f"{segment.end:.3f}"
        speaker, text = _harmless(names[segment.speaker]), _harmless(segment.text)
        writer.writerow([segment.number, *times, speaker, segment.channel, f"{segment.confidence:.3f}", text])
    return "text/csv; charset=utf-8", ("\ufeff" + out.getvalue()).encode()


FORMATS: dict[str, Format] = {
    "json": as_json,
    "text": as_text,
    "srt": as_srt,
    "vtt": as_vtt,
    "verbose_json": as_verbose,
    "diarized_json": as_diarized,
    "rttm": as_rttm,
    "csv": as_csv,
    "docx": as_docx,
}
"""By name."""


def event(kind: str, **fields: Any) -> bytes:
    """A server-sent event of a streamed transcription."""
    return b"data: " + _dumped({"type": kind, **fields}) + b"\n\n"


def _names(transcript: Transcript) -> dict[str, str]:
    """What people call the speakers, by id; nobody is nameless."""
    ids = {segment.speaker for segment in transcript.segments}
    return {id_: id_ for id_ in ids} | {speaker.id: speaker.display_name for speaker in transcript.speakers}


def _letter(place: int) -> str:
    """The letters from A to Z, then AA and so on."""
    first = _letter(place // 26 - 1) if place >= 26 else ""
    return first + chr(ord("A") + place % 26)


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": int(segment.start * 100),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(math.log(segment.confidence), 6) if segment.confidence > 0 else 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


def _spoken(segment: Segment) -> tuple[float, float]:
    """From when to when somebody speaks in a segment: without the quiet around the words, where they are known."""
    return (segment.words[0].start, segment.words[-1].end) if segment.words else (segment.start, segment.end)


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: OWASP's rule, an apostrophe before what could begin one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _line(text: str) -> str:
    """A name on one line."""
    return " ".join(text.split())


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _dumped(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()

"""Files of a transcript: each format as its readers want it, whatever was said and whoever said it."""

from __future__ import annotations

import csv
import io
import json
import re

import docx
import pytest
from openai.types.audio import Transcription, TranscriptionDiarized, TranscriptionVerbose

from services.asr.formats import FORMATS, as_json, as_verbose
from services.asr.subtitles import LINE, LINES, LONGEST, cues
from services.asr.transcript import Segment, Speaker, Transcript, Word


def said(text: str, start: float = 0.0, pace: float = 0.4, **fields: object) -> Segment:
    """A segment of a text, its words one after the other."""
    words = tuple(
        Word(word, start + pace * place, start + pace * (place + 0.8), 0.5) for place, word in enumerate(text.split())
    )
    return Segment(text, start, start + pace * len(words) + 0.2, words, "en-US", **fields)  # type: ignore[arg-type]  # by name


def transcript(*segments: Segment, names: dict[str, str] | None = None) -> Transcript:
    numbered = [
        Segment(**{f: getattr(s, f) for f in s.__dataclass_fields__} | {"number": n}) for n, s in enumerate(segments, 1)
    ]
    speakers = [Speaker(id_, name, 1.0) for id_, name in (names or {}).items()]
    return Transcript("pocketsphinx", "en-US", 12.25, numbered, speakers)


TALK = transcript(
    said("hello there", 1.0, speaker="S1"),
    said("good <b>morning</b> & welcome", 3.0, speaker="S2"),
    said("thanks", 6.0, speaker="S2"),
    names={"S1": "S1", "S2": "Chị Lan"},
)


def text(name: str, of: Transcript = TALK) -> str:
    return FORMATS[name](of)[1].decode()


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_transcript_is_a_file_too(name: str) -> None:
    kind, data = FORMATS[name](Transcript("pocketsphinx"))
    assert "/" in kind
    assert isinstance(data, bytes)


def test_text_has_a_line_for_each_turn() -> None:
    assert text("text") == "S1: hello there\nChị Lan: good <b>morning</b> & welcome thanks\n"
    assert text("text", transcript(said("one"), said("two", 3))) == "one two\n"


def test_subrip_has_numbers_times_and_names() -> None:
    assert re.fullmatch(
        r"1\n00:00:01,000 --> 00:00:02,0\d\d\nS1: hello there\n\n"
        r"2\n00:00:03,000 --> 00:00:04,\d{3}\nChị Lan: good <b>morning</b> & welcome\n\n"
        r"3\n00:00:06,000 --> 00:00:06,\d{3}\nChị Lan: thanks\n\n",
        text("srt"),
    )


def test_webvtt_has_voices_and_no_markup_of_the_speech() -> None:
    found = text("vtt")
    assert found.startswith("WEBVTT\n\n00:00:01.000 --> ")
    assert "<v Chị Lan>good &lt;b&gt;morning&lt;/b&gt; &amp; welcome</v>\n\n" in found
    hostile = transcript(said("hi", speaker="S1"), names={"S1": "<c>\n-->\n"})
    assert "<v &lt;c&gt; --&gt;>hi</v>" in text("vtt", hostile)


LONG = "so what we are going to do today is look at the figures of the last quarter and then decide together " * 6


@pytest.mark.parametrize("pace", [0.15, 0.4, 1.5])
def test_cues_can_be_read(pace: float) -> None:
    found = list(cues(transcript(said(LONG.strip(), 2.0, pace), said("And one. More here.", 2.0 + pace * 130))))
    assert " ".join(line for cue in found for line in cue.lines).split() == [
        *LONG.split(),
        "And",
        "one.",
        "More",
        "here.",
    ]
    for cue in found:
        assert len(cue.lines) <= LINES
        assert all(len(line) <= LINE for line in cue.lines)
        assert cue.end - cue.start <= LONGEST + 0.8
        assert cue.start <= cue.end
    times = [time for cue in found for time in (cue.start, cue.end)]
    assert times == sorted(times)


def test_cues_of_a_segment_without_words_share_its_time() -> None:
    found = list(cues(Transcript("whisper", segments=[Segment(LONG.strip(), 10.0, 70.0)])))
    assert len(found) > 8
    assert (found[0].start, found[-1].end) == (10.0, 70.0)


def test_verbose_json_is_what_the_sdk_reads() -> None:
    body = json.loads(as_verbose(TALK, words=True)[1])
    parsed = TranscriptionVerbose.model_validate(body)
    assert parsed.segments is not None
    assert parsed.words is not None
    assert [segment.text for segment in parsed.segments][:1] == ["hello there"]
    assert parsed.segments[0].avg_logprob == pytest.approx(-0.693147)
    assert parsed.duration == 12.25
    assert parsed.usage is not None
    assert parsed.usage.seconds == 13


def test_diarized_json_is_what_the_sdk_reads() -> None:
    body = json.loads(text("diarized_json"))
    assert list(body) == ["task", "duration", "text", "segments", "usage"]
    assert list(body["segments"][0]) == ["type", "id", "start", "end", "text", "speaker"]
    parsed = TranscriptionDiarized.model_validate(body)
    assert [segment.speaker for segment in parsed.segments] == ["A", "Chị Lan", "Chị Lan"]
    assert len({segment.id for segment in parsed.segments}) == 3


def test_a_letter_that_is_somebodys_name_is_not_given_again() -> None:
    two = transcript(said("a", speaker="S1"), said("b", 2, speaker="A"), names={"S1": "S1", "A": "A"})
    assert [segment["speaker"] for segment in json.loads(text("diarized_json", two))["segments"]] == ["B", "A"]


def test_log_probabilities_are_those_of_the_words() -> None:
    parsed = Transcription.model_validate(json.loads(as_json(TALK, logprobs=True)[1]))
    assert parsed.logprobs is not None
    assert parsed.languages is not None
    assert [one.token for one in parsed.logprobs][:2] == ["hello", "there"]
    assert parsed.logprobs[0].logprob == pytest.approx(-0.693147)
    assert bytes(map(int, parsed.logprobs[0].bytes or [])) == b"hello"
    assert [language.code for language in parsed.languages] == ["en-US"]


def test_rttm_has_a_line_for_each_turn() -> None:
    lines = text("rttm").splitlines()
    assert lines[0].split()[:6] == ["SPEAKER", "audio", "1", "1.000", "0.720", "<NA>"]
    assert [line.split()[7] for line in lines] == ["S1", "Chị_Lan", "Chị_Lan"]
    assert all(len(line.split()) == 10 for line in lines)


def test_a_table_holds_no_formula() -> None:
    hostile = transcript(said('=HYPERLINK("http://x")', speaker="S1"), said("@sum, -1", 3), names={"S1": "+cmd|calc"})
    rows = list(csv.reader(io.StringIO(text("csv", hostile).removeprefix("\ufeff"))))
    assert rows[0] == ["number", "start", "end", "speaker", "channel", "confidence", "text"]
    assert rows[1] == ["1", "0.000", "0.600", "'+cmd|calc", "0", "0.500", '\'=HYPERLINK("http://x")']
    assert rows[2][-1] == "'@sum, -1"
    assert rows[2][3] == ""


def test_a_document_opens_and_has_every_turn() -> None:
    odd = transcript(said("bell \x07 and \ud800", speaker="S1"), names={"S1": "S1"})
    for of, expected in (
        (TALK, ["0:00:01  S1: hello there", "0:00:03  Chị Lan: good <b>morning</b> & welcome thanks"]),
        (odd, ["0:00:00  S1: bell  and "]),
    ):
        document = docx.Document(io.BytesIO(FORMATS["docx"](of)[1]))
        assert [paragraph.text for paragraph in document.paragraphs][2:] == expected
        assert document.core_properties.title == "Transcript"

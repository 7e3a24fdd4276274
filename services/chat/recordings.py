"""Recordings that people attach: what counts as one, and what is found in its transcript."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from services.chat import inquiries
from services.chat.language import fold
from services.chat.models import PromptMessage, Role
from services.chat.tools import Segment, Speaker, Transcript

# Shorter audio is a question, whoever speaks: two people have hardly said anything to each other by then.
DIALOGUE_SECONDS = 8.0
# Whoever speaks less, in seconds and as a share of all speech, may be a mistake of the model that tells voices apart.
LEAST_SECONDS = 2.0
LEAST_SHARE = 0.2
# From so many characters on, one who goes on speaking begins a new utterance: it is quoted, and found by its time.
UTTERANCE_LENGTH = 400
# More words than anybody searches for at once.
MOST_WORDS = 50
# Shorter words have no other forms.
SHORTEST = 4
# Words that say nothing of what a question is about; folded, English and Vietnamese.
_EMPTY_WORDS = """
    a an the this that these those it its of on in at to for from with by and or but not no is are was were be
    been do does did has have had will would can could should i you he she we they them our your their my me us
    what which who when where why how there here as if so about something anything said say says la va cua cho voi
    cac nhung mot cai nay do kia thi ma co duoc bi da dang se toi ban ho chung ta gi nao khi o trong ve den rang
"""
STOP_WORDS = frozenset(_EMPTY_WORDS.split())


class Utterance(NamedTuple):
    """What somebody said without a break; times in seconds."""

    speaker: str
    start: float
    end: float
    text: str


def is_dialogue(transcript: Transcript) -> bool:
    """Whether at least two people really speak."""
    total = sum(speaker.seconds for speaker in transcript.speakers)
    speaking = [s for s in transcript.speakers if s.seconds >= max(LEAST_SECONDS, LEAST_SHARE * total)]
    return len(speaking) > 1


def latest(messages: Sequence[PromptMessage]) -> Transcript | None:
    """The recording that was attached last, its speakers called as people named them since; None: there is none."""
    for place in range(len(messages) - 1, -1, -1):
        result = messages[place].result
        if result is not None and isinstance(result.output, Transcript) and result.output.recording:
            said = (message.text for message in messages[place:] if message.role is Role.USER)
            return named(result.output, inquiries.names(said))
    return None


def named(transcript: Transcript, given: Mapping[str, str]) -> Transcript:
    """The transcript with names for its speakers, by their ids."""
    speakers = tuple(replace(s, name=given.get(s.id, s.name)) for s in transcript.speakers)
    return replace(transcript, speakers=speakers)


def utterances(transcript: Transcript) -> list[Utterance]:
    """Who said what, in order of time: segments of one speaker that follow each other are one, up to UTTERANCE_LENGTH.

    Without speakers every segment is an utterance.
    """
    found: list[Utterance] = []
    for segment in transcript.segments:
        last = found[-1] if found else None
        going_on = last is not None and segment.speaker and last.speaker == segment.speaker
        if last is not None and going_on and len(last.text) < UTTERANCE_LENGTH:
            found[-1] = last._replace(end=segment.end, text=f"{last.text} {segment.text}")
        else:
            found.append(Utterance(segment.speaker, segment.start, segment.end, segment.text))
    return found


def speaker(transcript: Transcript, wanted: str) -> Speaker | None:
    """The speaker whom people call so: by name, by one word of it, or as S1 or “speaker 1”; None: there is none.

    Args:
        transcript: The recording.
        wanted: What they are called, folded.
    """
    identifier = inquiries.speaker_id(wanted)
    for found in transcript.speakers:
        if found.id == identifier or fold(found.name) == wanted:
            return found
    return next((s for s in transcript.speakers if set(wanted.split()) <= set(fold(s.name).split())), None)


def content(topic: str) -> list[str]:
    """The words of a folded topic that say what it is about, the first MOST_WORDS; all of them where none does."""
    words = list(dict.fromkeys(topic.split()))
    return ([word for word in words if word not in STOP_WORDS] or words)[:MOST_WORDS]


def alike(one: str, other: str) -> bool:
    """Whether two folded words are forms of one: the same, or the longer begins with the shorter, but for endings."""
    short, long = sorted((one, other), key=len)
    return short == long or (len(short) >= SHORTEST and len(long) - len(short) <= 3 and long.startswith(short))


def shared(wanted: Collection[str], text: str) -> int:
    """How many of the folded words are said in a text, in any of their forms."""
    # Words that are alike begin alike: only those have to be compared.
    said: dict[str, list[str]] = {}
    for word in set(fold(text).split()):
        said.setdefault(word[:SHORTEST], []).append(word)
    return sum(any(alike(word, other) for other in said.get(word[:SHORTEST], ())) for word in wanted)


def mentions(transcript: Transcript, topic: str, by: str = "") -> list[Segment]:
    """The segments in which all that a topic is about is said, in order of time; they start where it is said.

    Args:
        transcript: The recording.
        topic: Folded.
        by: Only those of this speaker; empty: of anybody.
    """
    wanted = content(topic)
    return [
        replace(segment, start=_start(segment, wanted))
        for segment in transcript.segments
        if (not by or segment.speaker == by) and shared(wanted, segment.text) == len(wanted)
    ]


def _start(segment: Segment, wanted: Iterable[str]) -> float:
    """When the first of the words is said; when the segment begins where the words have no times."""
    heard = ((word.start, fold(word.text)) for word in segment.words)
    return min((start for start, said in heard if any(alike(w, said) for w in wanted)), default=segment.start)


def clock(seconds: float) -> str:
    """A time as people write it: 0:07, 1:02:30."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def line(transcript: Transcript, utterance: Utterance) -> str:
    """An utterance in one line: `[0:07] Anna: …`."""
    name = next((s.name for s in transcript.speakers if s.id == utterance.speaker), "")
    return (
        f"[{clock(utterance.start)}] {name}: {utterance.text}"
        if name
        else f"[{clock(utterance.start)}] {utterance.text}"
    )

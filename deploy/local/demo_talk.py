"""The demo's conversation of two people: spoken by two voices, told apart and called by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from deploy.local import espeak
from deploy.local.demo_check import DemoFailedError
from parley.asr.v1 import asr_pb2

VOICES = {"Anna": "en-us+f3", "Ben": "en-us"}
TURNS = (
    ("Anna", "good morning how many orders did we get this week"),
    ("Ben", "we got forty two orders and two of them were cancelled"),
    ("Anna", "which products are out of stock"),
    ("Ben", "the lamp and the desk are out of stock"),
)
# Less of what was said, and the words are not those that were spoken.
LEAST_HEARD = 0.8


class Talk(NamedTuple):
    """The recordings: the conversation, and each voice alone."""

    conversation: Path
    voices: dict[str, Path]


def record(folder: Path) -> Talk:
    """Speaks the conversation, and for each voice what it is known by. Raises DemoFailedError."""

    def introduce(name: str) -> Path:
        text = f"my name is {name} and this is what my voice sounds like today"
        return espeak.synthesise(text, folder / f"{name.lower()}.wav", voice=VOICES[name])

    try:
        with ThreadPoolExecutor() as pool:
            talk = pool.submit(espeak.converse, [(VOICES[name], text) for name, text in TURNS], folder / "talk.wav")
            voices = dict(zip(VOICES, pool.map(introduce, VOICES), strict=True))
            return Talk(talk.result(), voices)
    except RuntimeError as error:
        raise DemoFailedError(str(error)) from error


def request(talk: Talk) -> asr_pb2.RecognizeRequest:
    """Asks for the transcript with both names, told what is likely to be said as one tells a small model."""
    known = [asr_pb2.KnownSpeaker(name=name, audio=path.read_bytes()) for name, path in talk.voices.items()]
    config = asr_pb2.RecognitionConfig(
        diarization=asr_pb2.DiarizationConfig(known_speakers=known),
        hints=asr_pb2.RecognitionHints(phrases=[text for _, text in TURNS]),
    )
    return asr_pb2.RecognizeRequest(config=config, audio=talk.conversation.read_bytes())


def check(segments: Iterable[asr_pb2.Segment]) -> str:
    """Says how the transcript was checked. Raises DemoFailedError when a turn is not by whoever spoke it."""
    heard: list[tuple[str, list[str]]] = []
    for segment in segments:
        if heard and heard[-1][0] == segment.speaker:
            heard[-1][1].extend(segment.text.split())
        else:
            heard.append((segment.speaker, segment.text.split()))
    who = [name for name, _ in heard]
    if who != [name for name, _ in TURNS]:
        raise DemoFailedError(f"the turns are said to be by {', '.join(who)}, not by Anna, Ben, Anna, Ben")
    right = sum(_common(words, text.split()) for (_, words), (_, text) in zip(heard, TURNS, strict=True))
    total = sum(len(text.split()) for _, text in TURNS)
    if right < LEAST_HEARD * total:
        raise DemoFailedError(f"only {right} of the {total} words that were spoken are in the transcript")
    return f"{len(TURNS)} turns, each by who spoke it; {right} of {total} words as they were spoken"


def _common(heard: Sequence[str], spoken: Sequence[str]) -> int:
    """How many of the spoken words were heard."""
    return sum((Counter(heard) & Counter(spoken)).values())

"""Who speaks in a live stream: a first guess with every utterance, and a second thought when more was heard.

A voice is hard to tell from one utterance and easy from many. So an utterance is compared with the voices that are
known so far, at once and beside its recognition; and from time to time what was said last is diarized again as a whole,
which is as good as for a recording. Clusters keep the ids of the speakers whose speech they share most, so that ids are
stable, and segments whose speaker turns out to be another are revised.

What is kept is bounded: the audio of the last minutes, a voice for each speaker, an id for each segment.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.asr.align import Turn, align
from services.asr.listen import Utterance
from services.asr.models import RATE, DiarizationHints, Diarized, Engine, Samples, sixteen_bit
from services.asr.speakers import Voices
from services.asr.transcript import Diarization, Segment
from services.mesh.errors import Unavailable

KEPT = 150.0
"""Seconds of speech that are thought about again."""
FIRST_REVIEW = 6.0
"""Seconds of speech before the first second thought, and between two at least."""
GROWTH = 0.3
"""Share by which the kept speech must be new before it is thought about again: the work stays in proportion."""
NEW_VOICE = 1.2
"""Seconds that somebody must speak to be taken for a new speaker at first guess; less tells too little of a voice."""
PATIENCE = 0.15
"""Seconds that a text which is ready waits for its speaker; later, the speaker is revised."""
GAP = RATE // 4
"""Samples of silence between the utterances that are diarized together."""
REMEMBERED = 20_000
"""Segments that can still be revised when two speakers turn out to be one."""


class Revised(NamedTuple):
    """A segment whose speaker is another one now."""

    number: int
    speaker: str


@dataclass(slots=True)
class Spoken:
    """What was said in a segment, as audio."""

    number: int
    speaker: str
    audio: NDArray[np.int16]


class Guess(NamedTuple):
    """Who may speak in an utterance, once the task is done; the first `known` voices are those that were known."""

    known: int
    task: asyncio.Task[Diarized | None]


class LiveSpeakers:
    """The speakers of one live stream.

    Args:
        engine: Tells voices apart.
        model: Id of the diarization model.
        wanted: How many people speak, and who is known.
        turn: Held while much is diarized, so that streams take turns.
        revise: Told about segments whose speaker is another one now.
    """

    def __init__(
        self,
        engine: Engine,
        model: str,
        wanted: Diarization,
        turn: asyncio.Semaphore,
        revise: Callable[[list[Revised]], None],
    ) -> None:
        self._engine, self._model, self._wanted = engine, model, wanted
        self._turn, self._revise = turn, revise
        self._ids: list[str] = []  # of the voices, in order of appearance; the known people first
        self._voices: list[Samples] = []
        self._named = 0  # how many of them are known people
        self._last = ""
        self._kept: deque[Spoken] = deque()
        self._older: dict[int, str] = {}
        self._unseen = 0.0  # seconds of speech since the last second thought
        self._review: asyncio.Task[None] | None = None

    async def meet(self) -> None:
        """Learns the voices of the known people. Raises InvalidArgument, naming the field, for a useless recording."""
        voices = Voices(self._engine, self._model, self._wanted, None, (), ())
        await voices.meet()
        if voices.centroids is not None:
            self._voices = list(voices.centroids)
            self._ids = [speaker.name for speaker in self._wanted.known]
            self._named = len(self._ids)

    def listen(self, utterance: Utterance) -> Guess:
        """Begins to find out who speaks in an utterance."""
        known = np.stack(self._voices) if self._voices else None
        hints = DiarizationHints(max_speakers=self._most)
        return Guess(
            len(self._voices), asyncio.create_task(self._diarized(self._model, utterance.samples, hints, known))
        )

    async def split(self, segment: Segment, utterance: Utterance, guess: Guess) -> tuple[Segment, ...]:
        """The segment with its speaker; in parts, where the speaker changes. Does not wait long for the guess."""
        await asyncio.wait({guess.task}, timeout=PATIENCE)
        found = guess.task.result() if guess.task.done() else None
        if found is None or not found.turns:
            said = tuple(replace(word, speaker=self._last) for word in segment.words)
            return (replace(segment, speaker=self._last, words=said),)
        ids = self._taken_over(found, guess.known)
        turns = [Turn(utterance.start + start, utterance.start + end, ids[who]) for start, end, who in found.turns]
        parts = tuple(part for part in align(segment, turns) if part.text)
        self._last = parts[-1].speaker if parts else self._last
        return parts

    def keep(self, segment: Segment, utterance: Utterance) -> None:
        """Takes note of a final segment that has its number, and thinks again when enough is new."""
        offset = utterance.start
        begin, end = (round((time - offset) * RATE) for time in (segment.start, segment.end))
        audio = sixteen_bit(utterance.samples[max(0, begin) : end])
        self._kept.append(Spoken(segment.number, segment.speaker, audio))
        self._unseen += len(audio) / RATE
        while self._seconds() > KEPT:
            gone = self._kept.popleft()
            self._older[gone.number] = gone.speaker
            if len(self._older) > REMEMBERED:
                del self._older[next(iter(self._older))]
        due = max(FIRST_REVIEW, GROWTH * self._seconds())
        if self._unseen >= due and (self._review is None or self._review.done()):
            self._review = asyncio.create_task(self._reviewed(last=False))

    async def finish(self) -> None:
        """The stream is over: thinks about the speakers a last time."""
        if self._review is not None:
            await self._review
        if self._unseen:
            await self._reviewed(last=True)

    def stop(self) -> None:
        """Stops the work."""
        if self._review is not None:
            self._review.cancel()

    def _seconds(self) -> float:
        return sum(len(spoken.audio) for spoken in self._kept) / RATE

    @property
    def _most(self) -> int:
        return self._wanted.speakers or self._wanted.max_speakers

    async def _diarized(
        self, model: str, samples: Samples, hints: DiarizationHints, known: Samples | None
    ) -> Diarized | None:
        """Who speaks when; None where the model is away: a text needs no speaker, and a later look finds one."""
        try:
            return await self._engine.diarize(model, samples, hints, known)
        except Unavailable:
            return None

    def _taken_over(self, found: Diarized, known: int) -> list[str]:
        """The ids of the voices in an utterance; new ones get their own where they were heard for long enough."""
        ids = self._ids[:known]
        for voice in range(self._named, known):
            if found.seconds[voice]:
                self._voices[voice] = found.centroids[voice]
        for voice in range(known, len(found.centroids)):
            full = self._most and len(self._ids) >= self._most
            if self._ids and (full or found.seconds[voice] < NEW_VOICE):
                ids.append(self._nearest(found.centroids[voice]))
            else:
                ids.append(self._added(found.centroids[voice]))
        return ids

    def _added(self, voice: Samples) -> str:
        numbers = (f"S{number}" for number in range(1, len(self._ids) + 2))
        self._ids.append(next(number for number in numbers if number not in self._ids))
        self._voices.append(voice)
        return self._ids[-1]

    def _nearest(self, voice: Samples) -> str:
        return self._ids[int(np.argmax(np.stack(self._voices) @ voice))]

    async def _reviewed(self, *, last: bool) -> None:
        """Diarizes what is kept as a whole, and revises. Exact numbers of speakers hold for the whole stream only."""
        spoken, self._unseen = list(self._kept), 0.0
        speaking = {one.speaker for one in spoken}
        # The known people, and those who have been silent for so long that nothing of theirs is kept.
        fixed = [place for place, id_ in enumerate(self._ids) if place < self._named or id_ not in speaking]
        known = np.stack([self._voices[place] for place in fixed]) if fixed else None
        hints = DiarizationHints(max_speakers=self._most)
        if last and not self._older:
            hints = DiarizationHints(self._wanted.speakers, self._wanted.min_speakers, self._wanted.max_speakers)
        audio, places = _joined([one.audio for one in spoken])
        async with self._turn:
            found = await self._diarized(self._model, audio, hints, known)
        if found is not None:
            shares = [_shares(found.turns, *place) for place in places]
            names = self._names(spoken, shares, [self._ids[place] for place in fixed], found)
            self._settle(spoken, [names[max(share, key=share.__getitem__)] if share else "" for share in shares])

    def _names(
        self, spoken: Sequence[Spoken], shares: Sequence[dict[int, float]], fixed: Sequence[str], found: Diarized
    ) -> dict[int, str]:
        """The id of each cluster: of the speaker whose speech it shares most, each id once; new ones for the rest."""
        names = dict(enumerate(fixed))
        common: dict[tuple[int, str], float] = {}
        for one, share in zip(spoken, shares, strict=True):
            for cluster, seconds in share.items():
                if one.speaker:
                    common[cluster, one.speaker] = common.get((cluster, one.speaker), 0.0) + seconds
        for cluster, id_ in sorted(common, key=lambda pair: -common[pair]):
            if cluster not in names and id_ not in names.values():
                names[cluster] = id_
                self._voices[self._ids.index(id_)] = found.centroids[cluster]
        for cluster in sorted({cluster for share in shares for cluster in share} - set(names)):
            names[cluster] = self._added(found.centroids[cluster])
        return names

    def _settle(self, spoken: Sequence[Spoken], speakers: Sequence[str]) -> None:
        """Gives segments their speakers, and tells which are others than before."""
        merged: dict[str, Counter[str]] = {}
        revised: list[Revised] = []
        for one, speaker in zip(spoken, speakers, strict=True):
            if not speaker:
                continue
            merged.setdefault(one.speaker, Counter())[speaker] += len(one.audio)
            if speaker != one.speaker:
                one.speaker = speaker
                revised.append(Revised(one.number, speaker))
                if one.number in self._older:
                    self._older[one.number] = speaker
        for number, id_ in self._older.items():
            # Nothing is left of a speaker: what they said long ago goes the same way.
            if id_ in merged and id_ not in merged[id_]:
                self._older[number] = merged[id_].most_common(1)[0][0]
                revised.append(Revised(number, self._older[number]))
        if revised:
            self._revise(sorted(set(revised)))


def _joined(parts: Sequence[NDArray[np.int16]]) -> tuple[Samples, list[tuple[float, float]]]:
    """The parts with gaps between them, and where each begins and ends, in seconds."""
    pieces: list[NDArray[np.int16]] = []
    places, length = [], 0
    for part in parts:
        places.append((length / RATE, (length + len(part)) / RATE))
        pieces += [part, np.zeros(GAP, np.int16)]
        length += len(part) + GAP
    return np.concatenate(pieces).astype(np.float32) / 32768, places


def _shares(turns: Sequence[tuple[float, float, int]], begin: float, end: float) -> dict[int, float]:
    """How many seconds each speaks between two times."""
    shares: dict[int, float] = {}
    for start, stop, speaker in turns:
        if (share := min(end, stop) - max(begin, start)) > 0:
            shares[speaker] = shares.get(speaker, 0.0) + share
    return shares

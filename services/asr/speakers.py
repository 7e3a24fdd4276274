"""Who speaks in a recording, chunk by chunk: voices are known again by their centroids.

Memory stays flat however long the audio is: a chunk is diarized alone, told the voices of those before it. Voices get
the speakers' ids S1, S2 … in the order in which they appear in segments; known people have their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import numpy as np

from services.asr.decode import decode
from services.asr.errors import AudioTooLong, InvalidAudio
from services.asr.models import DiarizationHints, Diarized, Engine, Integers, Samples
from services.asr.transcript import Diarization, KnownSpeaker, Speaker

LONGEST_REFERENCE = 60.0
"""Seconds of a known speaker's recording, at most."""
SHORTEST_REFERENCE = 0.5
"""Seconds of speech that a known speaker's recording must have."""


class Voices:
    """The voices of a recording.

    Args:
        engine: Tells voices apart.
        model: Id of the diarization model.
        wanted: How many people speak, and who is known.
        centroids: Of the voices that are known already, [k, d]; None where none is.
        labels: The speakers' ids of voices.
        heard: The voices that have spoken.
    """

    def __init__(
        self,
        engine: Engine,
        model: str,
        wanted: Diarization,
        centroids: Samples | None,
        labels: Iterable[tuple[int, str]],
        heard: Iterable[int],
    ) -> None:
        self._engine, self._model, self._wanted = engine, model, wanted
        self.centroids = centroids
        self.labels = dict(labels)
        self.heard = frozenset(heard)

    async def meet(self) -> None:
        """Learns the voices of the known people. Raises InvalidArgument, naming the field, for a useless recording."""
        if self.centroids is None and self._wanted.known:
            found = await asyncio.gather(*(self._embedded(*known) for known in enumerate(self._wanted.known)))
            self.centroids = np.stack(found)

    async def _embedded(self, place: int, known: KnownSpeaker) -> Samples:
        field = f"config.diarization.known_speakers[{place}].audio"
        try:
            pieces = await asyncio.to_thread(lambda: list(decode(known.audio, LONGEST_REFERENCE)))
        except InvalidAudio as error:
            raise InvalidAudio(error.description, field) from error
        except AudioTooLong as error:
            raise AudioTooLong(error.seconds, field) from error
        samples = np.concatenate(pieces).reshape(-1)
        found = await self._engine.diarize(self._model, samples, DiarizationHints(speakers=1), None)
        if not found.seconds or found.seconds[0] < SHORTEST_REFERENCE:
            raise InvalidAudio("no voice can be heard in it; send 2 to 30 seconds of this person speaking", field)
        voice: Samples = found.centroids[0]
        return voice

    async def turns(self, samples: Integers, speech: Samples, start: float) -> list[tuple[float, float, int]]:
        """Who speaks when in the next chunk: start, end (seconds from the beginning of the audio) and voice.

        Args:
            samples: The chunk.
            speech: How likely each of its windows is speech; see Engine.diarize.
            start: Where it begins, in seconds.
        """
        known = 0 if self.centroids is None else len(self.centroids)
        found = await self._engine.diarize(self._model, samples, self._hints(), self.centroids, speech)
        replaced = self._take_over(found, known)
        turns = [(start + begin, start + end, replaced.get(voice, voice)) for begin, end, voice in found.turns]
        self.heard |= {voice for _, _, voice in turns}
        return turns

    def _hints(self) -> DiarizationHints:
        """What the model is told: what the request says for the first chunk with speech, upper bounds for the others.

        Not everybody has to speak in later ones.
        """
        wanted = self._wanted
        if self.heard:
            return DiarizationHints(max_speakers=wanted.speakers or wanted.max_speakers)
        return DiarizationHints(wanted.speakers, wanted.min_speakers, wanted.max_speakers)

    def _take_over(self, found: Diarized, known: int) -> dict[int, int]:
        """Takes over the chunk's voices. New ones that are too many become those that they are nearest to."""
        if not len(found.centroids):
            return {}
        most = self._wanted.speakers or self._wanted.max_speakers
        speaking = self.heard | {voice for voice in range(known) if found.seconds[voice] > 0}
        new = sorted(range(known, len(found.centroids)), key=lambda voice: -found.seconds[voice])
        room = max(0, most - len(speaking)) if most else len(new)
        kept = [*range(known), *sorted(new[:room])]
        self.centroids = found.centroids[kept]
        likeness = found.centroids @ self.centroids.T
        return {
            voice: kept.index(voice) if voice in kept else int(np.argmax(likeness[voice]))
            for voice in range(len(found.centroids))
        }

    def label(self, voice: int) -> str:
        """The speaker's id of a voice, given with its first words."""
        if voice not in self.labels:
            known = self._wanted.known
            taken = {speaker.name for speaker in known} | set(self.labels.values())
            numbers = (f"S{number}" for number in range(1, len(taken) + 2))
            self.labels[voice] = known[voice].name if voice < len(known) else next(n for n in numbers if n not in taken)
        return self.labels[voice]


def counted(speakers: Sequence[Speaker], spoken: Sequence[tuple[str, float]]) -> tuple[Speaker, ...]:
    """The speakers with what more they spoke: ids and seconds; new ones at the end. The empty id is nobody's."""
    seconds = {speaker.id: speaker.seconds for speaker in speakers}
    names = {speaker.id: speaker.display_name for speaker in speakers}
    for speaker, length in spoken:
        if speaker:
            seconds[speaker] = seconds.get(speaker, 0.0) + length
    return tuple(Speaker(id_, names.get(id_, id_), length) for id_, length in seconds.items())

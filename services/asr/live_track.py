"""One channel of a live stream: follows who speaks, and has recognised what is said, while it is said and finally.

An interim result comes from recognising what is being said again, from its beginning. That costs more than a decoder
that goes on from where it was, and buys three things: models stay stateless, so any instance (of any replica) can take
the next step and a restart loses nothing; every model works this way; and an interim result is what the final one would
be if the segment ended there. The last is made use of: with the first tenth of a second of silence, what was said up
to there is recognised at once. If the silence lasts, that result is final, and was ready before the silence was long
enough; if not, it was one more interim result.

Where a model can follow speech (follower.py) all this is not needed: it goes on from where it was, and a result costs
what is new. A model that cannot, that has no room for one more, or was restarted meanwhile, is asked as said above.

So that the cost does not grow with the square of a segment's length, a part of it that was recognised up to a pause and
is long enough is settled: later results begin behind it. Not with hints: a phrase that is torn is no phrase any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import NamedTuple

from services.asr.endpoint import EndpointOptions
from services.asr.follower import Follower
from services.asr.listen import Listener, Utterance
from services.asr.live_speakers import Guess
from services.asr.models import RATE, Samples
from services.asr.recognise import Recogniser
from services.asr.sessions import Sessions
from services.asr.transcript import Config, Segment

BLOCK = RATE // 10
"""Samples that are listened to at a time: after each, it is seen what follows."""
FIRST_INTERIM = 0.4
"""Seconds of speech before the first interim result."""
NEXT_INTERIM = 0.2
"""Seconds of audio that must be new before what is said is recognised again."""
SETTLING = 0.1
"""Seconds of silence after which what was said is recognised, for in case that this was all."""
SETTLED = 3.0
"""Seconds of speech up to a pause that need not be recognised again when it goes on."""


@dataclass(slots=True, eq=False)
class Draft:
    """A segment that is being spoken."""

    start: float
    tail: float
    """Where what is not settled begins, in seconds."""
    settled: list[Segment] = field(default_factory=list)
    reading: Reading | None = None
    follower: Follower | None = None
    guess: tuple[float, Guess] | None = None
    """Who speaks, up to the silence that began at a time."""
    shown: tuple[str, ...] = ()
    """The words of the last interim result."""
    number: int = 0
    """The segment's number, given with its first result."""


class Reading(NamedTuple):
    """What was said up to a time is being recognised."""

    task: asyncio.Task[Segment]
    upto: float
    quiet: float | None
    """Since when it was quiet; None where somebody spoke on."""


class Began(NamedTuple):
    """Speech began, at seconds from the beginning of the audio."""

    time: float


class Ended(NamedTuple):
    """Speech ended, at seconds from the beginning of the audio."""

    time: float


class Shown(NamedTuple):
    """What was understood so far."""

    draft: Draft
    segment: Segment
    stability: float
    """Share of its words that the last interim result had at their places."""


class Closed(NamedTuple):
    """A segment is over."""

    draft: Draft
    utterance: Utterance
    result: asyncio.Task[Segment]
    """What is said in it."""
    guess: Guess | None
    """Who speaks; None where nobody asked."""


Heard = Began | Ended | Shown | Closed


class Track:
    """Follows one channel.

    Args:
        recogniser: Recognises.
        model: The id of the model.
        config: How to recognise.
        endpoints: When speech begins and ends.
        interim: Whether interim results are wanted.
        slots: Limits how much is recognised in the whole service that may turn out not to be needed: interim results
            and what may be final. Where all are taken, streams do without.
        tell: Told what was heard.
        sessions: Begins to follow speech; None where the model cannot.
        listen: Begins to find out who speaks in an utterance; None where nobody asked.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        model: str,
        config: Config,
        endpoints: EndpointOptions,
        interim: bool,
        slots: asyncio.Semaphore,
        tell: Callable[[Heard], None],
        sessions: Sessions | None = None,
        listen: Callable[[Utterance], Guess] | None = None,
    ) -> None:
        self._recogniser, self._model, self._config = recogniser, model, config
        self._pad, self._interim, self._slots = endpoints.pad, interim, slots
        self._tell, self._sessions, self._listen = tell, sessions, listen
        self._listener = Listener(recogniser.engine, endpoints)
        self._draft: Draft | None = None
        self._tasks: set[asyncio.Task[Segment]] = set()
        self._whole = bool(config.hints.phrases or config.hints.grammar)

    @property
    def heard(self) -> float:
        """Seconds of audio that were listened to."""
        return self._listener.heard / RATE

    async def feed(self, samples: Samples) -> None:
        """Takes the next samples, at most BLOCK of them."""
        for utterance in await self._listener.feed(samples):
            self._close(utterance)
        spoken = self._listener.open
        if spoken is not None:
            self._follow(self._begun(spoken.start), spoken)
        elif self._draft is not None:  # a click, or music, that was taken for speech
            self._drop(self._draft)
            self._draft = None
            self._tell(Ended(self.heard))

    async def finish(self) -> None:
        """The audio is over."""
        for utterance in await self._listener.finish():
            self._close(utterance)

    async def stop(self) -> None:
        """Stops the work."""
        if self._draft is not None:
            self._drop(self._draft)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begun(self, start: float) -> Draft:
        if self._draft is None:
            draft = self._draft = Draft(start, start)
            if self._sessions is not None:
                draft.follower = Follower(
                    self._sessions, self._model, self._config, start, lambda segment: self._show(draft, segment)
                )
            self._tell(Began(start))
        return self._draft

    def _follow(self, draft: Draft, spoken: Utterance) -> None:
        """Somebody speaks, or has paused: recognises what is new when it is time."""
        quiet = self._listener.quiet
        if quiet is not None and self.heard - quiet >= SETTLING:
            self._guess(draft, _cut(spoken, draft.start, quiet + SETTLING), quiet)
        if draft.follower is not None and not draft.follower.failed:
            draft.follower.take(spoken)
        else:
            self._reread(draft, spoken, quiet)

    def _guess(self, draft: Draft, utterance: Utterance, quiet: float) -> None:
        """Begins to find out who speaks, for in case that this was all, unless that was done in this silence."""
        if self._listen is not None and (draft.guess is None or draft.guess[0] != quiet):
            self._forget(draft)
            draft.guess = quiet, self._listen(utterance)

    def _reread(self, draft: Draft, spoken: Utterance, quiet: float | None) -> None:
        """Recognises what is said again, from where nothing is settled."""
        reading = draft.reading
        if quiet is not None:
            news = reading is None or reading.quiet != quiet
            if news and self.heard - quiet >= SETTLING and not self._slots.locked():
                self._read(draft, _cut(spoken, draft.start, quiet + SETTLING), quiet)
            return
        if reading is not None and reading.quiet is not None and reading.task.done():
            self._settle(draft, reading)
        new = spoken.end - (draft.tail if reading is None else reading.upto)
        wanted = FIRST_INTERIM if reading is None and not draft.settled else NEXT_INTERIM
        free = (reading is None or reading.task.done()) and not self._slots.locked()
        if self._interim and new >= wanted and free:
            self._read(draft, spoken, None)

    def _settle(self, draft: Draft, reading: Reading) -> None:
        """It goes on after a pause: what was recognised up to there stays, where it is long enough to stand alone."""
        failed = reading.task.cancelled() or reading.task.exception()
        if not failed and not self._whole and reading.upto - draft.tail >= SETTLED:
            draft.settled.append(reading.task.result())
            draft.tail = reading.upto

    def _read(self, draft: Draft, spoken: Utterance, quiet: float | None) -> None:
        if draft.reading is not None:
            draft.reading.task.cancel()
        task = self._run(self._recognised(_cut(spoken, draft.tail, spoken.end), limited=True))
        draft.reading = Reading(task, spoken.end, quiet)
        task.add_done_callback(lambda done: self._read_out(draft, done))

    def _read_out(self, draft: Draft, done: asyncio.Task[Segment]) -> None:
        """An interim result is there. What failed in it is not lost: the final one of the segment meets it again."""
        if not done.cancelled() and done.exception() is None:
            self._show(draft, joined(draft, done.result()))

    def _show(self, draft: Draft, segment: Segment) -> None:
        words = tuple(word.text for word in segment.words)
        if self._draft is draft and self._interim and segment.text and words != draft.shown:
            stayed = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(words, draft.shown, strict=False)))
            draft.shown = words
            self._tell(Shown(draft, segment, stayed / max(1, len(words))))

    def _close(self, utterance: Utterance) -> None:
        draft = self._begun(utterance.start)
        self._draft = None
        self._tell(Ended(utterance.end))
        task = self._run(self._finished(draft, utterance))
        guess = None
        if self._listen is not None:
            if draft.guess is None or not self._was_all(draft.guess[0], utterance):
                self._forget(draft)
                draft.guess = utterance.end, self._listen(utterance)
            guess = draft.guess[1]
        self._tell(Closed(draft, utterance, task, guess))

    async def _finished(self, draft: Draft, utterance: Utterance) -> Segment:
        """What is said in the segment that is over."""
        if draft.follower is not None:
            segment = await draft.follower.finish(Utterance(utterance.samples.copy(), utterance.start))
            if segment is not None:
                return segment
        reading = draft.reading
        if reading is not None and reading.quiet is not None and self._was_all(reading.quiet, utterance):
            return joined(draft, await reading.task)
        if reading is not None:
            reading.task.cancel()
        return joined(draft, await self._recognised(_cut(utterance, draft.tail, utterance.end), limited=False))

    def _was_all(self, quiet: float, utterance: Utterance) -> bool:
        """Whether an utterance ended with the silence that began at `quiet`: nothing was said after that."""
        return abs(utterance.end - self._pad - quiet) < 1e-3

    async def _recognised(self, utterance: Utterance, *, limited: bool) -> Segment:
        if not len(utterance.samples):
            return Segment("", utterance.start, utterance.end)
        if not limited:
            return await self._recogniser.recognise(self._model, utterance, self._config)
        async with self._slots:
            return await self._recogniser.recognise(self._model, utterance, self._config)

    def _run(self, work: Coroutine[None, None, Segment]) -> asyncio.Task[Segment]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Segment]) -> None:
        self._tasks.discard(task)
        # Looked at, so that asyncio does not complain of what nobody waits for.
        _ = task.cancelled() or task.exception()

    def _drop(self, draft: Draft) -> None:
        if draft.reading is not None:
            draft.reading.task.cancel()
        if draft.follower is not None:
            draft.follower.stop()
        self._forget(draft)

    @staticmethod
    def _forget(draft: Draft) -> None:
        if draft.guess is not None:
            draft.guess[1].task.cancel()


def _cut(utterance: Utterance, start: float, end: float) -> Utterance:
    """A copy of the part of an utterance between two times, in seconds from the beginning of the audio."""
    first = max(0, round((start - utterance.start) * RATE))
    last = max(first, round((end - utterance.start) * RATE))
    # What the listener keeps is cut and thrown away while this is worked on.
    return Utterance(utterance.samples[first:last].copy(), utterance.start + first / RATE)


def joined(draft: Draft, rest: Segment) -> Segment:
    """The settled parts of a segment and the rest, as one."""
    if not draft.settled:
        return replace(rest, start=draft.start)
    parts = [*draft.settled, rest]
    languages = [part.language for part in parts if part.language]
    return replace(
        rest,
        text=" ".join(part.text for part in parts if part.text),
        start=draft.start,
        words=tuple(word for part in parts for word in part.words),
        language=max(dict.fromkeys(languages), key=languages.count) if languages else "",
        alternatives=(),
        choices=tuple(choice for part in parts for choice in part.choices),
    )

"""Follows one segment of live speech with a model that goes on from where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from services.asr import profanity
from services.asr.listen import Utterance
from services.asr.models import RATE, Heard, Samples, hints_tensor
from services.asr.sessions import Sessions
from services.asr.tidy import tidy
from services.asr.transcript import Config, Segment
from services.mesh.errors import InvalidArgument, ParleyError

FIRST = RATE * 2 // 5
"""Samples before the model is asked for the first time: less holds no word."""


class Follower:
    """Follows one segment.

    The samples that come while the model works wait, and go to it together: a model that is slow for a while gets
    larger pieces, not a growing backlog.

    Args:
        sessions: Begins to follow.
        model: Id of the model.
        config: How to recognise.
        start: Where the segment begins, in seconds.
        show: Told what was said so far.
    """

    def __init__(
        self, sessions: Sessions, model: str, config: Config, start: float, show: Callable[[Segment], None]
    ) -> None:
        self._sessions, self._model, self._config = sessions, model, config
        self._start, self._show = start, show
        self._waiting: list[Samples] = []
        self._taken = 0
        self._over = False
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._follow())

    @property
    def upto(self) -> float:
        """The end of what was taken so far, in seconds."""
        return self._start + self._taken / RATE

    @property
    def failed(self) -> bool:
        """Whether the model does not follow any more."""
        return self._task.done() and (self._task.cancelled() or self._task.result() is None)

    def take(self, spoken: Utterance) -> None:
        """Takes what is new of the segment."""
        rest = spoken.samples[self._taken :]
        if len(rest):
            self._waiting.append(rest.copy())
            self._taken += len(rest)
            if self._taken >= FIRST:
                self._news.set()

    async def finish(self, utterance: Utterance) -> Segment | None:
        """What was said in the segment, which is over; None where the model could not follow to the end."""
        self.take(utterance)
        self._over = True
        self._news.set()
        heard = await self._task
        return None if heard is None else self._segment(heard, utterance.end)

    def stop(self) -> None:
        """Stops following."""
        self._task.cancel()

    async def _follow(self) -> Heard | None:
        """What was said in the end; None where the model cannot follow. Raises InvalidArgument for hints it refuses."""
        try:
            async with self._sessions.begin(self._model, hints_tensor(self._config.hints)) as session:
                while True:
                    await self._news.wait()
                    self._news.clear()
                    # The end may come with nothing new: then 10 ms of silence carry it.
                    samples = np.concatenate(self._waiting or [np.zeros(RATE // 100, np.float32)])
                    upto, last = self.upto, self._over
                    self._waiting.clear()
                    heard = await session.hear(samples, last=last)
                    if heard is None or last:
                        return heard
                    self._show(self._segment(heard, upto))
        except InvalidArgument:
            raise
        except ParleyError:
            return None

    def _segment(self, heard: Heard, end: float) -> Segment:
        segment = tidy(heard, self._start, end)
        return profanity.filtered(segment) if self._config.profanity_filter else segment

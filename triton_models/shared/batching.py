"""Gathers requests that wait for a model, so that it answers them together.

When the model is free it takes what is there, one request or many: the more there is to do the larger the batches get.
Nobody waits for company, unless a model asks for it: where an answer takes seconds, some milliseconds of waiting for
those who come at the same time are well spent. Who waited that long while the model was busy need not wait again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from triton_models.shared.wire import Failure, Outcome, Tensors


class Job(NamedTuple):
    """A request that waits."""

    inputs: Tensors
    cancelled: Callable[[], bool]
    """Whether its caller gave up."""
    answer: Callable[[Outcome], None]
    """Called once, with what became of it."""
    part: Callable[[Tensors], None] = lambda _tensors: None
    """Takes what is said to it before the answer."""
    kind: Hashable = None
    """Only jobs of the same kind are answered together."""


Run = Callable[[Sequence[Job]], Sequence[Outcome]]
"""Answers jobs together, one outcome for each; raises nothing."""


class Batcher:
    """A queue before a model, and the thread that empties it: the oldest job comes next, with others of its kind.

    Args:
        run: The model.
        size: How many jobs it takes together at most.
        waiting: How many may wait; those beyond are refused.
        gather: Seconds that the first one waits for others at most, counted from when it came.
        clock: Says what time it is, in seconds.
    """

    def __init__(
        self, run: Run, size: int, waiting: int, gather: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run, self._size, self._most, self._gather, self._clock = run, size, waiting, gather, clock
        # Each with the time until which it waits for others.
        self._jobs: deque[tuple[Job, float]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Takes a job; one too many is answered at once with a failure of kind `busy`."""
        with self._changed:
            full = self._closed or len(self._jobs) >= self._most
            if not full:
                self._jobs.append((job, self._clock() + self._gather))
                self._changed.notify()
        if full:
            job.answer(Failure("busy", "too many requests wait for this model; try again shortly"))

    def close(self) -> None:
        """Waits for the jobs that run, answers those that wait with a failure, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            for job, outcome in zip(batch, self._run(batch), strict=True):
                job.answer(outcome)
        for job, _patient in self._jobs:
            job.answer(Failure("busy", "the model is being restarted or unloaded"))

    def _next(self) -> list[Job]:
        """The jobs that come next, as soon as there are some; none when the batcher is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                patience = self._jobs[0][1] - self._clock() if self._jobs else 0.0
                if patience > 0:
                    self._changed.wait_for(lambda: len(self._jobs) >= self._size or self._closed, patience)
                if self._closed:
                    return []
                kind = self._jobs[0][0].kind
                alike = [number for number, (job, _) in enumerate(self._jobs) if job.kind == kind][: self._size]
                taken = [self._jobs[number][0] for number in alike]
                for number in reversed(alike):
                    del self._jobs[number]
            given_up = [job.cancelled() for job in taken]
            for job, gone in zip(taken, given_up, strict=True):
                if gone:
                    job.answer(Failure("cancelled", ""))
            if batch := [job for job, gone in zip(taken, given_up, strict=True) if not gone]:
                return batch

"""A queue that is fair to those who wait in it: whoever has the fewest jobs running comes next, then who waits longest.

It bounds what runs, what waits in all, and what waits of one owner. Everything happens in one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from services.image.errors import QueueFull

LEAST_WAIT = 1.0
"""Seconds that a caller is told to wait at least when the queue is full."""
REMEMBERED = 10_000
"""Owners whose last turn is remembered."""


@dataclass(eq=False, slots=True)
class Ticket:
    """A place in the queue."""

    owner: str
    seconds: float
    """How long the job is expected to run; 0 where nobody knows."""
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is its turn."""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever its place may have changed; who waits clears it."""


class FairQueue:
    """The queue.

    Args:
        running: How many jobs run at the same time.
        waiting: How many wait in all.
        waiting_each: How many of one owner wait.
    """

    def __init__(self, running: int, waiting: int, waiting_each: int) -> None:
        self._slots, self._limit, self._limit_each = running, waiting, waiting_each
        self._running: list[Ticket] = []
        self._waiting: dict[str, deque[Ticket]] = {}
        self._served: dict[str, int] = {}
        self._clock = itertools.count(1)

    @property
    def running(self) -> int:
        """Jobs that run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return sum(map(len, self._waiting.values()))

    @contextlib.contextmanager
    def place(self, owner: str, seconds: float = 0.0) -> Iterator[Ticket]:
        """A place in the queue for as long as the block runs; wait for `turn` in it before you work.

        Args:
            owner: Whose job it is.
            seconds: How long it is expected to run; 0 where nobody knows.

        Raises:
            QueueFull: Too many wait already.
        """
        ticket = Ticket(owner, seconds)
        self._admit(ticket)
        self._advance()
        try:
            yield ticket
        finally:
            self._remove(ticket)
            self._advance()

    def position(self, ticket: Ticket) -> int:
        """Jobs that are before it, those that run included; 0 once it is its turn."""
        if ticket.turn.is_set():
            return 0
        return len(self._running) + next(place for place, other in enumerate(self._order()) if other is ticket)

    def wait_seconds(self, ticket: Ticket) -> float | None:
        """Seconds until it is its turn, by what the jobs before it are expected to take; None where one is unknown."""
        if ticket.turn.is_set():
            return 0.0
        before = [*self._running, *itertools.takewhile(lambda other: other is not ticket, self._order())]
        return None if any(not other.seconds for other in before) else sum(t.seconds for t in before) / self._slots

    def _admit(self, ticket: Ticket) -> None:
        """Puts a ticket into its owner's line. Raises QueueFull where it would have to wait and may not."""
        free = len(self._running) < self._slots
        mine = len(self._waiting.get(ticket.owner, ()))
        if not free and mine >= self._limit_each:
            raise QueueFull(
                f"{self._limit_each} of your jobs wait already. Wait for one to end, or interrupt one.",
                self._limit_each,
                self._patience(),
            )
        if not free and self.waiting >= self._limit:
            raise QueueFull(f"{self._limit} jobs wait already. Try again later.", self._limit, self._patience())
        self._waiting.setdefault(ticket.owner, deque()).append(ticket)

    def _patience(self) -> float:
        """Seconds after which one of the jobs that run should have ended."""
        return max(LEAST_WAIT, min((ticket.seconds for ticket in self._running), default=0.0))

    def _remove(self, ticket: Ticket) -> None:
        if ticket in self._running:
            self._running.remove(ticket)
        else:
            line = self._waiting[ticket.owner]
            line.remove(ticket)
            if not line:
                del self._waiting[ticket.owner]

    def _advance(self) -> None:
        """Gives free slots away, and tells everybody who still waits that places may have changed."""
        while self._waiting and len(self._running) < self._slots:
            owner = self._next(self._busy(), self._served, self._waiting)
            line = self._waiting[owner]
            ticket = line.popleft()
            if not line:
                del self._waiting[owner]
            self._serve(owner)
            self._running.append(ticket)
            ticket.turn.set()
            ticket.moved.set()
        for line in self._waiting.values():
            for ticket in line:
                ticket.moved.set()

    def _serve(self, owner: str) -> None:
        """Remembers whose turn it was; those of long ago are forgotten."""
        self._served.pop(owner, None)
        self._served[owner] = next(self._clock)
        if len(self._served) > REMEMBERED:
            del self._served[next(iter(self._served))]

    def _busy(self) -> Counter[str]:
        return Counter(ticket.owner for ticket in self._running)

    @staticmethod
    def _next(busy: Mapping[str, int], served: Mapping[str, int], lines: Iterable[str]) -> str:
        """The owner who comes next."""
        return min(lines, key=lambda owner: (busy.get(owner, 0), served.get(owner, 0)))

    def _order(self) -> Iterator[Ticket]:
        """Who waits, in the order in which they will come if the jobs end in the order in which they began."""
        busy, served = self._busy(), self._served.copy()
        lines = {owner: deque(line) for owner, line in self._waiting.items()}
        leaving = deque(ticket.owner for ticket in self._running)
        for moment in itertools.count(next(self._clock)):
            if not lines:
                return
            if leaving:
                busy[leaving.popleft()] -= 1
            owner = self._next(busy, served, lines)
            ticket = lines[owner].popleft()
            if not lines[owner]:
                del lines[owner]
            busy[owner] += 1
            served[owner] = moment
            leaving.append(owner)
            yield ticket

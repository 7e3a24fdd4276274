"""The queue: who comes next, where one stands, how long it takes, and when it is full."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from services.image.errors import QueueFull
from services.image.fair_queue import FairQueue, Ticket


class Line:
    """A queue with tickets that a test can take and give back."""

    def __init__(self, running: int = 1, waiting: int = 100, each: int = 100) -> None:
        self.queue = FairQueue(running, waiting, each)
        self._places: dict[Ticket, ExitStack] = {}

    def take(self, owner: str, seconds: float = 0.0) -> Ticket:
        """A place."""
        stack = ExitStack()
        ticket = stack.enter_context(self.queue.place(owner, seconds))
        self._places[ticket] = stack
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Gives it back."""
        self._places.pop(ticket).close()

    def served(self) -> list[str]:
        """Whose turns come, one after the other, until nobody is left."""
        order = []
        while self._places:
            turn = next(ticket for ticket in self._places if ticket.turn.is_set())
            order.append(turn.owner)
            self.leave(turn)
        return order


def test_owners_take_turns_however_many_jobs_each_has() -> None:
    line = Line()
    for owner in ("ann", "ann", "ann", "ann", "bob", "bob", "eve"):
        line.take(owner)
    assert line.served() == ["ann", "bob", "eve", "ann", "bob", "ann", "ann"]


def test_whoever_has_fewest_running_comes_first() -> None:
    line = Line(running=3)
    running = [line.take("ann") for _ in range(3)]
    waiting = line.take("ann")
    late = line.take("bob")
    line.leave(running[0])
    assert late.turn.is_set()
    assert not waiting.turn.is_set()
    line.leave(running[1])
    assert waiting.turn.is_set()


def test_somebody_who_comes_back_does_not_overtake_who_waits() -> None:
    line = Line()
    first = line.take("ann")
    waits = line.take("bob")
    line.leave(first)
    again = line.take("ann")
    last = line.take("eve")
    line.leave(waits)
    assert [last.turn.is_set(), again.turn.is_set()] == [True, False], "eve has not had a turn yet, ann has"


def test_positions_are_those_in_which_they_come() -> None:
    line = Line()
    tickets = [line.take(owner) for owner in ("ann", "ann", "ann", "bob", "eve", "bob")]
    places = {line.queue.position(ticket): ticket for ticket in tickets}
    assert sorted(places) == [0, 1, 2, 3, 4, 5]
    foretold = [places[position].owner for position in sorted(places)]
    assert foretold == line.served()


def test_places_move_up_when_somebody_leaves() -> None:
    line = Line()
    _running, gone, last = (line.take(owner) for owner in ("ann", "bob", "eve"))
    last.moved.clear()
    assert line.queue.position(last) == 2
    line.leave(gone)
    assert last.moved.is_set()
    assert line.queue.position(last) == 1
    assert line.queue.waiting == 1


def test_the_wait_is_what_those_before_take() -> None:
    line = Line(running=2)
    line.take("ann", 4.0)
    line.take("bob", 6.0)
    third, fourth = line.take("eve", 10.0), line.take("joe", 0.0)
    fifth = line.take("kim", 1.0)
    assert line.queue.wait_seconds(third) == pytest.approx(5.0)
    assert line.queue.wait_seconds(fourth) == pytest.approx(10.0)
    assert line.queue.wait_seconds(fifth) is None, "nobody knows how long the fourth takes"


def test_a_full_queue_says_so_and_when_to_come_again() -> None:
    line = Line(waiting=2, each=1)
    line.take("ann", 7.0)
    line.take("ann")
    with pytest.raises(QueueFull, match="of your jobs wait already") as caught:
        line.take("ann")
    assert (caught.value.metadata, caught.value.retry_after) == ({"limit": "1"}, 7.0)
    line.take("bob")
    with pytest.raises(QueueFull, match="2 jobs wait already"):
        line.take("eve")
    assert line.queue.waiting == 2


def test_a_queue_that_lets_nobody_wait_still_lets_jobs_run() -> None:
    line = Line(waiting=0, each=0)
    first = line.take("ann")
    assert first.turn.is_set()
    with pytest.raises(QueueFull):
        line.take("bob")
    line.leave(first)
    assert line.take("bob").turn.is_set()

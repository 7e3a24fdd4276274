"""Requests that wait are answered together; nobody waits for company, and nobody is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from triton_models.shared.batching import Batcher, Job
from triton_models.shared.wire import Failure, Outcome

WITHIN = 10  # seconds in which what should happen, happens


class Model:
    """Answers when it is let; remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        self.batches.append(len(jobs))
        self.begun.release()
        assert self.let.acquire(timeout=WITHIN)
        return [job.inputs for job in jobs]


class Caller:
    """Puts a job in and waits for its answer."""

    def __init__(
        self, batcher: Batcher, name: bytes = b"", cancelled: Callable[[], bool] = lambda: False, kind: str = ""
    ) -> None:
        self._answered = threading.Event()
        self.outcomes: list[Outcome] = []
        batcher.put(Job({"name": [name]}, cancelled, self._take, kind=kind))

    def _take(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._answered.set()

    def outcome(self) -> Outcome:
        assert self._answered.wait(WITHIN)
        assert len(self.outcomes) == 1
        return self.outcomes[0]


@pytest.fixture
def model() -> Model:
    return Model()


def test_what_waits_is_answered_together_and_each_gets_its_own(model: Model) -> None:
    batcher = Batcher(model.run, size=3, waiting=10)
    callers = [Caller(batcher, b"0")]
    assert model.begun.acquire(timeout=WITHIN)
    callers += [Caller(batcher, str(number).encode()) for number in range(1, 6)]
    for _ in range(3):
        model.let.release()
    assert [caller.outcome() for caller in callers] == [{"name": [str(number).encode()]} for number in range(6)]
    assert model.batches == [1, 3, 2]
    batcher.close()


def test_only_jobs_of_one_kind_come_together_and_the_oldest_is_next(model: Model) -> None:
    batcher = Batcher(model.run, size=4, waiting=10)
    callers = [Caller(batcher, b"first", kind="x")]
    assert model.begun.acquire(timeout=WITHIN)
    callers += [Caller(batcher, kind.encode(), kind=kind) for kind in "abacab"]
    for _ in range(4):
        model.let.release()
    assert [caller.outcome() for caller in callers] == [
        {"name": [name]} for name in (b"first", b"a", b"b", b"a", b"c", b"a", b"b")
    ]
    assert model.batches == [1, 3, 2, 1]
    batcher.close()


def test_the_first_waits_for_others_where_the_model_asks_for_it(model: Model) -> None:
    batcher = Batcher(model.run, size=2, waiting=10, gather=WITHIN)
    callers = [Caller(batcher, b"first"), Caller(batcher, b"second")]
    model.let.release()
    assert [caller.outcome() for caller in callers] == [{"name": [b"first"]}, {"name": [b"second"]}]
    assert model.batches == [2]
    batcher.close()


def test_who_waited_while_the_model_was_busy_does_not_wait_again(model: Model) -> None:
    now = 0.0
    batcher = Batcher(model.run, size=2, waiting=10, gather=WITHIN, clock=lambda: now)
    callers = [Caller(batcher, b"first"), Caller(batcher, b"second")]
    assert model.begun.acquire(timeout=WITHIN)
    callers.append(Caller(batcher, b"third"))
    now = WITHIN + 1.0
    model.let.release()
    assert model.begun.acquire(timeout=WITHIN / 2)
    model.let.release()
    assert callers[2].outcome() == {"name": [b"third"]}
    assert model.batches == [2, 1]
    batcher.close()


def test_one_too_many_is_refused_and_the_others_are_served(model: Model) -> None:
    batcher = Batcher(model.run, size=1, waiting=1)
    running = Caller(batcher, b"running")
    assert model.begun.acquire(timeout=WITHIN)
    waiting, refused = Caller(batcher, b"waiting"), Caller(batcher, b"refused")
    outcome = refused.outcome()
    assert isinstance(outcome, Failure)
    assert outcome.kind == "busy"
    model.let.release()
    model.let.release()
    assert running.outcome() == {"name": [b"running"]}
    assert waiting.outcome() == {"name": [b"waiting"]}
    batcher.close()


def test_who_gave_up_while_waiting_is_not_worked_for(model: Model) -> None:
    batcher = Batcher(model.run, size=4, waiting=10)
    first = Caller(batcher, b"first")
    assert model.begun.acquire(timeout=WITHIN)
    gone = Caller(batcher, b"gone", cancelled=lambda: True)
    last = Caller(batcher, b"last")
    model.let.release()
    model.let.release()
    assert (first.outcome(), last.outcome()) == ({"name": [b"first"]}, {"name": [b"last"]})
    assert gone.outcome() == Failure("cancelled", "")
    assert model.batches == [1, 1]
    batcher.close()


def test_closing_answers_everybody(model: Model) -> None:
    batcher = Batcher(model.run, size=1, waiting=10)
    running, waiting = Caller(batcher, b"running"), Caller(batcher)
    assert model.begun.acquire(timeout=WITHIN)
    model.let.release()
    model.let.release()
    batcher.close()
    late = Caller(batcher)
    assert running.outcome() == {"name": [b"running"]}
    assert waiting.outcome()
    assert isinstance(late.outcome(), Failure)

"""A model in a process of its own: what goes in comes out, and what goes wrong harms nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import missing
from triton_models.repository import TORCH_ENVIRONMENT
from triton_models.shared.wire import Array, Failure, Outcome, Tensors
from triton_models.shared.worker import Worker, WorkerError

TOY = "tests.gpu_models.toy:Toy"


def never() -> bool:
    return False


def said(outcome: Outcome) -> bytes:
    assert not isinstance(outcome, Failure)
    return bytes(outcome["said"][0])


def ask(worker: Worker, *says: str, cancelled: Callable[[], bool] = never) -> list[Outcome]:
    inputs: list[Tensors] = [{"say": [say.encode()]} for say in says]
    return worker.run(inputs, [cancelled] * len(says))


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(TOY, {})
    yield made
    made.close()


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_numbers_keep_type_shape_and_value(worker: Worker, dtype: type) -> None:
    numbers: Array = np.arange(12).reshape(3, 4).astype(dtype)
    (outcome,) = worker.run([{"say": ["xin chào".encode()], "numbers": numbers[:, ::2]}], [never])
    assert not isinstance(outcome, Failure)
    doubled = outcome["doubled"]
    assert isinstance(doubled, np.ndarray)
    assert doubled.dtype == dtype
    assert np.array_equal(doubled, numbers[:, ::2] * 2)
    assert said(outcome).decode() == "xin chào"


def test_an_empty_array_keeps_its_shape(worker: Worker) -> None:
    (outcome,) = ask(worker, "x")
    assert not isinstance(outcome, Failure)
    doubled = outcome["doubled"]
    assert isinstance(doubled, np.ndarray)
    assert doubled.shape == (0, 2)


def test_requests_are_answered_together_and_in_order(worker: Worker) -> None:
    outcomes = ask(worker, "a", "b", "c")
    assert [said(outcome) for outcome in outcomes] == [b"a", b"b", b"c"]
    assert all(outcome["said"][1] == b"3" for outcome in outcomes if not isinstance(outcome, Failure))


def test_one_that_fails_does_not_fail_the_others(worker: Worker) -> None:
    first, failed, invalid, lacking, last = ask(worker, "a", "fail", "nonsense", "lacking", "z")
    assert (said(first), said(last)) == (b"a", b"z")
    assert failed == Failure("error", "the model failed: ZeroDivisionError")
    assert invalid == Failure("invalid", "say: nonsense")
    assert lacking == Failure("unsupported", "it is not here; add it")


def test_what_a_model_says_before_its_answer_reaches_who_asked(worker: Worker) -> None:
    heard: list[tuple[int, bytes]] = []
    inputs: list[Tensors] = [{"say": [say]} for say in (b"count2", b"none", b"count1")]
    outcomes = worker.run(
        inputs, [never] * 3, lambda number, tensors: heard.append((number, bytes(tensors["said"][0])))
    )
    assert heard == [(0, b"0"), (0, b"1"), (2, b"0")]
    assert [said(outcome) for outcome in outcomes] == [b"count2", b"none", b"count1"]


def test_a_lazy_worker_starts_when_it_is_needed_and_says_what_it_is() -> None:
    lazy = Worker(TOY, {"lazy": "true"})
    with pytest.raises(AssertionError):
        _ = lazy.pid
    assert lazy.state == {}
    ask(lazy, "a")
    assert Path(f"/proc/{lazy.pid}").exists()
    assert lazy.state == {"batches": 1}
    with pytest.raises(WorkerError):
        ask(lazy, "die")
    assert lazy.state == {}
    ask(lazy, "b")
    assert lazy.state == {"batches": 1}
    lazy.close()


def test_who_gave_up_is_told_to_the_model_while_it_works(worker: Worker) -> None:
    assert ask(worker, "wait", cancelled=lambda: True) == [Failure("cancelled", "")]
    assert [said(outcome) for outcome in ask(worker, "next")] == [b"next"]


def test_who_gives_up_frees_the_model_at_the_end_of_the_step(worker: Worker) -> None:
    begun: list[bytes] = []
    inputs: list[Tensors] = [{"say": [b"steps"]}]
    # Gives up as soon as the second step has begun.
    (outcome,) = worker.run(
        inputs, [lambda: len(begun) == 2], lambda _number, tensors: begun.append(bytes(tensors["said"][0]))
    )
    assert outcome == Failure("cancelled", "")
    assert begun == [b"0", b"1"]


def test_a_worker_that_died_is_replaced(worker: Worker) -> None:
    before = worker.pid
    with pytest.raises(WorkerError, match="signal 9"):
        ask(worker, "a", "die")
    assert [said(outcome) for outcome in ask(worker, "a")] == [b"a"]
    assert worker.pid != before


def test_why_a_model_does_not_load_is_said() -> None:
    with pytest.raises(WorkerError, match="weights are missing; put them there"):
        Worker(TOY, {"fail": "yes"})


def test_a_closed_worker_is_gone_and_stays_so(worker: Worker) -> None:
    pid = worker.pid
    worker.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(WorkerError):
        ask(worker, "a")


def test_the_worker_may_have_another_numpy() -> None:
    if not (TORCH_ENVIRONMENT / ".installed").exists():
        missing("the environment of the models that need torch (make image-models)")
    worker = Worker(TOY, {}, str(TORCH_ENVIRONMENT))
    numbers = np.arange(6, dtype=np.int16).reshape(2, 3)
    (outcome,) = worker.run([{"say": [b"x"], "numbers": numbers}], [never])
    worker.close()
    assert not isinstance(outcome, Failure)
    assert bytes(outcome["said"][2]).decode().split(".")[0] != np.__version__.split(".")[0]
    assert np.array_equal(outcome["doubled"], numbers * 2)

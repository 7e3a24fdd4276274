"""The worker's side of `worker.py`: loads a model, answers what the stub sends, ends when the stub is gone.

`worker.py` starts it, with the arguments FD MODULE:CLASS PARAMETERS_JSON.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol, runtime_checkable

from triton_models.shared.errors import CancelledError, InputError, UnsupportedError
from triton_models.shared.wire import Array, Packed, Tensors, pack, unpack


class Request(NamedTuple):
    """One of the requests that are answered together."""

    inputs: Mapping[str, Array | list[bytes]]
    """Its tensors, by name."""
    cancelled: Callable[[], bool]
    """Whether its caller gave up; asked between the steps of the work."""
    part: Callable[[Tensors], None] = lambda _tensors: None
    """Says something to the caller before the answer: only callers of decoupled models hear it."""

    def array(self, name: str) -> Array | None:
        """An input of numbers; None where it is absent."""
        found = self.inputs.get(name)
        return None if isinstance(found, list) else found

    def text(self, name: str) -> str:
        """The first element of a BYTES input; empty where it is absent. Raises InputError where it is not UTF-8."""
        found = self.inputs.get(name)
        try:
            return found[0].decode() if isinstance(found, list) and found else ""
        except UnicodeDecodeError:
            raise InputError(f"{name}: not UTF-8") from None


Answer = Tensors | InputError | UnsupportedError | CancelledError
"""What a model says to one request."""


class Model(Protocol):
    """What a worker runs."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        """Loads the model. Raises FileNotFoundError, with a remedy, where its files are not there."""

    def answer(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """Answers requests together, each with its tensors or with an error of its own."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A model that says something about itself; the stub has the latest of it while the model works."""

    def state(self) -> Mapping[str, Any]:
        """What there is to know, as what `pickle` and every release of Python understand; cheap."""
        ...


class Outbox:
    """Says things to the stub, and what the model says about itself whenever that changed.

    Args:
        connection: To the stub.
        model: What works here.
    """

    def __init__(self, connection: Connection, model: Model) -> None:
        self._connection, self._model = connection, model
        self._told: Mapping[str, Any] = {}

    def part(self, number: int, tensors: Tensors) -> None:
        """Says something to the request of this number in the batch."""
        self._tell()
        self._connection.send(("part", number, pack(tensors)))

    def done(self, outcomes: list[tuple[str, Any]]) -> None:
        """Answers the batch."""
        self._tell()
        self._connection.send(("done", outcomes))

    def _tell(self) -> None:
        if isinstance(self._model, Telling) and (state := self._model.state()) != self._told:
            self._told = state
            self._connection.send(("state", state))


class Inbox:
    """Reads what the stub sends in a thread of its own: cancellations arrive while the model works.

    Args:
        connection: To the stub. When that is gone, so is this process, whatever it is doing.
        outbox: Where requests say things before they are answered.
    """

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection, self._outbox = connection, outbox
        self._batches: queue.SimpleQueue[list[Packed]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> list[Request]:
        """The next requests, as soon as there are some."""
        batch = self._batches.get()
        return [
            Request(unpack(packed), self._asker(number), functools.partial(self._outbox.part, number))
            for number, packed in enumerate(batch)
        ]

    def _asker(self, number: int) -> Callable[[], bool]:
        return lambda: number in self._cancelled

    def _read(self) -> None:
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the model may be in the middle of a long call that nobody waits for
            if kind == "cancel":
                self._cancelled.add(value)
            else:
                # One batch at a time: what was cancelled belongs to the one before.
                self._cancelled.clear()
                self._batches.put(value)


def outcomes(model: Model, requests: Sequence[Request]) -> list[tuple[str, Any]]:
    """Answers requests. Where the model fails on all of them together, each is tried alone: only what fails, fails."""
    try:
        return [_packed(answer) for answer in model.answer(requests)]
    except Exception as error:  # noqa: BLE001 -- whatever a model raises, its callers get an answer
        if len(requests) > 1:
            return [outcome for request in requests for outcome in outcomes(model, [request])]
        if isinstance(error, InputError | UnsupportedError | CancelledError):
            return [_packed(error)]
        traceback.print_exc()
        return [("error", f"the model failed: {type(error).__name__}")]


def _packed(answer: Answer) -> tuple[str, Any]:
    if isinstance(answer, InputError):
        return "invalid", str(answer)
    if isinstance(answer, UnsupportedError):
        return "unsupported", str(answer)
    if isinstance(answer, CancelledError):
        return "cancelled", ""
    return "ok", pack(answer)


def main() -> None:
    """Serves until the stub is gone."""
    connection = Connection(int(sys.argv[1]))
    module, _, name = sys.argv[2].partition(":")
    try:
        model = getattr(importlib.import_module(module), name)(json.loads(sys.argv[3]))
    except Exception as error:  # noqa: BLE001 -- whatever it is, the stub tells it to who loads the model
        traceback.print_exc()
        connection.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None
    connection.send("")
    outbox = Outbox(connection, model)
    inbox = Inbox(connection, outbox)
    while True:
        outbox.done(outcomes(model, inbox.next()))


if __name__ == "__main__":
    main()

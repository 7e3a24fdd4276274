"""A model for tests of workers: does what its inputs say."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence

import numpy as np

from triton_models.shared.errors import CancelledError, InputError, UnsupportedError
from triton_models.shared.wire import strings
from triton_models.shared.worker_process import Answer, Request

STEP = 0.3  # seconds that a step of "steps" takes


class Toy:
    """Loads unless it is told to fail."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        if parameters.get("fail"):
            raise FileNotFoundError("weights are missing; put them there")
        self._answered = 0

    def state(self) -> dict[str, int]:
        """How many batches came."""
        return {"batches": self._answered}

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Says what `say` says; see the branches for what else it can be told."""
        self._answered += 1
        return [self._one(request, len(requests)) for request in requests]

    def _one(self, request: Request, together: int) -> Answer:
        say = request.text("say")
        if say == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if say == "fail":
            raise ZeroDivisionError
        if say == "nonsense":
            return InputError("say: nonsense")
        if say == "lacking":
            return UnsupportedError("it is not here; add it")
        if say.startswith("count"):
            for number in range(int(say.removeprefix("count"))):
                request.part({"said": strings([str(number)])})
        if say == "steps":
            for number in range(20):
                if request.cancelled():
                    return CancelledError()
                request.part({"said": strings([str(number)])})
                time.sleep(STEP)
        if say == "wait":
            while not request.cancelled():
                time.sleep(0.01)
            return CancelledError()
        numbers = request.array("numbers")
        doubled = np.zeros((0, 2), np.float32) if numbers is None else numbers * 2
        return {"said": strings([say, str(together), np.__version__]), "doubled": doubled}

"""A Triton model that runs in a worker and answers requests in batches: all that its `model.py` has to say is which.

Requests are taken one by one (no batch dimension: every request has its own shapes) and answered later, by whichever
batch they end up in; Triton's Python backend allows that for ordinary, not decoupled, models too. Callers of a
decoupled model also get what the worker says before its answer (docs/decisions/012-streaming-workers.md).
"""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from triton_models.shared import orphan, tensors
from triton_models.shared.batching import Batcher, Job
from triton_models.shared.wire import Failure, Outcome, Tensors
from triton_models.shared.worker import Worker, WorkerError

WAITING = 512  # requests that may wait; each is some 30 s of audio, a megabyte
# By name: Triton's module has its classes only after the model's was imported.
CODES = {
    "invalid": "INVALID_ARG",
    "cancelled": "CANCELLED",
    "unsupported": "UNSUPPORTED",
    "busy": "UNAVAILABLE",
    "error": "INTERNAL",
}


class HostedModel:
    """Loads a model into a worker and answers Triton's requests with it.

    The parameters of the model's configuration go to the worker as they are, and `name`, the model's own, besides.
    Three of them are looked at here: `environment`, the folder of the worker's virtual environment, `batch`, how many
    requests are answered together, and `gather_milliseconds`, how long the first of them waits for others.

    Args:
        arguments: What Triton gives to `initialize`.
        model: `module:Class` of what the worker runs.
        kind: Only requests of which it says the same are answered together; None: all are of one kind.
        at_once: Answers what the worker need not be asked about; None for what it is to be asked. It gets what the
            worker last said about itself, and may raise InputError.

    Raises:
        WorkerError: the model cannot be loaded; the message says why.
    """

    def __init__(
        self,
        arguments: Mapping[str, str],
        model: str,
        kind: Callable[[Tensors], Hashable] | None = None,
        at_once: Callable[[Tensors, Mapping[str, Any]], Outcome | None] | None = None,
    ) -> None:
        config = json.loads(arguments["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._kind, self._at_once = kind or (lambda _inputs: None), at_once or (lambda _inputs, _state: None)
        parameters = tensors.parameters(arguments)
        orphan.end_with_triton()
        self._worker = Worker(model, parameters, parameters.get("environment", ""))
        gather = float(parameters.get("gather_milliseconds") or 0) / 1000
        self._batcher = Batcher(self._run, int(parameters.get("batch") or 1), WAITING, gather)

    def execute(self, requests: Sequence[Any]) -> None:
        """Takes requests; they are answered when the worker has answered them."""
        for request in requests:
            sender, inputs = request.get_response_sender(), self._read(request)
            if outcome := self._outcome_at_once(inputs):
                _answer(sender, outcome)
            else:
                answer, part = functools.partial(_answer, sender), functools.partial(_part, sender)
                self._batcher.put(Job(inputs, sender.is_cancelled, answer, part, self._kind(inputs)))

    def close(self) -> None:
        """Ends the worker; what it was working on, and what waits, is told so."""
        self._worker.close()
        self._batcher.close()

    def _outcome_at_once(self, inputs: Tensors) -> Outcome | None:
        try:
            return self._at_once(inputs, self._worker.state)
        except tensors.InputError as error:
            return Failure("invalid", str(error))
        except Exception as error:  # noqa: BLE001 -- whatever it raises, who asked gets an answer
            traceback.print_exc()
            return Failure("error", f"the model failed: {type(error).__name__}")

    def _run(self, jobs: Sequence[Job]) -> list[Outcome]:
        try:
            return self._worker.run(
                [job.inputs for job in jobs],
                [job.cancelled for job in jobs],
                lambda number, tensors: jobs[number].part(tensors),
            )
        except WorkerError as error:
            return [Failure("busy", f"the model is being restarted: {error}")] * len(jobs)

    def _read(self, request: Any) -> dict[str, tensors.Array | list[bytes]]:
        """Copies of the inputs: what Triton lends is gone when `execute` returns."""
        found = {name: tensors.array(request, name) for name in self._inputs}
        return {
            name: [bytes(item) for item in value.reshape(-1)] if value.dtype == np.object_ else value.copy()
            for name, value in found.items()
            if value is not None
        }


def _answer(sender: Any, outcome: Outcome) -> None:
    """Sends what became of a request to who asked."""
    if isinstance(outcome, Failure):
        code = getattr(pb_utils.TritonError, CODES[outcome.kind])
        response = pb_utils.InferenceResponse(error=pb_utils.TritonError(outcome.message, code))
    else:
        response = _response(outcome)
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _part(sender: Any, outputs: Tensors) -> None:
    """Sends what is said to a request before its answer."""
    sender.send(_response(outputs))


def _response(outputs: Tensors) -> Any:
    arrays = {name: np.array(v, np.object_) if isinstance(v, list) else v for name, v in outputs.items()}
    return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor(name, value) for name, value in arrays.items()])

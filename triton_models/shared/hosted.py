"""A Triton model that runs in a worker and answers requests in batches: all that its `model.py` has to say is which.

Requests are taken one by one (no batch dimension: every request has its own shapes) and answered later, by whichever
batch they end up in; Triton's Python backend allows that for ordinary, not decoupled, models too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from triton_models.shared import tensors
from triton_models.shared.batching import Batcher, Job
from triton_models.shared.wire import Failure, Outcome
from triton_models.shared.worker import Worker, WorkerError

WAITING = 512  # requests that may wait; each is some 30 s of audio, a megabyte
# By name: Triton's module has its classes only after the model's was imported.
CODES = {"invalid": "INVALID_ARG", "cancelled": "CANCELLED", "busy": "UNAVAILABLE", "error": "INTERNAL"}


class HostedModel:
    """Loads a model into a worker and answers Triton's requests with it.

    The parameters of the model's configuration go to the worker as they are, and `name`, the model's own, besides. Two
    of them are looked at here: `environment`, the folder of the worker's virtual environment, and `batch`, how many
    requests are answered together.

    Args:
        arguments: What Triton gives to `initialize`.
        model: `module:Class` of what the worker runs.

    Raises:
        WorkerError: the model cannot be loaded; the message says why.
    """

    def __init__(self, arguments: Mapping[str, str], model: str) -> None:
        config = json.loads(arguments["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        parameters["name"] = config["name"]
        self._worker = Worker(model, parameters, parameters.get("environment", ""))
        self._batcher = Batcher(self._run, int(parameters.get("batch") or 1), WAITING)

    def execute(self, requests: Sequence[Any]) -> None:
        """Takes requests; they are answered when the worker has answered them."""
        for request in requests:
            sender = request.get_response_sender()
            self._batcher.put(Job(self._read(request), sender.is_cancelled, _answerer(sender)))

    def close(self) -> None:
        """Ends the worker; what it was working on, and what waits, is told so."""
        self._worker.close()
        self._batcher.close()

    def _run(self, jobs: Sequence[Job]) -> list[Outcome]:
        try:
            return self._worker.run([job.inputs for job in jobs], [job.cancelled for job in jobs])
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


def _answerer(sender: Any) -> Any:
    """Sends what became of a request to who asked."""

    def answer(outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            code = getattr(pb_utils.TritonError, CODES[outcome.kind])
            response = pb_utils.InferenceResponse(error=pb_utils.TritonError(outcome.message, code))
        else:
            arrays = {name: np.array(v, np.object_) if isinstance(v, list) else v for name, v in outcome.items()}
            response = pb_utils.InferenceResponse(
                output_tensors=[pb_utils.Tensor(name, value) for name, value in arrays.items()]
            )
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    return answer

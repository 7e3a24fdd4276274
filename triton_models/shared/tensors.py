"""Between Triton's requests and numpy: reading inputs, answering, and the loop that every model's `execute` is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from triton_models.shared.errors import CancelledError as CancelledError  # models know them by this module
from triton_models.shared.errors import InputError as InputError
from triton_models.shared.errors import UnsupportedError
from triton_models.shared.wire import Array as Array
from triton_models.shared.wire import strings as strings

Cancelled = Callable[[], bool]
"""Answers whether the client gave the request up; a model asks between steps of its work."""


def parameters(arguments: Mapping[str, str]) -> dict[str, str]:
    """All parameters of the model's configuration, and `name`, the model's own.

    Args:
        arguments: What Triton gives to `initialize`.
    """
    config = json.loads(arguments["model_config"])
    return {name: value["string_value"] for name, value in config["parameters"].items()} | {"name": config["name"]}


def parameter(arguments: Mapping[str, str], name: str, default: str = "") -> str:
    """A parameter of the model's configuration.

    Args:
        arguments: What Triton gives to `initialize`.
        name: The parameter.
        default: The value where the configuration does not set it, or sets it to nothing.
    """
    declared = json.loads(arguments["model_config"])["parameters"]
    return str(declared.get(name, {}).get("string_value") or default)


def array(request: Any, name: str) -> Array | None:
    """An input as numpy array; None where an optional input is absent."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()


def text(request: Any, name: str) -> bytes:
    """The first element of a BYTES input; empty where it is absent."""
    value = array(request, name)
    return b"" if value is None or value.size == 0 else bytes(value.reshape(-1)[0])


def serve(requests: Sequence[Any], answer: Callable[[Any, Cancelled], Mapping[str, Array]]) -> list[Any]:
    """Answers requests one by one; a request that fails does not fail the others.

    Args:
        requests: What Triton gives to `execute`.
        answer: Makes the outputs of one request. Raises InputError for tensors that make no sense, CancelledError when
            it noticed that the client gave up.
    """
    return [_respond(request, answer) for request in requests]


def _respond(request: Any, answer: Callable[[Any, Cancelled], Mapping[str, Array]]) -> Any:
    cancelled: Cancelled = request.is_cancelled
    code, message = pb_utils.TritonError.CANCELLED, "cancelled"
    try:
        if not cancelled():
            outputs = [pb_utils.Tensor(name, value) for name, value in answer(request, cancelled).items()]
            return pb_utils.InferenceResponse(output_tensors=outputs)
    except CancelledError:
        pass
    except InputError as error:
        code, message = pb_utils.TritonError.INVALID_ARG, str(error)
    except UnsupportedError as error:
        code, message = pb_utils.TritonError.UNSUPPORTED, str(error)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))

"""A client for Triton: KServe's v2 inference protocol over gRPC, with numpy arrays for tensors.

It uses the generated stubs over the mesh's own channel, so deadline, trace and cancellation travel to the model: a
caller that hangs up stops the inference.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.mesh import errors, telemetry
from services.mesh.certificates import Certificates
from services.mesh.channels import channel

Array = NDArray[Any]
Tensor = Array | Sequence[bytes]
"""An input: an array, or byte strings, which become a tensor of shape [n]."""

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
RETRY_AFTER = 2.0
"""Seconds after which a Triton that was restarted should be ready again."""
# What Triton says, with code INTERNAL, when a model's process died; it starts another one.
DEAD_STUB = ("is not healthy", "stub process", "Stub process", "failed to communicate", "is being restarted")
FIELD = re.compile(r"[a-zA-Z]\w*(\.\w+|\[\d+\])*")
BROKEN = "the model failed: "
"""Begins what our models say of a fault of their own (triton_models/shared/worker_process.py)."""


class Statistics(NamedTuple):
    """What Triton counted for a model since it was loaded."""

    requests: int
    """Requests answered."""
    compute_seconds: float
    """Time spent in the model itself, summed over its instances."""
    queue_seconds: float
    """Time that requests waited for an instance."""


class Triton:
    """Infers with the models of one Triton.

    Args:
        target: host:port of its gRPC endpoint.
        certificates: Our own, where it wants one.
    """

    def __init__(self, target: str, certificates: Certificates | None = None) -> None:
        self._channel = channel(target, certificates)
        # The generated stub has no annotations.
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def close(self) -> None:
        """Closes the connection; calls in flight fail."""
        await self._channel.close()

    async def ready(self, model: str, within: float = 5.0) -> bool:
        """Whether a model is loaded and answers; False also while Triton is away."""
        try:
            answer = await self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=within)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.ready)

    async def live(self) -> None:
        """Raises Unavailable when the server does not answer, whatever it has loaded."""
        try:
            await self._stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=5.0)
        except grpc.aio.AioRpcError as error:
            raise _translated("", error) from error

    async def check(self, models: Sequence[str]) -> None:
        """Raises Unavailable, naming it, when one of `models` is not ready."""
        for model in models:
            if not await self.ready(model):
                raise errors.Unavailable(f"The model {model!r} is not ready.", retry_after=RETRY_AFTER)

    async def infer(self, model: str, inputs: Mapping[str, Tensor], *, within: float | None = None) -> dict[str, Array]:
        """Runs a model once and returns its outputs; BYTES tensors come as arrays of bytes objects.

        Args:
            model: Its name.
            inputs: By name.
            within: Seconds it may take; the deadline of the call being served holds besides.

        Raises:
            Unavailable: Triton is away, or the model's process died; worth a retry.
            NotFound: Triton has no such model loaded.
            InvalidArgument: the model cannot work with these inputs.
            Unsupported: the model lacks what that needs; it says what.
            DeadlineExceeded, Cancelled: as the names say.
        """
        try:
            with telemetry.span("triton.infer", model=model):
                return _outputs(await self._stub.ModelInfer(request(model, inputs), timeout=within))
        except grpc.aio.AioRpcError as error:
            raise _translated(model, error) from error

    async def stream(
        self, model: str, inputs: Mapping[str, Tensor], *, within: float | None = None
    ) -> AsyncGenerator[dict[str, Array], None]:
        """Runs a decoupled model and yields each of its responses. Raises what `infer` does."""

        async def requests() -> AsyncIterator[service_pb2.ModelInferRequest]:
            asked = request(model, inputs)
            asked.parameters["triton_enable_empty_final_response"].bool_param = True
            yield asked

        with telemetry.span("triton.stream", model=model):
            # Not with `triton_grpc_error`, by which errors would have codes: Triton dies of the response after one.
            call = self._stub.ModelStreamInfer(requests(), timeout=within)
            try:
                async for part in call:
                    if part.error_message:
                        raise _inference_error(model, part.error_message)
                    answer = part.infer_response
                    if answer.outputs:
                        yield _outputs(answer)
                    if answer.parameters["triton_final_response"].bool_param:
                        return
            except grpc.aio.AioRpcError as error:
                raise _translated(model, error) from error
            finally:
                call.cancel()

    @contextlib.asynccontextmanager
    async def sequence(self, model: str) -> AsyncIterator[Sequel]:
        """A sequence of requests to a model that goes on from where it was: they reach one instance, in their order.

        Leaving the block before the last request gives it up; the model finds out by itself.

        Args:
            model: Its name; one with sequence batching.
        """
        # One stream: however many servers there are behind the address, one of them gets all of it.
        call = self._stub.ModelStreamInfer()
        try:
            yield Sequel(model, call)
        finally:
            call.cancel()

    async def statistics(self, model: str) -> Statistics:
        """What Triton counted for a model. Raises what `infer` does."""
        try:
            answer = await self._stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model))
        except grpc.aio.AioRpcError as error:
            raise _translated(model, error) from error
        counted = answer.model_stats[0].inference_stats
        return Statistics(counted.success.count, counted.compute_infer.ns / 1e9, counted.queue.ns / 1e9)


class Sequel:
    """A sequence of requests: see `Triton.sequence`.

    Args:
        model: The model.
        call: The stream to it.
    """

    def __init__(self, model: str, call: Any) -> None:
        self._model, self._call = model, call
        self._id = random.getrandbits(63) | 1
        self._begun = False

    async def infer(self, inputs: Mapping[str, Tensor], *, last: bool) -> dict[str, Array]:
        """The outputs for the next request of the sequence. Raises what `Triton.infer` does.

        Args:
            inputs: By name.
            last: Whether the sequence ends with it.
        """
        asked = request(self._model, inputs)
        asked.parameters["sequence_id"].int64_param = self._id
        asked.parameters["sequence_start"].bool_param = not self._begun
        asked.parameters["sequence_end"].bool_param = last
        self._begun = True
        try:
            await self._call.write(asked)
            answer = await self._call.read()
            if answer is grpc.aio.EOF:
                raise errors.Unavailable("The model server ended the sequence.", retry_after=RETRY_AFTER)
        except grpc.aio.AioRpcError as error:
            raise _translated(self._model, error) from error
        except asyncio.InvalidStateError as error:  # the stream is over: the server went away between two requests
            raise errors.Unavailable("The model server ended the sequence.", retry_after=RETRY_AFTER) from error
        if answer.error_message:
            raise _inference_error(self._model, answer.error_message)
        return _outputs(answer.infer_response)


def request(model: str, inputs: Mapping[str, Tensor]) -> service_pb2.ModelInferRequest:
    """The request that runs a model on tensors. Raises TypeError for an array of a type that the protocol lacks."""
    asked = service_pb2.ModelInferRequest(model_name=model)
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            if value.dtype not in NAMES:
                raise TypeError(f"{name}: tensors of {value.dtype} cannot be sent")
            asked.inputs.add(name=name, datatype=NAMES[value.dtype], shape=value.shape)
            asked.raw_input_contents.append(np.ascontiguousarray(value).tobytes())
        else:
            asked.inputs.add(name=name, datatype="BYTES", shape=[len(value)])
            asked.raw_input_contents.append(b"".join(struct.pack("<I", len(item)) + item for item in value))
    return asked


def _outputs(answer: service_pb2.ModelInferResponse) -> dict[str, Array]:
    pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
    return {output.name: _array(output, raw) for output, raw in pairs}


def _array(output: Any, raw: bytes) -> Array:
    if output.datatype != "BYTES":
        return np.frombuffer(raw, DTYPES[output.datatype]).reshape(output.shape)
    items, position = [], 0
    while position < len(raw):
        (length,) = struct.unpack_from("<I", raw, position)
        items.append(raw[position + 4 : position + 4 + length])
        position += 4 + length
    return np.array(items, dtype=np.object_).reshape(output.shape)


def _translated(model: str, error: grpc.aio.AioRpcError) -> Exception:
    """The domain error for what a call said; where nothing fits, one that makes it INTERNAL."""
    message = error.details() or ""
    match error.code():
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.NOT_FOUND if "unknown model" in message:
            return errors.NotFound(f"models/{model}", f"The model {model!r} is not loaded.")
        case grpc.StatusCode.UNAVAILABLE:
            return errors.Unavailable("The model server cannot be reached. Try again shortly.", retry_after=RETRY_AFTER)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded("The deadline passed before the model answered.")
        case grpc.StatusCode.CANCELLED:
            return errors.Cancelled("The inference was cancelled.")
        case grpc.StatusCode.INVALID_ARGUMENT:
            return _invalid(message)
        case grpc.StatusCode.UNIMPLEMENTED:
            return errors.Unsupported(message)
        case grpc.StatusCode.INTERNAL if any(sign in message for sign in DEAD_STUB):
            return errors.Unavailable(f"The model {model!r} is being restarted.", retry_after=RETRY_AFTER)
    # Not as it is: what Triton says may hold a model's stack trace, which belongs into the log alone.
    return RuntimeError(f"Triton, {model}: {error.code().name}: {message}")


def _inference_error(model: str, message: str) -> Exception:
    """The domain error for an error inside a stream, which has no code."""
    if any(sign in message for sign in DEAD_STUB):
        return errors.Unavailable(f"The model {model!r} is being restarted.", retry_after=RETRY_AFTER)
    if "unknown model" in message:
        return errors.NotFound(f"models/{model}", f"The model {model!r} is not loaded.")
    if message.startswith(BROKEN):
        return RuntimeError(f"Triton, {model}: {message}")
    return _invalid(message)


def _invalid(message: str) -> errors.InvalidArgument:
    """The error for inputs that a model refuses: our models say `field: what is wrong`."""
    field, _, description = message.rpartition("\n")[2].partition(": ")
    if description and FIELD.fullmatch(field):
        return errors.InvalidArgument(field, description)
    return errors.InvalidArgument("inputs", message)

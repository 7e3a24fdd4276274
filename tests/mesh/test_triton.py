"""The Triton client: tensors without a server, streams from a small model; tests/asr drives the rest."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from deploy.local.triton import TritonMissingError
from services.mesh import errors, triton
from tests.asr.stack import RealTriton
from tests.conftest import free_port

COUNTER = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            upto = int(pb_utils.get_input_tensor_by_name(request, "upto").as_numpy()[0])
            for number in range(abs(upto)):
                tensor = pb_utils.Tensor("number", np.array([number], np.int32))
                sender.send(pb_utils.InferenceResponse([tensor]))
            if upto < 0:
                error = pb_utils.TritonError("upto: must not be negative")
                sender.send(pb_utils.InferenceResponse(error=error))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
CONFIG = """
name: "counter"
backend: "python"
input [ { name: "upto" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "number" data_type: TYPE_INT32 dims: [ 1 ] } ]
model_transaction_policy { decoupled: true }
"""


@pytest.mark.parametrize("dtype", list(triton.NAMES))
def test_arrays_keep_shape_and_type(dtype: np.dtype[np.generic]) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    asked = triton.request("m", {"x": array})
    answer = service_pb2.ModelInferResponse(raw_output_contents=asked.raw_input_contents)
    answer.outputs.add(name="x", datatype=asked.inputs[0].datatype, shape=asked.inputs[0].shape)
    back = triton._outputs(answer)["x"]
    assert back.dtype == dtype
    assert (back == array).all()


def test_byte_strings_keep_their_length() -> None:
    texts = [b"", b"a", "Đà Nẵng".encode(), b"\0" * 300]
    asked = triton.request("m", {"x": texts})
    answer = service_pb2.ModelInferResponse(raw_output_contents=asked.raw_input_contents)
    answer.outputs.add(name="x", datatype="BYTES", shape=[4])
    assert list(triton._outputs(answer)["x"]) == texts


def test_a_type_that_the_protocol_lacks_is_named() -> None:
    with pytest.raises(TypeError, match="x: tensors of complex128"):
        triton.request("m", {"x": np.zeros(1, np.complex128)})


def test_what_a_model_refuses_names_its_field() -> None:
    error = triton._invalid("hints.grammar: not a grammar")
    assert error.violations == (errors.FieldViolation("hints.grammar", "not a grammar"),)


async def test_a_triton_that_is_away_is_unavailable_with_a_retry_hint() -> None:
    client = triton.Triton(f"127.0.0.1:{free_port()}")
    try:
        assert not await client.ready("vad", within=1)
        with pytest.raises(errors.Unavailable) as caught:
            await client.infer("vad", {"samples": np.zeros(512, np.float32)}, within=2)
        assert caught.value.retry_after == triton.RETRY_AFTER
        with pytest.raises(errors.Unavailable, match="'vad' is not ready"):
            await asyncio.wait_for(client.check(["vad"]), 10)
    finally:
        await client.close()


@pytest.fixture
async def counting(tmp_path: Path) -> AsyncIterator[triton.Triton]:
    """A client for a Triton whose one model answers a request with several responses."""
    source, state = tmp_path / "models", tmp_path / "state"
    (source / "counter" / "1").mkdir(parents=True)
    state.mkdir()
    (source / "counter" / "1" / "model.py").write_text(COUNTER)
    (source / "counter" / "config.pbtxt").write_text(CONFIG)
    server = RealTriton(["counter"], state, source=source)
    try:
        server.start()
    except TritonMissingError as error:
        if os.environ.get("PARLEY_TEST_REQUIRE"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    client = triton.Triton(server.target)
    yield client
    await client.close()
    server.stop()


async def numbers(client: triton.Triton, upto: int) -> list[int]:
    """What the model streams."""
    inputs = {"upto": np.array([upto], np.int32)}
    return [int(answer["number"][0]) async for answer in client.stream("counter", inputs, within=20)]


async def test_a_stream_yields_every_response_and_ends(counting: triton.Triton) -> None:
    assert await numbers(counting, 3) == [0, 1, 2]
    assert await numbers(counting, 0) == []
    with pytest.raises(errors.InvalidArgument, match="must not be negative") as caught:
        await numbers(counting, -2)
    assert caught.value.violations[0].field == "upto"
    with pytest.raises(errors.NotFound, match="'nobody' is not loaded"):
        _ = [answer async for answer in counting.stream("nobody", {"upto": np.array([1], np.int32)}, within=20)]


async def test_a_sequence_without_a_server_is_unavailable_and_stays_so() -> None:
    client = triton.Triton(f"127.0.0.1:{free_port()}")
    async with client.sequence("counter") as sequence:
        for _ in range(2):
            with pytest.raises(errors.Unavailable):
                await sequence.infer({"upto": np.zeros(1, np.int32)}, last=False)
    await client.close()

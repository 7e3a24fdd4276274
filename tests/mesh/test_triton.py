"""The Triton client's tensors, without a server; tests/asr drives it against the real one."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from services.mesh import errors, triton
from tests.conftest import free_port


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

"""The engine with a language model that babbles, behind a real server, `transformers serve`: what it can do at worst.

`make image-models` makes the environment that the server needs.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.local import sample_shop
from parley.sql.v1 import sql_pb2
from tests.conftest import ROOT, free_port, missing
from triton_models.repository import TORCH_ENVIRONMENT

QUESTION = "how many customers are in Hanoi?"
REFUSED = {
    (grpc.StatusCode.INVALID_ARGUMENT, "QUESTION_NOT_UNDERSTOOD"),  # nothing that may run
    (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_FAILED"),  # no statement at all
}


class Babbler(NamedTuple):
    """The server, and what it calls its model."""

    url: str
    model: str


@pytest.fixture(scope="module")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Babbler]:
    """Transformers' own server with a random model, in a process of its own."""
    if not (TORCH_ENVIRONMENT / ".installed").exists():
        missing("the environment of the models that need torch (make image-models)")
    folder = tmp_path_factory.mktemp("babbler")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(folder), "HF_HUB_OFFLINE": "1",
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
    binaries, model = TORCH_ENVIRONMENT / "bin", str(folder / "model")
    subprocess.run(
        [str(binaries / "python"), "-m", "tests.sql.random_model", model],
        check=True, cwd=ROOT, env=environment, capture_output=True,
    )  # fmt: skip
    port = free_port()
    command = [
        str(binaries / "transformers"),
        "serve",
        model,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--default-seed", "7"], env=environment, stdout=log, stderr=log)
        try:
            _wait_for(port, server, folder / "log")
            yield Babbler(f"http://127.0.0.1:{port}/v1", model)
        finally:
            server.terminate()
            server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _attempt in range(1200):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the server does not answer: {log.read_text()[-2000:]}")


@pytest.fixture
async def babbling(
    serve: Callable[..., AbstractAsyncContextManager[Any]], babbler: Babbler, tmp_path: Path,
    register: Callable[..., Awaitable[sql_pb2.Database]],
) -> AsyncIterator[Any]:  # fmt: skip
    """A stub of the service with the random model as `random`, and the shop."""
    sample_shop.build(tmp_path / "shop.sqlite")
    provider = {"name": "local", "base_url": babbler.url, "models": [f"random={babbler.model}"], "timeout": 120}
    async with serve(providers=[provider], thinking_seconds=300) as stub:
        await register(stub, "shop", "sqlite:///shop.sqlite")
        yield stub


def question(candidates: int = 1, engine: str = "random") -> sql_pb2.AskRequest:
    thinking = sql_pb2.Thinking(candidates=candidates)
    return sql_pb2.AskRequest(database="databases/shop", question=QUESTION, engine=engine, thinking=thinking)


async def asked(call: Any) -> tuple[list[sql_pb2.AskResponse], tuple[grpc.StatusCode, str], str]:
    """What a call streamed before it was refused, the status with its reason, and what it said."""
    parts: list[sql_pb2.AskResponse] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for part in call:
            parts.append(part)  # noqa: PERF401 — what came before the refusal counts
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # its stubs know the synchronous call only
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    return parts, (caught.value.code(), info.reason.removeprefix("ERROR_REASON_")), status.message


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def works(stub: Any) -> bool:
    """Whether the service still answers, by its other engine."""
    parts = [part async for part in stub.Ask(question(engine="embedded"))]
    return bool(parts) and parts[-1].WhichOneof("part") == "answer"


async def test_nonsense_ends_in_a_refusal_that_says_why(babbling: Any, tmp_path: Path) -> None:
    before = digest(tmp_path / "shop.sqlite")
    for _turn in range(4):
        parts, refused, text = await asked(babbling.Ask(question()))
        assert refused in REFUSED
        assert text.endswith(".")
        assert not [part for part in parts if part.WhichOneof("part") in ("rows", "answer")]
    assert digest(tmp_path / "shop.sqlite") == before
    assert await works(babbling)


async def test_candidates_are_tried_repaired_and_none_is_elected(babbling: Any, tmp_path: Path) -> None:
    before = digest(tmp_path / "shop.sqlite")
    parts, refused, _text = await asked(babbling.Ask(question(candidates=12)))
    steps = [part.step for part in parts if part.WhichOneof("part") == "step"]
    assert refused in REFUSED
    assert {part.WhichOneof("part") for part in parts} <= {"step", "error"}
    failed = [step for step in steps if "fails: " in step.text]
    assert failed, "some of what a model of SQL's words says is taken for a statement"
    assert any("repaired" in step.text for step in failed)
    assert [step.tokens for step in steps] == sorted(step.tokens for step in steps)
    assert digest(tmp_path / "shop.sqlite") == before


async def test_a_deadline_holds_while_the_model_babbles(babbling: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _part in babbling.Ask(question(candidates=16), timeout=0.5):
            pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await works(babbling)


async def test_who_hangs_up_and_who_asks_beside_do_not_disturb_each_other(babbling: Any) -> None:
    gone, kept = babbling.Ask(question(candidates=16)), babbling.Ask(question())
    waiting = asyncio.ensure_future(asked(kept))
    await gone.read()
    gone.cancel()
    _parts, refused, _text = await waiting
    assert refused in REFUSED
    assert gone.cancelled()
    assert await works(babbling)

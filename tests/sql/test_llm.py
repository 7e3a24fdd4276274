"""The engine with a language model, against a scripted OpenAI-compatible server in a process of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.local import sample_shop
from parley.sql.v1 import sql_pb2
from tests.sql.scripted import GOOD, Script, provider


@pytest.fixture
async def llm_stub(
    serve: Callable[..., AbstractAsyncContextManager[Any]], script: Script, tmp_path: Path,
    register: Callable[..., Awaitable[sql_pb2.Database]],
) -> AsyncIterator[Any]:  # fmt: skip
    sample_shop.build(tmp_path / "shop.sqlite")
    async with serve(providers=[provider(script)]) as stub:
        await register(stub, "shop", "sqlite:///shop.sqlite")
        yield stub


async def ask(stub: Any, question: str = "how many customers are there") -> list[Any]:
    request = sql_pb2.AskRequest(database="databases/shop", question=question, engine="tiny")
    return [part async for part in stub.Ask(request)]


async def refusal(stub: Any) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(stub)
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # its stubs know the synchronous call only
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    info.reason = info.reason.removeprefix("ERROR_REASON_")
    return caught.value.code(), info.reason, status.message


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"<think>{{hm}}</think>Here: {GOOD}",
        "```sql\nSELECT count(*) FROM customers\n```",
    ],
)
async def test_it_answers_with_the_models_statement(llm_stub: Any, script: Script, text: str) -> None:
    script.tell(answers=[text])
    parts = await ask(llm_stub)
    assert parts[1].query.engine == "tiny"
    assert parts[-1].answer.text == "There are 400 customers."
    assert script.keys == ["Bearer hunter2"]


async def test_only_the_linked_part_of_the_schema_is_told(llm_stub: Any, script: Script) -> None:
    script.tell(answers=[GOOD])
    await ask(llm_stub, "how many products are in Electronics")
    prompt = script.requests[0]["messages"][0]["content"]
    assert "TABLE products" in prompt
    assert "TABLE categories" in prompt
    assert "TABLE employees" not in prompt


@pytest.mark.parametrize("bad", ["DELETE FROM customers", "SELECT nothing FROM customers"])
async def test_a_refused_statement_gets_one_repair(llm_stub: Any, script: Script, bad: str) -> None:
    script.tell(answers=[json.dumps({"sql": bad}), GOOD])
    parts = await ask(llm_stub)
    assert [part.WhichOneof("part") for part in parts] == ["linked_schema", "query", "columns", "rows", "answer"]
    assert bad in script.requests[1]["messages"][2]["content"]


async def test_a_writing_model_never_reaches_the_database(llm_stub: Any, script: Script) -> None:
    script.tell(answers=[json.dumps({"sql": "DELETE FROM customers"})] * 2)
    assert (await refusal(llm_stub))[1] == "QUESTION_NOT_UNDERSTOOD"
    assert len(script.requests) == 2


async def test_a_model_may_refuse(llm_stub: Any, script: Script) -> None:
    script.tell(answers=['{"sql": "", "explanation": "There is no weather here"}'])
    code, reason, message = await refusal(llm_stub)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "QUESTION_NOT_UNDERSTOOD")
    assert "There is no weather here." in message


@pytest.mark.parametrize("fault", ["garbage", "no statement", "status", "rejected", "slow"])
async def test_a_provider_that_fails_is_named_without_its_words(llm_stub: Any, script: Script, fault: str) -> None:
    script.tell(answers=[fault])
    script.tell(status={"status": 500, "rejected": 400}.get(fault, 200))
    script.tell(delay=10.0 if fault == "slow" else 0.0)
    code, reason, message = await refusal(llm_stub)
    timeout = grpc.StatusCode.DEADLINE_EXCEEDED, "UPSTREAM_TIMEOUT"
    assert (code, reason) == (timeout if fault == "slow" else (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_FAILED"))
    assert "secret" not in message


async def test_a_failing_provider_is_tried_again_then_the_next_one(
    serve: Callable[..., AbstractAsyncContextManager[Any]], script: Script, tmp_path: Path,
    register: Callable[..., Awaitable[sql_pb2.Database]],
) -> None:  # fmt: skip
    sample_shop.build(tmp_path / "shop.sqlite")
    script.tell(answers=["garbage", "garbage", GOOD])
    providers = [provider(script, retries=1), provider(script, "second", models=["tiny=tiny-70b"])]
    async with serve(providers=providers) as stub:
        await register(stub, "shop", "sqlite:///shop.sqlite")
        parts = await ask(stub)
    assert parts[1].query.engine == "tiny"
    assert [request["model"] for request in script.requests] == ["tiny-8b", "tiny-8b", "tiny-70b"]


async def test_alternatives_that_may_not_run_are_left_out(llm_stub: Any, script: Script) -> None:
    others = ["DROP TABLE customers", *(f"SELECT count(*) + {n} FROM customers" for n in range(5))]
    script.tell(answers=[json.dumps({**json.loads(GOOD), "alternatives": [{"sql": sql} for sql in others]})])
    request = sql_pb2.GenerateQueryRequest(database="databases/shop", question="how many customers?", engine="tiny")
    found = (await llm_stub.GenerateQuery(request)).query.alternatives
    assert [alternative.sql for alternative in found] == others[1:4]

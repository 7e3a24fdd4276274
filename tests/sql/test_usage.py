"""What questions and statements cost is counted for who asks: rows that are given out, tokens of language models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.local import sample_shop
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh.context import GRANTS
from tests.mesh.ledger import CALLER, Ledger, ledger
from tests.sql.scripted import GOOD, Script, provider

Connect = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
SHOP = "databases/shop"


@pytest.fixture
async def book() -> AsyncIterator[Ledger]:
    async with ledger() as made:
        yield made


@pytest.fixture
async def stub(connect: Connect, tmp_path: Path, book: Ledger, script: Script) -> AsyncIterator[Any]:
    """The service with the shop and the language model `tiny`, which reports."""
    sample_shop.build(tmp_path / "shop.sqlite")
    async with connect(identity_target=book.target, providers=[provider(script)]) as channel:
        made: Any = sql_pb2_grpc.SqlServiceStub(channel)
        database = sql_pb2.Database(url="sqlite:///shop.sqlite")
        await made.CreateDatabase(sql_pb2.CreateDatabaseRequest(database_id="shop", database=database), metadata=CALLER)
        yield made


def granted(*models: str) -> tuple[tuple[str, str], ...]:
    return (*CALLER, (GRANTS, json.dumps({"databases": {"*": {}}, "models": models})))


async def ask(stub: Any, engine: str = "", metadata: Any = CALLER) -> list[Any]:
    request = sql_pb2.AskRequest(database=SHOP, question="how many customers are there", engine=engine)
    return [part async for part in stub.Ask(request, metadata=metadata)]


async def test_rows_are_counted_as_they_are_given_out(stub: Any, book: Ledger) -> None:
    request = sql_pb2.ExecuteQueryRequest(database=SHOP, sql="SELECT id FROM customers", max_rows=300)
    assert [part async for part in stub.ExecuteQuery(request, metadata=CALLER)]
    export = sql_pb2.ExportQueryRequest(database=SHOP, sql="SELECT id FROM customers", max_rows=50)
    assert [part async for part in stub.ExportQuery(export, metadata=CALLER)]
    await ask(stub)
    await book.until(lambda book: book.of("rows", "sql") == {"": 300 + 50 + 1})
    assert book.of("tokens") == {}


async def test_tokens_of_a_language_model_are_counted_as_it_counts_them(
    stub: Any, book: Ledger, script: Script
) -> None:
    script.tell(answers=['{"sql": "DELETE FROM customers"}', GOOD], usage=70)
    await ask(stub, "tiny")
    await book.until(lambda book: book.of("tokens", "sql") == {"tiny": 140})


async def test_a_language_model_needs_a_grant_as_it_does_in_a_chat(stub: Any, script: Script) -> None:
    script.tell(answers=[GOOD])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(stub, "tiny", granted("other"))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "models/tiny" in (refused.value.details() or "")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(stub, "none", granted("other"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "tiny" not in (refused.value.details() or "")
    assert not script.requests
    assert (await ask(stub, "", granted()))[-1].answer.text, "the embedded engine is everybody's"
    assert (await ask(stub, "tiny", granted("tiny")))[-1].answer.text

"""What callers used and did reaches the identity service: once, soon, and not in the way of anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from parley.chat.v1 import chat_pb2
from parley.sql.v1 import knowledge_pb2, sql_pb2
from services.mesh import reporter, usage
from services.mesh.acts import Act, names_of
from services.mesh.errors import InvalidArgument, Unavailable
from services.mesh.reporter import Reporter
from services.mesh.settings import ReportingSettings
from services.mesh.usage import Payer, Tab, Unit
from tests.conftest import free_port
from tests.mesh.ledger import KEY, SUBJECT, Ledger, ledger

ANN = Payer(SUBJECT, KEY)


@asynccontextmanager
async def reporting(target: str) -> AsyncIterator[Reporter]:
    """A reporter of the chat service, not started: `flush` sends."""
    made = Reporter("chat", ReportingSettings(identity_target=target))
    try:
        yield made
    finally:
        await made.close()


def act(method: str = "parley.chat.v1.ChatService/DeleteConversation") -> Act:
    return Act(ANN, method, "conversations/1", 0, "192.0.2.7", "r-1", datetime.now(UTC))


def dropped(kind: str) -> float:
    return REGISTRY.get_sample_value("parley_reports_dropped_total", {"kind": kind}) or 0.0


@pytest.fixture
async def book() -> AsyncIterator[Ledger]:
    async with ledger() as made:
        yield made


async def test_what_is_of_one_kind_is_one_record(book: Ledger) -> None:
    async with reporting(book.target) as sender:
        for _ in range(1000):
            sender.used(ANN, Unit.TOKENS, 2, "m")
        sender.used(ANN, Unit.TOKENS, 5, "other")
        sender.used(Payer("default/bob"), Unit.ROWS, 7, "")
        assert await sender.flush()
    assert len(book.batches) == 1
    assert dict(book.amounts) == {
        (SUBJECT, KEY, "chat", "m", "tokens"): 2000,
        (SUBJECT, KEY, "chat", "other", "tokens"): 5,
        ("default/bob", "", "chat", "", "rows"): 7,
    }


async def test_a_batch_whose_answer_was_lost_is_counted_once(book: Ledger) -> None:
    book.forgets = 2
    async with reporting(book.target) as sender:
        sender.used(ANN, Unit.TOKENS, 3, "m")
        sender.acted(act())
        while not await sender.flush():
            pass
    assert book.of("tokens") == {"m": 3}
    assert len(book.acts) == 1
    assert len(book.batches) == 4, "two of them came twice or thrice"


async def test_it_waits_for_an_identity_service_that_is_away() -> None:
    port = free_port()
    async with reporting(f"127.0.0.1:{port}") as sender:
        for number in range(3):
            sender.used(ANN, Unit.TOKENS, 1, f"m{number}")
            assert not await sender.flush()
        async with ledger(f"127.0.0.1:{port}") as book:
            sender.start()
            await book.until(lambda book: len(book.amounts) == 3)
            assert book.of("tokens") == {"m0": 1, "m1": 1, "m2": 1}


async def test_what_was_used_last_is_sent_before_the_service_ends(book: Ledger) -> None:
    book.faults = [Unavailable("in a moment")] * 3
    async with reporting(book.target) as sender:
        sender.start()
        sender.used(ANN, Unit.TOKENS, 3, "m")
    assert book.of("tokens") == {"m": 3}


async def test_what_cannot_wait_any_more_is_counted_as_lost(monkeypatch: pytest.MonkeyPatch, book: Ledger) -> None:
    monkeypatch.setattr(reporter, "MOST", 10)
    before = dropped("usage"), dropped("act")
    async with reporting(book.target) as sender:
        for number in range(15):
            sender.used(ANN, Unit.TOKENS, 1, f"m{number}")
        sender.used(ANN, Unit.TOKENS, 1, "m0")
        sender.acted(act())
        await sender.flush()
        sender.used(ANN, Unit.TOKENS, 1, "later")
        await sender.flush()
    assert (dropped("usage") - before[0], dropped("act") - before[1]) == (5, 1)
    assert book.of("tokens") == {"m0": 2, "later": 1, **{f"m{number}": 1 for number in range(1, 10)}}


async def test_what_identity_refuses_does_not_hold_up_the_rest(book: Ledger) -> None:
    before = dropped("usage")
    book.faults = [InvalidArgument("records", "one is wrong")]
    async with reporting(book.target) as sender:
        sender.used(ANN, Unit.TOKENS, 1, "m")
        sender.acted(act())
        assert await sender.flush()
    assert dropped("usage") - before == 1
    assert [one.resource for one in book.acts] == ["conversations/1"]


async def test_an_identity_that_never_comes_back_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "LAST_SECONDS", 0.2)
    before = dropped("usage"), dropped("act")
    async with reporting(f"127.0.0.1:{free_port()}") as sender:
        sender.used(ANN, Unit.TOKENS, 1, "m")
        sender.acted(act())
    assert (dropped("usage") - before[0], dropped("act") - before[1]) == (1, 1)


@pytest.mark.parametrize("subject", ["", "ann", "a/" + "b" * 200])
def test_who_is_nobody_that_identity_knows_pays_nothing(subject: str) -> None:
    assert usage.payer(subject) is None


async def test_work_after_a_call_is_written_down_where_it_is_told(book: Ledger) -> None:
    async with reporting(book.target) as sender:
        usage.add(Unit.ROWS, 1)
        with usage.charged(Tab(sender, ANN)):
            usage.add(Unit.ROWS, 10)
            await asyncio.create_task(_later())
            usage.add(Unit.ROWS, 0)
        usage.add(Unit.ROWS, 1)
        await sender.flush()
    assert book.of("rows") == {"": 15}


async def _later() -> None:
    usage.add(Unit.ROWS, 5)


@pytest.mark.parametrize(
    ("method", "message", "name"),
    [
        ("sql.v1.SqlService/DeleteDatabase", sql_pb2.DeleteDatabaseRequest(name="databases/a"), "databases/a"),
        ("sql.v1.SqlService/ExecuteQuery", sql_pb2.ExecuteQueryRequest(database="databases/a", sql="x"), "databases/a"),
        ("sql.v1.SqlService/CreateDatabase", sql_pb2.CreateDatabaseRequest(database_id="a"), "databases/a"),
        (
            "sql.v1.SqlService/CreateDatabase",
            sql_pb2.CreateDatabaseResponse(database=sql_pb2.Database(name="databases/a")),
            "databases/a",
        ),
        (
            "sql.v1.KnowledgeService/UpdateExample",
            knowledge_pb2.UpdateExampleRequest(example=knowledge_pb2.Example(name="databases/a/examples/1")),
            "databases/a/examples/1",
        ),
        (
            "chat.v1.ChatService/UpdateConversation",
            chat_pb2.UpdateConversationRequest(conversation=chat_pb2.Conversation(name="conversations/1")),
            "conversations/1",
        ),
        ("sql.v1.SqlService/ExecuteQuery", sql_pb2.ExecuteQueryRequest(database="d" * 500), "d" * 300),
        ("sql.v1.SqlService/Ask", sql_pb2.AskRequest(question="secret"), ""),
    ],
)
def test_the_resource_of_an_act_is_found_by_name(method: str, message: object, name: str) -> None:
    names = names_of(f"/parley.{method}")
    assert names is not None
    assert names(message) == name


@pytest.mark.parametrize("method", ["/parley.sql.v1.SqlService/ListDatabases", "/grpc.health.v1.Health/Check", "/a/b"])
def test_other_methods_are_not_audited(method: str) -> None:
    assert names_of(method) is None

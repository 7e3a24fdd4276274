"""Questions with several readings are asked back, those without an answer say what was not understood."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from parley.sql.v1 import sql_pb2
from services.mesh.settings import load
from services.sql.settings import SqlSettings


async def ask(stub: Any, question: str, **more: Any) -> list[Any]:
    request = sql_pb2.AskRequest(database="databases/shop", question=question, **more)
    return [part async for part in stub.Ask(request)]


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("list the cities", "Which of these do you mean?", "Shows city of"),
        ("who is in London?", "Which of these do you mean?", "London"),
        ("liệt kê các thành phố", "Bạn muốn hỏi điều nào?", "Hiển thị thành phố của"),
    ],
)
async def test_two_readings_are_asked_back_in_the_questions_language(
    shop_stub: Any, question: str, text: str, words: str
) -> None:
    (part,) = await ask(shop_stub, question)
    back = part.clarification
    assert back.text == text
    assert len(back.choices) >= 2
    assert all(words in choice.text for choice in back.choices)
    tables = {choice.sql.partition(" FROM ")[2].split()[0] for choice in back.choices}
    assert {"customers", "employees"} <= tables
    likely = [choice.confidence for choice in back.choices]
    assert likely == sorted(likely, reverse=True)
    assert likely[-1] > 0.5 * likely[0]


async def test_a_choice_can_be_run(shop_stub: Any) -> None:
    (part,) = await ask(shop_stub, "list the cities")
    for choice in part.clarification.choices:
        request = sql_pb2.ExecuteQueryRequest(database="databases/shop", sql=choice.sql)
        parts = [found async for found in shop_stub.ExecuteQuery(request)]
        assert parts[-1].summary.row_count > 0


async def test_a_guess_is_answered(shop_stub: Any) -> None:
    parts = await ask(shop_stub, "list the cities", guess=True)
    assert parts[-1].WhichOneof("part") == "answer"
    assert next(p for p in parts if p.WhichOneof("part") == "query").query.alternatives


async def test_a_named_table_leaves_nothing_to_ask_back(shop_stub: Any) -> None:
    parts = await ask(shop_stub, "list the cities of the employees")
    assert parts[-1].WhichOneof("part") == "answer"


async def test_what_was_asked_back_is_in_the_history(connect: Any, tmp_path: Any, register: Any) -> None:
    from deploy.local import sample_shop
    from parley.sql.v1 import knowledge_pb2, knowledge_pb2_grpc, sql_pb2_grpc

    sample_shop.build(tmp_path / "shop.sqlite")
    async with connect() as channel:
        stub = sql_pb2_grpc.SqlServiceStub(channel)
        await register(stub, "shop", "sqlite:///shop.sqlite")
        await ask(stub, "list the cities")
        knowledge = knowledge_pb2_grpc.KnowledgeServiceStub(channel)
        listed = await knowledge.ListQueries(knowledge_pb2.ListQueriesRequest(database="databases/shop"))
    assert [query.outcome for query in listed.queries] == [knowledge_pb2.QUERY_OUTCOME_ASKED_BACK]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("how many rabbits are there", ["rabbits", "tables are"]),
        ("how many custamars are there", ["custamars", "Did you mean customers"]),
        ("có bao nhiêu con thỏ", ["thỏ", "Các bảng là"]),
    ],
)
async def test_what_found_no_home_is_named_with_what_is_spelt_like_it(
    shop_stub: Any, question: str, said: list[str]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(shop_stub, question)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert all(part in (caught.value.details() or "") for part in said)


async def test_below_the_deployments_threshold_nothing_is_answered_but_a_guess(
    serve: Any, tmp_path: Any, register: Any
) -> None:
    from deploy.local import sample_shop

    sample_shop.build(tmp_path / "shop.sqlite")
    async with serve(answer_confidence=0.999, clear_confidence=0) as stub:
        await register(stub, "shop", "sqlite:///shop.sqlite")
        with pytest.raises(grpc.aio.AioRpcError, match="not be sure enough"):
            await ask(stub, "how many customers are in Hanoi?")
        parts = await ask(stub, "how many customers are in Hanoi?", guess=True)
    assert parts[-1].WhichOneof("part") == "answer"


async def test_an_unsure_answer_is_asked_back_rather_than_refused_where_there_is_something_to_ask(
    serve: Any, tmp_path: Any, register: Any
) -> None:
    from deploy.local import sample_shop

    sample_shop.build(tmp_path / "shop.sqlite")
    async with serve(answer_confidence=0.999, clear_confidence=1) as stub:
        await register(stub, "shop", "sqlite:///shop.sqlite")
        (part,) = await ask(stub, "list the cities")
        with pytest.raises(grpc.aio.AioRpcError, match="not be sure enough"):
            await ask(stub, "how many customers are in Hanoi?")
    assert len(part.clarification.choices) >= 2


@pytest.mark.parametrize(("clear", "enough"), [("0.5", "0.5"), ("0.9", "0.8"), ("0", "0.8"), ("0.5", "0")])
def test_what_is_answered_in_any_case_lies_above_what_is_refused(
    monkeypatch: pytest.MonkeyPatch, clear: str, enough: str
) -> None:
    monkeypatch.setenv("PARLEY_SQL_CLEAR_CONFIDENCE", clear)
    monkeypatch.setenv("PARLEY_SQL_ANSWER_CONFIDENCE", enough)
    found = load(SqlSettings, [])
    assert (found.clear_confidence, found.answer_confidence) == (float(clear), float(enough))


def test_settings_that_contradict_each_other_are_both_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_SQL_ANSWER_CONFIDENCE", "0.8")
    with pytest.raises(SystemExit):
        load(SqlSettings, [])
    said = capsys.readouterr().err
    assert "clear_confidence: 0.5" in said
    assert "answer_confidence, 0.8" in said

"""The knowledge base over the real service: feedback, examples, history, suggestions."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.local import sample_shop
from parley.sql.v1 import knowledge_pb2 as kb
from parley.sql.v1 import knowledge_pb2_grpc, sql_pb2, sql_pb2_grpc
from tests.sql.conftest import Connect

SHOP = "databases/shop"
QUESTION = "Who are our whales?"
SQL = "SELECT name FROM customers WHERE country = 'Vietnam' ORDER BY id LIMIT 3"
OTHER = "SELECT name FROM customers WHERE country = 'Japan' ORDER BY id LIMIT 3"
RIGHT, WRONG = kb.VERDICT_RIGHT, kb.VERDICT_WRONG


class Stubs(NamedTuple):
    """Stubs of both services over one channel."""

    sql: sql_pb2_grpc.SqlServiceAsyncStub
    knowledge: knowledge_pb2_grpc.KnowledgeServiceAsyncStub

    async def query(self, question: str, person: str = "") -> sql_pb2.GeneratedQuery:
        """The query for a question to the shop."""
        request = sql_pb2.GenerateQueryRequest(database=SHOP, question=question)
        return (await self.sql.GenerateQuery(request, metadata=identity(person))).query

    async def feedback(self, verdict: kb.Verdict, person: str = "", **fields: str) -> kb.Example:
        """The example that a verdict makes."""
        request = kb.SubmitFeedbackRequest(database=SHOP, verdict=verdict, **fields)
        return (await self.knowledge.SubmitFeedback(request, metadata=identity(person))).example

    async def examples(self) -> list[kb.Example]:
        """All examples of the shop."""
        return list((await self.knowledge.ListExamples(kb.ListExamplesRequest(database=SHOP))).examples)

    async def lines(self, *rows: dict[str, str]) -> kb.ImportExamplesResponse:
        """What an import of rows gives."""
        text = "\n".join(json.dumps(row) for row in rows)
        return await self.knowledge.ImportExamples(kb.ImportExamplesRequest(database=SHOP, jsonl=text))


def identity(person: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a person's calls, as the gateway sets it."""
    return (("x-parley-identity-subject", person),) if person else ()


@pytest.fixture
async def stubs(
    connect: Connect, tmp_path: Path, register: Callable[..., Awaitable[sql_pb2.Database]]
) -> AsyncIterator[Stubs]:
    sample_shop.build(tmp_path / "shop.sqlite")
    async with connect(check_seconds=0) as channel:
        found = Stubs(sql_pb2_grpc.SqlServiceStub(channel), knowledge_pb2_grpc.KnowledgeServiceStub(channel))
        await register(found.sql, "shop", "sqlite:///shop.sqlite")
        yield found


async def refused(call: Awaitable[object], code: grpc.StatusCode) -> set[str]:
    """The fields that a refusal names."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is code, caught.value.details()
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # an AioRpcError has what it asks for
    found = set()
    for detail in status.details if status is not None else ():
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found |= {violation.field for violation in bad.field_violations}
    return found


async def test_a_correction_is_the_answer_from_the_next_question_on(stubs: Stubs) -> None:
    await refused(stubs.query(QUESTION), grpc.StatusCode.INVALID_ARGUMENT)
    made = await stubs.feedback(WRONG, question=QUESTION, corrected_sql=SQL)
    assert made.state == kb.REVIEW_STATE_PROPOSED
    again = await stubs.query(QUESTION)
    assert again.sql == SQL
    assert list(again.examples) == [made.name]
    assert again.confidence > 0.9
    other = await stubs.query("who are our whales")
    assert other.sql == SQL
    [example] = await stubs.examples()
    assert example.use_count == 2


async def test_a_paraphrase_and_another_value_follow_the_example(stubs: Stubs) -> None:
    await stubs.feedback(
        WRONG,
        question="Who bought the most in Hanoi?",
        corrected_sql="SELECT c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.city = 'Hanoi' "
        "GROUP BY c.id ORDER BY count(*) DESC LIMIT 1",
    )
    found = await stubs.query("Who bought the most in Da Nang?")
    assert "'Da Nang'" in found.sql
    assert "'Hanoi'" not in found.sql
    assert "COUNT(*) DESC" in found.sql.upper()
    paraphrase = await stubs.query("Who has bought the most in Hanoi so far?")
    assert "'Hanoi'" in paraphrase.sql
    assert "COUNT(*) DESC" in paraphrase.sql.upper()


async def test_a_thumbs_up_makes_an_example_of_the_query_it_is_about(stubs: Stubs) -> None:
    query = await stubs.query("How many customers are there?")
    assert query.name.startswith(f"{SHOP}/queries/")
    made = await stubs.feedback(RIGHT, query=query.name)
    assert (made.question, made.sql) == ("How many customers are there?", query.sql)
    [asked] = (await stubs.knowledge.ListQueries(kb.ListQueriesRequest(database=SHOP))).queries
    assert asked.verdict == RIGHT


async def test_a_wrong_statement_is_not_given_again(stubs: Stubs) -> None:
    question = "How many customers are in Hanoi?"
    first = await stubs.query(question)
    await stubs.feedback(WRONG, query=first.name)
    try:
        second = await stubs.query(question)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "judged wrong" in (error.details() or "")
    else:
        assert second.sql != first.sql
    assert (await stubs.query("How many customers are in Da Nang?")).sql


async def test_a_statement_judged_wrong_and_then_right_is_given_again(stubs: Stubs) -> None:
    question = "How many customers are in Hanoi?"
    first = await stubs.query(question)
    await stubs.feedback(WRONG, query=first.name)
    await stubs.feedback(RIGHT, query=first.name)
    assert (await stubs.query(question)).sql == first.sql


async def test_the_majority_decides_and_the_last_one_breaks_a_tie(stubs: Stubs) -> None:
    await stubs.feedback(RIGHT, "ann", question=QUESTION, sql=SQL)
    await stubs.feedback(WRONG, "ben", question=QUESTION, sql=SQL)
    assert [example.state for example in await stubs.examples()] == [kb.REVIEW_STATE_REJECTED]
    await refused(stubs.query(QUESTION), grpc.StatusCode.INVALID_ARGUMENT)
    await stubs.feedback(RIGHT, "cho", question=QUESTION, sql=SQL)
    assert (await stubs.query(QUESTION)).sql == SQL
    # A person has one verdict: saying it twice counts once.
    await stubs.feedback(RIGHT, "cho", question=QUESTION, sql=SQL)
    await stubs.feedback(WRONG, "dan", question=QUESTION, sql=SQL)
    await stubs.feedback(WRONG, "eve", question=QUESTION, sql=SQL)
    await refused(stubs.query(QUESTION), grpc.StatusCode.INVALID_ARGUMENT)


async def test_a_review_has_the_last_word(stubs: Stubs) -> None:
    made = await stubs.feedback(RIGHT, question=QUESTION, sql=SQL)
    approve = kb.UpdateExampleRequest(example=kb.Example(name=made.name, state=kb.REVIEW_STATE_APPROVED))
    assert (await stubs.knowledge.UpdateExample(approve)).example.state == kb.REVIEW_STATE_APPROVED
    await stubs.feedback(WRONG, "ben", question=QUESTION, sql=SQL)
    await stubs.feedback(WRONG, "cho", question=QUESTION, sql=SQL)
    assert (await stubs.query(QUESTION)).sql == SQL


async def test_an_approved_example_beats_a_proposed_one_and_a_rejected_one_is_not_used(stubs: Stubs) -> None:
    example = kb.Example(question=QUESTION, sql=SQL)
    approved = (await stubs.knowledge.CreateExample(kb.CreateExampleRequest(database=SHOP, example=example))).example
    assert approved.state == kb.REVIEW_STATE_APPROVED
    await stubs.feedback(RIGHT, question=QUESTION, sql=OTHER)
    assert (await stubs.query(QUESTION)).sql == SQL
    reject = kb.UpdateExampleRequest(example=kb.Example(name=approved.name, state=kb.REVIEW_STATE_REJECTED))
    await stubs.knowledge.UpdateExample(reject)
    assert (await stubs.query(QUESTION)).sql == OTHER


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"question": QUESTION, "corrected_sql": "DELETE FROM customers"}, "corrected_sql"),
        ({"question": QUESTION, "corrected_sql": "SELECT nothing FROM customers"}, "corrected_sql"),
        ({"question": QUESTION, "corrected_sql": "SELECT 1; SELECT 2"}, "corrected_sql"),
        ({"question": QUESTION}, "sql"),
        ({"question": " ?! ", "corrected_sql": SQL}, "question"),
        ({"query": "databases/other/queries/1"}, "query"),
    ],
)
async def test_feedback_that_cannot_be_used_is_refused_by_field(
    stubs: Stubs, fields: dict[str, str], at_fault: str
) -> None:
    assert at_fault in await refused(stubs.feedback(WRONG, **fields), grpc.StatusCode.INVALID_ARGUMENT)
    assert await stubs.examples() == []


async def test_a_right_statement_wants_no_correction(stubs: Stubs) -> None:
    call = stubs.feedback(RIGHT, question=QUESTION, sql=SQL, corrected_sql=OTHER)
    assert "corrected_sql" in await refused(call, grpc.StatusCode.INVALID_ARGUMENT)


async def test_feedback_of_many_at_once_makes_one_example(stubs: Stubs) -> None:
    made = await asyncio.gather(*(stubs.feedback(RIGHT, f"p{n}", question=QUESTION, sql=SQL) for n in range(8)))
    assert len({example.name for example in made}) == 1
    found = await stubs.knowledge.GetStatistics(kb.GetStatisticsRequest(database=SHOP))
    assert (found.right, found.examples, found.proposed) == (8, 1, 1)


async def test_an_example_may_be_changed_and_forgotten(stubs: Stubs) -> None:
    made = await stubs.feedback(RIGHT, question=QUESTION, sql=SQL)
    change = kb.Example(name=made.name, sql=OTHER, comment="they moved")
    changed = (await stubs.knowledge.UpdateExample(kb.UpdateExampleRequest(example=change))).example
    assert (changed.question, changed.sql, changed.comment) == (QUESTION, OTHER, "they moved")
    assert (await stubs.query(QUESTION)).sql == OTHER
    bad = kb.UpdateExampleRequest(example=kb.Example(name=made.name, sql="DROP TABLE customers"))
    assert "example.sql" in await refused(stubs.knowledge.UpdateExample(bad), grpc.StatusCode.INVALID_ARGUMENT)
    await stubs.knowledge.DeleteExample(kb.DeleteExampleRequest(name=made.name))
    again = stubs.knowledge.DeleteExample(kb.DeleteExampleRequest(name=made.name))
    await refused(again, grpc.StatusCode.NOT_FOUND)
    await refused(stubs.query(QUESTION), grpc.StatusCode.INVALID_ARGUMENT)


async def test_an_import_names_the_lines_at_fault_and_keeps_the_others(stubs: Stubs) -> None:
    text = "\n".join(
        [
            json.dumps({"question": QUESTION, "sql": SQL, "state": "proposed", "comment": "Ann's"}),
            "not json",
            json.dumps({"question": "x", "sql": "DROP TABLE customers"}),
            "",
            json.dumps({"question": "y", "sql": "SELECT nothing FROM customers"}),
            json.dumps({"question": 3, "sql": SQL}),
            json.dumps({"question": "z", "sql": SQL, "state": "great"}),
            json.dumps({"question": "How many?", "sql": "SELECT count(*) FROM customers"}),
        ]
    )
    request = kb.ImportExamplesRequest(database=SHOP, jsonl=text)
    found = await stubs.knowledge.ImportExamples(request)
    assert (found.added, found.unchanged) == (2, 0)
    assert [error.line for error in found.errors] == [2, 3, 5, 6, 7]
    assert all(error.message for error in found.errors)
    again = await stubs.knowledge.ImportExamples(request)
    assert (again.added, again.unchanged) == (0, 2)


async def test_what_is_exported_can_be_imported(stubs: Stubs) -> None:
    rows = [{"question": f"câu hỏi {n}", "sql": f"SELECT {n}", "state": "approved"} for n in range(450)]
    assert (await stubs.lines(*rows)).added == 450
    call = stubs.knowledge.ExportExamples(kb.ExportExamplesRequest(database=SHOP))
    pieces = [piece.body async for piece in call]
    assert len(pieces) > 1
    text = b"".join(piece.data for piece in pieces).decode()
    found = [json.loads(line) for line in text.splitlines()]
    assert sorted(found, key=lambda row: int(row["question"].split()[-1])) == rows
    again = await stubs.knowledge.ImportExamples(kb.ImportExamplesRequest(database=SHOP, jsonl=text))
    assert (again.added, again.unchanged, len(again.errors)) == (0, 450, 0)


async def test_examples_come_in_pages_the_newest_first(stubs: Stubs) -> None:
    for number in range(5):
        await stubs.feedback(RIGHT, question=f"question {number}", sql=f"SELECT {number}")
    seen: list[str] = []
    token = ""
    while True:
        request = kb.ListExamplesRequest(database=SHOP, page_size=2, page_token=token)
        page = await stubs.knowledge.ListExamples(request)
        seen += [example.question for example in page.examples]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"question {number}" for number in reversed(range(5))]
    bad = stubs.knowledge.ListExamples(kb.ListExamplesRequest(database=SHOP, page_token="nonsense"))
    assert "page_token" in await refused(bad, grpc.StatusCode.INVALID_ARGUMENT)


async def test_an_example_that_no_longer_fits_the_schema_is_not_used_and_says_so(stubs: Stubs, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as connection:
        connection.execute("CREATE TABLE gadgets (id INTEGER PRIMARY KEY, colour TEXT)")
        connection.execute("INSERT INTO gadgets VALUES (1, 'red')")
    await stubs.sql.RefreshSchema(sql_pb2.RefreshSchemaRequest(name=SHOP))
    await stubs.feedback(RIGHT, question=QUESTION, sql="SELECT colour FROM gadgets")
    assert (await stubs.query(QUESTION)).sql == "SELECT colour FROM gadgets"
    with sqlite3.connect(tmp_path / "shop.sqlite") as connection:
        connection.execute("ALTER TABLE gadgets RENAME COLUMN colour TO paint")
    await stubs.sql.RefreshSchema(sql_pb2.RefreshSchemaRequest(name=SHOP))
    await refused(stubs.query(QUESTION), grpc.StatusCode.INVALID_ARGUMENT)
    [example] = await stubs.examples()
    assert "no longer" in example.comment


async def test_history_is_a_persons_own_and_says_how_questions_ended(stubs: Stubs) -> None:
    await stubs.query("How many products are there?", "ann")
    await refused(stubs.query("Where is the moon?", "ann"), grpc.StatusCode.INVALID_ARGUMENT)
    ask = sql_pb2.AskRequest(database=SHOP, question="How many customers are there?")
    parts = [part async for part in stubs.sql.Ask(ask, metadata=identity("ann"))]
    assert parts[-1].answer.text
    await stubs.query("How many orders are there?", "ben")

    async def asked(person: str) -> list[tuple[str, str]]:
        request = kb.ListQueriesRequest(database=SHOP)
        found = await stubs.knowledge.ListQueries(request, metadata=identity(person))
        return [(query.question, kb.QueryOutcome.Name(query.outcome)[14:]) for query in found.queries]

    assert await asked("ann") == [
        ("How many customers are there?", "ANSWERED"),
        ("Where is the moon?", "REFUSED"),
        ("How many products are there?", "GENERATED"),
    ]
    assert [question for question, _outcome in await asked("ben")] == ["How many orders are there?"]
    assert await asked("") == []
    found = await stubs.knowledge.GetStatistics(kb.GetStatisticsRequest(database=SHOP))
    assert (found.questions, found.answered, found.refused, found.failed) == (4, 3, 1, 0)
    assert "moon" in found.unknown_words


async def test_nobody_judges_the_query_of_another(stubs: Stubs) -> None:
    query = await stubs.query("How many products are there?", "ann")
    await refused(stubs.feedback(RIGHT, "ben", query=query.name), grpc.StatusCode.NOT_FOUND)


async def test_history_may_be_off(
    connect: Connect, tmp_path: Path, register: Callable[..., Awaitable[sql_pb2.Database]]
) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    async with connect(history_days=0) as channel:
        stubs = Stubs(sql_pb2_grpc.SqlServiceStub(channel), knowledge_pb2_grpc.KnowledgeServiceStub(channel))
        await register(stubs.sql, "shop", "sqlite:///shop.sqlite")
        assert (await stubs.query("How many products are there?")).name == ""
        assert not (await stubs.knowledge.ListQueries(kb.ListQueriesRequest(database=SHOP))).queries


async def test_all_goes_with_its_database(stubs: Stubs, register: Callable[..., Awaitable[sql_pb2.Database]]) -> None:
    await stubs.feedback(RIGHT, question=QUESTION, sql=SQL)
    await stubs.query("How many products are there?")
    await stubs.sql.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name=SHOP))
    await refused(stubs.examples(), grpc.StatusCode.NOT_FOUND)
    await register(stubs.sql, "shop", "sqlite:///shop.sqlite")
    assert await stubs.examples() == []
    assert not (await stubs.knowledge.ListQueries(kb.ListQueriesRequest(database=SHOP))).queries


@pytest.mark.parametrize("language", ["en", "vi-VN"])
async def test_suggestions_run_are_of_different_kinds_and_are_understood(stubs: Stubs, language: str) -> None:
    request = kb.SuggestQuestionsRequest(database=SHOP, count=6, language_code=language)
    found = (await stubs.knowledge.SuggestQuestions(request)).suggestions
    assert len(found) == 6
    assert found == (await stubs.knowledge.SuggestQuestions(request)).suggestions
    for suggestion in found:
        said = [rows async for rows in _rows(stubs, suggestion.sql)]
        assert said
        query = await stubs.query(suggestion.question)
        understood = [rows async for rows in _rows(stubs, query.sql)]
        assert sorted(map(str, said)) == sorted(map(str, understood)) or {frozenset(map(str, row)) for row in said} == {
            frozenset(map(str, row)) for row in understood
        }
    openings = {suggestion.question.split(" of ")[0] for suggestion in found}
    assert len(openings) >= 4


async def _rows(stubs: Stubs, sql: str) -> AsyncIterator[list[object]]:
    async for part in stubs.sql.ExecuteQuery(sql_pb2.ExecuteQueryRequest(database=SHOP, sql=sql)):
        for row in part.rows.rows:
            yield list(row)


async def test_all_of_it_is_kept_in_postgresql_too(
    connect: Connect, tmp_path: Path, postgres: str, register: Callable[..., Awaitable[sql_pb2.Database]]
) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    async with connect(database_url=postgres) as channel:
        stubs = Stubs(sql_pb2_grpc.SqlServiceStub(channel), knowledge_pb2_grpc.KnowledgeServiceStub(channel))
        await register(stubs.sql, "shop", "sqlite:///shop.sqlite")
        made = await asyncio.gather(*(stubs.feedback(RIGHT, f"p{n}", question=QUESTION, sql=SQL) for n in range(8)))
        assert len({example.name for example in made}) == 1
        query = await stubs.query(QUESTION, "ann")
        assert query.sql == SQL
        await stubs.feedback(WRONG, "ann", query=query.name)
        assert (await stubs.query(QUESTION)).sql == SQL
        page = await stubs.knowledge.ListExamples(kb.ListExamplesRequest(database=SHOP, page_size=1))
        assert [example.use_count for example in page.examples] == [2]
        found = await stubs.knowledge.GetStatistics(kb.GetStatisticsRequest(database=SHOP))
        assert (found.questions, found.right, found.wrong) == (2, 8, 1)
        await stubs.sql.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name=SHOP))
        await register(stubs.sql, "shop", "sqlite:///shop.sqlite")
        assert await stubs.examples() == []

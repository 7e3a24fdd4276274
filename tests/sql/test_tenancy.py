"""Two organisations on one sql service: each has its own databases, and what is known about them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from deploy.local import sample_shop
from parley.sql.v1 import knowledge_pb2 as kb
from parley.sql.v1 import knowledge_pb2_grpc, sql_pb2, sql_pb2_grpc
from tests.sql.conftest import Connect
from tests.tenants import ANN, BOB, EVE, NOBODY, Metadata, answer, does_not_exist, identity, refused

SHOP = "databases/shop"
QUESTION = "Who are our whales?"
SQL = "SELECT name FROM customers WHERE country = 'Vietnam' ORDER BY id LIMIT 3"


class Stubs(NamedTuple):
    """Stubs of both services over one channel."""

    sql: sql_pb2_grpc.SqlServiceAsyncStub
    knowledge: knowledge_pb2_grpc.KnowledgeServiceAsyncStub

    async def register(self, url: str, person: Metadata, identifier: str = "shop") -> None:
        """Registers a database."""
        request = sql_pb2.CreateDatabaseRequest(database_id=identifier, database=sql_pb2.Database(url=url))
        await self.sql.CreateDatabase(request, metadata=person)

    async def listed(self, person: Metadata, token: str = "") -> sql_pb2.ListDatabasesResponse:
        """A page of one database."""
        return await self.sql.ListDatabases(
            sql_pb2.ListDatabasesRequest(page_size=1, page_token=token), metadata=person
        )

    async def query(self, question: str, person: Metadata) -> sql_pb2.GeneratedQuery:
        """The query for a question to the shop."""
        request = sql_pb2.GenerateQueryRequest(database=SHOP, question=question)
        return (await self.sql.GenerateQuery(request, metadata=person)).query

    async def examples(self, person: Metadata) -> list[kb.Example]:
        """The examples of the shop."""
        answered = await self.knowledge.ListExamples(kb.ListExamplesRequest(database=SHOP), metadata=person)
        return list(answered.examples)

    async def asked(self, person: Metadata) -> list[str]:
        """What somebody asked the shop."""
        answered = await self.knowledge.ListQueries(kb.ListQueriesRequest(database=SHOP), metadata=person)
        return [query.question for query in answered.queries]


def calls(stubs: Stubs) -> dict[str, Callable[[str, Metadata], Any]]:
    """Every method that takes a database, by its name."""
    sql, knowledge = stubs.sql, stubs.knowledge
    example = kb.Example(question=QUESTION, sql=SQL)
    return {
        "UpdateDatabase": lambda name, who: sql.UpdateDatabase(
            sql_pb2.UpdateDatabaseRequest(database=sql_pb2.Database(name=name, description="mine")), metadata=who
        ),
        "GetDatabase": lambda name, who: sql.GetDatabase(sql_pb2.GetDatabaseRequest(name=name), metadata=who),
        "DeleteDatabase": lambda name, who: sql.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name=name), metadata=who),
        "GetSchema": lambda name, who: sql.GetSchema(sql_pb2.GetSchemaRequest(name=name), metadata=who),
        "RefreshSchema": lambda name, who: sql.RefreshSchema(sql_pb2.RefreshSchemaRequest(name=name), metadata=who),
        "GetVocabulary": lambda name, who: sql.GetVocabulary(sql_pb2.GetVocabularyRequest(name=name), metadata=who),
        "GenerateQuery": lambda name, who: sql.GenerateQuery(
            sql_pb2.GenerateQueryRequest(database=name, question="How many customers are there?"), metadata=who
        ),
        "ExecuteQuery": lambda name, who: sql.ExecuteQuery(
            sql_pb2.ExecuteQueryRequest(database=name, sql=SQL), metadata=who
        ),
        "ExportQuery": lambda name, who: sql.ExportQuery(
            sql_pb2.ExportQueryRequest(database=name, sql=SQL), metadata=who
        ),
        "ExplainQuery": lambda name, who: sql.ExplainQuery(
            sql_pb2.ExplainQueryRequest(database=name, sql=SQL), metadata=who
        ),
        "Ask": lambda name, who: sql.Ask(
            sql_pb2.AskRequest(database=name, question="How many customers are there?"), metadata=who
        ),
        "SubmitFeedback": lambda name, who: knowledge.SubmitFeedback(
            kb.SubmitFeedbackRequest(database=name, verdict=kb.VERDICT_RIGHT, question=QUESTION, sql=SQL), metadata=who
        ),
        "CreateExample": lambda name, who: knowledge.CreateExample(
            kb.CreateExampleRequest(database=name, example=example), metadata=who
        ),
        "ListExamples": lambda name, who: knowledge.ListExamples(kb.ListExamplesRequest(database=name), metadata=who),
        "ImportExamples": lambda name, who: knowledge.ImportExamples(
            kb.ImportExamplesRequest(database=name, jsonl='{"question": "a", "sql": "SELECT 1"}'), metadata=who
        ),
        "ExportExamples": lambda name, who: knowledge.ExportExamples(
            kb.ExportExamplesRequest(database=name), metadata=who
        ),
        "GetStatistics": lambda name, who: knowledge.GetStatistics(
            kb.GetStatisticsRequest(database=name), metadata=who
        ),
        "SuggestQuestions": lambda name, who: knowledge.SuggestQuestions(
            kb.SuggestQuestionsRequest(database=name), metadata=who
        ),
        "ListQueries": lambda name, who: knowledge.ListQueries(kb.ListQueriesRequest(database=name), metadata=who),
        "GetSemanticLayer": lambda name, who: knowledge.GetSemanticLayer(
            kb.GetSemanticLayerRequest(name=name), metadata=who
        ),
        "SetSemanticLayer": lambda name, who: knowledge.SetSemanticLayer(
            kb.SetSemanticLayerRequest(name=name, yaml=""), metadata=who
        ),
    }


@pytest.fixture
async def stubs(connect: Connect, tmp_path: Path) -> AsyncIterator[Stubs]:
    """The service, with acme's shop and a folder for the files of each organisation."""
    for name in ("acme", "rival"):
        (tmp_path / name).mkdir()
    sample_shop.build(tmp_path / "acme" / "shop.sqlite")
    async with connect(check_seconds=0) as channel:
        found = Stubs(sql_pb2_grpc.SqlServiceStub(channel), knowledge_pb2_grpc.KnowledgeServiceStub(channel))
        await found.register("sqlite:///shop.sqlite", ANN)
        yield found


def rivals_shop(folder: Path) -> str:
    """Makes another shop, with a table of the same name and others in it; its URL."""
    with sqlite3.connect(folder / "rival" / "other.sqlite") as database:
        database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country TEXT, planet TEXT)")
        database.execute("INSERT INTO customers VALUES (1, 'Zaphod', 'Vietnam', 'Betelgeuse')")
    return "sqlite:///other.sqlite"


async def test_a_database_is_its_organisations_alone(stubs: Stubs) -> None:
    every = calls(stubs)
    for name, call in every.items():
        for person in (EVE, NOBODY):
            absent = await answer(call("databases/pohs", person))
            there = await answer(call(SHOP, person))
            assert there[0] == "NOT_FOUND", (name, there)
            assert there == (absent[0], absent[1].replace("pohs", "shop")), name
        if name != "DeleteDatabase":
            assert (await answer(call(SHOP, BOB)))[0] == "OK", name
    assert [d.name for d in (await stubs.listed(BOB)).databases] == [SHOP]
    assert not (await stubs.listed(EVE)).databases
    assert (await answer(every["DeleteDatabase"](SHOP, BOB)))[0] == "OK"


def test_every_method_that_takes_a_database_is_tried() -> None:
    services = (sql_pb2.DESCRIPTOR.services_by_name["SqlService"], kb.DESCRIPTOR.services_by_name["KnowledgeService"])
    methods = {method.name for service in services for method in service.methods}
    examples = {"UpdateExample", "DeleteExample"}
    tried = set(calls(Stubs(_Nothing(), _Nothing())))  # type: ignore[arg-type]  # no method is called
    assert methods - tried - examples == {"CreateDatabase", "UploadDatabase", "ListDatabases"}


class _Nothing:
    def __getattr__(self, name: str) -> None:
        return None


async def test_two_databases_of_one_name(stubs: Stubs, tmp_path: Path) -> None:
    """Caches, learning and history of one never reach the other, nor does its end."""
    taught = kb.CreateExampleRequest(database=SHOP, example=kb.Example(question=QUESTION, sql=SQL))
    made = (await stubs.knowledge.CreateExample(taught, metadata=ANN)).example
    assert (await stubs.query(QUESTION, BOB)).sql == SQL
    await stubs.register(rivals_shop(tmp_path), EVE)
    for person, tables in ((ANN, 4), (EVE, 1), (ANN, 4)):
        schema = (await stubs.sql.GetSchema(sql_pb2.GetSchemaRequest(name=SHOP), metadata=person)).schema
        assert (len(schema.tables) > 1) is (tables > 1)
        words = await stubs.sql.GetVocabulary(sql_pb2.GetVocabularyRequest(name=SHOP), metadata=person)
        assert ("planet" in " ".join(words.phrases)) is (person is EVE)
        request = sql_pb2.AskRequest(database=SHOP, question="How many customers are there?")
        asked = [part.answer.text async for part in stubs.sql.Ask(request, metadata=person)]
        assert asked[-1].startswith("There is 1") is (person is EVE), asked
        suggested = await stubs.knowledge.SuggestQuestions(kb.SuggestQuestionsRequest(database=SHOP), metadata=person)
        assert ("Betelgeuse" in str(suggested)) is False or person is EVE
    # What acme taught is not known to rival, whose own question is refused or answered by itself.
    assert await stubs.examples(EVE) == []
    assert (await answer(stubs.query(QUESTION, EVE)))[0] != "OK"
    assert QUESTION not in await stubs.asked(ANN)
    assert await stubs.asked(BOB) == [QUESTION]
    assert set(await stubs.asked(EVE)) == {"How many customers are there?", QUESTION}
    statistics = await stubs.knowledge.GetStatistics(kb.GetStatisticsRequest(database=SHOP), metadata=EVE)
    assert (statistics.questions, statistics.examples) == (2, 0)
    # Ids of acme's, in the database of the same name.
    update = kb.UpdateExampleRequest(example=kb.Example(name=made.name, comment="mine"))
    assert await refused(stubs.knowledge.UpdateExample(update, metadata=EVE)) is grpc.StatusCode.NOT_FOUND
    await does_not_exist(
        lambda name, who: stubs.knowledge.DeleteExample(kb.DeleteExampleRequest(name=name), metadata=who),
        made.name,
        EVE,
    )
    query = (await stubs.query(QUESTION, ANN)).name
    for person in (EVE, BOB):
        await does_not_exist(
            lambda name, who: stubs.knowledge.SubmitFeedback(
                kb.SubmitFeedbackRequest(database=SHOP, verdict=kb.VERDICT_WRONG, query=name), metadata=who
            ),
            query,
            person,
        )
    # The end of one is not the other's.
    await stubs.sql.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name=SHOP), metadata=EVE)
    assert [example.name for example in await stubs.examples(ANN)] == [made.name]
    assert (await stubs.query(QUESTION, ANN)).sql == SQL


async def test_the_token_of_a_page_opens_nobody_elses(stubs: Stubs, tmp_path: Path) -> None:
    await stubs.register("sqlite:///shop.sqlite", ANN, "tools")
    token = (await stubs.listed(ANN)).next_page_token
    assert token
    await stubs.register(rivals_shop(tmp_path), EVE, "zoo")
    assert [d.name for d in (await stubs.listed(EVE, token)).databases] == ["databases/zoo"]
    assert [d.name for d in (await stubs.listed(BOB, token)).databases] == ["databases/tools"]


async def test_an_organisations_files_lie_in_its_folder(stubs: Stubs, tmp_path: Path) -> None:
    sample_shop.build(tmp_path / "operators.sqlite")
    operator = identity("default", "admin")
    await stubs.register("sqlite:///operators.sqlite", operator)
    for url in ("sqlite:///operators.sqlite", "sqlite:///../operators.sqlite", "sqlite:///acme/shop.sqlite",
                "sqlite:///../acme/shop.sqlite", f"sqlite:///{tmp_path}/acme/shop.sqlite"):  # fmt: skip
        assert await refused(stubs.register(url, EVE)) is grpc.StatusCode.INVALID_ARGUMENT, url
    (tmp_path / "rival" / "link.sqlite").symlink_to(tmp_path / "acme" / "shop.sqlite")
    assert await refused(stubs.register("sqlite:///link.sqlite", EVE)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_upload_is_its_organisations(stubs: Stubs) -> None:
    boundary = "b"
    parts = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="database_id"\r\n\r\nsales\r\n'
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="sales.csv"\r\n\r\n'
        f"city,amount\nHanoi,7\n\r\n--{boundary}--\r\n"
    ).encode()

    async def pieces() -> AsyncIterator[sql_pb2.UploadDatabaseRequest]:
        yield sql_pb2.UploadDatabaseRequest(
            body=HttpBody(content_type=f"multipart/form-data; boundary={boundary}", data=parts)
        )

    for person in (ANN, EVE):
        await stubs.sql.UploadDatabase(pieces(), metadata=person)
    await stubs.sql.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name="databases/sales"), metadata=EVE)
    request = sql_pb2.ExecuteQueryRequest(database="databases/sales", sql="SELECT * FROM sales")
    assert (await answer(stubs.sql.ExecuteQuery(request, metadata=BOB)))[0] == "OK"
    assert (await answer(stubs.sql.ExecuteQuery(request, metadata=EVE)))[0] == "NOT_FOUND"

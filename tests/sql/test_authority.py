"""What a caller's grants say is what a caller gets: databases, roles of databases, and nothing of another role's."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing
from typing import Any

import grpc
import psycopg2
import pytest
from google.protobuf.json_format import MessageToDict

from parley.sql.v1 import knowledge_pb2, knowledge_pb2_grpc, sql_pb2, sql_pb2_grpc
from services.mesh.context import GRANTS, IDENTITY_PREFIX
from tests.sql.conftest import mariadb_connection
from tests.sql.test_service import no_live_queries, refused, values

Connect = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
Metadata = tuple[tuple[str, str], ...]

NAME = "databases/shop"
DENIED, FAILED = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION
TABLES = """
    CREATE TABLE customers (id int PRIMARY KEY, tenant text NOT NULL, name text NOT NULL, city text NOT NULL,
                            tax_number text NOT NULL);
    CREATE TABLE salaries (id int PRIMARY KEY, employee text NOT NULL, amount int NOT NULL);
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total int NOT NULL);
    INSERT INTO customers VALUES (1, 'north', 'Anna Berg', 'Oslo', 'N-1'), (2, 'north', 'Nils Dahl', 'Bergen', 'N-2'),
                                 (3, 'south', 'Carla Ruiz', 'Sevilla', 'S-1');
    INSERT INTO salaries VALUES (1, 'Zoe Quill', 70000), (2, 'Yan Pratt', 50000);
    INSERT INTO orders SELECT n, 1 + n % 3, n * 10 FROM generate_series(1, 30) n;
"""


def grants(*, models: tuple[str, ...] = ("*",), **databases: dict[str, Any]) -> Metadata:
    """The metadata of a caller with these grants; `every` stands for `*`."""
    named = {{"every": "*"}.get(name, name): given for name, given in databases.items()}
    return (
        (IDENTITY_PREFIX + "organisation", "default"),
        (IDENTITY_PREFIX + "subject", "default/ann"),
        (GRANTS, json.dumps({"databases": named, "models": list(models)})),
    )


EVERYBODY = grants(every={})
NORTH = grants(shop={"role": "parley_clerk", "settings": {"app.tenant": "north"}})
SOUTH = grants(shop={"role": "parley_clerk", "settings": {"app.tenant": "south"}})


def write(url: str, sql: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture
def shop_url(postgres: str) -> Iterator[str]:
    """A shop whose clerks see the customers of their tenant without their tax numbers, all orders, and no salaries."""
    write(postgres, TABLES)
    roles = ("parley_clerk", "parley_reader", "parley_stranger")
    write(postgres, "".join(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role};" for role in roles))
    write(
        postgres,
        """
        CREATE ROLE parley_login LOGIN;
        GRANT parley_clerk TO parley_login;
        GRANT parley_reader TO parley_login;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO parley_login;
        GRANT SELECT (id, tenant, name, city) ON customers TO parley_clerk;
        GRANT SELECT ON orders TO parley_clerk, parley_reader;
        ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON customers TO parley_clerk USING (tenant = current_setting('app.tenant', true));
        CREATE POLICY all_rows ON customers TO parley_login USING (true);
        """,
    )
    yield postgres.replace("parley@", "parley_login@")
    write(postgres, "DROP OWNED BY parley_login; DROP ROLE parley_login;")
    write(postgres, "".join(f"DROP OWNED BY {role}; DROP ROLE {role};" for role in roles))


class Caller:
    """The service as one caller sees it."""

    def __init__(self, channel: grpc.aio.Channel | None, metadata: Metadata) -> None:
        self.stub: Any = sql_pb2_grpc.SqlServiceStub(channel) if channel else None
        self.knowledge: Any = knowledge_pb2_grpc.KnowledgeServiceStub(channel) if channel else None
        self.metadata = metadata

    @classmethod
    def of(cls, stub: Any, metadata: Metadata) -> Caller:
        """Whoever calls through a stub that is there."""
        caller = cls(None, metadata)
        caller.stub = stub
        return caller

    async def rows(self, sql: str, **fields: Any) -> list[list[Any]]:
        request = sql_pb2.ExecuteQueryRequest(database=NAME, sql=sql, **fields)
        return values([part async for part in self.stub.ExecuteQuery(request, metadata=self.metadata)])

    async def export(self, sql: str) -> bytes:
        request = sql_pb2.ExportQueryRequest(database=NAME, sql=sql)
        return b"".join([part.body.data async for part in self.stub.ExportQuery(request, metadata=self.metadata)])

    async def explain(self, sql: str, *, measure: bool = False) -> sql_pb2.ExplainQueryResponse:
        request = sql_pb2.ExplainQueryRequest(database=NAME, sql=sql, measure=measure)
        return await self.stub.ExplainQuery(request, metadata=self.metadata)  # type: ignore[no-any-return]  # loose stub

    async def ask(self, question: str, **fields: Any) -> list[list[Any]]:
        request = sql_pb2.AskRequest(database=NAME, question=question, **fields)
        return values([part async for part in self.stub.Ask(request, metadata=self.metadata)])

    async def schema(self) -> dict[str, sql_pb2.Table]:
        answer = await self.stub.GetSchema(sql_pb2.GetSchemaRequest(name=NAME), metadata=self.metadata)
        return {table.name: table for table in answer.schema.tables}

    async def call(self, method: str, request: Any) -> Any:
        part = self.stub if hasattr(self.stub, method) else self.knowledge
        return await getattr(part, method)(request, metadata=self.metadata)


@pytest.fixture
async def channel(connect: Connect, shop_url: str) -> AsyncIterator[grpc.aio.Channel]:
    """The service with the shop as databases/shop and a pool of one connection."""
    async with connect(max_connections=1, check_seconds=0.2) as found:
        database = sql_pb2.Database(url=shop_url)
        request = sql_pb2.CreateDatabaseRequest(database_id="shop", database=database)
        await Caller(found, EVERYBODY).call("CreateDatabase", request)
        yield found
        await no_live_queries()


def everything(answer: Any) -> str:
    return json.dumps(MessageToDict(answer), ensure_ascii=False)


# Which databases there are.


async def test_a_database_without_a_grant_is_neither_listed_nor_usable(channel: grpc.aio.Channel) -> None:
    other = Caller(channel, grants(weather={}))
    assert not (await other.call("ListDatabases", sql_pb2.ListDatabasesRequest())).databases
    code, info, message = await refused(other.rows("SELECT 1"))
    assert (code, info.reason, info.metadata["resource"]) == (DENIED, "PERMISSION_DENIED", NAME)
    assert NAME in message
    mine = Caller(channel, grants(weather={}, shop={}))
    listed = (await mine.call("ListDatabases", sql_pb2.ListDatabasesRequest())).databases
    assert [database.name for database in listed] == [NAME]
    assert await mine.rows("SELECT count(*) FROM salaries") == [[2]]


CALLS = {
    "GetDatabase": sql_pb2.GetDatabaseRequest(name=NAME),
    "UpdateDatabase": sql_pb2.UpdateDatabaseRequest(database=sql_pb2.Database(name=NAME, description="mine")),
    "DeleteDatabase": sql_pb2.DeleteDatabaseRequest(name=NAME),
    "CreateDatabase": sql_pb2.CreateDatabaseRequest(
        database_id="shop", database=sql_pb2.Database(url="sqlite:///none.sqlite")
    ),
    "GetSchema": sql_pb2.GetSchemaRequest(name=NAME),
    "RefreshSchema": sql_pb2.RefreshSchemaRequest(name=NAME),
    "GetVocabulary": sql_pb2.GetVocabularyRequest(name=NAME),
    "GenerateQuery": sql_pb2.GenerateQueryRequest(database=NAME, question="How many customers are there?"),
    "ExplainQuery": sql_pb2.ExplainQueryRequest(database=NAME, sql="SELECT 1"),
    "SubmitFeedback": knowledge_pb2.SubmitFeedbackRequest(
        database=NAME, question="How many?", sql="SELECT 1", verdict=knowledge_pb2.VERDICT_RIGHT
    ),
    "CreateExample": knowledge_pb2.CreateExampleRequest(
        database=NAME, example=knowledge_pb2.Example(question="How many?", sql="SELECT 1")
    ),
    "ListExamples": knowledge_pb2.ListExamplesRequest(database=NAME),
    "ImportExamples": knowledge_pb2.ImportExamplesRequest(database=NAME, jsonl="{}"),
    "DeleteExample": knowledge_pb2.DeleteExampleRequest(name=f"{NAME}/examples/1"),
    "GetStatistics": knowledge_pb2.GetStatisticsRequest(database=NAME),
    "SuggestQuestions": knowledge_pb2.SuggestQuestionsRequest(database=NAME),
    "ListQueries": knowledge_pb2.ListQueriesRequest(database=NAME),
    "GetSemanticLayer": knowledge_pb2.GetSemanticLayerRequest(name=NAME),
    "SetSemanticLayer": knowledge_pb2.SetSemanticLayerRequest(name=NAME, yaml="tables: {}"),
}


async def test_every_call_about_a_database_without_a_grant_is_refused(channel: grpc.aio.Channel) -> None:
    other = Caller(channel, grants(weather={}))
    for method, request in CALLS.items():
        code, info, _message = await refused(other.call(method, request))
        assert (method, code, info.metadata["resource"]) == (method, DENIED, NAME)
    assert (await refused(other.ask("How many customers are there?")))[0] is DENIED
    assert (await refused(other.export("SELECT 1")))[0] is DENIED
    assert await Caller(channel, EVERYBODY).rows("SELECT count(*) FROM customers") == [[3]], "nothing was deleted"


async def test_grants_that_cannot_be_read_open_nothing(channel: grpc.aio.Channel) -> None:
    code, _info, _message = await refused(Caller(channel, ((GRANTS, "{"),)).rows("SELECT 1"))
    assert code is DENIED


# As whom a database sees the caller.


async def test_a_role_sees_its_own_rows_and_tables_only(channel: grpc.aio.Channel) -> None:
    north, south = Caller(channel, NORTH), Caller(channel, SOUTH)
    assert await north.rows("SELECT name FROM customers ORDER BY id") == [["Anna Berg"], ["Nils Dahl"]]
    assert await south.rows("SELECT name FROM customers ORDER BY id") == [["Carla Ruiz"]]
    for attempt in (north.rows, north.export, north.explain):
        code, _info, message = await refused(attempt("SELECT amount FROM salaries"))
        assert code is DENIED
        assert "'salaries' is not open to you" in message
    code, _info, message = await refused(north.explain("SELECT amount FROM salaries", measure=True))
    assert code is DENIED
    code, _info, message = await refused(north.rows("SELECT tax_number FROM customers"))
    assert code is DENIED
    assert "salaries" not in message
    assert await Caller(channel, EVERYBODY).rows("SELECT max(amount) FROM salaries") == [[70000]]


async def test_a_role_that_ends_with_its_transaction_never_reaches_the_next_caller(channel: grpc.aio.Channel) -> None:
    """On the one connection that there is: alternating, at the same time, after failures and after cancelling."""
    callers = {
        2: Caller(channel, NORTH),
        1: Caller(channel, SOUTH),
        3: Caller(channel, EVERYBODY),
        0: Caller(channel, grants(shop={"role": "parley_clerk"})),
    }

    async def once(count: int, caller: Caller) -> None:
        assert await caller.rows("SELECT count(*) FROM customers") == [[count]]

    for _round in range(3):
        for count, caller in callers.items():
            await once(count, caller)
            assert (await refused(caller.rows("SELECT nothing FROM customers")))[0] is FAILED
            hanging = asyncio.ensure_future(caller.rows("SELECT count(*) FROM customers a, customers b, orders c"))
            await asyncio.sleep(0.01)
            hanging.cancel()
            await asyncio.gather(hanging, return_exceptions=True)
        await asyncio.gather(*(once(count, caller) for _ in range(5) for count, caller in callers.items()))


async def test_a_role_that_the_database_refuses_is_said_and_nothing_is_read(channel: grpc.aio.Channel) -> None:
    for role in ("parley_stranger", "parley_nobody"):
        caller = Caller(channel, grants(shop={"role": role}))
        code, info, message = await refused(caller.rows("SELECT 1"))
        assert (code, info.metadata["role"]) == (FAILED, role)
        assert role in message
        assert (await refused(caller.schema()))[0] is FAILED
    assert await Caller(channel, EVERYBODY).rows("SELECT count(*) FROM customers") == [[3]]


async def test_the_schema_is_what_the_role_may_read_with_values_that_it_sees(channel: grpc.aio.Channel) -> None:
    north, south = await Caller(channel, NORTH).schema(), await Caller(channel, SOUTH).schema()
    assert set(north) == set(south) == {"customers", "orders"}
    assert [column.name for column in north["customers"].columns] == ["id", "tenant", "name", "city"]
    assert (north["customers"].row_count, south["customers"].row_count) == (2, 1)
    assert "Sevilla" not in str(north)
    assert "Oslo" not in str(south)
    assert set(await Caller(channel, EVERYBODY).schema()) == {"customers", "orders", "salaries"}
    reader = await Caller(channel, grants(shop={"role": "parley_reader"})).schema()
    assert set(reader) == {"orders"}
    assert not reader["orders"].foreign_keys, "it would name what is not open"


async def test_a_right_that_is_given_or_taken_is_seen_soon(channel: grpc.aio.Channel, postgres: str) -> None:
    north = Caller(channel, NORTH)
    assert "salaries" not in await north.schema()
    write(postgres, "GRANT SELECT ON salaries TO parley_clerk")
    await asyncio.sleep(0.3)
    assert "salaries" in await north.schema()
    write(postgres, "REVOKE SELECT ON salaries FROM parley_clerk")
    await asyncio.sleep(0.3)
    assert "salaries" not in await north.schema()


async def test_questions_are_answered_by_what_the_role_sees(channel: grpc.aio.Channel) -> None:
    for _round in range(2):
        assert await Caller(channel, NORTH).ask("How many customers are there?") == [[2]]
        assert await Caller(channel, SOUTH).ask("How many customers are there?") == [[1]]
        assert await Caller(channel, EVERYBODY).ask("How many customers are there?") == [[3]]


@pytest.mark.parametrize("question", ["What is the average salary amount?", "How many salaries are there?"])
async def test_a_question_about_a_closed_table_is_not_allowed_rather_than_unknown(
    channel: grpc.aio.Channel, question: str
) -> None:
    code, _info, message = await refused(Caller(channel, NORTH).ask(question))
    assert code is DENIED, message
    assert "not open to you" in message
    assert "Quill" not in message
    request = sql_pb2.GenerateQueryRequest(database=NAME, question=question)
    assert (await refused(Caller(channel, NORTH).call("GenerateQuery", request)))[0] is DENIED
    assert (await Caller(channel, EVERYBODY).ask(question)) != []


async def test_a_question_about_nothing_stays_one_about_nothing(channel: grpc.aio.Channel) -> None:
    code, info, _message = await refused(Caller(channel, NORTH).ask("Which zebras bark?"))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "QUESTION_NOT_UNDERSTOOD")


async def test_a_value_of_another_tenant_is_not_known(channel: grpc.aio.Channel) -> None:
    """Neither in what is understood, nor in what a refusal suggests, nor in what is suggested or said by voice."""
    south = Caller(channel, SOUTH)
    await Caller(channel, NORTH).ask("How many customers are in Oslo?")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await south.ask("Which customers live in Bergan?")
    assert "Bergen" not in str(caught.value)
    for method, request in (
        ("GetVocabulary", sql_pb2.GetVocabularyRequest(name=NAME)),
        ("SuggestQuestions", knowledge_pb2.SuggestQuestionsRequest(database=NAME, count=50)),
    ):
        before = everything(await Caller(channel, NORTH).call(method, request))
        assert "salar" not in before.lower()
        found = everything(await south.call(method, request))
        assert not any(word in found for word in ("Oslo", "Bergen", "Berg", "salar", "tax"))


async def test_examples_that_nobody_approved_stay_with_those_who_see_everything(channel: grpc.aio.Channel) -> None:
    asked = "Where does our best customer live?"
    told = "SELECT city FROM customers WHERE name = 'Anna Berg'"
    verdict = knowledge_pb2.VERDICT_RIGHT
    request = knowledge_pb2.SubmitFeedbackRequest(database=NAME, question=asked, sql=told, verdict=verdict)
    await Caller(channel, EVERYBODY).call("SubmitFeedback", request)
    assert await Caller(channel, EVERYBODY).ask(asked) == [["Oslo"]]
    south = Caller(channel, SOUTH)
    generate = sql_pb2.GenerateQueryRequest(database=NAME, question=asked)
    answers: Any = await asyncio.gather(south.call("GenerateQuery", generate), return_exceptions=True)
    assert "Anna" not in str(answers)
    listing = knowledge_pb2.ListExamplesRequest(database=NAME)
    assert not (await south.call("ListExamples", listing)).examples
    assert (await Caller(channel, EVERYBODY).call("ListExamples", listing)).examples


async def test_approved_examples_serve_the_roles_that_may_read_what_they_name(channel: grpc.aio.Channel) -> None:
    everybody, north = Caller(channel, EVERYBODY), Caller(channel, NORTH)
    for question, sql in (
        ("What did we turn over?", "SELECT sum(total) FROM orders"),
        ("What do we pay?", "SELECT sum(amount) FROM salaries"),
    ):
        example = knowledge_pb2.Example(question=question, sql=sql)
        await everybody.call("CreateExample", knowledge_pb2.CreateExampleRequest(database=NAME, example=example))
    assert await north.ask("What did we turn over?") == [[4650]]
    found = (await north.call("ListExamples", knowledge_pb2.ListExamplesRequest(database=NAME))).examples
    assert [example.question for example in found] == ["What did we turn over?"]
    export = north.knowledge.ExportExamples(knowledge_pb2.ExportExamplesRequest(database=NAME), metadata=north.metadata)
    exported = b"".join([part.body.data async for part in export])
    assert b"turn over" in exported
    assert b"salaries" not in exported


async def test_a_semantic_layer_serves_a_role_and_is_not_shown_to_it(channel: grpc.aio.Channel) -> None:
    layer = """
version: 1
tables:
  customers:
    synonyms: [patrons]
    columns:
      city: {values: {Oslo: [the capital]}}
  salaries: {synonyms: [wages]}
metrics:
  - {name: payroll, table: salaries, expression: sum(amount), synonyms: [wage bill]}
"""
    request = knowledge_pb2.SetSemanticLayerRequest(name=NAME, yaml=layer)
    await Caller(channel, EVERYBODY).call("SetSemanticLayer", request)
    north = Caller(channel, NORTH)
    assert await north.ask("How many patrons are there?") == [[2]]
    assert await north.ask("How many patrons are in the capital?") == [[1]]
    asking = Caller(channel, SOUTH).ask("How many patrons are in the capital?")
    answers: Any = await asyncio.gather(asking, return_exceptions=True)
    assert "Oslo" not in str(answers)
    for method, asked in (
        ("GetSemanticLayer", knowledge_pb2.GetSemanticLayerRequest(name=NAME)),
        ("SetSemanticLayer", request),
    ):
        code, _info, message = await refused(north.call(method, asked))
        assert code is DENIED
        assert "wages" not in message


# Databases that cannot tell people apart, or do it in their own way.


async def test_a_role_on_a_database_without_roles_is_never_ignored(shop_stub: Any) -> None:
    for given in ({"role": "reporting"}, {"settings": {"app.tenant": "7"}}):
        caller = Caller.of(shop_stub, grants(shop=given)[-1:])
        calls = ((caller.schema, ()), (caller.rows, ("SELECT 1",)), (caller.ask, ("How many orders?",)))
        for call, given_to_it in calls:
            code, _info, message = await refused(call(*given_to_it))
            assert code is FAILED
            assert "sqlite does not have" in message


async def test_a_schema_without_a_database_has_no_roles(stub: Any) -> None:
    schema = sql_pb2.SchemaSource(ddl="CREATE TABLE t (a int)", dialect=sql_pb2.DIALECT_POSTGRESQL)
    request = sql_pb2.CreateDatabaseRequest(database_id="shop", schema=schema, database=sql_pb2.Database())
    await stub.CreateDatabase(request)
    code, _info, message = await refused(Caller.of(stub, grants(shop={"role": "clerk"})[-1:]).schema())
    assert code is FAILED
    assert "schema without a database" in message


async def test_mariadb_has_roles_and_no_settings(connect: Connect, mariadb_server: str) -> None:
    # Not called test_…: those are open to everybody.
    name = f"roles_{uuid.uuid4().hex[:12]}"
    with mariadb_connection(mariadb_server) as connection, connection.cursor() as cursor:
        for statement in (
            f"CREATE DATABASE {name}",
            f"USE {name}",
            "CREATE TABLE open_table (a int)",
            "CREATE TABLE closed_table (a int)",
            "INSERT INTO open_table VALUES (1), (2)",
            "CREATE OR REPLACE ROLE parley_clerk",
            f"GRANT SELECT ON {name}.open_table TO parley_clerk",
            "CREATE OR REPLACE USER parley_login",
            "GRANT parley_clerk TO parley_login",
            "CREATE OR REPLACE ROLE parley_all",
            f"GRANT SELECT ON {name}.* TO parley_all",
            "GRANT parley_all TO parley_login",
            "SET DEFAULT ROLE parley_all FOR parley_login",
        ):
            cursor.execute(statement)
    url = f"{mariadb_server.replace('root@', 'parley_login@')}/{name}"
    async with connect(max_connections=1) as channel:
        everybody = Caller(channel, EVERYBODY)
        request = sql_pb2.CreateDatabaseRequest(database_id="shop", database=sql_pb2.Database(url=url))
        await everybody.call("CreateDatabase", request)
        clerk = Caller(channel, grants(shop={"role": "parley_clerk"}))
        for _round in range(2):
            assert set(await clerk.schema()) == {"open_table"}
            assert await clerk.rows("SELECT count(*) FROM open_table") == [[2]]
            code, _info, message = await refused(clerk.rows("SELECT count(*) FROM closed_table"))
            assert code is DENIED
            assert "'closed_table'" in message
            assert set(await everybody.schema()) == {"open_table", "closed_table"}
            assert await everybody.rows("SELECT count(*) FROM closed_table") == [[0]]
        stranger = Caller(channel, grants(shop={"role": "parley_nobody"}))
        assert (await refused(stranger.rows("SELECT 1")))[0] is FAILED
        tenant = Caller(channel, grants(shop={"role": "parley_clerk", "settings": {"app.tenant": "7"}}))
        code, _info, message = await refused(tenant.rows("SELECT 1"))
        assert code is FAILED
        assert "session settings" in message

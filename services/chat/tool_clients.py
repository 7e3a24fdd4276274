"""The tools themselves: calls of the sql service; of asr and image, services/chat/speech.py and image_client.py.

The channels forward the deadline, identity and trace of the call that is being served (services/mesh/channels.py);
cancelling the answer cancels the tool's call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.chat import converters, turns
from services.chat.errors import NoDatabase
from services.chat.image_client import GenerateTool, Painter
from services.chat.phrasing import cell
from services.chat.speech import RecognizeTool, Speech
from services.chat.tools import (
    ASK,
    DESCRIBE,
    LIST_DATABASES,
    Column,
    Table,
    Tool,
    ToolContext,
    ToolSpec,
    Turn,
)
from services.mesh import authority, status, telemetry
from services.mesh import context as calls
from services.mesh.authority import NotGranted
from services.mesh.certificates import Certificates
from services.mesh.channels import channel
from services.mesh.errors import InvalidArgument, NotFound, ParleyError

log = telemetry.get_logger(__name__)

MAX_QUESTION = 4000
# Choices of a question back at most, and texts from this length on that may be one in words.
MAX_CHOICES = 10
SHORT = 8
# Most databases that are asked which of them a question is about.
MAX_CANDIDATES = 16
MAX_ROWS = 1000
# What asr.recognize takes.
MAX_PHRASES = 10_000
# How long the vocabulary of a database is kept, in seconds: schemas change rarely, and it may be thousands of phrases.
VOCABULARY_SECONDS = 60.0
# Longest wait for whether a database exists, in seconds: an answer without it is better than none.
CHECK_SECONDS = 2.0
QUESTION = {"type": "string", "maxLength": MAX_QUESTION, "description": "The question, as the person asked it."}
DATABASE = {"type": "string", "maxLength": 80, "description": "databases/{id}. Left out: chosen by the question."}


class Databases:
    """What the tools know of the sql service.

    Args:
        target: That service, host:port.
        timeout: Longest time of a call, in seconds.
        certificates: Our own, where that service wants one.
    """

    def __init__(self, target: str, timeout: float, certificates: Certificates | None = None) -> None:
        self._channel = channel(target, certificates)
        self._stub = sql_pb2_grpc.SqlServiceStub(self._channel)
        self._timeout = timeout
        self._vocabularies: dict[tuple[str, str, str], tuple[float, list[str]]] = {}

    async def registered(self) -> list[sql_pb2.Database]:
        """The registered databases, the first thousand."""
        try:
            answer = await self._stub.ListDatabases(sql_pb2.ListDatabasesRequest(page_size=1000), timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        return list(answer.databases)

    async def check(self, name: str) -> None:
        """Raises NotFound where the sql service knows no such database, and what it says where it is not the caller's.

        Where it cannot say, the name is taken.
        """
        request = sql_pb2.GetDatabaseRequest(name=name)
        try:
            await self._stub.GetDatabase(request, timeout=min(CHECK_SECONDS, self._timeout))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(name) from None
            if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                raise status.from_rpc_error(error) from None
            log.warning("a database's name is not checked", database=name, code=error.code().name)

    async def schema(self, name: str) -> sql_pb2.Schema:
        """The schema of a database."""
        try:
            answer = await self._stub.GetSchema(sql_pb2.GetSchemaRequest(name=name), timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        return answer.schema

    async def choose(self, question: str, history: Sequence[Turn] = ()) -> str:
        """The database that a question is about: the only one, or the one whose engine understands the question best.

        Raises:
            NoDatabase: None is registered.
            ParleyError: None of several understands it: what the one says that comes nearest.
        """
        names = [d.name for d in await self.registered()][:MAX_CANDIDATES]
        if not names:
            raise _none()
        if len(names) == 1:
            return names[0]
        tried = await asyncio.gather(*(self._confidence(name, question, history) for name in names))
        understood = [(c, -i) for i, c in enumerate(tried) if isinstance(c, float)]
        if understood:
            return names[-max(understood)[1]]
        refusals = [c for c in tried if isinstance(c, ParleyError)]
        raise min(refusals, key=lambda e: e.metadata.get("unknown_words", "?" * 1000).count(","))

    async def _confidence(self, name: str, question: str, history: Sequence[Turn]) -> float | ParleyError:
        request = sql_pb2.GenerateQueryRequest(database=name, question=question, history=_history(history))
        try:
            return float((await self._stub.GenerateQuery(request, timeout=self._timeout)).query.confidence)
        except grpc.aio.AioRpcError as error:
            return status.from_rpc_error(error)

    async def ask(self, name: str, question: str, history: Sequence[Turn] = ()) -> Table | sql_pb2.Clarification:
        """The rows and the sentence that answer a question, or the question back where it has several readings.

        Args:
            name: databases/{database}
            question: The question.
            history: What was asked before, oldest first.
        """
        request = sql_pb2.AskRequest(database=name, question=question, max_rows=MAX_ROWS, history=_history(history))
        sql = ""
        columns: tuple[Column, ...] = ()
        rows: list[tuple[Any, ...]] = []
        try:
            async for part in self._stub.Ask(request, timeout=self._timeout):
                kind = part.WhichOneof("part")
                if kind == "query":
                    sql = part.query.sql
                elif kind == "columns":
                    columns = converters.from_columns(part.columns)
                elif kind == "rows":
                    rows += converters.from_rows(part.rows.rows)
                elif kind == "error":
                    raise status.from_status(part.error)
                elif kind == "clarification":
                    return part.clarification
                elif kind == "answer":
                    answer = part.answer
                    return Table(sql, name, columns, tuple(rows), answer.summary.truncated, answer.text)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        raise ParleyError("The database service broke off its answer.")

    async def chosen(self, name: str, choice: sql_pb2.Choice) -> Table:
        """The rows of a reading that was chosen, and what it says."""
        columns: tuple[Column, ...] = ()
        rows: list[tuple[Any, ...]] = []
        truncated = False
        try:
            request = sql_pb2.ExecuteQueryRequest(database=name, sql=choice.sql, max_rows=MAX_ROWS)
            async for part in self._stub.ExecuteQuery(request, timeout=self._timeout):
                if part.HasField("columns"):
                    columns = converters.from_columns(part.columns)
                elif part.HasField("rows"):
                    rows += converters.from_rows(part.rows.rows)
                elif part.HasField("error"):
                    raise status.from_status(part.error)
                elif part.HasField("summary"):
                    truncated = part.summary.truncated
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        return Table(choice.sql, name, columns, tuple(rows), truncated, _sentence(choice.text, rows))

    async def vocabulary(self, database: str) -> list[str]:
        """What people may say about a database, or about any of them where none is named."""
        names = [database] if database else [d.name for d in (await self.registered())[:MAX_CANDIDATES]]
        phrases: dict[str, None] = {}
        for name in names:
            phrases.update(dict.fromkeys(await self._vocabulary(name)))
        return list(phrases)[:MAX_PHRASES]

    async def _vocabulary(self, name: str) -> list[str]:
        # Another organisation's database of that name is another one, and grants show each person another part of it.
        key = (calls.organisation(), calls.owner(), name)
        kept = self._vocabularies.get(key)
        if kept is not None and time.monotonic() - kept[0] < VOCABULARY_SECONDS:
            return kept[1]
        try:
            answer = await self._stub.GetVocabulary(sql_pb2.GetVocabularyRequest(name=name), timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        old = time.monotonic() - VOCABULARY_SECONDS
        self._vocabularies = {named: found for named, found in self._vocabularies.items() if found[0] > old}
        self._vocabularies[key] = (time.monotonic(), list(answer.phrases))
        return self._vocabularies[key][1]

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


class AskTool:
    """sql.ask.

    Args:
        databases: Where to ask.
    """

    spec = ToolSpec(
        ASK,
        "Answers a question about the data in a registered database: writes the SQL, runs it and returns the rows.",
        {"type": "object", "properties": {"question": QUESTION, "database": DATABASE}, "required": ["question"]},
    )

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> Table | str:
        """Asks the database that is named, else the conversation's, else the one that fits.

        A question with several readings is answered by a list of them; the next message may pick one.
        """
        question = str(arguments["question"]).strip()
        if not question:
            raise InvalidArgument("question", "must not be empty.")
        name = _name(arguments.get("database", "")) or context.database
        if context.history and context.history[-1].asked_back:
            table = await self._picked(name, question, context.history)
            if table is not None:
                return table
        name = name or await self._databases.choose(question, context.history)
        found = await self._databases.ask(name, question, context.history)
        return found if isinstance(found, Table) else _choices(found)

    async def _picked(self, name: str, text: str, history: Sequence[Turn]) -> Table | None:
        """The answer to the question before, as the text picks it; None where it picks nothing.

        The choices are asked for again: they are the same for the same question, and nobody else keeps them.
        """
        if turns.picked(text, [str(number) for number in range(1, MAX_CHOICES + 1)]) is None and len(text) < SHORT:
            return None
        *before, last = history
        name = name or await self._databases.choose(last.question, before)
        found = await self._databases.ask(name, last.question, before)
        if isinstance(found, Table):
            return None
        number = turns.picked(text, [choice.text for choice in found.choices])
        return await self._databases.chosen(name, found.choices[number]) if number is not None else None


class ListDatabasesTool:
    """sql.list_databases.

    Args:
        databases: Where to ask.
    """

    spec = ToolSpec(
        LIST_DATABASES,
        "Lists the registered databases with what they hold.",
        {"type": "object", "properties": {}, "required": []},
    )

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> str:
        """One line for each database. Raises NoDatabase."""
        databases = await self._databases.registered()
        if not databases:
            raise _none()
        lines = (f"- {d.name.partition('/')[2]}: {d.display_name} {d.description}".rstrip() for d in databases)
        return "\n".join(lines)


class DescribeTool:
    """sql.describe.

    Args:
        databases: Where to ask.
    """

    spec = ToolSpec(
        DESCRIBE,
        "Describes the tables and columns of a registered database.",
        {"type": "object", "properties": {"database": DATABASE}, "required": []},
    )

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> str:
        """One line for each table. Raises InvalidArgument where several databases could be meant."""
        name = _name(arguments.get("database", "")) or context.database
        if not name:
            names = [d.name for d in await self._databases.registered()]
            if not names:
                raise _none()
            if len(names) > 1:
                raise InvalidArgument("database", f"must be one of {', '.join(names)}.")
            name = names[0]
        schema = await self._databases.schema(name)
        return "\n".join(
            f"{table.name}({', '.join(f'{c.name} {c.type}' for c in table.columns)})" for table in schema.tables
        )


def tools(
    databases: Databases | None, speech: Speech | None, painter: Painter | None, question_seconds: float
) -> list[Tool]:
    """The tools for the services that there are; longer audio than `question_seconds` is no spoken question."""
    found: list[Tool] = []
    if databases is not None:
        found += [AskTool(databases), ListDatabasesTool(databases), DescribeTool(databases)]
    if speech is not None:
        found.append(RecognizeTool(speech, databases.vocabulary if databases else None, question_seconds))
    if painter is not None:
        found.append(GenerateTool(painter))
    return found


def _none() -> ParleyError:
    """Why nobody can be asked: no database is there, or none is open to the caller."""
    all_open = authority.current().may_use_database(authority.ALL)
    return NoDatabase() if all_open else NotGranted(f"databases/{authority.ALL}")


def _choices(back: sql_pb2.Clarification) -> str:
    """A question back as text: the question, and its choices with their numbers."""
    return "\n".join([back.text, *(f"{number}. {choice.text}" for number, choice in enumerate(back.choices, 1))])


def _sentence(meaning: str, rows: Sequence[tuple[Any, ...]]) -> str:
    """What a chosen reading says, with its figure where it has just one."""
    if len(rows) == 1 and len(rows[0]) == 1:
        return f"{meaning.rstrip('.')}: {cell(rows[0][0])}."
    return meaning


def _history(asked: Sequence[Turn]) -> list[sql_pb2.Turn]:
    return [sql_pb2.Turn(question=turn.question, sql=turn.sql) for turn in asked if not turn.asked_back]


def _name(database: str) -> str:
    """`shop` or `databases/shop` as a resource name; empty stays empty."""
    return f"databases/{database.removeprefix('databases/')}" if database else ""

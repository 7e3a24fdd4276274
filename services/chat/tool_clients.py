"""The tools themselves: calls of the sql and asr services.

The channels forward the deadline, identity and trace of the call that is being served (services/mesh/channels.py);
cancelling the answer cancels the tool's call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import grpc

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.chat import converters
from services.chat.errors import NoDatabase
from services.chat.language import Language, detect
from services.chat.models import ModelInfo
from services.chat.tools import (
    ASK,
    DESCRIBE,
    LIST_DATABASES,
    RECOGNIZE,
    Column,
    Table,
    Tool,
    ToolContext,
    ToolSpec,
    Transcript,
)
from services.mesh import status, telemetry
from services.mesh.channels import channel
from services.mesh.errors import InvalidArgument, NotFound, ParleyError

log = telemetry.get_logger(__name__)

MAX_QUESTION = 4000
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
    """

    def __init__(self, target: str, timeout: float) -> None:
        self._channel = channel(target)
        self._stub = sql_pb2_grpc.SqlServiceStub(self._channel)
        self._timeout = timeout
        self._vocabularies: dict[str, tuple[float, list[str]]] = {}

    async def registered(self) -> list[sql_pb2.Database]:
        """The registered databases, the first thousand."""
        try:
            answer = await self._stub.ListDatabases(sql_pb2.ListDatabasesRequest(page_size=1000), timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        return list(answer.databases)

    async def check(self, name: str) -> None:
        """Raises NotFound where the sql service knows no such database; where it cannot say, the name is taken."""
        request = sql_pb2.GetDatabaseRequest(name=name)
        try:
            await self._stub.GetDatabase(request, timeout=min(CHECK_SECONDS, self._timeout))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(name) from None
            log.warning("a database's name is not checked", database=name, code=error.code().name)

    async def schema(self, name: str) -> sql_pb2.Schema:
        """The schema of a database."""
        try:
            answer = await self._stub.GetSchema(sql_pb2.GetSchemaRequest(name=name), timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        return answer.schema

    async def choose(self, question: str) -> str:
        """The database that a question is about: the only one, or the one whose engine understands the question best.

        Raises:
            NoDatabase: None is registered.
            ParleyError: None of several understands it: what the one says that comes nearest.
        """
        names = [d.name for d in await self.registered()][:MAX_CANDIDATES]
        if not names:
            raise NoDatabase
        if len(names) == 1:
            return names[0]
        tried = await asyncio.gather(*(self._confidence(name, question) for name in names))
        understood = [(c, -i) for i, c in enumerate(tried) if isinstance(c, float)]
        if understood:
            return names[-max(understood)[1]]
        refusals = [c for c in tried if isinstance(c, ParleyError)]
        raise min(refusals, key=lambda e: e.metadata.get("unknown_words", "?" * 1000).count(","))

    async def _confidence(self, name: str, question: str) -> float | ParleyError:
        request = sql_pb2.GenerateQueryRequest(database=name, question=question)
        try:
            return float((await self._stub.GenerateQuery(request, timeout=self._timeout)).query.confidence)
        except grpc.aio.AioRpcError as error:
            return status.from_rpc_error(error)

    async def ask(self, name: str, question: str) -> Table:
        """The rows and the sentence that answer a question."""
        request = sql_pb2.AskRequest(database=name, question=question, max_rows=MAX_ROWS)
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
                elif kind == "answer":
                    answer = part.answer
                    return Table(sql, name, columns, tuple(rows), answer.summary.truncated, answer.text)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        raise ParleyError("The database service broke off its answer.")

    async def vocabulary(self, database: str) -> list[str]:
        """What people may say about a database, or about any of them where none is named."""
        names = [database] if database else [d.name for d in (await self.registered())[:MAX_CANDIDATES]]
        phrases: dict[str, None] = {}
        for name in names:
            phrases.update(dict.fromkeys(await self._vocabulary(name)))
        return list(phrases)[:MAX_PHRASES]

    async def _vocabulary(self, name: str) -> list[str]:
        kept = self._vocabularies.get(name)
        if kept is not None and time.monotonic() - kept[0] < VOCABULARY_SECONDS:
            return kept[1]
        try:
            answer = await self._stub.GetVocabulary(sql_pb2.GetVocabularyRequest(name=name), timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        self._vocabularies[name] = (time.monotonic(), list(answer.phrases))
        return self._vocabularies[name][1]

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

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> Table:
        """Asks the database that is named, else the conversation's, else the one that fits."""
        question = str(arguments["question"]).strip()
        if not question:
            raise InvalidArgument("question", "must not be empty.")
        name = _name(arguments.get("database", "")) or context.database or await self._databases.choose(question)
        return await self._databases.ask(name, question)


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
            raise NoDatabase
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
                raise NoDatabase
            if len(names) > 1:
                raise InvalidArgument("database", f"must be one of {', '.join(names)}.")
            name = names[0]
        schema = await self._databases.schema(name)
        return "\n".join(
            f"{table.name}({', '.join(f'{c.name} {c.type}' for c in table.columns)})" for table in schema.tables
        )


class Speech:
    """What the tools know of the asr service.

    Args:
        target: That service, host:port.
        timeout: Longest time of a call, in seconds.
    """

    def __init__(self, target: str, timeout: float) -> None:
        self._channel = channel(target)
        self._stub = asr_pb2_grpc.SpeechRecognitionStub(self._channel)
        self._timeout = timeout

    async def recognize(self, audio: bytes, phrases: list[str]) -> Transcript:
        """What is said in a recording, with phrases that are likely."""
        hints = asr_pb2.RecognitionHints(phrases=[p[:500] for p in phrases if p])
        request = asr_pb2.RecognizeRequest(config=asr_pb2.RecognitionConfig(hints=hints), audio=audio)
        try:
            answer = await self._stub.Recognize(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        return converters.from_transcript(answer.transcript)

    async def models(self) -> list[ModelInfo]:
        """The recognition models."""
        try:
            answer = await self._stub.ListModels(asr_pb2.ListModelsRequest(), timeout=min(2.0, self._timeout))
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        # A model that is known but not loaded would be offered to clients in vain.
        return [ModelInfo(m.id, "parley", m.description) for m in answer.models if m.ready]

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


class RecognizeTool:
    """asr.recognize: the attached audio. Only what is attached can be transcribed, so it has no arguments.

    Args:
        speech: What transcribes.
        databases: Whose words are likely to be said; None: nobody knows.
    """

    spec = ToolSpec(
        RECOGNIZE,
        "Transcribes the audio that is attached to the message. It has been called already where there is any.",
        {"type": "object", "properties": {}, "required": []},
    )

    def __init__(self, speech: Speech, databases: Databases | None) -> None:
        self._speech = speech
        self._databases = databases

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> Transcript:
        """What is said, recognised with the words of the conversation's database as hints.

        Those are English: who writes Vietnamese gets none, since they would bend what is heard.
        """
        if not context.attachments:
            raise InvalidArgument("attachments", "no audio is attached to the message.")
        phrases: list[str] = []
        if self._databases is not None and detect(context.written) is Language.ENGLISH:
            try:
                phrases = await self._databases.vocabulary(context.database)
            except ParleyError:
                # Without hints the words are guessed more freely; that is better than no transcript.
                phrases = []
        return await self._speech.recognize(context.attachments[0].content, phrases)


def tools(databases: Databases | None, speech: Speech | None) -> list[Tool]:
    """The tools for the services that there are."""
    found: list[Tool] = []
    if databases is not None:
        found += [AskTool(databases), ListDatabasesTool(databases), DescribeTool(databases)]
    if speech is not None:
        found.append(RecognizeTool(speech, databases))
    return found


def _name(database: str) -> str:
    """`shop` or `databases/shop` as a resource name; empty stays empty."""
    return f"databases/{database.removeprefix('databases/')}" if database else ""

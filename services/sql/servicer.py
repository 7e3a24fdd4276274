"""parley.sql.v1.SqlService over the domain: converts, calls, converts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import grpc
from google.protobuf import struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh.errors import ParleyError
from services.mesh.server import Bound
from services.mesh.status import to_status
from services.sql import converters
from services.sql.databases import Databases
from services.sql.execute import Columns, Rows
from services.sql.questions import Answered, Questions, Understood
from services.sql.vocabulary import vocabulary

Context = grpc.aio.ServicerContext[Any, Any]


class SqlServicer(sql_pb2_grpc.SqlServiceServicer):
    """Implements the service.

    Args:
        databases: Use cases about databases.
        questions: Use cases about questions and statements.
    """

    def __init__(self, databases: Databases, questions: Questions) -> None:
        self._databases = databases
        self._questions = questions

    async def CreateDatabase(
        self, request: sql_pb2.CreateDatabaseRequest, context: Context
    ) -> sql_pb2.CreateDatabaseResponse:
        """Registers a database."""
        asked = request.database
        created = await self._databases.create(request.database_id, asked.url, asked.display_name, asked.description)
        return sql_pb2.CreateDatabaseResponse(database=converters.database(created))

    async def ListDatabases(
        self, request: sql_pb2.ListDatabasesRequest, context: Context
    ) -> sql_pb2.ListDatabasesResponse:
        """Lists a page of databases."""
        found, token = await self._databases.list(request.page_size, request.page_token)
        return sql_pb2.ListDatabasesResponse(databases=map(converters.database, found), next_page_token=token)

    async def GetDatabase(self, request: sql_pb2.GetDatabaseRequest, context: Context) -> sql_pb2.GetDatabaseResponse:
        """Gets a database."""
        return sql_pb2.GetDatabaseResponse(database=converters.database(await self._databases.get(_id(request.name))))

    async def DeleteDatabase(
        self, request: sql_pb2.DeleteDatabaseRequest, context: Context
    ) -> sql_pb2.DeleteDatabaseResponse:
        """Forgets a database."""
        await self._databases.delete(_id(request.name))
        return sql_pb2.DeleteDatabaseResponse()

    async def GetSchema(self, request: sql_pb2.GetSchemaRequest, context: Context) -> sql_pb2.GetSchemaResponse:
        """Gets the schema as last read."""
        schema, read = await self._databases.schema(_id(request.name))
        return sql_pb2.GetSchemaResponse(schema=converters.schema(schema, _timestamp(read)))

    async def RefreshSchema(
        self, request: sql_pb2.RefreshSchemaRequest, context: Context
    ) -> sql_pb2.RefreshSchemaResponse:
        """Reads the schema again."""
        schema, read = await self._databases.refresh(_id(request.name))
        return sql_pb2.RefreshSchemaResponse(schema=converters.schema(schema, _timestamp(read)))

    async def GetVocabulary(
        self, request: sql_pb2.GetVocabularyRequest, context: Context
    ) -> sql_pb2.GetVocabularyResponse:
        """Gets what people may say about a database; there are forms for English only."""
        schema, _read = await self._databases.schema(_id(request.name))
        english = (request.language_code or "en").lower().split("-")[0] == "en"
        return sql_pb2.GetVocabularyResponse(phrases=vocabulary(schema) if english else [])

    async def GenerateQuery(
        self, request: sql_pb2.GenerateQueryRequest, context: Context
    ) -> sql_pb2.GenerateQueryResponse:
        """Turns a question into SQL."""
        found = await self._questions.generate(_id(request.database), request.question, request.engine)
        return sql_pb2.GenerateQueryResponse(query=converters.query(found.query, found.schema.dialect))

    async def ExecuteQuery(
        self, request: sql_pb2.ExecuteQueryRequest, context: Context
    ) -> AsyncIterator[sql_pb2.ExecuteQueryResponse]:
        """Runs a statement."""
        timeout = request.timeout.ToTimedelta().total_seconds() if request.HasField("timeout") else None
        parts = self._questions.execute(_id(request.database), request.sql, request.max_rows, timeout)
        begun = False
        try:
            async with contextlib.aclosing(parts):
                async for part in parts:
                    if isinstance(part, Columns):
                        yield sql_pb2.ExecuteQueryResponse(columns=converters.columns(part))
                    elif isinstance(part, Rows):
                        yield sql_pb2.ExecuteQueryResponse(rows=_batch(part))
                    else:
                        yield sql_pb2.ExecuteQueryResponse(summary=converters.summary(part))
                    begun = True
        except ParleyError as error:
            # REST clients of a stream that has begun see no status: they need the error as a part.
            if begun:
                yield sql_pb2.ExecuteQueryResponse(error=to_status(error))
            raise

    async def Ask(self, request: sql_pb2.AskRequest, context: Context) -> AsyncIterator[sql_pb2.AskResponse]:
        """Answers a question."""
        parts = self._questions.ask(_id(request.database), request.question, request.engine, request.max_rows)
        begun = False
        try:
            async with contextlib.aclosing(parts):
                async for part in parts:
                    if isinstance(part, Understood):
                        yield sql_pb2.AskResponse(linked_schema=converters.linked_schema(part.query, part.schema))
                        yield sql_pb2.AskResponse(query=converters.query(part.query, part.schema.dialect))
                    elif isinstance(part, Columns):
                        yield sql_pb2.AskResponse(columns=converters.columns(part))
                    elif isinstance(part, Rows):
                        yield sql_pb2.AskResponse(rows=_batch(part))
                    else:
                        yield sql_pb2.AskResponse(answer=_answer(part))
                    begun = True
        except ParleyError as error:
            if begun:
                yield sql_pb2.AskResponse(error=to_status(error))
            raise


def bound(databases: Databases, questions: Questions) -> Bound:
    """The service, to be served."""
    servicer = SqlServicer(databases, questions)
    return Bound(
        sql_pb2_grpc.add_SqlServiceServicer_to_server, servicer, sql_pb2.DESCRIPTOR.services_by_name["SqlService"]
    )


def _id(name: str) -> str:
    """The id in a resource name."""
    return name.removeprefix("databases/")


def _timestamp(time: datetime) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(time)
    return found


def _batch(part: Rows) -> sql_pb2.RowBatch:
    batch = sql_pb2.RowBatch()
    for row in part.rows:
        batch.rows.append(struct_pb2.ListValue(values=map(converters.value, row)))
    return batch


def _answer(part: Answered) -> sql_pb2.Answer:
    return sql_pb2.Answer(text=part.text, summary=converters.summary(part.summary))

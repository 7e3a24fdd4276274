"""parley.sql.v1.SqlService over the domain: converts, calls, converts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh.errors import ParleyError
from services.mesh.server import Bound
from services.mesh.status import to_status
from services.sql import converters
from services.sql.asking.questions import Answered, Asked, Options, Questions, Understood
from services.sql.databases import Databases
from services.sql.engine.ambiguity import QuestionBack
from services.sql.execution.execute import Columns, Part, Rows
from services.sql.linking.vocabulary import MAX_PHRASES, vocabulary
from services.sql.query import Step
from services.sql.results.arrow import ArrowStream
from services.sql.results.export import Format
from services.sql.schemas import semantic_schema
from services.sql.uploads.uploads import Uploads

_FORMATS = {
    sql_pb2.EXPORT_FORMAT_UNSPECIFIED: Format.CSV,
    sql_pb2.EXPORT_FORMAT_CSV: Format.CSV,
    sql_pb2.EXPORT_FORMAT_XLSX: Format.XLSX,
    sql_pb2.EXPORT_FORMAT_ARROW: Format.ARROW,
}
Context = grpc.aio.ServicerContext[Any, Any]


class SqlServicer(sql_pb2_grpc.SqlServiceServicer):
    """Implements the service.

    Args:
        databases: Use cases about databases.
        questions: Use cases about questions and statements.
        uploads: Use cases about uploads.
    """

    def __init__(self, databases: Databases, questions: Questions, uploads: Uploads) -> None:
        self._databases = databases
        self._uploads = uploads
        self._questions = questions

    async def CreateDatabase(
        self, request: sql_pb2.CreateDatabaseRequest, context: Context
    ) -> sql_pb2.CreateDatabaseResponse:
        """Registers a database."""
        asked = request.database
        # A large dump takes seconds to read.
        given = await asyncio.to_thread(converters.schema_source, request.schema)
        created = await self._databases.create(
            request.database_id, asked.url, asked.display_name, asked.description, given
        )
        return sql_pb2.CreateDatabaseResponse(database=converters.database(created))

    async def UploadDatabase(
        self, request: AsyncIterator[sql_pb2.UploadDatabaseRequest], context: Context
    ) -> sql_pb2.UploadDatabaseResponse:
        """Makes a database of files."""
        created, notes = await self._uploads.create(
            (piece.body.content_type, piece.body.data) async for piece in request
        )
        return sql_pb2.UploadDatabaseResponse(database=converters.database(created), notes=notes)

    async def UpdateDatabase(
        self, request: sql_pb2.UpdateDatabaseRequest, context: Context
    ) -> sql_pb2.UpdateDatabaseResponse:
        """Changes a database."""
        asked = request.database
        changed = await self._databases.update(
            converters.database_id(asked.name), asked.url, asked.display_name, asked.description
        )
        return sql_pb2.UpdateDatabaseResponse(database=converters.database(changed))

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
        phrases = [*semantic_schema.phrases(schema), *vocabulary(schema)] if english else []
        return sql_pb2.GetVocabularyResponse(phrases=phrases[:MAX_PHRASES])

    async def GenerateQuery(
        self, request: sql_pb2.GenerateQueryRequest, context: Context
    ) -> sql_pb2.GenerateQueryResponse:
        """Turns a question into SQL."""
        asked = Asked(
            request.question, request.engine, converters.history(request.history), converters.thinking(request)
        )
        found = await self._questions.generate(_id(request.database), asked)
        return sql_pb2.GenerateQueryResponse(
            query=converters.query(found.query, found.schema.dialect, request.database)
        )

    async def ExecuteQuery(
        self, request: sql_pb2.ExecuteQueryRequest, context: Context
    ) -> AsyncIterator[sql_pb2.ExecuteQueryResponse]:
        """Runs a statement."""
        timeout = request.timeout.ToTimedelta().total_seconds() if request.HasField("timeout") else None
        options = Options(request.max_rows, timeout, request.skip, request.confirm_cost)
        parts = self._questions.execute(_id(request.database), request.sql, options)
        sent = _arrow if request.format == sql_pb2.RESULT_FORMAT_ARROW else _values
        begun = False
        try:
            async with contextlib.aclosing(sent(parts)) as responses:
                async for response in responses:
                    yield response
                    begun = True
        except ParleyError as error:
            # REST clients of a stream that has begun see no status: they need the error as a part.
            if begun:
                yield sql_pb2.ExecuteQueryResponse(error=to_status(error))
            raise

    async def ExportQuery(
        self, request: sql_pb2.ExportQueryRequest, context: Context
    ) -> AsyncIterator[sql_pb2.ExportQueryResponse]:
        """Gives a statement's result as a file."""
        form = _FORMATS[request.format]
        pieces = self._questions.export(
            _id(request.database), request.sql, form, request.max_rows, request.confirm_cost
        )
        named = f'attachment; filename="{_id(request.database)}.{form.value}"'
        async with contextlib.aclosing(pieces):
            async for content_type, data in pieces:
                if named:
                    await context.send_initial_metadata((("content-disposition", named),))
                    named = ""
                yield sql_pb2.ExportQueryResponse(body=HttpBody(content_type=content_type, data=data))

    async def ExplainQuery(
        self, request: sql_pb2.ExplainQueryRequest, context: Context
    ) -> sql_pb2.ExplainQueryResponse:
        """Explains a statement."""
        found = await self._questions.explain(_id(request.database), request.sql, request.measure)
        return converters.explanation(found)

    async def Ask(self, request: sql_pb2.AskRequest, context: Context) -> AsyncIterator[sql_pb2.AskResponse]:
        """Answers a question."""
        asked = Asked(
            request.question,
            request.engine,
            converters.history(request.history),
            converters.thinking(request),
            request.max_rows,
            request.confirm_cost,
            request.guess,
        )
        parts = self._questions.ask(_id(request.database), asked)
        begun = False
        try:
            async with contextlib.aclosing(parts):
                async for part in parts:
                    if isinstance(part, Step):
                        yield sql_pb2.AskResponse(step=converters.step(part))
                    elif isinstance(part, QuestionBack):
                        yield sql_pb2.AskResponse(clarification=converters.clarification(part))
                    elif isinstance(part, Understood):
                        yield sql_pb2.AskResponse(linked_schema=converters.linked_schema(part.query, part.schema))
                        yield sql_pb2.AskResponse(
                            query=converters.query(part.query, part.schema.dialect, request.database)
                        )
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


def bound(databases: Databases, questions: Questions, uploads: Uploads) -> Bound:
    """The service, to be served."""
    servicer = SqlServicer(databases, questions, uploads)
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


async def _values(parts: AsyncGenerator[Part, None]) -> AsyncGenerator[sql_pb2.ExecuteQueryResponse, None]:
    """A result as values."""
    async with contextlib.aclosing(parts):
        async for part in parts:
            if isinstance(part, Columns):
                yield sql_pb2.ExecuteQueryResponse(columns=converters.columns(part))
            elif isinstance(part, Rows):
                yield sql_pb2.ExecuteQueryResponse(rows=_batch(part))
            else:
                yield sql_pb2.ExecuteQueryResponse(summary=converters.summary(part))


async def _arrow(parts: AsyncGenerator[Part, None]) -> AsyncGenerator[sql_pb2.ExecuteQueryResponse, None]:
    """A result as an Arrow stream between its columns and its summary; without a chart, which is drawn of values."""
    stream = ArrowStream(())
    async with contextlib.aclosing(parts):
        async for part in parts:
            if isinstance(part, Columns):
                stream = ArrowStream(part.columns)
                yield sql_pb2.ExecuteQueryResponse(columns=converters.columns(part))
                yield sql_pb2.ExecuteQueryResponse(arrow=stream.head())
            elif isinstance(part, Rows):
                yield sql_pb2.ExecuteQueryResponse(arrow=stream.batch(part.rows))
            else:
                yield sql_pb2.ExecuteQueryResponse(arrow=stream.end())
                yield sql_pb2.ExecuteQueryResponse(summary=converters.summary(replace(part, chart=None)))


def _batch(part: Rows) -> sql_pb2.RowBatch:
    batch = sql_pb2.RowBatch()
    for row in part.rows:
        batch.rows.append(struct_pb2.ListValue(values=map(converters.value, row)))
    return batch


def _answer(part: Answered) -> sql_pb2.Answer:
    return sql_pb2.Answer(text=part.text, summary=converters.summary(part.summary))

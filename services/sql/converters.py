"""Domain objects as messages of parley.sql.v1: part of the servicer, and like it no part of the domain."""

from __future__ import annotations

import re
from collections.abc import Iterable

from google.protobuf import struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from parley.sql.v1 import sql_pb2
from services.mesh.errors import InvalidArgument
from services.sql.advice.explain import Explanation
from services.sql.engine.ambiguity import QuestionBack
from services.sql.execution.execute import Columns, Summary
from services.sql.query import GeneratedQuery, Link, Step, Thinking, Turn
from services.sql.schema import Dialect, Schema, Table
from services.sql.schemas import dbt, ddl
from services.sql.schemas.sampling import SAMPLES
from services.sql.store import Registered
from services.sql.values import Value

_DIALECTS = {
    Dialect.SQLITE: sql_pb2.DIALECT_SQLITE,
    Dialect.POSTGRESQL: sql_pb2.DIALECT_POSTGRESQL,
    Dialect.MYSQL: sql_pb2.DIALECT_MYSQL,
    Dialect.DUCKDB: sql_pb2.DIALECT_DUCKDB,
    Dialect.CLICKHOUSE: sql_pb2.DIALECT_CLICKHOUSE,
    Dialect.MONGODB: sql_pb2.DIALECT_MONGODB,
}

_NAME = re.compile(r"databases/[a-z][a-z0-9-]{0,62}")


def schema_source(source: sql_pb2.SchemaSource) -> Schema | None:
    """The schema that comes with a request; None where none does. Raises InvalidArgument."""
    kind = source.WhichOneof("source")
    if kind is None:
        return None
    dialects = {number: dialect for dialect, number in _DIALECTS.items()}
    if source.dialect not in dialects:
        raise InvalidArgument("schema.dialect", "is required: the dialect of the statements to write.")
    dialect = dialects[source.dialect]
    return ddl.parse(source.ddl, dialect) if kind == "ddl" else dbt.parse(source.dbt_manifest, dialect)


def database_id(name: str) -> str:
    """The id in a database's resource name inside a message. Raises InvalidArgument where it is none."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument("database.name", "must be databases/{database}, e.g. databases/shop.")
    return name.removeprefix("databases/")


def database(registered: Registered) -> sql_pb2.Database:
    """A registered database, without its URL."""
    found = sql_pb2.Database(
        name=registered.name,
        display_name=registered.display_name,
        description=registered.description,
        dialect=_DIALECTS[registered.dialect],
        state=f"DATABASE_STATE_{registered.state.name}",
        state_message=registered.state_message,
    )
    if registered.checked is not None:
        found.check_time.FromDatetime(registered.checked)
    found.create_time.FromDatetime(registered.created)
    found.schema_time.FromDatetime(registered.schema_read)
    return found


def schema(found: Schema, read: Timestamp) -> sql_pb2.Schema:
    """A schema."""
    return sql_pb2.Schema(tables=map(_table, found.tables), read_time=read)


def _table(table: Table) -> sql_pb2.Table:
    return sql_pb2.Table(
        name=table.name,
        columns=[
            sql_pb2.TableColumn(
                name=column.name,
                type=column.type,
                nullable=column.nullable,
                sample_values=column.values[:SAMPLES],
                description=column.description,
            )
            for column in table.columns
        ],
        primary_key=table.primary_key,
        foreign_keys=[
            sql_pb2.ForeignKey(
                columns=key.columns,
                referred_table=key.referred_table,
                referred_columns=key.referred_columns,
                inferred=key.inferred,
            )
            for key in table.foreign_keys
        ],
        row_count=table.row_count,
        description=table.description,
    )


def linked_schema(query: GeneratedQuery, found: Schema) -> sql_pb2.LinkedSchema:
    """The linked tables with their linked columns."""
    linked = {link.table for link in query.links}
    columns = {(link.table, link.column) for link in query.links}
    tables = [_table(table) for table in found.tables if table.name in linked]
    for table in tables:
        kept = [column for column in table.columns if (table.name, column.name) in columns]
        del table.columns[:]
        table.columns.extend(kept)
    return sql_pb2.LinkedSchema(tables=tables, links=map(_link, query.links))


def _link(link: Link) -> sql_pb2.Link:
    return sql_pb2.Link(
        words=link.words,
        start=link.start,
        end=link.end,
        table=link.table,
        column=link.column,
        value=link.value,
        score=link.score,
    )


def query(found: GeneratedQuery, dialect: Dialect, database: str) -> sql_pb2.GeneratedQuery:
    """A generated query; `database`: the resource name of its database."""
    return sql_pb2.GeneratedQuery(
        sql=found.sql,
        dialect=_DIALECTS[dialect],
        explanation=found.explanation,
        links=map(_link, found.links),
        confidence=found.confidence,
        engine=found.engine,
        name=found.name,
        unknown_words=found.unknown_words,
        full_question=found.full_question,
        examples=[f"{database}/examples/{identifier}" for identifier in found.examples],
        alternatives=[
            sql_pb2.Alternative(sql=other.sql, explanation=other.explanation, confidence=other.confidence)
            for other in found.alternatives
        ],
    )


def history(turns: Iterable[sql_pb2.Turn]) -> tuple[Turn, ...]:
    """What was asked before; turns without a question say nothing."""
    return tuple(Turn(turn.question, turn.sql) for turn in turns if turn.question.strip())


def thinking(request: sql_pb2.GenerateQueryRequest | sql_pb2.AskRequest) -> Thinking | None:
    """How long to think; None where the request does not say."""
    if not request.HasField("thinking"):
        return None
    asked = request.thinking
    seconds = asked.max_time.ToTimedelta().total_seconds() if asked.HasField("max_time") else 0.0
    if seconds < 0:
        raise InvalidArgument("thinking.max_time", "it must not be negative.")
    return Thinking(asked.candidates, asked.max_tokens, seconds)


def step(found: Step) -> sql_pb2.ThinkingStep:
    """A step of thinking."""
    return sql_pb2.ThinkingStep(text=found.text, sql=found.sql, tokens=found.tokens)


def clarification(back: QuestionBack) -> sql_pb2.Clarification:
    """A question back."""
    choices = [
        sql_pb2.Choice(text=choice.explanation, sql=choice.sql, confidence=choice.confidence) for choice in back.choices
    ]
    return sql_pb2.Clarification(text=back.text, choices=choices)


def columns(part: Columns) -> sql_pb2.ResultColumns:
    """The columns of a result."""
    return sql_pb2.ResultColumns(
        columns=[
            sql_pb2.ResultColumn(name=column.name, type=f"COLUMN_TYPE_{column.type.value}") for column in part.columns
        ]
    )


def summary(part: Summary) -> sql_pb2.ResultSummary:
    """The end of a result."""
    found = sql_pb2.ResultSummary(row_count=part.row_count, truncated=part.truncated, elapsed=_duration(part.elapsed))
    if part.chart is not None:
        found.chart.update(part.chart)
    return found


def explanation(found: Explanation) -> sql_pb2.ExplainQueryResponse:
    """What a statement costs."""
    return sql_pb2.ExplainQueryResponse(
        plan=found.plan.text,
        cost=found.plan.cost,
        rows=found.plan.rows,
        elapsed=_duration(found.elapsed),
        scans=[sql_pb2.TableScan(table=table, rows=rows, filter=kept) for table, rows, kept in found.scans],
        indexes=[
            sql_pb2.IndexAdvice(table=item.table, columns=item.columns, statement=item.statement, reason=item.reason)
            for item in found.indexes
        ],
        rewrites=[
            sql_pb2.Rewrite(sql=item.sql, reason=item.reason, cost=item.cost, elapsed=_duration(item.elapsed))
            for item in found.rewrites
        ],
        needs_confirmation=found.needs_confirmation,
    )


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    found = Duration()
    found.FromNanoseconds(int(seconds * 1e9))
    return found


def value(found: Value) -> struct_pb2.Value:
    """A value of a row."""
    if found is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(found, bool):
        return struct_pb2.Value(bool_value=found)
    if isinstance(found, (int, float)):
        return struct_pb2.Value(number_value=found)
    if isinstance(found, str):
        return struct_pb2.Value(string_value=found)
    if isinstance(found, list):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=map(value, found)))
    fields = {key: value(item) for key, item in found.items()}
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))

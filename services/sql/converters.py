"""Domain objects as messages of parley.sql.v1: part of the servicer, and like it no part of the domain."""

from __future__ import annotations

from google.protobuf import struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from parley.sql.v1 import sql_pb2
from services.sql.execute import Columns, Summary
from services.sql.introspect import SAMPLES
from services.sql.query import GeneratedQuery, Link
from services.sql.schema import Dialect, Schema, Table
from services.sql.store import Registered
from services.sql.values import Value

_DIALECTS = {
    Dialect.SQLITE: sql_pb2.DIALECT_SQLITE,
    Dialect.POSTGRESQL: sql_pb2.DIALECT_POSTGRESQL,
}


def database(registered: Registered) -> sql_pb2.Database:
    """A registered database, without its URL."""
    found = sql_pb2.Database(
        name=registered.name,
        display_name=registered.display_name,
        description=registered.description,
        dialect=_DIALECTS[registered.dialect],
    )
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
                name=column.name, type=column.type, nullable=column.nullable, sample_values=column.values[:SAMPLES]
            )
            for column in table.columns
        ],
        primary_key=table.primary_key,
        foreign_keys=[
            sql_pb2.ForeignKey(
                columns=key.columns, referred_table=key.referred_table, referred_columns=key.referred_columns
            )
            for key in table.foreign_keys
        ],
        row_count=table.row_count,
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


def query(found: GeneratedQuery, dialect: Dialect) -> sql_pb2.GeneratedQuery:
    """A generated query."""
    return sql_pb2.GeneratedQuery(
        sql=found.sql,
        dialect=_DIALECTS[dialect],
        explanation=found.explanation,
        links=map(_link, found.links),
        confidence=found.confidence,
        engine=found.engine,
        alternatives=[
            sql_pb2.Alternative(sql=other.sql, explanation=other.explanation, confidence=other.confidence)
            for other in found.alternatives
        ],
    )


def columns(part: Columns) -> sql_pb2.ResultColumns:
    """The columns of a result."""
    return sql_pb2.ResultColumns(
        columns=[
            sql_pb2.ResultColumn(name=column.name, type=f"COLUMN_TYPE_{column.type.value}") for column in part.columns
        ]
    )


def summary(part: Summary) -> sql_pb2.ResultSummary:
    """The end of a result."""
    elapsed = Duration()
    elapsed.FromNanoseconds(int(part.elapsed * 1e9))
    return sql_pb2.ResultSummary(row_count=part.row_count, truncated=part.truncated, elapsed=elapsed)


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

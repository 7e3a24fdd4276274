import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from parley.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dialect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIALECT_UNSPECIFIED: _ClassVar[Dialect]
    DIALECT_SQLITE: _ClassVar[Dialect]
    DIALECT_POSTGRESQL: _ClassVar[Dialect]
    DIALECT_MYSQL: _ClassVar[Dialect]
    DIALECT_DUCKDB: _ClassVar[Dialect]
    DIALECT_CLICKHOUSE: _ClassVar[Dialect]
    DIALECT_MONGODB: _ClassVar[Dialect]

class DatabaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATABASE_STATE_UNSPECIFIED: _ClassVar[DatabaseState]
    DATABASE_STATE_ACTIVE: _ClassVar[DatabaseState]
    DATABASE_STATE_UNREACHABLE: _ClassVar[DatabaseState]
    DATABASE_STATE_REFUSED: _ClassVar[DatabaseState]
    DATABASE_STATE_SCHEMA_ONLY: _ClassVar[DatabaseState]

class ResultFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESULT_FORMAT_UNSPECIFIED: _ClassVar[ResultFormat]
    RESULT_FORMAT_ROWS: _ClassVar[ResultFormat]
    RESULT_FORMAT_ARROW: _ClassVar[ResultFormat]

class ColumnType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLUMN_TYPE_UNSPECIFIED: _ClassVar[ColumnType]
    COLUMN_TYPE_INTEGER: _ClassVar[ColumnType]
    COLUMN_TYPE_NUMBER: _ClassVar[ColumnType]
    COLUMN_TYPE_DECIMAL: _ClassVar[ColumnType]
    COLUMN_TYPE_TEXT: _ClassVar[ColumnType]
    COLUMN_TYPE_BOOLEAN: _ClassVar[ColumnType]
    COLUMN_TYPE_DATE: _ClassVar[ColumnType]
    COLUMN_TYPE_TIMESTAMP: _ClassVar[ColumnType]
    COLUMN_TYPE_BYTES: _ClassVar[ColumnType]
    COLUMN_TYPE_JSON: _ClassVar[ColumnType]

class ExportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_FORMAT_UNSPECIFIED: _ClassVar[ExportFormat]
    EXPORT_FORMAT_CSV: _ClassVar[ExportFormat]
    EXPORT_FORMAT_XLSX: _ClassVar[ExportFormat]
    EXPORT_FORMAT_ARROW: _ClassVar[ExportFormat]
DIALECT_UNSPECIFIED: Dialect
DIALECT_SQLITE: Dialect
DIALECT_POSTGRESQL: Dialect
DIALECT_MYSQL: Dialect
DIALECT_DUCKDB: Dialect
DIALECT_CLICKHOUSE: Dialect
DIALECT_MONGODB: Dialect
DATABASE_STATE_UNSPECIFIED: DatabaseState
DATABASE_STATE_ACTIVE: DatabaseState
DATABASE_STATE_UNREACHABLE: DatabaseState
DATABASE_STATE_REFUSED: DatabaseState
DATABASE_STATE_SCHEMA_ONLY: DatabaseState
RESULT_FORMAT_UNSPECIFIED: ResultFormat
RESULT_FORMAT_ROWS: ResultFormat
RESULT_FORMAT_ARROW: ResultFormat
COLUMN_TYPE_UNSPECIFIED: ColumnType
COLUMN_TYPE_INTEGER: ColumnType
COLUMN_TYPE_NUMBER: ColumnType
COLUMN_TYPE_DECIMAL: ColumnType
COLUMN_TYPE_TEXT: ColumnType
COLUMN_TYPE_BOOLEAN: ColumnType
COLUMN_TYPE_DATE: ColumnType
COLUMN_TYPE_TIMESTAMP: ColumnType
COLUMN_TYPE_BYTES: ColumnType
COLUMN_TYPE_JSON: ColumnType
EXPORT_FORMAT_UNSPECIFIED: ExportFormat
EXPORT_FORMAT_CSV: ExportFormat
EXPORT_FORMAT_XLSX: ExportFormat
EXPORT_FORMAT_ARROW: ExportFormat

class Database(_message.Message):
    __slots__ = ("name", "display_name", "url", "dialect", "description", "create_time", "schema_time", "state", "state_message", "check_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    DIALECT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CHECK_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    url: str
    dialect: Dialect
    description: str
    create_time: _timestamp_pb2.Timestamp
    schema_time: _timestamp_pb2.Timestamp
    state: DatabaseState
    state_message: str
    check_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., url: _Optional[str] = ..., dialect: _Optional[_Union[Dialect, str]] = ..., description: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., schema_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[DatabaseState, str]] = ..., state_message: _Optional[str] = ..., check_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateDatabaseRequest(_message.Message):
    __slots__ = ("database_id", "database", "schema")
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    database_id: str
    database: Database
    schema: SchemaSource
    def __init__(self, database_id: _Optional[str] = ..., database: _Optional[_Union[Database, _Mapping]] = ..., schema: _Optional[_Union[SchemaSource, _Mapping]] = ...) -> None: ...

class SchemaSource(_message.Message):
    __slots__ = ("ddl", "dbt_manifest", "dialect")
    DDL_FIELD_NUMBER: _ClassVar[int]
    DBT_MANIFEST_FIELD_NUMBER: _ClassVar[int]
    DIALECT_FIELD_NUMBER: _ClassVar[int]
    ddl: str
    dbt_manifest: bytes
    dialect: Dialect
    def __init__(self, ddl: _Optional[str] = ..., dbt_manifest: _Optional[bytes] = ..., dialect: _Optional[_Union[Dialect, str]] = ...) -> None: ...

class UpdateDatabaseRequest(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: Database
    def __init__(self, database: _Optional[_Union[Database, _Mapping]] = ...) -> None: ...

class UpdateDatabaseResponse(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: Database
    def __init__(self, database: _Optional[_Union[Database, _Mapping]] = ...) -> None: ...

class UploadDatabaseRequest(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: _httpbody_pb2.HttpBody
    def __init__(self, body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class UploadDatabaseResponse(_message.Message):
    __slots__ = ("database", "notes")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    database: Database
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, database: _Optional[_Union[Database, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateDatabaseResponse(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: Database
    def __init__(self, database: _Optional[_Union[Database, _Mapping]] = ...) -> None: ...

class ListDatabasesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDatabasesResponse(_message.Message):
    __slots__ = ("databases", "next_page_token")
    DATABASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    databases: _containers.RepeatedCompositeFieldContainer[Database]
    next_page_token: str
    def __init__(self, databases: _Optional[_Iterable[_Union[Database, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDatabaseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetDatabaseResponse(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: Database
    def __init__(self, database: _Optional[_Union[Database, _Mapping]] = ...) -> None: ...

class DeleteDatabaseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteDatabaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSchemaRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSchemaResponse(_message.Message):
    __slots__ = ("schema",)
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    schema: Schema
    def __init__(self, schema: _Optional[_Union[Schema, _Mapping]] = ...) -> None: ...

class RefreshSchemaRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RefreshSchemaResponse(_message.Message):
    __slots__ = ("schema",)
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    schema: Schema
    def __init__(self, schema: _Optional[_Union[Schema, _Mapping]] = ...) -> None: ...

class Schema(_message.Message):
    __slots__ = ("tables", "read_time")
    TABLES_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    tables: _containers.RepeatedCompositeFieldContainer[Table]
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, tables: _Optional[_Iterable[_Union[Table, _Mapping]]] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("name", "columns", "primary_key", "foreign_keys", "row_count", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_KEY_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_KEYS_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    columns: _containers.RepeatedCompositeFieldContainer[TableColumn]
    primary_key: _containers.RepeatedScalarFieldContainer[str]
    foreign_keys: _containers.RepeatedCompositeFieldContainer[ForeignKey]
    row_count: int
    description: str
    def __init__(self, name: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[TableColumn, _Mapping]]] = ..., primary_key: _Optional[_Iterable[str]] = ..., foreign_keys: _Optional[_Iterable[_Union[ForeignKey, _Mapping]]] = ..., row_count: _Optional[int] = ..., description: _Optional[str] = ...) -> None: ...

class TableColumn(_message.Message):
    __slots__ = ("name", "type", "nullable", "sample_values", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_VALUES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    nullable: bool
    sample_values: _containers.RepeatedScalarFieldContainer[str]
    description: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., nullable: _Optional[bool] = ..., sample_values: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ...) -> None: ...

class ForeignKey(_message.Message):
    __slots__ = ("columns", "referred_table", "referred_columns", "inferred")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    REFERRED_TABLE_FIELD_NUMBER: _ClassVar[int]
    REFERRED_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    INFERRED_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    referred_table: str
    referred_columns: _containers.RepeatedScalarFieldContainer[str]
    inferred: bool
    def __init__(self, columns: _Optional[_Iterable[str]] = ..., referred_table: _Optional[str] = ..., referred_columns: _Optional[_Iterable[str]] = ..., inferred: _Optional[bool] = ...) -> None: ...

class GetVocabularyRequest(_message.Message):
    __slots__ = ("name", "language_code")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    name: str
    language_code: str
    def __init__(self, name: _Optional[str] = ..., language_code: _Optional[str] = ...) -> None: ...

class GetVocabularyResponse(_message.Message):
    __slots__ = ("phrases",)
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    phrases: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, phrases: _Optional[_Iterable[str]] = ...) -> None: ...

class GenerateQueryRequest(_message.Message):
    __slots__ = ("database", "question", "engine", "history", "thinking")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    database: str
    question: str
    engine: str
    history: _containers.RepeatedCompositeFieldContainer[Turn]
    thinking: Thinking
    def __init__(self, database: _Optional[str] = ..., question: _Optional[str] = ..., engine: _Optional[str] = ..., history: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ..., thinking: _Optional[_Union[Thinking, _Mapping]] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("question", "sql")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    question: str
    sql: str
    def __init__(self, question: _Optional[str] = ..., sql: _Optional[str] = ...) -> None: ...

class Thinking(_message.Message):
    __slots__ = ("candidates", "max_tokens", "max_time")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TIME_FIELD_NUMBER: _ClassVar[int]
    candidates: int
    max_tokens: int
    max_time: _duration_pb2.Duration
    def __init__(self, candidates: _Optional[int] = ..., max_tokens: _Optional[int] = ..., max_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GenerateQueryResponse(_message.Message):
    __slots__ = ("query",)
    QUERY_FIELD_NUMBER: _ClassVar[int]
    query: GeneratedQuery
    def __init__(self, query: _Optional[_Union[GeneratedQuery, _Mapping]] = ...) -> None: ...

class GeneratedQuery(_message.Message):
    __slots__ = ("sql", "dialect", "explanation", "links", "confidence", "alternatives", "engine", "name", "unknown_words", "examples", "full_question")
    SQL_FIELD_NUMBER: _ClassVar[int]
    DIALECT_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_WORDS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    FULL_QUESTION_FIELD_NUMBER: _ClassVar[int]
    sql: str
    dialect: Dialect
    explanation: str
    links: _containers.RepeatedCompositeFieldContainer[Link]
    confidence: float
    alternatives: _containers.RepeatedCompositeFieldContainer[Alternative]
    engine: str
    name: str
    unknown_words: _containers.RepeatedScalarFieldContainer[str]
    examples: _containers.RepeatedScalarFieldContainer[str]
    full_question: str
    def __init__(self, sql: _Optional[str] = ..., dialect: _Optional[_Union[Dialect, str]] = ..., explanation: _Optional[str] = ..., links: _Optional[_Iterable[_Union[Link, _Mapping]]] = ..., confidence: _Optional[float] = ..., alternatives: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ..., engine: _Optional[str] = ..., name: _Optional[str] = ..., unknown_words: _Optional[_Iterable[str]] = ..., examples: _Optional[_Iterable[str]] = ..., full_question: _Optional[str] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("words", "start", "end", "table", "column", "value", "score")
    WORDS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    words: str
    start: int
    end: int
    table: str
    column: str
    value: str
    score: float
    def __init__(self, words: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., table: _Optional[str] = ..., column: _Optional[str] = ..., value: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class Alternative(_message.Message):
    __slots__ = ("sql", "explanation", "confidence")
    SQL_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    sql: str
    explanation: str
    confidence: float
    def __init__(self, sql: _Optional[str] = ..., explanation: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class ExecuteQueryRequest(_message.Message):
    __slots__ = ("database", "sql", "max_rows", "timeout", "format", "skip", "confirm_cost")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_COST_FIELD_NUMBER: _ClassVar[int]
    database: str
    sql: str
    max_rows: int
    timeout: _duration_pb2.Duration
    format: ResultFormat
    skip: int
    confirm_cost: bool
    def __init__(self, database: _Optional[str] = ..., sql: _Optional[str] = ..., max_rows: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., format: _Optional[_Union[ResultFormat, str]] = ..., skip: _Optional[int] = ..., confirm_cost: _Optional[bool] = ...) -> None: ...

class ExecuteQueryResponse(_message.Message):
    __slots__ = ("columns", "rows", "summary", "error", "arrow")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ARROW_FIELD_NUMBER: _ClassVar[int]
    columns: ResultColumns
    rows: RowBatch
    summary: ResultSummary
    error: _status_pb2.Status
    arrow: bytes
    def __init__(self, columns: _Optional[_Union[ResultColumns, _Mapping]] = ..., rows: _Optional[_Union[RowBatch, _Mapping]] = ..., summary: _Optional[_Union[ResultSummary, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., arrow: _Optional[bytes] = ...) -> None: ...

class ResultColumns(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[ResultColumn]
    def __init__(self, columns: _Optional[_Iterable[_Union[ResultColumn, _Mapping]]] = ...) -> None: ...

class ResultColumn(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: ColumnType
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[ColumnType, str]] = ...) -> None: ...

class RowBatch(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[_struct_pb2.ListValue]
    def __init__(self, rows: _Optional[_Iterable[_Union[_struct_pb2.ListValue, _Mapping]]] = ...) -> None: ...

class ResultSummary(_message.Message):
    __slots__ = ("row_count", "truncated", "elapsed", "chart")
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    CHART_FIELD_NUMBER: _ClassVar[int]
    row_count: int
    truncated: bool
    elapsed: _duration_pb2.Duration
    chart: _struct_pb2.Struct
    def __init__(self, row_count: _Optional[int] = ..., truncated: _Optional[bool] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., chart: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ExportQueryRequest(_message.Message):
    __slots__ = ("database", "sql", "format", "max_rows", "confirm_cost")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_COST_FIELD_NUMBER: _ClassVar[int]
    database: str
    sql: str
    format: ExportFormat
    max_rows: int
    confirm_cost: bool
    def __init__(self, database: _Optional[str] = ..., sql: _Optional[str] = ..., format: _Optional[_Union[ExportFormat, str]] = ..., max_rows: _Optional[int] = ..., confirm_cost: _Optional[bool] = ...) -> None: ...

class ExportQueryResponse(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: _httpbody_pb2.HttpBody
    def __init__(self, body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class ExplainQueryRequest(_message.Message):
    __slots__ = ("database", "sql", "measure")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    database: str
    sql: str
    measure: bool
    def __init__(self, database: _Optional[str] = ..., sql: _Optional[str] = ..., measure: _Optional[bool] = ...) -> None: ...

class ExplainQueryResponse(_message.Message):
    __slots__ = ("plan", "cost", "rows", "elapsed", "scans", "indexes", "rewrites", "needs_confirmation")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    SCANS_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    REWRITES_FIELD_NUMBER: _ClassVar[int]
    NEEDS_CONFIRMATION_FIELD_NUMBER: _ClassVar[int]
    plan: str
    cost: float
    rows: float
    elapsed: _duration_pb2.Duration
    scans: _containers.RepeatedCompositeFieldContainer[TableScan]
    indexes: _containers.RepeatedCompositeFieldContainer[IndexAdvice]
    rewrites: _containers.RepeatedCompositeFieldContainer[Rewrite]
    needs_confirmation: bool
    def __init__(self, plan: _Optional[str] = ..., cost: _Optional[float] = ..., rows: _Optional[float] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., scans: _Optional[_Iterable[_Union[TableScan, _Mapping]]] = ..., indexes: _Optional[_Iterable[_Union[IndexAdvice, _Mapping]]] = ..., rewrites: _Optional[_Iterable[_Union[Rewrite, _Mapping]]] = ..., needs_confirmation: _Optional[bool] = ...) -> None: ...

class TableScan(_message.Message):
    __slots__ = ("table", "rows", "filter")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    table: str
    rows: int
    filter: str
    def __init__(self, table: _Optional[str] = ..., rows: _Optional[int] = ..., filter: _Optional[str] = ...) -> None: ...

class IndexAdvice(_message.Message):
    __slots__ = ("table", "columns", "statement", "reason")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    table: str
    columns: _containers.RepeatedScalarFieldContainer[str]
    statement: str
    reason: str
    def __init__(self, table: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., statement: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Rewrite(_message.Message):
    __slots__ = ("sql", "reason", "cost", "elapsed")
    SQL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    sql: str
    reason: str
    cost: float
    elapsed: _duration_pb2.Duration
    def __init__(self, sql: _Optional[str] = ..., reason: _Optional[str] = ..., cost: _Optional[float] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ResultTable(_message.Message):
    __slots__ = ("sql", "database", "columns", "rows", "truncated")
    SQL_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    sql: str
    database: str
    columns: _containers.RepeatedCompositeFieldContainer[ResultColumn]
    rows: _containers.RepeatedCompositeFieldContainer[_struct_pb2.ListValue]
    truncated: bool
    def __init__(self, sql: _Optional[str] = ..., database: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[ResultColumn, _Mapping]]] = ..., rows: _Optional[_Iterable[_Union[_struct_pb2.ListValue, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...

class AskRequest(_message.Message):
    __slots__ = ("database", "question", "engine", "max_rows", "history", "thinking", "guess", "confirm_cost")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    GUESS_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_COST_FIELD_NUMBER: _ClassVar[int]
    database: str
    question: str
    engine: str
    max_rows: int
    history: _containers.RepeatedCompositeFieldContainer[Turn]
    thinking: Thinking
    guess: bool
    confirm_cost: bool
    def __init__(self, database: _Optional[str] = ..., question: _Optional[str] = ..., engine: _Optional[str] = ..., max_rows: _Optional[int] = ..., history: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ..., thinking: _Optional[_Union[Thinking, _Mapping]] = ..., guess: _Optional[bool] = ..., confirm_cost: _Optional[bool] = ...) -> None: ...

class AskResponse(_message.Message):
    __slots__ = ("linked_schema", "query", "columns", "rows", "answer", "error", "step", "clarification")
    LINKED_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    CLARIFICATION_FIELD_NUMBER: _ClassVar[int]
    linked_schema: LinkedSchema
    query: GeneratedQuery
    columns: ResultColumns
    rows: RowBatch
    answer: Answer
    error: _status_pb2.Status
    step: ThinkingStep
    clarification: Clarification
    def __init__(self, linked_schema: _Optional[_Union[LinkedSchema, _Mapping]] = ..., query: _Optional[_Union[GeneratedQuery, _Mapping]] = ..., columns: _Optional[_Union[ResultColumns, _Mapping]] = ..., rows: _Optional[_Union[RowBatch, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., step: _Optional[_Union[ThinkingStep, _Mapping]] = ..., clarification: _Optional[_Union[Clarification, _Mapping]] = ...) -> None: ...

class ThinkingStep(_message.Message):
    __slots__ = ("text", "sql", "tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: str
    sql: str
    tokens: int
    def __init__(self, text: _Optional[str] = ..., sql: _Optional[str] = ..., tokens: _Optional[int] = ...) -> None: ...

class Clarification(_message.Message):
    __slots__ = ("text", "choices")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    text: str
    choices: _containers.RepeatedCompositeFieldContainer[Choice]
    def __init__(self, text: _Optional[str] = ..., choices: _Optional[_Iterable[_Union[Choice, _Mapping]]] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("text", "sql", "confidence")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    text: str
    sql: str
    confidence: float
    def __init__(self, text: _Optional[str] = ..., sql: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class LinkedSchema(_message.Message):
    __slots__ = ("tables", "links")
    TABLES_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    tables: _containers.RepeatedCompositeFieldContainer[Table]
    links: _containers.RepeatedCompositeFieldContainer[Link]
    def __init__(self, tables: _Optional[_Iterable[_Union[Table, _Mapping]]] = ..., links: _Optional[_Iterable[_Union[Link, _Mapping]]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("text", "summary")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    text: str
    summary: ResultSummary
    def __init__(self, text: _Optional[str] = ..., summary: _Optional[_Union[ResultSummary, _Mapping]] = ...) -> None: ...

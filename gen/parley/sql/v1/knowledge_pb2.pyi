import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from parley.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_RIGHT: _ClassVar[Verdict]
    VERDICT_WRONG: _ClassVar[Verdict]

class ReviewState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVIEW_STATE_UNSPECIFIED: _ClassVar[ReviewState]
    REVIEW_STATE_PROPOSED: _ClassVar[ReviewState]
    REVIEW_STATE_APPROVED: _ClassVar[ReviewState]
    REVIEW_STATE_REJECTED: _ClassVar[ReviewState]

class QueryOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUERY_OUTCOME_UNSPECIFIED: _ClassVar[QueryOutcome]
    QUERY_OUTCOME_GENERATED: _ClassVar[QueryOutcome]
    QUERY_OUTCOME_ANSWERED: _ClassVar[QueryOutcome]
    QUERY_OUTCOME_REFUSED: _ClassVar[QueryOutcome]
    QUERY_OUTCOME_ASKED_BACK: _ClassVar[QueryOutcome]
    QUERY_OUTCOME_FAILED: _ClassVar[QueryOutcome]
VERDICT_UNSPECIFIED: Verdict
VERDICT_RIGHT: Verdict
VERDICT_WRONG: Verdict
REVIEW_STATE_UNSPECIFIED: ReviewState
REVIEW_STATE_PROPOSED: ReviewState
REVIEW_STATE_APPROVED: ReviewState
REVIEW_STATE_REJECTED: ReviewState
QUERY_OUTCOME_UNSPECIFIED: QueryOutcome
QUERY_OUTCOME_GENERATED: QueryOutcome
QUERY_OUTCOME_ANSWERED: QueryOutcome
QUERY_OUTCOME_REFUSED: QueryOutcome
QUERY_OUTCOME_ASKED_BACK: QueryOutcome
QUERY_OUTCOME_FAILED: QueryOutcome

class SubmitFeedbackRequest(_message.Message):
    __slots__ = ("database", "query", "question", "sql", "verdict", "corrected_sql", "comment")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_SQL_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    database: str
    query: str
    question: str
    sql: str
    verdict: Verdict
    corrected_sql: str
    comment: str
    def __init__(self, database: _Optional[str] = ..., query: _Optional[str] = ..., question: _Optional[str] = ..., sql: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., corrected_sql: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class SubmitFeedbackResponse(_message.Message):
    __slots__ = ("example",)
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    example: Example
    def __init__(self, example: _Optional[_Union[Example, _Mapping]] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("name", "question", "sql", "state", "comment", "create_time", "use_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    USE_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    question: str
    sql: str
    state: ReviewState
    comment: str
    create_time: _timestamp_pb2.Timestamp
    use_count: int
    def __init__(self, name: _Optional[str] = ..., question: _Optional[str] = ..., sql: _Optional[str] = ..., state: _Optional[_Union[ReviewState, str]] = ..., comment: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., use_count: _Optional[int] = ...) -> None: ...

class CreateExampleRequest(_message.Message):
    __slots__ = ("database", "example")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    database: str
    example: Example
    def __init__(self, database: _Optional[str] = ..., example: _Optional[_Union[Example, _Mapping]] = ...) -> None: ...

class CreateExampleResponse(_message.Message):
    __slots__ = ("example",)
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    example: Example
    def __init__(self, example: _Optional[_Union[Example, _Mapping]] = ...) -> None: ...

class ListExamplesRequest(_message.Message):
    __slots__ = ("database", "page_size", "page_token", "state")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    database: str
    page_size: int
    page_token: str
    state: ReviewState
    def __init__(self, database: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[ReviewState, str]] = ...) -> None: ...

class ListExamplesResponse(_message.Message):
    __slots__ = ("examples", "next_page_token")
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    examples: _containers.RepeatedCompositeFieldContainer[Example]
    next_page_token: str
    def __init__(self, examples: _Optional[_Iterable[_Union[Example, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateExampleRequest(_message.Message):
    __slots__ = ("example",)
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    example: Example
    def __init__(self, example: _Optional[_Union[Example, _Mapping]] = ...) -> None: ...

class UpdateExampleResponse(_message.Message):
    __slots__ = ("example",)
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    example: Example
    def __init__(self, example: _Optional[_Union[Example, _Mapping]] = ...) -> None: ...

class DeleteExampleRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteExampleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ImportExamplesRequest(_message.Message):
    __slots__ = ("database", "jsonl")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    JSONL_FIELD_NUMBER: _ClassVar[int]
    database: str
    jsonl: str
    def __init__(self, database: _Optional[str] = ..., jsonl: _Optional[str] = ...) -> None: ...

class ImportExamplesResponse(_message.Message):
    __slots__ = ("added", "unchanged", "errors")
    ADDED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    added: int
    unchanged: int
    errors: _containers.RepeatedCompositeFieldContainer[LineError]
    def __init__(self, added: _Optional[int] = ..., unchanged: _Optional[int] = ..., errors: _Optional[_Iterable[_Union[LineError, _Mapping]]] = ...) -> None: ...

class LineError(_message.Message):
    __slots__ = ("line", "message")
    LINE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    line: int
    message: str
    def __init__(self, line: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class ExportExamplesRequest(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: str
    def __init__(self, database: _Optional[str] = ...) -> None: ...

class ExportExamplesResponse(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: _httpbody_pb2.HttpBody
    def __init__(self, body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class GetStatisticsRequest(_message.Message):
    __slots__ = ("database", "days")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    database: str
    days: int
    def __init__(self, database: _Optional[str] = ..., days: _Optional[int] = ...) -> None: ...

class GetStatisticsResponse(_message.Message):
    __slots__ = ("questions", "answered", "refused", "failed", "right", "wrong", "examples", "proposed", "unknown_words")
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    WRONG_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    PROPOSED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_WORDS_FIELD_NUMBER: _ClassVar[int]
    questions: int
    answered: int
    refused: int
    failed: int
    right: int
    wrong: int
    examples: int
    proposed: int
    unknown_words: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, questions: _Optional[int] = ..., answered: _Optional[int] = ..., refused: _Optional[int] = ..., failed: _Optional[int] = ..., right: _Optional[int] = ..., wrong: _Optional[int] = ..., examples: _Optional[int] = ..., proposed: _Optional[int] = ..., unknown_words: _Optional[_Iterable[str]] = ...) -> None: ...

class SuggestQuestionsRequest(_message.Message):
    __slots__ = ("database", "count", "language_code")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    database: str
    count: int
    language_code: str
    def __init__(self, database: _Optional[str] = ..., count: _Optional[int] = ..., language_code: _Optional[str] = ...) -> None: ...

class SuggestQuestionsResponse(_message.Message):
    __slots__ = ("suggestions",)
    SUGGESTIONS_FIELD_NUMBER: _ClassVar[int]
    suggestions: _containers.RepeatedCompositeFieldContainer[Suggestion]
    def __init__(self, suggestions: _Optional[_Iterable[_Union[Suggestion, _Mapping]]] = ...) -> None: ...

class Suggestion(_message.Message):
    __slots__ = ("question", "sql")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    question: str
    sql: str
    def __init__(self, question: _Optional[str] = ..., sql: _Optional[str] = ...) -> None: ...

class ListQueriesRequest(_message.Message):
    __slots__ = ("database", "page_size", "page_token")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    database: str
    page_size: int
    page_token: str
    def __init__(self, database: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQueriesResponse(_message.Message):
    __slots__ = ("queries", "next_page_token")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedCompositeFieldContainer[Query]
    next_page_token: str
    def __init__(self, queries: _Optional[_Iterable[_Union[Query, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("name", "question", "sql", "engine", "confidence", "outcome", "verdict", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    question: str
    sql: str
    engine: str
    confidence: float
    outcome: QueryOutcome
    verdict: Verdict
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., question: _Optional[str] = ..., sql: _Optional[str] = ..., engine: _Optional[str] = ..., confidence: _Optional[float] = ..., outcome: _Optional[_Union[QueryOutcome, str]] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetSemanticLayerRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSemanticLayerResponse(_message.Message):
    __slots__ = ("yaml",)
    YAML_FIELD_NUMBER: _ClassVar[int]
    yaml: str
    def __init__(self, yaml: _Optional[str] = ...) -> None: ...

class SetSemanticLayerRequest(_message.Message):
    __slots__ = ("name", "yaml")
    NAME_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    name: str
    yaml: str
    def __init__(self, name: _Optional[str] = ..., yaml: _Optional[str] = ...) -> None: ...

class SetSemanticLayerResponse(_message.Message):
    __slots__ = ("warnings",)
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, warnings: _Optional[_Iterable[str]] = ...) -> None: ...

import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from parley.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UsageUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_UNIT_UNSPECIFIED: _ClassVar[UsageUnit]
    USAGE_UNIT_REQUESTS: _ClassVar[UsageUnit]
    USAGE_UNIT_TOKENS: _ClassVar[UsageUnit]
    USAGE_UNIT_AUDIO_SECONDS: _ClassVar[UsageUnit]
    USAGE_UNIT_MEGAPIXEL_STEPS: _ClassVar[UsageUnit]
    USAGE_UNIT_ROWS: _ClassVar[UsageUnit]

class UsageDimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_DIMENSION_UNSPECIFIED: _ClassVar[UsageDimension]
    USAGE_DIMENSION_DAY: _ClassVar[UsageDimension]
    USAGE_DIMENSION_USER: _ClassVar[UsageDimension]
    USAGE_DIMENSION_API_KEY: _ClassVar[UsageDimension]
    USAGE_DIMENSION_SERVICE: _ClassVar[UsageDimension]
    USAGE_DIMENSION_MODEL: _ClassVar[UsageDimension]
USAGE_UNIT_UNSPECIFIED: UsageUnit
USAGE_UNIT_REQUESTS: UsageUnit
USAGE_UNIT_TOKENS: UsageUnit
USAGE_UNIT_AUDIO_SECONDS: UsageUnit
USAGE_UNIT_MEGAPIXEL_STEPS: UsageUnit
USAGE_UNIT_ROWS: UsageUnit
USAGE_DIMENSION_UNSPECIFIED: UsageDimension
USAGE_DIMENSION_DAY: UsageDimension
USAGE_DIMENSION_USER: UsageDimension
USAGE_DIMENSION_API_KEY: UsageDimension
USAGE_DIMENSION_SERVICE: UsageDimension
USAGE_DIMENSION_MODEL: UsageDimension

class UsageRecord(_message.Message):
    __slots__ = ("subject", "api_key", "service", "model", "unit", "amount", "time")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    subject: str
    api_key: str
    service: str
    model: str
    unit: UsageUnit
    amount: float
    time: _timestamp_pb2.Timestamp
    def __init__(self, subject: _Optional[str] = ..., api_key: _Optional[str] = ..., service: _Optional[str] = ..., model: _Optional[str] = ..., unit: _Optional[_Union[UsageUnit, str]] = ..., amount: _Optional[float] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RecordUsageRequest(_message.Message):
    __slots__ = ("records", "batch_id")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[UsageRecord]
    batch_id: str
    def __init__(self, records: _Optional[_Iterable[_Union[UsageRecord, _Mapping]]] = ..., batch_id: _Optional[str] = ...) -> None: ...

class RecordUsageResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryUsageRequest(_message.Message):
    __slots__ = ("start_day", "end_day", "user", "api_key", "service", "model", "group_by")
    START_DAY_FIELD_NUMBER: _ClassVar[int]
    END_DAY_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    start_day: str
    end_day: str
    user: str
    api_key: str
    service: str
    model: str
    group_by: _containers.RepeatedScalarFieldContainer[UsageDimension]
    def __init__(self, start_day: _Optional[str] = ..., end_day: _Optional[str] = ..., user: _Optional[str] = ..., api_key: _Optional[str] = ..., service: _Optional[str] = ..., model: _Optional[str] = ..., group_by: _Optional[_Iterable[_Union[UsageDimension, str]]] = ...) -> None: ...

class UsageSum(_message.Message):
    __slots__ = ("day", "user", "api_key", "service", "model", "unit", "amount")
    DAY_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    day: str
    user: str
    api_key: str
    service: str
    model: str
    unit: UsageUnit
    amount: float
    def __init__(self, day: _Optional[str] = ..., user: _Optional[str] = ..., api_key: _Optional[str] = ..., service: _Optional[str] = ..., model: _Optional[str] = ..., unit: _Optional[_Union[UsageUnit, str]] = ..., amount: _Optional[float] = ...) -> None: ...

class QueryUsageResponse(_message.Message):
    __slots__ = ("sums",)
    SUMS_FIELD_NUMBER: _ClassVar[int]
    sums: _containers.RepeatedCompositeFieldContainer[UsageSum]
    def __init__(self, sums: _Optional[_Iterable[_Union[UsageSum, _Mapping]]] = ...) -> None: ...

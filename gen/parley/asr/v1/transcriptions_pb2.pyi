import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from parley.asr.v1 import asr_pb2 as _asr_pb2
from parley.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TranscriptionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSCRIPTION_STATE_UNSPECIFIED: _ClassVar[TranscriptionState]
    TRANSCRIPTION_STATE_QUEUED: _ClassVar[TranscriptionState]
    TRANSCRIPTION_STATE_RUNNING: _ClassVar[TranscriptionState]
    TRANSCRIPTION_STATE_SUCCEEDED: _ClassVar[TranscriptionState]
    TRANSCRIPTION_STATE_FAILED: _ClassVar[TranscriptionState]
    TRANSCRIPTION_STATE_CANCELLED: _ClassVar[TranscriptionState]

class TranscriptFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSCRIPT_FORMAT_UNSPECIFIED: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_JSON: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_TEXT: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_SRT: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_VTT: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_VERBOSE_JSON: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_DIARIZED_JSON: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_RTTM: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_CSV: _ClassVar[TranscriptFormat]
    TRANSCRIPT_FORMAT_DOCX: _ClassVar[TranscriptFormat]
TRANSCRIPTION_STATE_UNSPECIFIED: TranscriptionState
TRANSCRIPTION_STATE_QUEUED: TranscriptionState
TRANSCRIPTION_STATE_RUNNING: TranscriptionState
TRANSCRIPTION_STATE_SUCCEEDED: TranscriptionState
TRANSCRIPTION_STATE_FAILED: TranscriptionState
TRANSCRIPTION_STATE_CANCELLED: TranscriptionState
TRANSCRIPT_FORMAT_UNSPECIFIED: TranscriptFormat
TRANSCRIPT_FORMAT_JSON: TranscriptFormat
TRANSCRIPT_FORMAT_TEXT: TranscriptFormat
TRANSCRIPT_FORMAT_SRT: TranscriptFormat
TRANSCRIPT_FORMAT_VTT: TranscriptFormat
TRANSCRIPT_FORMAT_VERBOSE_JSON: TranscriptFormat
TRANSCRIPT_FORMAT_DIARIZED_JSON: TranscriptFormat
TRANSCRIPT_FORMAT_RTTM: TranscriptFormat
TRANSCRIPT_FORMAT_CSV: TranscriptFormat
TRANSCRIPT_FORMAT_DOCX: TranscriptFormat

class UploadRecordingRequest(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: _httpbody_pb2.HttpBody
    def __init__(self, body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class UploadRecordingResponse(_message.Message):
    __slots__ = ("recording", "size", "expire_time")
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    recording: str
    size: int
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, recording: _Optional[str] = ..., size: _Optional[int] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Transcription(_message.Message):
    __slots__ = ("name", "display_name", "source", "config", "state", "progress", "remaining", "duration", "segment_count", "attempts", "error", "create_time", "start_time", "end_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    source: str
    config: _asr_pb2.RecognitionConfig
    state: TranscriptionState
    progress: float
    remaining: _duration_pb2.Duration
    duration: float
    segment_count: int
    attempts: int
    error: _status_pb2.Status
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., source: _Optional[str] = ..., config: _Optional[_Union[_asr_pb2.RecognitionConfig, _Mapping]] = ..., state: _Optional[_Union[TranscriptionState, str]] = ..., progress: _Optional[float] = ..., remaining: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., duration: _Optional[float] = ..., segment_count: _Optional[int] = ..., attempts: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateTranscriptionRequest(_message.Message):
    __slots__ = ("audio", "recording", "uri", "config", "display_name", "request_id")
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    audio: bytes
    recording: str
    uri: str
    config: _asr_pb2.RecognitionConfig
    display_name: str
    request_id: str
    def __init__(self, audio: _Optional[bytes] = ..., recording: _Optional[str] = ..., uri: _Optional[str] = ..., config: _Optional[_Union[_asr_pb2.RecognitionConfig, _Mapping]] = ..., display_name: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateTranscriptionResponse(_message.Message):
    __slots__ = ("transcription",)
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    transcription: Transcription
    def __init__(self, transcription: _Optional[_Union[Transcription, _Mapping]] = ...) -> None: ...

class GetTranscriptionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTranscriptionResponse(_message.Message):
    __slots__ = ("transcription",)
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    transcription: Transcription
    def __init__(self, transcription: _Optional[_Union[Transcription, _Mapping]] = ...) -> None: ...

class ListTranscriptionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTranscriptionsResponse(_message.Message):
    __slots__ = ("transcriptions", "next_page_token")
    TRANSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    transcriptions: _containers.RepeatedCompositeFieldContainer[Transcription]
    next_page_token: str
    def __init__(self, transcriptions: _Optional[_Iterable[_Union[Transcription, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchTranscriptionRequest(_message.Message):
    __slots__ = ("name", "after_segment")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    after_segment: int
    def __init__(self, name: _Optional[str] = ..., after_segment: _Optional[int] = ...) -> None: ...

class WatchTranscriptionResponse(_message.Message):
    __slots__ = ("transcription", "segment")
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    transcription: Transcription
    segment: _asr_pb2.Segment
    def __init__(self, transcription: _Optional[_Union[Transcription, _Mapping]] = ..., segment: _Optional[_Union[_asr_pb2.Segment, _Mapping]] = ...) -> None: ...

class CancelTranscriptionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CancelTranscriptionResponse(_message.Message):
    __slots__ = ("transcription",)
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    transcription: Transcription
    def __init__(self, transcription: _Optional[_Union[Transcription, _Mapping]] = ...) -> None: ...

class DeleteTranscriptionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteTranscriptionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetTranscriptRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTranscriptResponse(_message.Message):
    __slots__ = ("transcript",)
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    transcript: _asr_pb2.Transcript
    def __init__(self, transcript: _Optional[_Union[_asr_pb2.Transcript, _Mapping]] = ...) -> None: ...

class ExportTranscriptRequest(_message.Message):
    __slots__ = ("name", "format")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    name: str
    format: TranscriptFormat
    def __init__(self, name: _Optional[str] = ..., format: _Optional[_Union[TranscriptFormat, str]] = ...) -> None: ...

class ExportTranscriptResponse(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: _httpbody_pb2.HttpBody
    def __init__(self, body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class RenameSpeakerRequest(_message.Message):
    __slots__ = ("name", "speaker", "display_name")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    speaker: str
    display_name: str
    def __init__(self, name: _Optional[str] = ..., speaker: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class RenameSpeakerResponse(_message.Message):
    __slots__ = ("speakers",)
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    speakers: _containers.RepeatedCompositeFieldContainer[_asr_pb2.Speaker]
    def __init__(self, speakers: _Optional[_Iterable[_Union[_asr_pb2.Speaker, _Mapping]]] = ...) -> None: ...

class RevertEnhancementRequest(_message.Message):
    __slots__ = ("name", "segments")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    segments: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., segments: _Optional[_Iterable[int]] = ...) -> None: ...

class RevertEnhancementResponse(_message.Message):
    __slots__ = ("segment_count",)
    SEGMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    segment_count: int
    def __init__(self, segment_count: _Optional[int] = ...) -> None: ...

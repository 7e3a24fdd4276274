from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from parley.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AudioEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIO_ENCODING_UNSPECIFIED: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_LINEAR_PCM: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_FLAC: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_OGG_OPUS: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_MULAW: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_ALAW: _ClassVar[AudioEncoding]

class SpeechActivityType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPEECH_ACTIVITY_TYPE_UNSPECIFIED: _ClassVar[SpeechActivityType]
    SPEECH_ACTIVITY_TYPE_BEGIN: _ClassVar[SpeechActivityType]
    SPEECH_ACTIVITY_TYPE_END: _ClassVar[SpeechActivityType]

class ModelTask(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_TASK_UNSPECIFIED: _ClassVar[ModelTask]
    MODEL_TASK_RECOGNITION: _ClassVar[ModelTask]
    MODEL_TASK_DIARIZATION: _ClassVar[ModelTask]
    MODEL_TASK_ENHANCEMENT: _ClassVar[ModelTask]
AUDIO_ENCODING_UNSPECIFIED: AudioEncoding
AUDIO_ENCODING_LINEAR_PCM: AudioEncoding
AUDIO_ENCODING_FLAC: AudioEncoding
AUDIO_ENCODING_OGG_OPUS: AudioEncoding
AUDIO_ENCODING_MULAW: AudioEncoding
AUDIO_ENCODING_ALAW: AudioEncoding
SPEECH_ACTIVITY_TYPE_UNSPECIFIED: SpeechActivityType
SPEECH_ACTIVITY_TYPE_BEGIN: SpeechActivityType
SPEECH_ACTIVITY_TYPE_END: SpeechActivityType
MODEL_TASK_UNSPECIFIED: ModelTask
MODEL_TASK_RECOGNITION: ModelTask
MODEL_TASK_DIARIZATION: ModelTask
MODEL_TASK_ENHANCEMENT: ModelTask

class RecognitionConfig(_message.Message):
    __slots__ = ("model", "language_code", "hints", "diarization", "max_alternatives", "profanity_filter", "separate_channels", "enhance", "translate", "language_codes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    DIARIZATION_FIELD_NUMBER: _ClassVar[int]
    MAX_ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    PROFANITY_FILTER_FIELD_NUMBER: _ClassVar[int]
    SEPARATE_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    ENHANCE_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODES_FIELD_NUMBER: _ClassVar[int]
    model: str
    language_code: str
    hints: RecognitionHints
    diarization: DiarizationConfig
    max_alternatives: int
    profanity_filter: bool
    separate_channels: bool
    enhance: bool
    translate: bool
    language_codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., language_code: _Optional[str] = ..., hints: _Optional[_Union[RecognitionHints, _Mapping]] = ..., diarization: _Optional[_Union[DiarizationConfig, _Mapping]] = ..., max_alternatives: _Optional[int] = ..., profanity_filter: _Optional[bool] = ..., separate_channels: _Optional[bool] = ..., enhance: _Optional[bool] = ..., translate: _Optional[bool] = ..., language_codes: _Optional[_Iterable[str]] = ...) -> None: ...

class DiarizationConfig(_message.Message):
    __slots__ = ("speakers", "min_speakers", "max_speakers", "model", "known_speakers")
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    MIN_SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    MAX_SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KNOWN_SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    speakers: int
    min_speakers: int
    max_speakers: int
    model: str
    known_speakers: _containers.RepeatedCompositeFieldContainer[KnownSpeaker]
    def __init__(self, speakers: _Optional[int] = ..., min_speakers: _Optional[int] = ..., max_speakers: _Optional[int] = ..., model: _Optional[str] = ..., known_speakers: _Optional[_Iterable[_Union[KnownSpeaker, _Mapping]]] = ...) -> None: ...

class KnownSpeaker(_message.Message):
    __slots__ = ("name", "audio")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    name: str
    audio: bytes
    def __init__(self, name: _Optional[str] = ..., audio: _Optional[bytes] = ...) -> None: ...

class RecognitionHints(_message.Message):
    __slots__ = ("phrases", "grammar", "boost")
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    GRAMMAR_FIELD_NUMBER: _ClassVar[int]
    BOOST_FIELD_NUMBER: _ClassVar[int]
    phrases: _containers.RepeatedScalarFieldContainer[str]
    grammar: str
    boost: float
    def __init__(self, phrases: _Optional[_Iterable[str]] = ..., grammar: _Optional[str] = ..., boost: _Optional[float] = ...) -> None: ...

class RecognizeRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: RecognitionConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[RecognitionConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class RecognizeResponse(_message.Message):
    __slots__ = ("transcript",)
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    transcript: Transcript
    def __init__(self, transcript: _Optional[_Union[Transcript, _Mapping]] = ...) -> None: ...

class Transcript(_message.Message):
    __slots__ = ("text", "segments", "language_code", "duration", "model", "speakers")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    text: str
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    language_code: str
    duration: float
    model: str
    speakers: _containers.RepeatedCompositeFieldContainer[Speaker]
    def __init__(self, text: _Optional[str] = ..., segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., language_code: _Optional[str] = ..., duration: _Optional[float] = ..., model: _Optional[str] = ..., speakers: _Optional[_Iterable[_Union[Speaker, _Mapping]]] = ...) -> None: ...

class Speaker(_message.Message):
    __slots__ = ("id", "display_name", "seconds")
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    display_name: str
    seconds: float
    def __init__(self, id: _Optional[str] = ..., display_name: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("text", "start", "end", "confidence", "words", "number", "speaker", "channel", "language_code", "alternatives", "raw_text", "edits", "fusion_choices")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    RAW_TEXT_FIELD_NUMBER: _ClassVar[int]
    EDITS_FIELD_NUMBER: _ClassVar[int]
    FUSION_CHOICES_FIELD_NUMBER: _ClassVar[int]
    text: str
    start: float
    end: float
    confidence: float
    words: _containers.RepeatedCompositeFieldContainer[Word]
    number: int
    speaker: str
    channel: int
    language_code: str
    alternatives: _containers.RepeatedCompositeFieldContainer[AlternativeText]
    raw_text: str
    edits: _containers.RepeatedCompositeFieldContainer[Edit]
    fusion_choices: _containers.RepeatedCompositeFieldContainer[FusionChoice]
    def __init__(self, text: _Optional[str] = ..., start: _Optional[float] = ..., end: _Optional[float] = ..., confidence: _Optional[float] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ..., number: _Optional[int] = ..., speaker: _Optional[str] = ..., channel: _Optional[int] = ..., language_code: _Optional[str] = ..., alternatives: _Optional[_Iterable[_Union[AlternativeText, _Mapping]]] = ..., raw_text: _Optional[str] = ..., edits: _Optional[_Iterable[_Union[Edit, _Mapping]]] = ..., fusion_choices: _Optional[_Iterable[_Union[FusionChoice, _Mapping]]] = ...) -> None: ...

class AlternativeText(_message.Message):
    __slots__ = ("text", "confidence")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    text: str
    confidence: float
    def __init__(self, text: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class Edit(_message.Message):
    __slots__ = ("start", "end", "before", "after")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    before: str
    after: str
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class FusionChoice(_message.Message):
    __slots__ = ("start", "end", "candidates", "chosen_model", "reason")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    start: float
    end: float
    candidates: _containers.RepeatedCompositeFieldContainer[FusionCandidate]
    chosen_model: str
    reason: str
    def __init__(self, start: _Optional[float] = ..., end: _Optional[float] = ..., candidates: _Optional[_Iterable[_Union[FusionCandidate, _Mapping]]] = ..., chosen_model: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class FusionCandidate(_message.Message):
    __slots__ = ("model", "text", "confidence")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: str
    confidence: float
    def __init__(self, model: _Optional[str] = ..., text: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("text", "start", "end", "confidence", "speaker", "language_code", "model")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    text: str
    start: float
    end: float
    confidence: float
    speaker: str
    language_code: str
    model: str
    def __init__(self, text: _Optional[str] = ..., start: _Optional[float] = ..., end: _Optional[float] = ..., confidence: _Optional[float] = ..., speaker: _Optional[str] = ..., language_code: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class StreamingRecognizeRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: StreamingConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[StreamingConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class StreamingConfig(_message.Message):
    __slots__ = ("config", "sample_rate_hertz", "encoding", "interim_results", "endpoint_silence", "single_utterance", "channel_count", "endpointing")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    INTERIM_RESULTS_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_SILENCE_FIELD_NUMBER: _ClassVar[int]
    SINGLE_UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTING_FIELD_NUMBER: _ClassVar[int]
    config: RecognitionConfig
    sample_rate_hertz: int
    encoding: AudioEncoding
    interim_results: bool
    endpoint_silence: float
    single_utterance: bool
    channel_count: int
    endpointing: EndpointingConfig
    def __init__(self, config: _Optional[_Union[RecognitionConfig, _Mapping]] = ..., sample_rate_hertz: _Optional[int] = ..., encoding: _Optional[_Union[AudioEncoding, str]] = ..., interim_results: _Optional[bool] = ..., endpoint_silence: _Optional[float] = ..., single_utterance: _Optional[bool] = ..., channel_count: _Optional[int] = ..., endpointing: _Optional[_Union[EndpointingConfig, _Mapping]] = ...) -> None: ...

class EndpointingConfig(_message.Message):
    __slots__ = ("begin_threshold", "end_threshold", "min_speech", "max_segment")
    BEGIN_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    END_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MIN_SPEECH_FIELD_NUMBER: _ClassVar[int]
    MAX_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    begin_threshold: float
    end_threshold: float
    min_speech: float
    max_segment: float
    def __init__(self, begin_threshold: _Optional[float] = ..., end_threshold: _Optional[float] = ..., min_speech: _Optional[float] = ..., max_segment: _Optional[float] = ...) -> None: ...

class StreamingRecognizeResponse(_message.Message):
    __slots__ = ("sequence", "activity", "result", "revision")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    activity: SpeechActivity
    result: StreamingResult
    revision: SpeakerRevision
    def __init__(self, sequence: _Optional[int] = ..., activity: _Optional[_Union[SpeechActivity, _Mapping]] = ..., result: _Optional[_Union[StreamingResult, _Mapping]] = ..., revision: _Optional[_Union[SpeakerRevision, _Mapping]] = ...) -> None: ...

class SpeechActivity(_message.Message):
    __slots__ = ("type", "time")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    type: SpeechActivityType
    time: float
    def __init__(self, type: _Optional[_Union[SpeechActivityType, str]] = ..., time: _Optional[float] = ...) -> None: ...

class SpeakerRevision(_message.Message):
    __slots__ = ("segments",)
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[RevisedSegment]
    def __init__(self, segments: _Optional[_Iterable[_Union[RevisedSegment, _Mapping]]] = ...) -> None: ...

class RevisedSegment(_message.Message):
    __slots__ = ("number", "speaker")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    number: int
    speaker: str
    def __init__(self, number: _Optional[int] = ..., speaker: _Optional[str] = ...) -> None: ...

class StreamingResult(_message.Message):
    __slots__ = ("segment", "is_final", "stability")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    STABILITY_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    is_final: bool
    stability: float
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ..., is_final: _Optional[bool] = ..., stability: _Optional[float] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("id", "display_name", "description", "language_codes", "ready", "task")
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODES_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    id: str
    display_name: str
    description: str
    language_codes: _containers.RepeatedScalarFieldContainer[str]
    ready: bool
    task: ModelTask
    def __init__(self, id: _Optional[str] = ..., display_name: _Optional[str] = ..., description: _Optional[str] = ..., language_codes: _Optional[_Iterable[str]] = ..., ready: _Optional[bool] = ..., task: _Optional[_Union[ModelTask, str]] = ...) -> None: ...

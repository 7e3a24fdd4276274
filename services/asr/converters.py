"""Between the messages of parley.asr.v1 and the domain."""

from __future__ import annotations

from parley.asr.v1 import asr_pb2
from services.asr.codecs import HIGHEST_RATE, LOWEST_RATE, Encoding
from services.asr.live import Activity, ActivityEvent, Endpointing, Event, LiveConfig, RevisionEvent
from services.asr.models import RATE, Model, Task
from services.asr.transcript import (
    Config,
    Diarization,
    FusionChoice,
    Hints,
    KnownSpeaker,
    Segment,
    Speaker,
    Transcript,
    Word,
)
from services.mesh.errors import FieldViolation, InvalidArgument, InvalidRequest

SHORTEST_SILENCE = 0.1
ENCODINGS = {
    asr_pb2.AUDIO_ENCODING_UNSPECIFIED: Encoding.PCM,
    asr_pb2.AUDIO_ENCODING_LINEAR_PCM: Encoding.PCM,
    asr_pb2.AUDIO_ENCODING_FLAC: Encoding.FLAC,
    asr_pb2.AUDIO_ENCODING_OGG_OPUS: Encoding.OPUS,
    asr_pb2.AUDIO_ENCODING_MULAW: Encoding.MULAW,
    asr_pb2.AUDIO_ENCODING_ALAW: Encoding.ALAW,
}


def config_of(config: asr_pb2.RecognitionConfig) -> Config:
    """How to recognise. Raises InvalidArgument for fields that exclude each other; they are named."""
    wrong = []
    if config.hints.phrases and config.hints.grammar:
        wrong.append(FieldViolation("config.hints", "phrases and a grammar exclude each other; send one of them"))
    if config.language_code and config.language_codes:
        wrong.append(FieldViolation("config.language_codes", "only where language_code is empty; send one of them"))
    if config.HasField("diarization"):
        wrong += _wrong_diarization(config.diarization)
    if wrong:
        raise InvalidRequest(wrong)
    return Config(
        config.model,
        config.language_code,
        Hints(tuple(config.hints.phrases), config.hints.grammar, config.hints.boost),
        _diarization_of(config.diarization) if config.HasField("diarization") else None,
        config.max_alternatives,
        config.profanity_filter,
        config.separate_channels,
        config.enhance,
        config.translate,
        tuple(config.language_codes),
    )


def config_pb(config: Config) -> asr_pb2.RecognitionConfig:
    """How something is recognised, as its message; without the voices of known speakers."""
    hints = config.hints
    message = asr_pb2.RecognitionConfig(
        model=config.model,
        language_code=config.language,
        hints=asr_pb2.RecognitionHints(phrases=hints.phrases, grammar=hints.grammar, boost=hints.boost),
        max_alternatives=config.max_alternatives,
        profanity_filter=config.profanity_filter,
        separate_channels=config.separate_channels,
        enhance=config.enhance,
        translate=config.translate,
        language_codes=config.languages,
    )
    wanted = config.diarization
    if wanted is not None:
        message.diarization.speakers = wanted.speakers
        message.diarization.min_speakers = wanted.min_speakers
        message.diarization.max_speakers = wanted.max_speakers
        message.diarization.model = wanted.model
        message.diarization.known_speakers.extend(asr_pb2.KnownSpeaker(name=known.name) for known in wanted.known)
    return message


def _wrong_diarization(config: asr_pb2.DiarizationConfig) -> list[FieldViolation]:
    found = []
    if config.speakers and (config.min_speakers or config.max_speakers):
        remedy = "not together with min_speakers or max_speakers; send one of them"
        found.append(FieldViolation("config.diarization.speakers", remedy))
    if config.max_speakers and config.min_speakers > config.max_speakers:
        found.append(FieldViolation("config.diarization.min_speakers", "must not be above max_speakers"))
    names = [known.name for known in config.known_speakers]
    found += [
        FieldViolation(f"config.diarization.known_speakers[{place}].name", f"is not the only one with {name!r}")
        for place, name in enumerate(names)
        if name in names[:place]
    ]
    return found


def _diarization_of(config: asr_pb2.DiarizationConfig) -> Diarization:
    known = tuple(KnownSpeaker(speaker.name, speaker.audio) for speaker in config.known_speakers)
    return Diarization(config.speakers, config.min_speakers, config.max_speakers, config.model, known)


def live_of(config: asr_pb2.StreamingConfig) -> LiveConfig:
    """How to recognise live. Raises InvalidArgument for a rate that is too low."""
    rate = config.sample_rate_hertz or RATE
    if rate < LOWEST_RATE:
        raise InvalidArgument(
            "config.sample_rate_hertz", f"must be from {LOWEST_RATE} to {HIGHEST_RATE}, or 0 for {RATE}"
        )
    wanted = config.endpointing
    endpointing = Endpointing(
        max(config.endpoint_silence, SHORTEST_SILENCE) if config.endpoint_silence else 0.0,
        wanted.begin_threshold,
        wanted.end_threshold,
        wanted.min_speech,
        wanted.max_segment,
    )
    return LiveConfig(
        config_of(config.config),
        ENCODINGS[config.encoding],
        rate,
        config.channel_count or 1,
        config.interim_results,
        config.single_utterance,
        endpointing,
    )


def segment_pb(segment: Segment) -> asr_pb2.Segment:
    """A segment as its message."""
    return asr_pb2.Segment(
        text=segment.text,
        start=segment.start,
        end=segment.end,
        confidence=segment.confidence,
        words=map(_word_pb, segment.words),
        number=segment.number,
        speaker=segment.speaker,
        channel=segment.channel,
        language_code=segment.language,
        alternatives=[asr_pb2.AlternativeText(text=a.text, confidence=a.confidence) for a in segment.alternatives],
        raw_text=segment.raw_text,
        edits=[asr_pb2.Edit(start=e.start, end=e.end, before=e.before, after=e.after) for e in segment.edits],
        fusion_choices=map(_choice_pb, segment.choices),
    )


def _word_pb(word: Word) -> asr_pb2.Word:
    return asr_pb2.Word(
        text=word.text,
        start=word.start,
        end=word.end,
        confidence=word.confidence,
        speaker=word.speaker,
        language_code=word.language,
        model=word.model,
    )


def _choice_pb(choice: FusionChoice) -> asr_pb2.FusionChoice:
    candidates = [
        asr_pb2.FusionCandidate(model=c.model, text=c.text, confidence=c.confidence) for c in choice.candidates
    ]
    return asr_pb2.FusionChoice(
        start=choice.start,
        end=choice.end,
        candidates=candidates,
        chosen_model=choice.chosen,
        reason=choice.reason,
    )


def transcript_pb(transcript: Transcript) -> asr_pb2.Transcript:
    """A transcript as its message."""
    return asr_pb2.Transcript(
        text=transcript.text,
        segments=[segment_pb(segment) for segment in transcript.segments],
        language_code=transcript.language,
        duration=transcript.duration,
        model=transcript.model,
        speakers=[
            asr_pb2.Speaker(id=s.id, display_name=s.display_name, seconds=s.seconds) for s in transcript.speakers
        ],
    )


def speaker_pb(speaker: Speaker) -> asr_pb2.Speaker:
    """A speaker as its message."""
    return asr_pb2.Speaker(id=speaker.id, display_name=speaker.display_name, seconds=speaker.seconds)


def model_pb(model: Model, ready: bool) -> asr_pb2.Model:
    """A model as its message."""
    tasks = {
        Task.RECOGNITION: asr_pb2.MODEL_TASK_RECOGNITION,
        Task.DIARIZATION: asr_pb2.MODEL_TASK_DIARIZATION,
        Task.ENHANCEMENT: asr_pb2.MODEL_TASK_ENHANCEMENT,
    }
    return asr_pb2.Model(
        id=model.id,
        display_name=model.display_name,
        description=model.description,
        language_codes=model.languages,
        ready=ready,
        task=tasks[model.task],
    )


def event_pb(sequence: int, event: Event) -> asr_pb2.StreamingRecognizeResponse:
    """A live event as its message."""
    if isinstance(event, ActivityEvent):
        kinds = {
            Activity.BEGIN: asr_pb2.SPEECH_ACTIVITY_TYPE_BEGIN,
            Activity.END: asr_pb2.SPEECH_ACTIVITY_TYPE_END,
        }
        activity = asr_pb2.SpeechActivity(type=kinds[event.activity], time=event.time)
        return asr_pb2.StreamingRecognizeResponse(sequence=sequence, activity=activity)
    if isinstance(event, RevisionEvent):
        revised = [asr_pb2.RevisedSegment(number=r.number, speaker=r.speaker) for r in event.segments]
        return asr_pb2.StreamingRecognizeResponse(sequence=sequence, revision=asr_pb2.SpeakerRevision(segments=revised))
    result = asr_pb2.StreamingResult(segment=segment_pb(event.segment), is_final=event.final, stability=event.stability)
    return asr_pb2.StreamingRecognizeResponse(sequence=sequence, result=result)

"""nvidia.riva.asr.RivaSpeechRecognition: what Riva's clients speak, on the same engines as the native RPCs.

The messages are those of the nvidia-riva-client package. Thin on purpose: each request becomes a configuration of the
domain, each segment a result. What this deployment cannot do is refused by the field's name, or said here:

- `enable_automatic_punctuation` asks for the enhancer, for recordings and where one is loaded. Models that punctuate do
  so anyway.
- `verbatim_transcripts` is always so: nothing rewrites numbers or dates.
- `endpointing_config`: the histories of silence and speech are kept to; `start_threshold` is the probability at which
  speech begins. `stop_threshold` is taken as 1: speech is over when all of the history is silent.
- Speakers of live results are first guesses: Riva has no message that revises them.
- Transcripts end with a blank, as Riva's do: clients put them together as they are.
"""

from __future__ import annotations

import io
import struct
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc, riva_audio_pb2, riva_common_pb2

from services.asr.codecs import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS, WAV_ALAW, WAV_MULAW, WAV_PCM, Encoding
from services.asr.live import Endpointing, Live, LiveConfig, ResultEvent, timely
from services.asr.models import RATE, RECOGNISERS
from services.asr.pipeline import Pipeline
from services.asr.transcript import Config, Diarization, Hints, Segment
from services.mesh.errors import FieldViolation, InvalidArgument, InvalidRequest, TooLarge
from services.mesh.server import Bound

DESCRIPTOR = riva_asr_pb2.DESCRIPTOR.services_by_name["RivaSpeechRecognition"]
ENCODINGS = {
    riva_audio_pb2.LINEAR_PCM: Encoding.PCM,
    riva_audio_pb2.FLAC: Encoding.FLAC,
    riva_audio_pb2.MULAW: Encoding.MULAW,
    riva_audio_pb2.OGGOPUS: Encoding.OPUS,
    riva_audio_pb2.ALAW: Encoding.ALAW,
}
MAGIC = {b"fLaC": Encoding.FLAC, b"OggS": Encoding.OPUS}
"""How streams begin that say themselves what they are."""
CONTAINERS = (b"RIFF", b"RF64", b"fLaC", b"OggS")
MOST_PHRASES, LONGEST_PHRASE, MOST_ALTERNATIVES, MOST_SPEAKERS, LARGEST = 10_000, 500, 30, 64, 64 << 20
HIGHEST_BOOST = 20.0


class RivaServicer(riva_asr_pb2_grpc.RivaSpeechRecognitionServicer):  # type: ignore[misc]  # the package has no types
    """Serves nvidia.riva.asr.RivaSpeechRecognition.

    Args:
        pipeline: Transcribes recordings.
        live: Recognises live streams.
    """

    def __init__(self, pipeline: Pipeline, live: Live) -> None:
        self._pipeline, self._live = pipeline, live

    async def Recognize(self, request: Any, context: Any) -> Any:
        """Transcribes a recording."""
        asked = request.config
        config = config_of(asked, "config")
        if len(request.audio) > LARGEST:
            raise TooLarge(
                f"The audio is over {LARGEST >> 20} MiB. Send it in parts, or stream it.",
                violations=[FieldViolation("audio", f"must not be over {LARGEST >> 20} MiB")],
            )
        endpoints = endpointing_of(asked.endpointing_config, "config").options(1.0)
        if asked.enable_automatic_punctuation:
            loaded = await self._pipeline.recogniser.engine.ready(self._pipeline.options.enhancer)
            config = replace(config, enhance=loaded)
        transcript = await self._pipeline.transcribe(as_file(request.audio, asked), config, endpoints)
        tags = Tags()
        results = [
            riva_asr_pb2.SpeechRecognitionResult(
                alternatives=alternatives(segment, asked, tags),
                channel_tag=segment.channel + 1,
                audio_processed=transcript.duration,
            )
            for segment in transcript.segments
        ]
        return riva_asr_pb2.RecognizeResponse(results=results, id=identified(request))

    async def StreamingRecognize(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Transcribes while it is spoken."""
        requests = timely(request_iterator, self._live.options.idle_seconds)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("streaming_request") != "streaming_config":
            raise InvalidArgument("streaming_config", "the first message must carry it; audio_content follows it")
        asked = first.streaming_config.config
        live_of(first.streaming_config, b"")  # what is wrong with it is told before any audio
        begin, audio = await begun(audio_of(requests))
        live = live_of(first.streaming_config, begin)
        tags = Tags()
        identifier = identified(first)
        async with aclosing(self._live.events(live, audio)) as events:
            async for event in events:
                if isinstance(event, ResultEvent):
                    result = riva_asr_pb2.StreamingRecognitionResult(
                        alternatives=alternatives(event.segment, asked, tags),
                        is_final=event.final,
                        stability=event.stability,
                        channel_tag=event.segment.channel + 1,
                        audio_processed=event.segment.end,
                    )
                    yield riva_asr_pb2.StreamingRecognizeResponse(results=[result], id=identifier)

    async def GetRivaSpeechRecognitionConfig(self, request: Any, context: Any) -> Any:
        """Lists the models that are loaded, the default first."""
        recogniser = self._pipeline.recogniser
        listed = sorted(RECOGNISERS, key=lambda model: model.id != recogniser.default_model)
        if request.model_name:
            listed = [recogniser.model(Config(request.model_name))]
        config = riva_asr_pb2.RivaSpeechRecognitionConfigResponse.Config
        models = [
            config(
                model_name=model.id,
                parameters={
                    "language_code": ",".join(model.languages),
                    "sample_rate": str(RATE),
                    # Clients look for models that stream; all do, and take recordings too.
                    "type": "online",
                    "streaming": "True",
                    "max_supported_transcripts": str(MOST_ALTERNATIVES),
                    "decoder": model.display_name,
                },
            )
            for model in listed
            if await recogniser.ready(model.id)
        ]
        return riva_asr_pb2.RivaSpeechRecognitionConfigResponse(model_config=models)


class Tags(dict[str, int]):
    """The numbers of speakers, from 1, in order of appearance. Nobody has 0."""

    def of(self, speaker: str) -> int:
        """The number of a speaker."""
        return self.setdefault(speaker, len(self) + 1) if speaker else 0


def config_of(asked: Any, field: str) -> Config:
    """How to recognise. Raises InvalidRequest that names the fields at fault.

    Args:
        asked: A RecognitionConfig.
        field: What the request calls it.
    """
    phrases = [phrase for context in asked.speech_contexts for phrase in context.phrases]
    boost = max((context.boost for context in asked.speech_contexts), default=0.0)
    speakers = asked.diarization_config
    checks = {
        "encoding": (asked.encoding in {0, *ENCODINGS}, "must be LINEAR_PCM, FLAC, MULAW, OGGOPUS or ALAW"),
        "sample_rate_hertz": (
            asked.sample_rate_hertz == 0 or LOWEST_RATE <= asked.sample_rate_hertz <= HIGHEST_RATE,
            f"must be from {LOWEST_RATE} to {HIGHEST_RATE}, or 0 for {RATE}",
        ),
        "audio_channel_count": (
            0 <= asked.audio_channel_count <= MOST_CHANNELS,
            f"must be from 1 to {MOST_CHANNELS}, or 0 for 1",
        ),
        "max_alternatives": (
            0 <= asked.max_alternatives <= MOST_ALTERNATIVES,
            f"must be from 0 to {MOST_ALTERNATIVES}",
        ),
        "language_code": (len(asked.language_code) <= 35, "must be a BCP 47 code, e.g. en-US"),
        "model": (len(asked.model) <= 200, "must be a model of GetRivaSpeechRecognitionConfig"),
        "speech_contexts": (
            len(phrases) <= MOST_PHRASES and all(0 < len(phrase) <= LONGEST_PHRASE for phrase in phrases),
            f"must have at most {MOST_PHRASES} phrases of 1 to {LONGEST_PHRASE} characters",
        ),
        "speech_contexts.boost": (
            0 <= boost <= HIGHEST_BOOST and all(context.boost >= 0 for context in asked.speech_contexts),
            f"must be from 0 to {HIGHEST_BOOST:g}: words can be preferred here, not avoided",
        ),
        "diarization_config.max_speaker_count": (
            0 <= speakers.max_speaker_count <= MOST_SPEAKERS,
            f"must be from 0 to {MOST_SPEAKERS}",
        ),
    }
    wrong = [FieldViolation(f"{field}.{name}", remedy) for name, (fits, remedy) in checks.items() if not fits]
    wrong += [
        FieldViolation(f"{field}.custom_configuration[{key}]", "is not known here; leave it out")
        for key in asked.custom_configuration
    ]
    if wrong:
        raise InvalidRequest(wrong)
    return Config(
        model=asked.model,
        language=asked.language_code,
        hints=Hints(tuple(phrases), "", boost),
        diarization=Diarization(max_speakers=speakers.max_speaker_count)
        if speakers.enable_speaker_diarization
        else None,
        # Riva counts the best one.
        max_alternatives=max(0, asked.max_alternatives - 1),
        profanity_filter=asked.profanity_filter,
        separate_channels=asked.enable_separate_recognition_per_channel,
    )


def endpointing_of(asked: Any, field: str) -> Endpointing:
    """When speech begins and ends. Raises InvalidRequest that names the fields at fault.

    Args:
        asked: An EndpointingConfig: histories in milliseconds.
        field: What the request calls the configuration that it belongs to.
    """
    wrong = [
        FieldViolation(f"{field}.endpointing_config.{name}", "must be from 0 to 10000 milliseconds")
        for name in ("start_history", "stop_history", "stop_history_eou")
        if not 0 <= getattr(asked, name) <= 10_000
    ] + [
        FieldViolation(f"{field}.endpointing_config.{name}", "must be from 0 to 1")
        for name in ("start_threshold", "stop_threshold", "stop_threshold_eou")
        if not 0 <= getattr(asked, name) <= 1
    ]
    if wrong:
        raise InvalidRequest(wrong)
    # The history for the end of an utterance is the shorter of two stages in Riva; here, results are final with it.
    silence = (asked.stop_history_eou or asked.stop_history) / 1000
    return Endpointing(silence, asked.start_threshold, 0.0, asked.start_history / 1000)


def live_of(asked: Any, begin: bytes) -> LiveConfig:
    """How to recognise a live stream.

    Args:
        asked: A StreamingRecognitionConfig.
        begin: How its audio begins: where no encoding is said, that tells.
    """
    config = asked.config
    return LiveConfig(
        config_of(config, "streaming_config.config"),
        ENCODINGS.get(config.encoding) or MAGIC.get(begin[:4], Encoding.PCM),
        config.sample_rate_hertz or RATE,
        config.audio_channel_count or 1,
        asked.interim_results,
        endpointing=endpointing_of(config.endpointing_config, "streaming_config.config"),
    )


async def audio_of(requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """The audio of the messages after the first. Raises InvalidArgument for anything else."""
    async for request in requests:
        if request.WhichOneof("streaming_request") == "streaming_config":
            raise InvalidArgument("streaming_config", "only the first message may carry it; send audio_content")
        if request.runtime_config:
            raise InvalidArgument("runtime_config", "nothing can be changed in mid-stream here; open another stream")
        yield request.audio_content


async def begun(audio: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first bytes of audio, enough to tell what it is, and all of it."""
    begin = b""
    async for data in audio:
        begin += data
        if len(begin) >= 4:
            break

    async def whole() -> AsyncIterator[bytes]:
        yield begin
        async for data in audio:
            yield data

    return begin, whole()


def as_file(audio: bytes, asked: Any) -> bytes:
    """The audio of a request as a file: bare samples get the header of a WAV file."""
    codes = {riva_audio_pb2.LINEAR_PCM: (WAV_PCM, 16), riva_audio_pb2.MULAW: (WAV_MULAW, 8), 20: (WAV_ALAW, 8)}
    bare = asked.encoding in codes or (asked.encoding == 0 and not audio.startswith(CONTAINERS))
    if not audio or not bare or audio.startswith(CONTAINERS):
        return audio
    code, bits = codes.get(asked.encoding, (WAV_PCM, 16))
    rate, channels = asked.sample_rate_hertz or RATE, asked.audio_channel_count or 1
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)
    file = io.BytesIO()
    file.write(b"RIFF" + struct.pack("<I", 36 + len(audio)) + b"WAVEfmt " + struct.pack("<I", len(form)) + form)
    file.write(b"data" + struct.pack("<I", len(audio)) + audio)
    return file.getvalue()


def alternatives(segment: Segment, asked: Any, tags: Tags) -> Sequence[Any]:
    """The transcripts of a segment, the best one with its words, where they are asked for."""
    words: Iterable[Any] = ()
    if asked.enable_word_time_offsets or asked.diarization_config.enable_speaker_diarization:
        words = [
            riva_asr_pb2.WordInfo(
                word=word.text,
                start_time=round(1000 * word.start),
                end_time=round(1000 * word.end),
                confidence=word.confidence,
                speaker_tag=tags.of(word.speaker),
                language_code=word.language or segment.language,
            )
            for word in segment.words
        ]
    made = riva_asr_pb2.SpeechRecognitionAlternative
    languages = [segment.language] if segment.language else []
    best = made(transcript=f"{segment.text} ", confidence=segment.confidence, words=words, language_code=languages)
    others = [
        made(transcript=f"{other.text} ", confidence=other.confidence, language_code=languages)
        for other in segment.alternatives
    ]
    return [best, *others]


def identified(request: Any) -> Any:
    """The id of an answer: that of its request, or one of its own."""
    return riva_common_pb2.RequestId(value=request.id.value or str(uuid.uuid4()))


def bound(pipeline: Pipeline, live: Live) -> Bound:
    """What to serve."""
    return Bound(
        riva_asr_pb2_grpc.add_RivaSpeechRecognitionServicer_to_server, RivaServicer(pipeline, live), DESCRIPTOR
    )

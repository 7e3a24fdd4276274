"""The Riva façade, by the client of the nvidia-riva-client package and the steps of its transcribe examples."""

from __future__ import annotations

import asyncio
import contextlib
import io
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import pytest
import riva.client
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from riva.client.proto import riva_asr_pb2, riva_audio_pb2, riva_common_pb2

QUESTIONS = ["how many customers are there", "which product has the highest price"]
Say = Callable[..., bytes]


@pytest.fixture
def service(asr_address: str) -> Iterator[riva.client.ASRService]:
    auth = riva.client.Auth(uri=asr_address)
    yield riva.client.ASRService(auth)
    auth.channel.close()


@pytest.fixture
def recording(say: Say, tmp_path: Path) -> Path:
    """A WAV file with two questions and a second and a half of silence after each."""
    path = tmp_path / "questions.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22050)
        for question in QUESTIONS:
            file.writeframes(say(question)[44:] + bytes(3 * 22050))
    return path


@pytest.fixture
def data(recording: Path) -> bytes:
    """The same as bytes."""
    return recording.read_bytes()


def config(path: Path | None = None, **fields: Any) -> Any:
    """As transcribe_file_offline.py makes it."""
    made = riva.client.RecognitionConfig(language_code="en-US", max_alternatives=1, **fields)
    riva.client.add_word_boosting_to_config(made, QUESTIONS, 4.0)
    if path is not None:
        riva.client.add_audio_file_specs_to_config(made, path)
    return made


def details(error: Any) -> Any:
    """The details of a call's status."""
    return rpc_status.from_call(error).details


def said(results: Any) -> list[str]:
    return [result.alternatives[0].transcript for result in results]


async def test_a_file_is_transcribed_as_the_offline_example_does(
    service: riva.client.ASRService, recording: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = config(recording, enable_word_time_offsets=True)
    answer = await asyncio.to_thread(service.offline_recognize, data, asked)
    assert said(answer.results) == [f"{question} " for question in QUESTIONS]
    words = answer.results[1].alternatives[0].words
    assert [word.word for word in words] == QUESTIONS[1].split()
    assert (
        2000 < words[0].start_time < words[0].end_time <= words[1].start_time < 1000 * answer.results[0].audio_processed
    )
    assert answer.results[0].channel_tag == 1
    assert answer.id.value
    riva.client.print_offline(answer)
    assert f"Final transcript: {QUESTIONS[0]} {QUESTIONS[1]}" in capsys.readouterr().out


async def test_a_file_is_streamed_as_the_streaming_example_does(
    service: riva.client.ASRService, recording: Path, tmp_path: Path
) -> None:
    # The file as it is, its header included: what AudioChunkFileIterator sends.
    asked = riva.client.StreamingRecognitionConfig(config=config(recording), interim_results=True)
    output = tmp_path / "out.txt"

    def transcribe() -> None:
        with riva.client.AudioChunkFileIterator(recording, 1600, lambda _data, seconds: None) as chunks:
            riva.client.print_streaming(
                service.streaming_response_generator(audio_chunks=chunks, streaming_config=asked),
                output_file=output,
                show_intermediate=True,
            )

    await asyncio.to_thread(transcribe)
    lines = output.read_text().splitlines()
    assert [line.removeprefix("## ").strip() for line in lines if line.startswith("##")] == QUESTIONS


async def test_words_results_and_ids_of_a_stream(service: riva.client.ASRService, recording: Path, data: bytes) -> None:
    asked = riva.client.StreamingRecognitionConfig(
        config=config(recording, enable_word_time_offsets=True), interim_results=True
    )

    def requests() -> Iterator[Any]:
        yield riva_asr_pb2.StreamingRecognizeRequest(
            streaming_config=asked, id=riva_common_pb2.RequestId(value="my-stream")
        )
        for start in range(0, len(data), 4410):
            yield riva_asr_pb2.StreamingRecognizeRequest(audio_content=data[start : start + 4410])

    answers = await asyncio.to_thread(lambda: list(service.stub.StreamingRecognize(requests())))
    assert {answer.id.value for answer in answers} == {"my-stream"}
    results = [result for answer in answers for result in answer.results]
    finals = [result for result in results if result.is_final]
    assert said(finals) == [f"{question} " for question in QUESTIONS]
    assert all(result.stability == 1.0 for result in finals)
    assert finals[0].audio_processed < finals[1].audio_processed
    assert [word.word for word in finals[1].alternatives[0].words] == QUESTIONS[1].split()


def bare(say: Say, rate: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The samples of the first question."""
    container: Any = av.open(io.BytesIO(say(QUESTIONS[0])))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])


def encoded(samples: np.ndarray[Any, np.dtype[np.int16]], rate: int, codec: str, form: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame: Any = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("encoding", "codec", "form"),
    [
        (riva_audio_pb2.LINEAR_PCM, "pcm_s16le", "s16le"),
        (riva_audio_pb2.MULAW, "pcm_mulaw", "mulaw"),
        (riva_audio_pb2.ALAW, "pcm_alaw", "alaw"),
        (riva_audio_pb2.FLAC, "flac", "flac"),
        (riva_audio_pb2.OGGOPUS, "libopus", "ogg"),
        (riva_audio_pb2.ENCODING_UNSPECIFIED, "pcm_s16le", "wav"),
        (riva_audio_pb2.ENCODING_UNSPECIFIED, "flac", "flac"),
    ],
)
async def test_every_encoding_is_understood_at_once_and_streamed(
    service: riva.client.ASRService, say: Say, encoding: int, codec: str, form: str
) -> None:
    data = encoded(bare(say, 16000), 16000, codec, form)
    asked = config(encoding=encoding, sample_rate_hertz=16000, audio_channel_count=1)
    answer = await asyncio.to_thread(service.offline_recognize, data, asked)
    assert said(answer.results) == [f"{QUESTIONS[0]} "]
    streaming = riva.client.StreamingRecognitionConfig(config=asked)
    chunks = [data[start : start + 999] for start in range(0, len(data), 999)]
    answers = await asyncio.to_thread(lambda: list(service.streaming_response_generator(chunks, streaming)))
    assert said(result for one in answers for result in one.results) == [f"{QUESTIONS[0]} "]


async def test_channels_are_recognised_separately(service: riva.client.ASRService, say: Say) -> None:
    left = bare(say, 16000)
    both = np.stack([left, np.zeros_like(left)], axis=1)
    asked = config(
        encoding=riva_audio_pb2.LINEAR_PCM,
        sample_rate_hertz=16000,
        audio_channel_count=2,
        enable_separate_recognition_per_channel=True,
    )
    answer = await asyncio.to_thread(service.offline_recognize, both[:, ::-1].tobytes(), asked)
    assert [(result.channel_tag, said([result])) for result in answer.results] == [(2, [f"{QUESTIONS[0]} "])]


async def test_endpointing_of_the_client_is_kept_to(
    service: riva.client.ASRService, recording: Path, data: bytes
) -> None:
    asked = config(recording)
    # A history longer than the silence between the questions: they become one.
    riva.client.add_endpoint_parameters_to_config(asked, 100, 0.4, 2000, 0, 0.98, 0)
    answer = await asyncio.to_thread(service.offline_recognize, data, asked)
    assert len(answer.results) == 1


async def test_the_models_are_listed(service: riva.client.ASRService) -> None:
    ask = service.stub.GetRivaSpeechRecognitionConfig
    request = riva_asr_pb2.RivaSpeechRecognitionConfigRequest
    (listed,) = (await asyncio.to_thread(ask, request())).model_config
    assert listed.model_name == "pocketsphinx"
    # What the examples' --list-models looks at.
    assert listed.parameters["type"] == "online"
    assert listed.parameters["language_code"] == "en-US"
    with pytest.raises(grpc.RpcError) as caught:
        await asyncio.to_thread(ask, request(model_name="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"sample_rate_hertz": 100}, "config.sample_rate_hertz"),
        ({"audio_channel_count": 9}, "config.audio_channel_count"),
        ({"encoding": 99}, "config.encoding"),
        ({"custom_configuration": {"x": "y"}}, "config.custom_configuration[x]"),
        ({"speech_contexts": [{"phrases": ["a"], "boost": -5}]}, "config.speech_contexts.boost"),
        ({"endpointing_config": {"stop_history": -1}}, "config.endpointing_config.stop_history"),
        ({"diarization_config": {"enable_speaker_diarization": True, "max_speaker_count": 99}}, "max_speaker_count"),
    ],
)
async def test_wrong_fields_are_named(service: riva.client.ASRService, fields: dict[str, Any], named: str) -> None:
    asked = riva_asr_pb2.RecognitionConfig(**fields)

    def stream() -> None:
        streaming = riva_asr_pb2.StreamingRecognitionConfig(config=asked)
        list(service.streaming_response_generator([b"\0\0"], streaming))

    for call in (lambda: service.offline_recognize(b"\0\0", asked), stream):
        with pytest.raises(grpc.RpcError) as caught:
            await asyncio.to_thread(call)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        detail = error_details_pb2.BadRequest()
        assert any(part.Unpack(detail) for part in details(caught.value))
        assert next(violation.field for violation in detail.field_violations).endswith(named)


async def test_messages_in_the_wrong_order_are_refused(service: riva.client.ASRService) -> None:
    request = riva_asr_pb2.StreamingRecognizeRequest
    started = request(streaming_config=riva_asr_pb2.StreamingRecognitionConfig())

    def stream(sent: list[Any]) -> None:
        list(service.stub.StreamingRecognize(iter(sent)))

    for requests, named in (
        ([request(audio_content=b"\0\0")], "streaming_config"),
        ([started, started], "streaming_config"),
        ([started, request(audio_content=b"\0\0"), request(runtime_config={"a": "b"})], "runtime_config"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            await asyncio.to_thread(stream, requests)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert named in (caught.value.details() or "")


async def test_a_client_that_hangs_up_leaves_nothing_behind(
    service: riva.client.ASRService, recording: Path, data: bytes
) -> None:
    def hang_up() -> None:
        with riva.client.AudioChunkFileIterator(recording, 1600) as chunks:
            call = service.stub.StreamingRecognize(
                riva.client.asr.streaming_request_generator(
                    chunks, riva.client.StreamingRecognitionConfig(config=config(recording), interim_results=True)
                )
            )
            next(call)
            call.cancel()
            with contextlib.suppress(grpc.RpcError):
                list(call)

    await asyncio.to_thread(hang_up)
    answer = await asyncio.to_thread(service.offline_recognize, data, config(recording))
    assert len(answer.results) == 2

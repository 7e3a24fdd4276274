"""Live speech through the whole stack: the native RPC, Riva's client and `parley listen`, all by the real gateway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import riva.client

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from tests.cli.conftest import environment
from tests.conftest import ROOT
from tests.e2e.conftest import SPOKEN, MeshStack


def test_a_microphone_streams_through_the_gateway(stack: MeshStack) -> None:
    rate, samples = stack.spoken_samples()
    hints = asr_pb2.RecognitionHints(phrases=[SPOKEN])
    config = asr_pb2.RecognitionConfig(hints=hints, diarization=asr_pb2.DiarizationConfig())

    def requests() -> Iterator[asr_pb2.StreamingRecognizeRequest]:
        streaming = asr_pb2.StreamingConfig(config=config, sample_rate_hertz=rate, interim_results=True)
        yield asr_pb2.StreamingRecognizeRequest(config=streaming)
        for start in range(0, len(samples), rate // 5):
            yield asr_pb2.StreamingRecognizeRequest(audio=samples[start : start + rate // 5])

    with stack.channel() as channel:
        stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        finals = [event.result.segment for event in stub.StreamingRecognize(requests()) if event.result.is_final]
    assert [(final.number, final.text) for final in finals] == [(1, SPOKEN)]


def test_rivas_client_speaks_to_the_gateway(stack: MeshStack) -> None:
    auth = riva.client.Auth(uri=stack.address, metadata_args=[["authorization", f"Bearer {stack.key}"]])
    service = riva.client.ASRService(auth)
    config = riva.client.RecognitionConfig(language_code="en-US", max_alternatives=1, enable_word_time_offsets=True)
    riva.client.add_audio_file_specs_to_config(config, stack.spoken_question)
    riva.client.add_word_boosting_to_config(config, [SPOKEN], 4.0)
    riva.client.add_speaker_diarization_to_config(config, True, 2)
    answer: Any = service.offline_recognize(stack.spoken_question.read_bytes(), config)
    assert answer.results[0].alternatives[0].transcript == f"{SPOKEN} "
    assert {word.speaker_tag for word in answer.results[0].alternatives[0].words} == {1}
    with riva.client.AudioChunkFileIterator(stack.spoken_question, 1600) as chunks:
        streaming = riva.client.StreamingRecognitionConfig(config=config, interim_results=True)
        answers = list(service.streaming_response_generator(audio_chunks=chunks, streaming_config=streaming))
    finals = [result for one in answers for result in one.results if result.is_final]
    assert [final.alternatives[0].transcript for final in finals] == [f"{SPOKEN} "]
    listed = service.stub.GetRivaSpeechRecognitionConfig(
        riva.client.proto.riva_asr_pb2.RivaSpeechRecognitionConfigRequest(), metadata=auth.get_auth_metadata()
    )
    assert listed.model_config[0].model_name == "pocketsphinx"
    auth.channel.close()


def test_listen_shows_what_is_piped_in(stack: MeshStack) -> None:
    command = [sys.executable, "-m", "cli", "listen", "-", "--prompt", SPOKEN, "--speakers", "0"]
    done = subprocess.run(
        command,
        input=stack.spoken_question.read_bytes(),
        env={**environment(stack.url), "PARLEY_STATE": str(stack.settings.state)},
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().endswith(f"{SPOKEN}\n")

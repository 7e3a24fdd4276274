"""Recordings as they come: any rate, level and damage, many channels, videos, clips too short for a word."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import Callable
from typing import Any

import av
import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.asr.checkpoint import Checkpoint
from services.asr.decode import claimed_seconds, decode
from services.asr.engine import TritonEngine
from services.asr.pipeline import Options, Pipeline
from services.asr.recognise import Recogniser
from services.asr.transcript import Config, Diarization, Hints
from services.mesh import channels
from services.mesh.triton import Triton
from tests.asr import noises
from tests.asr.fakes import ToneEngine, recording, serve, talk
from tests.asr.stack import RealTriton, serve_asr
from tests.asr.test_recognize import QUESTIONS, config, encoded, recognize, refused, samples, wav

Stub = Any  # the generated stubs are typed for the synchronous API
Say = Callable[..., bytes]
QUESTION = QUESTIONS[0]


def float_wav(signal: NDArray[np.float32], rate: int = 16000) -> bytes:
    """A WAV file of 32-bit floats, [n, channels]."""
    count = signal.shape[1]
    data = signal.astype("<f4").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH",
        b"RIFF",
        36 + len(data),
        b"WAVE",
        b"fmt ",
        16,
        3,
        count,
        rate,
        rate * 4 * count,
        4 * count,
        32,
    )
    return head + struct.pack("<4sI", b"data", len(data)) + data


def resampled(audio: bytes, rate: int) -> NDArray[np.int16]:
    """A recording's samples at another rate."""
    resampler = av.AudioResampler("s16", "mono", rate)
    with av.open(io.BytesIO(audio), "r") as source:
        parts = [p.to_ndarray().reshape(-1) for f in [*source.decode(audio=0), None] for p in resampler.resample(f)]
    joined: NDArray[np.int16] = np.concatenate(parts)
    return joined


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000, 192000])
async def test_any_sample_rate(asr: Stub, say: Say, rate: int) -> None:
    audio = wav(resampled(say(QUESTION), rate), rate)
    assert (await recognize(asr, audio, *QUESTIONS)).text == QUESTION


async def test_levels_and_damage_of_the_signal(asr: Stub, say: Say) -> None:
    clean = samples(say(QUESTION)).astype(np.float32) / 32768
    poisoned = clean.copy()
    poisoned[::4001] = np.nan
    poisoned[5::4003] = np.inf
    poisoned[9::4007] = -np.inf
    signals = {
        "offset": clean * 0.5 + 0.4,
        "clipped": np.clip(clean * 12, -1, 1),
        "quiet": clean * 0.01,
        "not numbers": poisoned,
        "far too loud": clean * 4,
    }
    for name, signal in signals.items():
        transcript = await recognize(asr, float_wav(signal.reshape(-1, 1).astype(np.float32)), *QUESTIONS)
        assert (name, transcript.text) == (name, QUESTION)


async def test_eight_channels_are_mixed_or_recognised_one_by_one(asr: Stub, say: Say) -> None:
    spoken = samples(say(QUESTION)).astype(np.float32) / 32768
    other = samples(say(QUESTIONS[1])).astype(np.float32) / 32768
    signal = np.zeros((len(spoken), 8), np.float32)
    signal[:, 2] = spoken
    audio = float_wav(signal)
    assert (await recognize(asr, audio, *QUESTIONS)).text == QUESTION
    signal[: len(other), 7] = other[: len(signal)]
    apart = config(*QUESTIONS)
    apart.separate_channels = True
    answer = await asr.Recognize(asr_pb2.RecognizeRequest(audio=float_wav(signal), config=apart))
    assert {(segment.channel, segment.text) for segment in answer.transcript.segments} == {
        (2, QUESTION),
        (7, QUESTIONS[1]),
    }


async def test_more_channels_than_can_be_taken_apart_are_refused(asr: Stub) -> None:
    apart = asr_pb2.RecognitionConfig(separate_channels=True)
    audio = float_wav(np.zeros((16000, 12), np.float32))
    _code, reason, message = await refused(asr.Recognize(asr_pb2.RecognizeRequest(audio=audio, config=apart)))
    assert reason == "INVALID_AUDIO"
    assert "12 channels" in message


async def test_headers_that_lie(asr: Stub, say: Say) -> None:
    whole = bytearray(wav(samples(say(QUESTION))))
    for size in (0, 1, 0xFFFFFFFF, 0x7FFFFFFF):
        lying = bytes(whole[:40]) + struct.pack("<I", size) + bytes(whole[44:])
        if size in (0, 0xFFFFFFFF, 0x7FFFFFFF):
            assert (await recognize(asr, lying, *QUESTIONS)).text == QUESTION, size
        else:
            await refused(asr.Recognize(asr_pb2.RecognizeRequest(audio=lying)))
    assert claimed_seconds(bytes(whole)) == pytest.approx(len(whole) / 32000, abs=0.01)
    assert claimed_seconds(b"not audio") == 0
    nonsense = bytes(whole[:22]) + struct.pack("<HI", 0, 0) + bytes(whole[28:])  # no channels, no rate
    _code, reason, _message = await refused(asr.Recognize(asr_pb2.RecognizeRequest(audio=nonsense)))
    assert reason == "INVALID_AUDIO"


async def test_the_sound_of_a_video_is_recognised(asr: Stub, say: Say) -> None:
    out = io.BytesIO()
    with av.open(io.BytesIO(say(QUESTION)), "r") as source, av.open(out, "w", format="mp4") as target:
        video: Any = target.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = target.add_stream("aac", rate=44100)
        resampler = av.AudioResampler(audio.format, audio.layout, 44100)
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 10, np.uint8))
            target.mux(video.encode(frame))
        for sound in [*source.decode(audio=0), None]:
            for part in resampler.resample(sound):
                target.mux(audio.encode(part))
        target.mux(video.encode(None))
        target.mux(audio.encode(None))
    assert (await recognize(asr, out.getvalue(), *QUESTIONS)).text == QUESTION


@pytest.mark.parametrize("seconds", [0.0001, 0.01, 0.1])
async def test_a_clip_too_short_for_a_word(asr: Stub, say: Say, seconds: float) -> None:
    spoken = samples(say(QUESTION))
    clip = wav(spoken[4000 : 4000 + max(1, round(seconds * 16000))])
    transcript = await recognize(asr, clip)
    assert len(transcript.text.split()) <= 1
    assert transcript.duration == pytest.approx(max(1 / 16000, seconds), abs=1e-3)


async def test_damage_in_the_middle_loses_only_what_is_damaged(asr: Stub, say: Say) -> None:
    pause = np.zeros(16000 * 2, np.int16)
    spoken = np.concatenate([part for question in QUESTIONS for part in (samples(say(question)), pause)])
    damaged = bytearray(encoded(wav(spoken), "mp3", "libmp3lame", 44100))
    middle = len(damaged) // 2
    damaged[middle : middle + 400] = np.random.default_rng(1).bytes(400)
    found = [segment.text for segment in (await recognize(asr, bytes(damaged), *QUESTIONS)).segments]
    assert {QUESTIONS[0], QUESTIONS[2]} <= set(found)


@pytest.mark.parametrize("name", sorted(noises.SOUNDS))
async def test_what_nobody_says_gives_no_text(asr: Stub, name: str) -> None:
    transcript = await recognize(asr, wav(noises.sound(name, 8)))
    assert (transcript.text, list(transcript.segments)) == ("", [])
    assert transcript.duration == pytest.approx(8)


async def test_words_between_music_and_noise_are_all_that_is_heard(asr: Stub, say: Say) -> None:
    quiet = np.zeros(8000, np.int16)
    parts = [noises.sound("piano", 5), quiet, samples(say(QUESTION)), quiet, noises.sound("white noise", 5)]
    transcript = await recognize(asr, wav(np.concatenate(parts)), *QUESTIONS)
    assert transcript.text == QUESTION
    assert all(4.5 < word.start < word.end < 9 for segment in transcript.segments for word in segment.words)


async def test_a_server_killed_while_it_recognises_is_unavailable(
    make_triton: Callable[..., RealTriton], say: Say
) -> None:
    triton = make_triton()
    pause = np.zeros(24000, np.int16)
    audio = wav(np.concatenate([samples(say("good morning everybody how are you")), pause] * 12))
    async with serve_asr(triton) as address, channels.channel(address) as channel:
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        call = stub.Recognize(asr_pb2.RecognizeRequest(audio=audio))
        client = Triton(triton.target)
        while (await client.statistics("pocketsphinx")).requests < 1:  # noqa: ASYNC110  # another process: no event
            await asyncio.sleep(0.05)
        triton.kill()
        code, reason, _message = await refused(call)
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        await client.close()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (asr_pb2.DiarizationConfig(speakers=2, max_speakers=3), "config.diarization.speakers"),
        (asr_pb2.DiarizationConfig(min_speakers=4, max_speakers=3), "config.diarization.min_speakers"),
        (
            asr_pb2.DiarizationConfig(known_speakers=[asr_pb2.KnownSpeaker(name="An", audio=b"x")] * 2),
            "config.diarization.known_speakers[1].name",
        ),
        (
            asr_pb2.DiarizationConfig(known_speakers=[asr_pb2.KnownSpeaker(name="An", audio=b"no audio")]),
            "config.diarization.known_speakers[0].audio",
        ),
        (asr_pb2.DiarizationConfig(speakers=65), "config.diarization.speakers"),
        (asr_pb2.DiarizationConfig(model="pocketsphinx"), "no speech model 'pocketsphinx'"),
    ],
)
async def test_wrong_diarization_is_named(wrong: asr_pb2.DiarizationConfig, field: str) -> None:
    async with serve(ToneEngine()) as address, channels.channel(address) as channel:
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        request = asr_pb2.RecognizeRequest(
            audio=recording(talk((0, [1]))), config=asr_pb2.RecognitionConfig(diarization=wrong)
        )
        _code, _reason, message = await refused(stub.Recognize(request))
    assert field in message


async def test_recognize_says_who_spoke() -> None:
    async with serve(ToneEngine()) as address, channels.channel(address) as channel:
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        wanted = asr_pb2.RecognitionConfig(diarization=asr_pb2.DiarizationConfig(max_speakers=4), enhance=True)
        audio = recording(talk((0, [1, 2]), (1, [3])))
        transcript = (await stub.Recognize(asr_pb2.RecognizeRequest(audio=audio, config=wanted))).transcript
        models = {model.id: model for model in (await stub.ListModels(asr_pb2.ListModelsRequest())).models}
    assert [(s.number, s.speaker, s.text, s.raw_text) for s in transcript.segments] == [
        (1, "S1", "W1 w2.", "w1 w2"),
        (2, "S2", "W3.", "w3"),
    ]
    assert [(speaker.id, speaker.display_name) for speaker in transcript.speakers] == [("S1", "S1"), ("S2", "S2")]
    assert models["diarizer"].task == asr_pb2.MODEL_TASK_DIARIZATION
    assert models["fusion"].ready


def test_pieces_are_one_channel_or_all() -> None:
    signal = np.random.default_rng(1).uniform(-0.5, 0.5, (40000, 3)).astype(np.float32)
    audio = float_wav(signal)
    assert np.concatenate(list(decode(audio, 60))).shape == (40000, 1)
    assert np.allclose(np.concatenate(list(decode(audio, 60, separate=True))), signal, atol=1e-4)


async def test_two_voices_are_told_apart(asr: Stub, say: Say) -> None:
    lines = ["good morning how are you today my friend", "i am very well thank you and what about you"]
    pause = np.zeros(8000, np.int16)
    voices = ("en-us+m3", "en-us+f3")
    parts = [part for text in lines for voice in voices for part in (samples(say(text, voice)), pause)]
    wanted = asr_pb2.RecognitionConfig(diarization=asr_pb2.DiarizationConfig(speakers=2))
    request = asr_pb2.RecognizeRequest(audio=wav(np.concatenate(parts)), config=wanted)
    transcript = (await asr.Recognize(request)).transcript
    assert [speaker.id for speaker in transcript.speakers] == ["S1", "S2"]
    middle = [sum(map(len, parts[:place])) + len(parts[place]) // 2 for place in (0, 2, 4, 6)]
    spoken = [word for segment in transcript.segments for word in segment.words]
    nearest = [min(spoken, key=lambda word: abs(word.start * 16000 - time)).speaker for time in middle]
    assert nearest == ["S1", "S2", "S1", "S2"]


async def test_a_known_voice_gets_its_name(asr: Stub, say: Say) -> None:
    reference = say("this is a recording of my voice that is long enough to know me again later", "en-us+f3")
    parts = [samples(say("good morning how are you today my friend", voice)) for voice in ("en-us+m3", "en-us+f3")]
    known = asr_pb2.KnownSpeaker(name="Lan", audio=reference)
    wanted = asr_pb2.RecognitionConfig(diarization=asr_pb2.DiarizationConfig(speakers=2, known_speakers=[known]))
    request = asr_pb2.RecognizeRequest(
        audio=wav(np.concatenate([parts[0], np.zeros(9000, np.int16), parts[1]])), config=wanted
    )
    transcript = (await asr.Recognize(request)).transcript
    assert [speaker.display_name for speaker in transcript.speakers] == ["S1", "Lan"]


async def test_an_interrupted_transcription_goes_on_as_if_nothing_had_happened(triton: RealTriton, say: Say) -> None:
    pause = np.zeros(24000, np.int16)
    voices = ("en-us+m3", "en-us+f3")
    turns = [samples(say(question, voice)) for question in QUESTIONS for voice in voices]
    audio = wav(np.concatenate([part for turn in turns for part in (turn, pause)]))
    config = Config(hints=Hints(tuple(QUESTIONS)), diarization=Diarization(max_speakers=2))
    client = Triton(triton.target)
    made = Pipeline(Recogniser(TritonEngine(client), "pocketsphinx", 600, 2), Options(chunk_seconds=11))
    whole = [finished async for finished in made.run(audio, config)]
    middle = len(whole) // 2
    checkpoint = Checkpoint.from_json(whole[middle].checkpoint.to_json())
    rest = [finished async for finished in made.run(audio, config, checkpoint)]
    await client.close()
    said = [segment for finished in whole for segment in finished.segments]
    assert len(said) >= 6
    assert [segment for finished in [*whole[: middle + 1], *rest] for segment in finished.segments] == said
    assert rest[-1].checkpoint.speakers == whole[-1].checkpoint.speakers

"""Recordings: any container, what is said, silence and noise, damage, size, several at once."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import channels
from tests.asr.stack import SPEECH, RealTriton, serve_asr

Stub = Any  # the generated stubs are typed for the synchronous API
Say = Callable[..., bytes]
QUESTIONS = ["how many customers are there", "list all products", "which product has the highest price"]


def wav(samples: np.ndarray[tuple[int], np.dtype[np.int16]], rate: int = 16000) -> bytes:
    """A WAV file of mono 16-bit samples."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return data.getvalue()


def encoded(audio: bytes, container: str, codec: str, rate: int) -> bytes:
    """A recording in another container and codec."""
    out = io.BytesIO()
    with av.open(io.BytesIO(audio), "r") as source, av.open(out, "w", format=container) as target:
        stream: Any = target.add_stream(codec, rate=rate)
        resampler = av.AudioResampler(stream.format, stream.layout, rate)
        for frame in [*source.decode(audio=0), None]:
            for part in resampler.resample(frame):
                part.pts = None
                target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return out.getvalue()


def config(*phrases: str, grammar: str = "", model: str = "") -> asr_pb2.RecognitionConfig:
    hints = asr_pb2.RecognitionHints(phrases=phrases, grammar=grammar)
    return asr_pb2.RecognitionConfig(model=model, hints=hints)


async def recognize(asr: Stub, audio: bytes, *phrases: str) -> asr_pb2.Transcript:
    request = asr_pb2.RecognizeRequest(audio=audio, config=config(*phrases))
    answer: asr_pb2.RecognizeResponse = await asr.Recognize(request)
    return answer.transcript


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Code, reason and message of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # typed for the synchronous API
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return caught.value.code(), info.reason.removeprefix("ERROR_REASON_"), caught.value.details() or ""


async def test_hints_make_a_question_understood_with_times(asr: Stub, say: Say) -> None:
    transcript = await recognize(asr, say(QUESTIONS[0]), *QUESTIONS)
    assert transcript.text == QUESTIONS[0]
    assert transcript.model == "pocketsphinx"
    assert transcript.language_code == "en-US"
    assert 1 < transcript.duration < 4
    (segment,) = transcript.segments
    assert [word.text for word in segment.words] == QUESTIONS[0].split()
    times = [time for word in segment.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert segment.start <= times[0] < times[-1] <= segment.end <= transcript.duration
    assert all(0 < word.confidence <= 1 for word in segment.words)


async def test_a_grammar_allows_only_what_it_says(asr: Stub, say: Say) -> None:
    grammar = "#JSGF V1.0; grammar g; public <s> = turn (on | off) the light;"
    request = asr_pb2.RecognizeRequest(audio=say("turn off the light"), config=config(grammar=grammar))
    assert (await asr.Recognize(request)).transcript.text == "turn off the light"


async def test_numbers_and_names_come_out_as_the_hints_write_them(asr: Stub, say: Say) -> None:
    hints = ["show orders of 2024", "show orders of 2025"]
    hints += [f"show the customers from {city}" for city in ("Hà Nội", "Huế", "Đà Nẵng")]
    assert (await recognize(asr, say("show orders of twenty twenty four"), *hints)).text == hints[0]
    assert (await recognize(asr, say("show the customers from ha noy"), *hints)).text == hints[2].lower()
    assert (await recognize(asr, say("show the customers from da nang"), *hints)).text == hints[4].lower()


@pytest.mark.parametrize("city", ["hanoi", "boston", "saigon", "da nang"])
async def test_a_city_is_told_from_others(asr: Stub, say: Say, city: str) -> None:
    hints = [f"show the customers from {name}" for name in ("hanoi", "boston", "saigon", "can tho", "da nang")]
    assert (await recognize(asr, say(f"show the customers from {city}"), *hints)).text.endswith(city)


async def test_gaps_of_digital_silence_lose_no_words(asr: Stub, say: Say) -> None:
    spoken = samples(say(QUESTIONS[0])).astype(np.float32)
    loud = np.convolve(np.abs(spoken), np.ones(160) / 160, "same") > 400
    gated = np.where(loud, spoken, 0).astype(np.int16)
    assert not loud.all()
    assert (await recognize(asr, wav(gated), *QUESTIONS)).text == QUESTIONS[0]


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 16000),
        ("flac", "flac", 44100),
        ("mp3", "libmp3lame", 44100),
        ("ogg", "libopus", 48000),
        ("webm", "libopus", 48000),
        ("matroska", "pcm_s16le", 16000),
        ("adts", "aac", 22050),
        ("ipod", "aac", 44100),
        ("aiff", "pcm_s16be", 22050),
        ("wav", "pcm_s16le", 8000),
        ("wav", "pcm_mulaw", 8000),
    ],
)
async def test_any_container_is_read(asr: Stub, say: Say, container: str, codec: str, rate: int) -> None:
    audio = encoded(say(QUESTIONS[0]), container, codec, rate)
    assert (await recognize(asr, audio, *QUESTIONS)).text == QUESTIONS[0]


@pytest.mark.skipif(not SPEECH.is_dir(), reason="the development data is not beside this repository")
@pytest.mark.parametrize("path", sorted((SPEECH / "formats").glob("*.*")), ids=lambda path: path.name)
async def test_recordings_of_every_format_give_text(asr: Stub, path: Path) -> None:
    audio = await asyncio.to_thread(path.read_bytes)
    transcript = await recognize(asr, audio)
    assert len(transcript.text.split()) >= 3
    assert transcript.duration > 2


async def test_silence_and_noise_give_no_text(asr: Stub) -> None:
    seconds = np.arange(16000 * 6) / 16000
    random = np.random.default_rng(1)
    tones = sum(np.sin(2 * np.pi * pitch * seconds) for pitch in (220, 277, 330)) * 3000
    sounds = {
        "silence": np.zeros(len(seconds)),
        "noise": random.normal(0, 3000, len(seconds)),
        "hum": 6000 * np.sin(2 * np.pi * 50 * seconds),
        "chord": tones,
    }
    for name, sound in sounds.items():
        transcript = await recognize(asr, wav(sound.astype(np.int16)))
        assert (name, transcript.text, list(transcript.segments)) == (name, "", [])
        assert transcript.duration == pytest.approx(6)


async def test_what_is_not_audio_is_refused_with_a_reason(asr: Stub) -> None:
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    for data in (b"not audio at all", b"\x00" * 5000, b"PK\x03\x04" + b"\x00" * 2000, playlist):
        code, reason, message = await refused(asr.Recognize(asr_pb2.RecognizeRequest(audio=data)))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_AUDIO"), data[:8]
        assert message.startswith("audio: ")


async def test_an_empty_recording_names_the_field(asr: Stub) -> None:
    code, reason, message = await refused(asr.Recognize(asr_pb2.RecognizeRequest()))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert "audio" in message


async def test_a_picture_has_no_sound(asr: Stub) -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as target:
        stream = target.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            target.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        target.mux(stream.encode(None))
    _code, reason, message = await refused(asr.Recognize(asr_pb2.RecognizeRequest(audio=out.getvalue())))
    assert reason == "INVALID_AUDIO"
    assert "no audio stream" in message


async def test_a_truncated_recording_gives_what_it_has(asr: Stub, say: Say) -> None:
    spoken = say("list all products")
    for container, codec in (("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame")):
        whole = encoded(spoken, container, codec, 48000)
        transcript = await recognize(asr, whole[: len(whole) * 3 // 5], *QUESTIONS)
        assert transcript.text, container
        assert 0.4 < transcript.duration < 1.5
    mp4 = encoded(spoken, "ipod", "aac", 44100)  # its index stands at the end: without it nothing can be read
    _code, reason, _message = await refused(asr.Recognize(asr_pb2.RecognizeRequest(audio=mp4[: len(mp4) // 2])))
    assert reason == "INVALID_AUDIO"


async def test_a_short_file_of_long_silence_meets_the_limit(triton: RealTriton) -> None:
    half_hour = wav(np.zeros(16000 * 1800, np.int16))
    bomb = encoded(half_hour, "flac", "flac", 16000)
    assert len(bomb) < len(half_hour) / 100
    async with serve_asr(triton, max_audio_seconds=600) as address, channels.channel(address) as channel:
        asr: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)
        _code, reason, message = await refused(asr.Recognize(asr_pb2.RecognizeRequest(audio=bomb)))
    assert reason == "TOO_LARGE"
    assert "600 seconds" in message


async def test_three_hours_take_flat_memory(asr: Stub) -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="flac") as target:
        stream: Any = target.add_stream("flac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000 * 60), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        resampler = av.AudioResampler(stream.format, stream.layout, 16000)
        for _minute in range(180):
            for part in resampler.resample(frame):
                target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    before = resident()
    transcript = await recognize(asr, out.getvalue())
    assert transcript.duration == pytest.approx(3 * 3600, abs=2)
    assert transcript.text == ""
    assert resident() - before < 80  # three hours of samples alone would be 690 MB


def resident() -> float:
    """This process's memory in MB, where the service runs too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def test_the_same_audio_gives_the_same_text_whatever_came_before(asr: Stub, say: Say) -> None:
    first, second = say("the quick brown fox jumps over the lazy dog"), say("good morning everybody", "en-us+f3")
    alone = (await recognize(asr, first)).text
    loud = (await recognize(asr, second)).text
    for _ in range(2):
        assert (await recognize(asr, first)).text == alone
        assert (await recognize(asr, second)).text == loud
        await recognize(asr, first, *QUESTIONS)


async def test_hinted_text_depends_on_the_audio_alone(
    asr: Stub, say: Say, make_triton: Callable[..., RealTriton]
) -> None:
    first, second = say("how many products has each customer"), say("good morning everybody", "en-us+f3")
    alone = await recognize(asr, first, *QUESTIONS)
    assert alone.text
    await recognize(asr, second, *QUESTIONS)
    await recognize(asr, second)
    assert await recognize(asr, first, *QUESTIONS) == alone
    async with serve_asr(make_triton()) as address, channels.channel(address) as channel:
        fresh: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)
        await recognize(fresh, second, *QUESTIONS)
        assert await recognize(fresh, first, *QUESTIONS) == alone


async def test_two_at_once_give_what_each_gives_alone(asr: Stub, say: Say) -> None:
    recordings = [say(question) for question in QUESTIONS]
    answers = await asyncio.gather(*(recognize(asr, audio, *QUESTIONS) for audio in recordings))
    assert [answer.text for answer in answers] == QUESTIONS


async def test_a_long_recording_keeps_its_order(asr: Stub, say: Say) -> None:
    pause = np.zeros(16000 * 2, np.int16)
    spoken = [samples(say(question)) for question in QUESTIONS * 2]
    audio = wav(np.concatenate([part for voice in spoken for part in (voice, pause)]))
    transcript = await recognize(asr, audio, *QUESTIONS)
    assert [segment.text for segment in transcript.segments] == QUESTIONS * 2
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)


def samples(audio: bytes) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """A recording as 16-bit samples at 16 kHz."""
    resampler = av.AudioResampler("s16", "mono", 16000)
    with av.open(io.BytesIO(audio), "r") as source:
        parts = [p.to_ndarray().reshape(-1) for f in [*source.decode(audio=0), None] for p in resampler.resample(f)]
    joined: np.ndarray[tuple[int], np.dtype[np.int16]] = np.concatenate(parts)
    return joined


async def test_alternatives_are_other_texts_the_best_first(asr: Stub, say: Say) -> None:
    wanted = asr_pb2.RecognitionConfig(max_alternatives=3)
    audio = say("the quick brown fox jumps over the lazy dog")
    (segment,) = (await asr.Recognize(asr_pb2.RecognizeRequest(audio=audio, config=wanted))).transcript.segments
    others = [one.text for one in segment.alternatives]
    assert len(set(others)) == len(others) == 3
    assert segment.text not in others
    sure = [one.confidence for one in segment.alternatives]
    assert sure == sorted(sure, reverse=True)
    assert 0 <= sum(sure) <= 1
    grammar = config(grammar="#JSGF V1.0; grammar g; public <s> = turn (on | off) the light;")
    grammar.max_alternatives = 3
    answer = await asr.Recognize(asr_pb2.RecognizeRequest(audio=say("turn off the light"), config=grammar))
    assert answer.transcript.text == "turn off the light"


async def test_a_boost_makes_phrases_win_over_what_is_heard(asr: Stub, say: Say) -> None:
    audio = say("light the off turn")
    found = {}
    for boost in (0, 20):
        hints = asr_pb2.RecognitionHints(phrases=["turn off the light", "turn on the light"], boost=boost)
        answer = await asr.Recognize(
            asr_pb2.RecognizeRequest(audio=audio, config=asr_pb2.RecognitionConfig(hints=hints))
        )
        found[boost] = answer.transcript.text
    assert found[0] == "light the off turn"
    assert found[20] != found[0], "no phrase begins like that"


async def test_profane_words_are_masked(asr: Stub, say: Say) -> None:
    hints = asr_pb2.RecognitionHints(phrases=["this is bullshit my friend"])
    wanted = asr_pb2.RecognitionConfig(hints=hints, profanity_filter=True)
    request = asr_pb2.RecognizeRequest(audio=say("this is bullshit my friend"), config=wanted)
    (segment,) = (await asr.Recognize(request)).transcript.segments
    assert segment.text == "this is b******* my friend"
    assert [word.text for word in segment.words][2] == "b*******"


async def test_wrong_configs_are_named(asr: Stub, say: Say) -> None:
    audio = say(QUESTIONS[0])
    both = config("hello", grammar="#JSGF V1.0; grammar g; public <s> = a;")
    cases = [
        (both, "INVALID_ARGUMENT", "config.hints"),
        (config(grammar="no grammar"), "INVALID_ARGUMENT", "hints.grammar"),
        (config(grammar="#JSGF V1.0; grammar g; import <etc.passwd>; public <s> = a;"), "INVALID_ARGUMENT", "imports"),
        (config("…"), "INVALID_ARGUMENT", "hints"),
        (config(model="nobody"), "MODEL_NOT_FOUND", "pocketsphinx"),
        (config(model="whisper"), "NOT_FOUND", "not loaded"),
    ]
    for wrong, expected, part in cases:
        _code, reason, message = await refused(asr.Recognize(asr_pb2.RecognizeRequest(audio=audio, config=wrong)))
        assert reason == expected
        assert part in message


async def test_the_model_list_says_what_is_there_and_how_good_it_is(asr: Stub) -> None:
    models = {model.id: model for model in (await asr.ListModels(asr_pb2.ListModelsRequest())).models}
    assert models["pocketsphinx"].ready
    assert "Weak at free dictation" in models["pocketsphinx"].description
    assert not models["whisper"].ready


async def test_a_client_that_hangs_up_stops_the_work(triton: RealTriton, asr: Stub, say: Say) -> None:
    from services.mesh.triton import Triton

    pause = np.zeros(24000, np.int16)
    spoken = samples(say("the quick brown fox jumps over the lazy dog while it rains in the mountains"))
    audio = wav(np.concatenate([spoken, pause] * 40))
    client = Triton(triton.target)
    call = asr.Recognize(asr_pb2.RecognizeRequest(audio=audio))
    await asyncio.sleep(1.5)
    call.cancel()
    await asyncio.sleep(3.0)  # what is in the decoder ends at its next look, half a second of audio later
    one = (await client.statistics("pocketsphinx")).requests
    await asyncio.sleep(1.5)
    assert (await client.statistics("pocketsphinx")).requests == one
    await client.close()

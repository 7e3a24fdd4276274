"""The pipeline on an engine that hears tones: who said what, in order, interrupted anywhere, bounded in memory."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Generator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from services.asr.checkpoint import Checkpoint
from services.asr.ear import Chunk, together
from services.asr.errors import AudioTooLong
from services.asr.models import Samples
from services.asr.pipeline import Finished, Pipeline, grow
from services.asr.run import in_thread
from services.asr.transcript import Config, Diarization, KnownSpeaker, Segment, Transcript
from services.mesh import errors
from tests.asr.fakes import ToneEngine, pipeline, quiet, recording, spoken, talk

WHO = Config(diarization=Diarization())


def lines(transcript: Transcript) -> list[tuple[str, str]]:
    """Speaker and text of each segment."""
    return [(segment.speaker, segment.text) for segment in transcript.segments]


def meeting(voices: int = 3, rounds: int = 14) -> Samples:
    """Voices that take turns, now and then without a pause: more than a minute."""
    parts = [
        np.concatenate([talk((turn % voices, [turn, turn + 1, turn + 2])), spoken((turn + 1) % voices, 30), quiet(1.2)])
        for turn in range(rounds)
    ]
    return np.concatenate([quiet(0.7), *parts])


async def run(made: Pipeline, audio: bytes, config: Config, begin: Checkpoint | None = None) -> list[Finished]:
    async with aclosing(made.run(audio, config, begin)) as stretches:
        return [finished async for finished in stretches]


def transcript_of(stretches: list[Finished]) -> Transcript:
    transcript = Transcript("pocketsphinx")
    for finished in stretches:
        grow(transcript, finished)
    return transcript


async def test_words_go_to_who_says_them() -> None:
    audio = recording(talk((0, [1, 2]), (1, [3, 4, 5]), (0, [6])))
    transcript = await pipeline(ToneEngine()).transcribe(audio, WHO)
    assert lines(transcript) == [("S1", "w1 w2"), ("S2", "w3 w4 w5"), ("S1", "w6")]
    assert [segment.number for segment in transcript.segments] == [1, 2, 3]
    assert [(speaker.id, speaker.display_name) for speaker in transcript.speakers] == [("S1", "S1"), ("S2", "S2")]
    assert all(word.speaker == segment.speaker for segment in transcript.segments for word in segment.words)


async def test_a_segment_ends_at_the_word_where_the_speaker_changes() -> None:
    audio = recording(np.concatenate([spoken(0, 1, 2), spoken(1, 3), spoken(0, 4, 5), quiet(1)]))
    transcript = await pipeline(ToneEngine()).transcribe(audio, WHO)
    assert lines(transcript) == [("S1", "w1 w2"), ("S2", "w3"), ("S1", "w4 w5")]
    times = [time for segment in transcript.segments for time in (segment.start, segment.end)]
    assert times == sorted(times)


async def test_without_diarization_nobody_is_named() -> None:
    transcript = await pipeline(ToneEngine()).transcribe(recording(talk((0, [1]), (1, [2]))), Config())
    assert lines(transcript) == [("", "w1"), ("", "w2")]
    assert transcript.speakers == []


@pytest.mark.parametrize("chunk", [11.0, 20.0, 31.0, 600.0])
async def test_chunks_change_nothing(chunk: float) -> None:
    audio = recording(meeting())
    whole = await pipeline(ToneEngine()).transcribe(audio, WHO)
    engine = ToneEngine()
    parts = await pipeline(engine, chunk).transcribe(audio, WHO)
    assert lines(parts) == lines(whole)
    assert [speaker.id for speaker in parts.speakers] == ["S1", "S2", "S3"]
    assert (len(engine.asked) > 1) == (chunk < 600)


CONFIGS = {
    "plain": Config(),
    "speakers": WHO,
    "known": Config(
        diarization=Diarization(max_speakers=2, known=(KnownSpeaker("An", recording(spoken(1, 1, 2, 3, 4, 5))),))
    ),
    "channels": Config(separate_channels=True),
    "enhanced": Config(diarization=Diarization(), enhance=True, profanity_filter=True),
}


@pytest.mark.parametrize("name", CONFIGS)
async def test_interrupted_at_any_boundary_it_goes_on_as_if_nothing_had_happened(name: str) -> None:
    samples = meeting(rounds=12)
    audio = recording(samples, np.roll(samples, 30000)) if name == "channels" else recording(samples)
    whole = await run(pipeline(ToneEngine(), 11.0), audio, CONFIGS[name])
    for place in range(len(whole)):
        checkpoint = Checkpoint.from_json(whole[place].checkpoint.to_json())
        assert checkpoint == whole[place].checkpoint
        engine = ToneEngine()
        rest = await run(pipeline(engine, 11.0), audio, CONFIGS[name], checkpoint)
        assert transcript_of([*whole[: place + 1], *rest]) == transcript_of(whole)
        assert len(engine.heard) == len(whole) - place - 2 or place == len(whole) - 1, "what is done is not done again"


async def test_a_file_is_read_as_its_bytes_are(tmp_path: Path) -> None:
    audio = recording(meeting())
    path = tmp_path / "meeting.wav"
    await asyncio.to_thread(path.write_bytes, audio)
    made = pipeline(ToneEngine(), 20.0)
    assert await made.transcribe(path, WHO) == await made.transcribe(audio, WHO)


async def test_channels_are_recognised_one_by_one_in_order_of_time() -> None:
    left = talk((0, [1, 2]), (0, [3]))
    right = np.concatenate([quiet(1.0), talk((1, [4, 5]))])
    right = np.pad(right, (0, max(0, len(left) - len(right))))
    left = np.pad(left, (0, len(right) - len(left)))
    transcript = await pipeline(ToneEngine()).transcribe(recording(left, right), Config(separate_channels=True))
    found = [(segment.channel, segment.text) for segment in transcript.segments]
    assert found == [(0, "w1 w2"), (1, "w4 w5"), (0, "w3")]


@pytest.mark.parametrize("voices", [1, 2, 20])
async def test_any_number_of_speakers(voices: int) -> None:
    audio = recording(talk(*((voice, [voice, voice + 1]) for voice in range(voices)), pause=1.2))
    transcript = await pipeline(ToneEngine(), 13.0).transcribe(audio, WHO)
    assert [segment.speaker for segment in transcript.segments] == [f"S{number + 1}" for number in range(voices)]
    assert len(transcript.speakers) == voices
    assert all(0.5 < speaker.seconds < 1.0 for speaker in transcript.speakers)


async def test_nobody_speaks() -> None:
    engine = ToneEngine()
    transcript = await pipeline(engine, 11.0).transcribe(recording(quiet(40)), WHO)
    assert (transcript.segments, transcript.speakers, transcript.duration) == ([], [], 40.0)
    assert engine.asked == [], "there is nobody to tell apart"


@pytest.mark.parametrize("wanted", [Diarization(speakers=2), Diarization(max_speakers=2)])
@pytest.mark.parametrize("chunk", [11.0, 600.0])
async def test_the_number_of_speakers_holds_for_the_whole_recording(wanted: Diarization, chunk: float) -> None:
    audio = recording(
        talk(*((voice, [voice]) for voice in (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 0, 1)), pause=1.3)
    )
    transcript = await pipeline(ToneEngine(), chunk).transcribe(audio, Config(diarization=wanted))
    assert {segment.speaker for segment in transcript.segments} == {"S1", "S2"}


async def test_exact_hints_reach_the_model_for_a_recording_of_one_chunk() -> None:
    engine = ToneEngine()
    await pipeline(engine).transcribe(recording(talk((0, [1]))), Config(diarization=Diarization(speakers=5)))
    (hints,) = engine.asked
    assert hints == (5, 0, 0)


async def test_known_people_have_their_names() -> None:
    known = tuple(KnownSpeaker(name, recording(spoken(voice, *range(6)))) for name, voice in (("An", 2), ("Bình", 7)))
    audio = recording(talk((0, [1]), (2, [2, 3]), (0, [4])))
    transcript = await pipeline(ToneEngine()).transcribe(audio, Config(diarization=Diarization(known=known)))
    assert lines(transcript) == [("S1", "w1"), ("An", "w2 w3"), ("S1", "w4")]
    assert [speaker.id for speaker in transcript.speakers] == ["S1", "An"], "who says nothing is not there"


async def test_a_reference_without_a_voice_is_named() -> None:
    known = (KnownSpeaker("An", recording(spoken(0, *range(6)))), KnownSpeaker("Bình", recording(quiet(3))))
    with pytest.raises(errors.InvalidArgument) as caught:
        await pipeline(ToneEngine()).transcribe(recording(talk((0, [1]))), Config(diarization=Diarization(known=known)))
    assert caught.value.violations[0].field == "config.diarization.known_speakers[1].audio"


@pytest.mark.parametrize(
    ("config", "missing", "field"),
    [
        (WHO, "diarizer", "config.diarization"),
        (Config(diarization=Diarization(model="pyannote")), "pyannote", "config.diarization"),
        (Config(enhance=True), "enhancer", "config.enhance"),
    ],
)
async def test_a_model_that_is_missing_is_told_before_any_work(config: Config, missing: str, field: str) -> None:
    engine = ToneEngine([missing])
    with pytest.raises(errors.FailedPrecondition, match=f"^{field}: the model '{missing}' is not loaded") as caught:
        await pipeline(engine).transcribe(recording(talk((0, [1]))), config)
    assert caught.value.violations[0].field == field
    assert engine.heard == []


async def test_a_server_that_is_away_is_no_missing_model() -> None:
    engine = ToneEngine(["diarizer", "vad"])
    with pytest.raises(errors.Unavailable):
        await pipeline(engine).transcribe(recording(talk((0, [1]))), WHO)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (Config(translate=True), "config.translate"),
        (Config(languages=("fr", "de")), "config.language_codes"),
        (Config(separate_channels=True, diarization=Diarization()), "config.separate_channels"),
    ],
)
async def test_what_a_model_cannot_do_is_named(config: Config, field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await pipeline(ToneEngine()).transcribe(recording(talk((0, [1]))), config)
    assert caught.value.violations[0].field == field


async def test_a_model_that_translates_is_named_for_one_that_does_not() -> None:
    with pytest.raises(errors.InvalidArgument, match="whisper"):
        await pipeline(ToneEngine()).transcribe(recording(talk((0, [1]))), Config(translate=True))


async def test_a_server_that_dies_half_way_leaves_what_was_done_and_a_checkpoint() -> None:
    audio = recording(meeting())
    whole = transcript_of(await run(pipeline(ToneEngine(), 11.0), audio, WHO))
    engine = ToneEngine()
    engine.broken_after = 7
    done: list[Finished] = []
    with pytest.raises(errors.Unavailable):
        async for finished in pipeline(engine, 11.0).run(audio, WHO):
            done.append(finished)  # noqa: PERF401  # what came before the error is wanted
    assert 0 < len(done) <= 7
    rest = await run(pipeline(ToneEngine(), 11.0), audio, WHO, done[-1].checkpoint)
    assert transcript_of([*done, *rest]) == whole


@pytest.mark.parametrize("config", [Config(), WHO])
@pytest.mark.parametrize("chunk", [11.0, 600.0])
async def test_a_reader_that_fails_leaves_nobody_waiting(config: Config, chunk: float) -> None:
    audio = recording(meeting())
    short = pipeline(ToneEngine(), chunk)
    short.recogniser.max_seconds = 40.0
    async with asyncio.timeout(20):
        with pytest.raises(AudioTooLong):
            await short.transcribe(audio, config)
        with pytest.raises(errors.Unavailable):
            await pipeline(Deaf(), chunk).transcribe(audio, config)


class Deaf(ToneEngine):
    """An engine whose detector goes away after some calls."""

    calls = 0

    async def speech(self, samples: Samples, state: Samples | None) -> tuple[Samples, Samples]:
        self.calls += 1
        if self.calls > 4:
            raise errors.Unavailable("The model server cannot be reached.")
        return await super().speech(samples, state)


async def test_closing_stops_all_work() -> None:
    engine = ToneEngine(delay=0.05)
    before = asyncio.all_tasks()
    async with aclosing(pipeline(engine, 11.0).run(recording(meeting()), WHO)) as stretches:
        await anext(stretches)
    assert asyncio.all_tasks() == before
    heard = len(engine.heard)
    await asyncio.sleep(0.2)
    assert len(engine.heard) == heard


async def test_whoever_is_cancelled_while_a_file_closes_waits_for_it() -> None:
    closing, may_close, closed = threading.Event(), threading.Event(), threading.Event()

    def file() -> Generator[Samples]:
        try:
            yield quiet(0.1)
        finally:
            closing.set()
            may_close.wait(20)
            closed.set()

    async def read() -> None:
        async with aclosing(in_thread(file())) as pieces:
            await anext(pieces)

    reading = asyncio.create_task(read())
    await asyncio.to_thread(closing.wait, 20)
    reading.cancel()
    await asyncio.sleep(0.05)
    may_close.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert closed.is_set()


@pytest.mark.parametrize("config", [Config(), WHO])
async def test_the_reader_waits_for_who_reads_slowly(config: Config) -> None:
    """An hour of speech: what is decoded ahead of a slow reader is bounded, however much there is."""
    audio = recording(np.concatenate([spoken(0, *range(20))] * 225))
    made = pipeline(ToneEngine(), 60.0, in_flight=1)
    async with aclosing(made.run(audio, config)) as stretches:
        await anext(stretches)
        for _ in range(20):
            await asyncio.sleep(0.02)
        second = await anext(stretches)
    assert second.heard < 220 < 1800


async def test_times_never_run_backwards_across_segments_and_chunks() -> None:
    transcript = await pipeline(ToneEngine(), 11.0).transcribe(recording(meeting()), WHO)
    times = [time for segment in transcript.segments for word in segment.words for time in (word.start, word.end)]
    assert times == sorted(times)
    edges = [edge for segment in transcript.segments for edge in (segment.start, segment.end)]
    assert edges == sorted(edges)
    assert all(one.number + 1 == two.number for one, two in itertools.pairwise(transcript.segments))


async def test_enhanced_segments_keep_what_was_recognised() -> None:
    audio = recording(talk((0, [1, 2, 3]), (1, [4, 5])))
    transcript = await pipeline(ToneEngine()).transcribe(audio, Config(diarization=Diarization(), enhance=True))
    assert [(segment.text, segment.raw_text) for segment in transcript.segments] == [
        ("W1 w2 w3.", "w1 w2 w3"),
        ("W4 w5.", "w4 w5"),
    ]
    assert [word.text for word in transcript.segments[0].words] == ["W1", "w2", "w3."]


async def test_an_enhancer_that_makes_things_up_is_not_believed() -> None:
    engine = ToneEngine()
    engine.texts = {"w1 w2": "W1 w2, and the price is 900 dollars."}
    transcript = await pipeline(engine).transcribe(recording(talk((0, [1, 2]))), Config(enhance=True))
    assert [(segment.text, segment.raw_text) for segment in transcript.segments] == [("w1 w2", "")]


async def test_alternatives_are_as_many_as_were_asked_for() -> None:
    audio = recording(talk((0, [1])))
    transcript = await pipeline(ToneEngine()).transcribe(audio, Config(max_alternatives=2))
    assert [one.text for one in transcript.segments[0].alternatives] == ["w1 0", "w1 1"]


class Polyglot(ToneEngine):
    """Takes everything for French, unless it is told the language; it is surest of Vietnamese."""

    async def hear(self, model: str, samples: Samples, language: str, hints: bytes, **wanted: object) -> object:  # type: ignore[override]  # the options do not matter here
        heard = await super().hear(model, samples, language or "fr", hints)
        sure = {"vi": 0.9, "en": 0.6}.get(language, 0.5)
        return heard._replace(
            words=tuple(word.__class__(word.text, word.start, word.end, sure) for word in heard.words)
        )


async def test_detection_chooses_among_the_languages_that_may_be_spoken() -> None:
    audio = recording(talk((0, [1, 2])))
    made = pipeline(Polyglot(), model="whisper")
    assert (await made.transcribe(audio, Config())).language == "fr"
    assert (await made.transcribe(audio, Config(languages=("en", "vi")))).language == "vi"
    assert (await made.transcribe(audio, Config(languages=("fr", "vi")))).language == "fr"
    assert (await made.transcribe(audio, Config(languages=("en",)))).language == "en"


def test_a_segment_is_as_sure_as_its_words() -> None:
    assert Segment("", 0, 1).confidence == 0


def test_chunks_that_are_diarized_together_keep_the_speech_of_each_window() -> None:
    first, second = Chunk(0), Chunk(1300)
    first.audio, first.likely = [np.full(1300, 1, np.int16)], [np.array([0.1, 0.2, 0.3, 0.9], np.float32)]
    second.audio, second.likely = [np.full(1000, 2, np.int16)], [np.array([0.5, 0.6], np.float32)]
    samples, likely = together([first, second])
    assert samples.tolist() == [1] * 1300 + [2] * 1000
    # Windows of 512: their middles are at 256, 768, 1280, 1792 and, in the incomplete last one, at the last sample.
    assert likely.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.5, 0.6])
    # What a chunk heard of its successor's audio does not count.
    assert together([first])[1].tolist() == pytest.approx([0.1, 0.2, 0.3])

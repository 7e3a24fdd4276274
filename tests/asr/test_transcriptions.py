"""Transcriptions as jobs: from a recording to its transcript, and whatever happens on the way."""

from __future__ import annotations

import asyncio
import io
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg2
import pytest
from google.api import httpbody_pb2
from sqlalchemy import make_url

from parley.asr.v1 import asr_pb2, asr_pb2_grpc, transcriptions_pb2, transcriptions_pb2_grpc
from services.asr.application import Application
from services.asr.settings import AsrSettings
from services.mesh import channels, server
from tests.asr.fakes import ToneEngine, recording, talk

QUEUED = transcriptions_pb2.TRANSCRIPTION_STATE_QUEUED
RUNNING = transcriptions_pb2.TRANSCRIPTION_STATE_RUNNING
SUCCEEDED = transcriptions_pb2.TRANSCRIPTION_STATE_SUCCEEDED
FAILED = transcriptions_pb2.TRANSCRIPTION_STATE_FAILED
CANCELLED = transcriptions_pb2.TRANSCRIPTION_STATE_CANCELLED
TALK = recording(talk((0, [0, 1]), (1, [2, 3, 4]), (0, [5]), (1, [6, 7])))
TEXTS = ["w0 w1", "w2 w3 w4", "w5", "w6 w7"]
SPEAKERS = ["S1", "S2", "S1", "S2"]
LONG = recording(talk(*((turn % 2, [turn % 20]) for turn in range(30))))


@asynccontextmanager
async def serve(tmp_path: Path, engine: ToneEngine, **settings: Any) -> AsyncIterator[Any]:
    """The asr service on an engine that hears tones; yields a stub of its jobs. Storage outlives it."""
    stored = {"database_url": f"sqlite:///{tmp_path}/asr.db", "recordings_url": str(tmp_path / "recordings")}
    chosen = AsrSettings(drain_seconds=1, **(stored | settings))
    application = Application(chosen, engine)
    await application.start()
    try:
        async with server.running(chosen, application.bound) as address, channels.channel(address) as channel:
            yield transcriptions_pb2_grpc.TranscriptionServiceStub(channel)
    finally:
        await application.close()


def diarized(**more: Any) -> asr_pb2.RecognitionConfig:
    """A configuration that tells speakers apart."""
    return asr_pb2.RecognitionConfig(diarization=asr_pb2.DiarizationConfig(), **more)


async def create(jobs: Any, audio: bytes = TALK, **more: Any) -> str:
    """Begins a transcription; returns its name."""
    source = {} if {"recording", "uri"} & set(more) else {"audio": audio}
    request = transcriptions_pb2.CreateTranscriptionRequest(**{"config": diarized(), **source, **more})
    name: str = (await jobs.CreateTranscription(request)).transcription.name
    return name


async def upload(jobs: Any, audio: bytes) -> Any:
    """Uploads a recording in pieces."""

    async def pieces() -> AsyncIterator[transcriptions_pb2.UploadRecordingRequest]:
        for start in range(0, len(audio), 10_000):
            body = httpbody_pb2.HttpBody(content_type="audio/wav", data=audio[start : start + 10_000])
            yield transcriptions_pb2.UploadRecordingRequest(body=body)

    return await jobs.UploadRecording(pieces())


async def watch(jobs: Any, name: str, after: int = 0) -> tuple[list[Any], list[Any]]:
    """Follows to the end: the states, and the segments."""
    states, segments = [], []
    request = transcriptions_pb2.WatchTranscriptionRequest(name=name, after_segment=after)
    async for event in jobs.WatchTranscription(request):
        if event.HasField("transcription"):
            states.append(event.transcription)
        else:
            segments.append(event.segment)
    return states, segments


async def transcript(jobs: Any, name: str) -> asr_pb2.Transcript:
    request = transcriptions_pb2.GetTranscriptRequest(name=name)
    found: asr_pb2.Transcript = (await jobs.GetTranscript(request)).transcript
    return found


async def get(jobs: Any, name: str) -> Any:
    return (await jobs.GetTranscription(transcriptions_pb2.GetTranscriptionRequest(name=name))).transcription


async def until(jobs: Any, name: str, condition: Callable[[Any], bool]) -> Any:
    """The transcription as soon as it is as wanted."""
    while not condition(found := await get(jobs, name)):
        assert found.state in (QUEUED, RUNNING), found
        await asyncio.sleep(0.02)
    return found


def code(error: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> grpc.StatusCode:
    return error.value.code()


def files(tmp_path: Path) -> list[Path]:
    """The recordings that are kept."""
    return list((tmp_path / "recordings").glob("*"))


async def test_a_recording_becomes_a_transcript_with_speakers(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        kept = await upload(jobs, TALK)
        assert kept.size == len(TALK)
        name = await create(jobs, recording=kept.recording, display_name="meeting.wav")
        states, segments = await watch(jobs, name)
        assert [segment.text for segment in segments] == TEXTS
        assert [segment.speaker for segment in segments] == SPEAKERS
        assert [segment.number for segment in segments] == [1, 2, 3, 4]
        assert states[0].state in (QUEUED, RUNNING)
        done = states[-1]
        assert done.state == SUCCEEDED
        assert done.progress == 1
        assert done.segment_count == 4
        assert done.display_name == "meeting.wav"
        assert done.source == kept.recording
        assert done.duration == pytest.approx(len(TALK) / 32000, abs=0.1)
        assert [state.progress for state in states] == sorted(state.progress for state in states)
        found = await transcript(jobs, name)
        assert found.text == " ".join(TEXTS)
        assert [(speaker.id, speaker.display_name) for speaker in found.speakers] == [("S1", "S1"), ("S2", "S2")]
        assert found.model == "pocketsphinx"
        # Who comes late sees the end at once, and only the segments that he lacks.
        states, segments = await watch(jobs, name, after=3)
        assert [segment.number for segment in segments] == [4]
        assert [state.state for state in states] == [SUCCEEDED]


async def test_progress_says_how_long_it_will_take(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(delay=0.05)) as jobs:
        name = await create(jobs, LONG, config=asr_pb2.RecognitionConfig())
        half = await until(jobs, name, lambda found: found.progress > 0.3)
        assert half.progress < 1
        assert half.HasField("remaining")
        done = await until(jobs, name, lambda found: found.state == SUCCEEDED)
        assert not done.HasField("remaining")


@pytest.mark.parametrize(
    ("form", "content_type", "holds"),
    [
        ("JSON", "application/json", b'"text"'),
        ("TEXT", "text/plain; charset=utf-8", b"Lan: w0 w1"),
        ("SRT", "text/plain; charset=utf-8", b"00:00:00,"),
        ("VTT", "text/vtt; charset=utf-8", b"<v Lan>"),
        ("VERBOSE_JSON", "application/json", b'"segments"'),
        ("DIARIZED_JSON", "application/json", b'"Lan"'),
        ("RTTM", "text/plain; charset=utf-8", b"SPEAKER "),
        ("CSV", "text/csv; charset=utf-8", b"w2 w3 w4"),
        ("DOCX", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"PK"),
    ],
)
async def test_a_renamed_speaker_is_renamed_in_every_format(
    tmp_path: Path, form: str, content_type: str, holds: bytes
) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        name = await create(jobs)
        await watch(jobs, name)
        renamed = await jobs.RenameSpeaker(
            transcriptions_pb2.RenameSpeakerRequest(name=name, speaker="S1", display_name="Lan")
        )
        assert [(speaker.id, speaker.display_name) for speaker in renamed.speakers] == [("S1", "Lan"), ("S2", "S2")]
        request = transcriptions_pb2.ExportTranscriptRequest(name=name, format=f"TRANSCRIPT_FORMAT_{form}")
        parts = [part.body async for part in jobs.ExportTranscript(request)]
        data = b"".join(part.data for part in parts)
        assert parts[0].content_type == content_type
        assert holds in data
        if form == "DOCX":
            assert "Lan" in zipfile.ZipFile(io.BytesIO(data)).read("word/document.xml").decode()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await jobs.RenameSpeaker(
                transcriptions_pb2.RenameSpeakerRequest(name=name, speaker="S9", display_name="Nobody")
            )
        assert code(caught) is grpc.StatusCode.NOT_FOUND


async def test_an_enhancement_can_be_undone(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        name = await create(jobs, config=asr_pb2.RecognitionConfig(enhance=True))
        await watch(jobs, name)
        assert [segment.text for segment in (await transcript(jobs, name)).segments] == [
            f"{text.capitalize()}." for text in TEXTS
        ]
        request = transcriptions_pb2.RevertEnhancementRequest(name=name, segments=[2, 3])
        assert (await jobs.RevertEnhancement(request)).segment_count == 2
        now = (await transcript(jobs, name)).segments
        assert [segment.text for segment in now] == ["W0 w1.", "w2 w3 w4", "w5", "W6 w7."]
        assert now[0].raw_text == "w0 w1"
        assert not now[1].raw_text
        assert (await jobs.RevertEnhancement(transcriptions_pb2.RevertEnhancementRequest(name=name))).segment_count == 2


async def test_the_same_request_makes_one_transcription(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        key = str(uuid.uuid4())
        names = await asyncio.gather(*(create(jobs, request_id=key) for _ in range(5)))
        assert len(set(names)) == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await create(jobs, LONG, request_id=key)
        assert code(caught) is grpc.StatusCode.INVALID_ARGUMENT
        assert "request_id" in str(caught.value.details())
        await watch(jobs, names[0])
        listed = await jobs.ListTranscriptions(transcriptions_pb2.ListTranscriptionsRequest())
        assert [found.name for found in listed.transcriptions] == names[:1]


async def test_pages_hold_every_transcription_once_the_newest_first(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(), workers=0) as jobs:
        made = [await create(jobs) for _ in range(5)]
        seen: list[str] = []
        token = ""
        while True:
            request = transcriptions_pb2.ListTranscriptionsRequest(page_size=2, page_token=token)
            page = await jobs.ListTranscriptions(request)
            seen += [found.name for found in page.transcriptions]
            if not (token := page.next_page_token):
                break
        assert seen == made[::-1]


async def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        for call in (
            get(jobs, "transcriptions/none"),
            transcript(jobs, "transcriptions/none"),
            watch(jobs, "transcriptions/none"),
            jobs.CancelTranscription(transcriptions_pb2.CancelTranscriptionRequest(name="transcriptions/none")),
            jobs.DeleteTranscription(transcriptions_pb2.DeleteTranscriptionRequest(name="transcriptions/none")),
            create(jobs, recording="recordings/none"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert code(caught) is grpc.StatusCode.NOT_FOUND


async def test_what_cannot_be_done_is_refused_before_it_is_queued(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(missing=["diarizer"])) as jobs:
        for config, expected in (
            (diarized(), grpc.StatusCode.FAILED_PRECONDITION),
            (asr_pb2.RecognitionConfig(model="nonsense"), grpc.StatusCode.NOT_FOUND),
            (asr_pb2.RecognitionConfig(translate=True), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await create(jobs, config=config)
            assert code(caught) is expected
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await upload(jobs, b"")
        assert code(caught) is grpc.StatusCode.INVALID_ARGUMENT
        assert not files(tmp_path)


async def test_a_recording_over_the_limit_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(), max_recording_bytes=50_000) as jobs:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await upload(jobs, TALK)
        assert "50000" in str(caught.value.details())
        assert not files(tmp_path)


async def test_what_is_no_audio_fails_and_says_so(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        states, segments = await watch(jobs, await create(jobs, b"this is not audio" * 100))
        assert states[-1].state == FAILED
        assert states[-1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert "read as audio" in states[-1].error.message
        assert states[-1].attempts == 1
        assert not segments


async def test_only_so_many_wait(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(), workers=0, transcriptions_waiting=2) as jobs:
        first = await create(jobs)
        await create(jobs)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await create(jobs)
        assert code(caught) is grpc.StatusCode.RESOURCE_EXHAUSTED
        await jobs.CancelTranscription(transcriptions_pb2.CancelTranscriptionRequest(name=first))
        await create(jobs)


async def test_a_cancelled_transcription_stops_and_keeps_what_is_done(tmp_path: Path) -> None:
    engine = ToneEngine(delay=0.05)
    async with serve(tmp_path, engine) as jobs:
        name = await create(jobs, LONG, config=asr_pb2.RecognitionConfig())
        await until(jobs, name, lambda found: found.segment_count >= 2)
        request = transcriptions_pb2.CancelTranscriptionRequest(name=name)
        stopped = (await jobs.CancelTranscription(request)).transcription
        assert stopped.state == CANCELLED
        # The worker is free for the next one, and does nothing more for this one.
        other = await create(jobs)
        await watch(jobs, other)
        kept = await transcript(jobs, name)
        assert 2 <= len(kept.segments) < 30
        assert (await get(jobs, name)).state == CANCELLED
        assert len(engine.heard) < 30
        # Once more changes nothing.
        assert (await jobs.CancelTranscription(request)).transcription.state == CANCELLED


async def test_a_deleted_transcription_is_gone_with_its_audio_though_it_runs(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(delay=0.05)) as jobs:
        name = await create(jobs, LONG, config=asr_pb2.RecognitionConfig())
        following = asyncio.create_task(watch(jobs, name))
        await until(jobs, name, lambda found: found.segment_count >= 2)
        await jobs.DeleteTranscription(transcriptions_pb2.DeleteTranscriptionRequest(name=name))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await following
        assert code(caught) is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await transcript(jobs, name)
        assert code(caught) is grpc.StatusCode.NOT_FOUND
        assert not files(tmp_path)
        assert [segment.text for segment in (await watch(jobs, await create(jobs)))[1]] == TEXTS


async def test_a_recording_of_two_transcriptions_stays_until_both_are_gone(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        kept = (await upload(jobs, TALK)).recording
        names = [await create(jobs, recording=kept) for _ in range(2)]
        for name in names:
            await watch(jobs, name)
        for name, left in zip(names, (1, 0), strict=True):
            await jobs.DeleteTranscription(transcriptions_pb2.DeleteTranscriptionRequest(name=name))
            assert len(files(tmp_path)) == left


async def test_the_model_server_goes_away_and_the_job_goes_on_behind_what_is_done(tmp_path: Path) -> None:
    engine = ToneEngine()
    engine.broken_after = 12
    async with serve(tmp_path, engine, backoff_seconds=0.1) as jobs:
        name = await create(jobs, LONG, config=asr_pb2.RecognitionConfig())
        await until(jobs, name, lambda found: found.attempts >= 2)
        engine.broken_after = None
        states, segments = await watch(jobs, name)
        assert states[-1].state == SUCCEEDED
        assert [segment.number for segment in segments] == list(range(1, 31))
        assert [segment.text for segment in segments] == [f"w{turn % 20}" for turn in range(30)]
        # What was finished was not done again; what was in flight may have been.
        assert len(engine.heard) <= 30 + 4


async def test_a_model_that_is_loaded_later_than_the_others_is_waited_for(tmp_path: Path) -> None:
    engine = ToneEngine()
    async with serve(tmp_path, engine, workers=0) as jobs:
        name = await create(jobs)
    engine.missing = {"diarizer"}  # Triton is back, and loads its models one by one
    async with serve(tmp_path, engine, backoff_seconds=0.05) as jobs:
        await until(jobs, name, lambda found: found.attempts >= 2)
        engine.missing = set()
        states, segments = await watch(jobs, name)
        assert states[-1].state == SUCCEEDED
        assert [segment.speaker for segment in segments] == SPEAKERS


async def test_a_job_that_never_works_is_given_up(tmp_path: Path) -> None:
    engine = ToneEngine()
    engine.broken_after = 0
    async with serve(tmp_path, engine, backoff_seconds=0.05, attempts=3) as jobs:
        states, _ = await watch(jobs, await create(jobs))
        assert states[-1].state == FAILED
        assert states[-1].attempts == 3
        assert states[-1].error.code == grpc.StatusCode.UNAVAILABLE.value[0]


async def test_a_service_that_stops_leaves_its_job_for_the_next(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(delay=0.05)) as jobs:
        name = await create(jobs, LONG)
        await until(jobs, name, lambda found: found.state == RUNNING)
    async with serve(tmp_path, ToneEngine()) as jobs:
        states, segments = await watch(jobs, name)
        assert states[-1].state == SUCCEEDED
        assert states[-1].attempts == 1  # stopping is no failed attempt
        assert [segment.number for segment in segments] == list(range(1, 31))


async def test_the_database_goes_away_and_the_job_goes_on(tmp_path: Path, postgres: str) -> None:
    url = make_url(postgres)
    settings = {"database_url": postgres, "lease_seconds": 1.0}
    async with serve(tmp_path, ToneEngine(delay=0.03), **settings) as jobs:
        name = await create(jobs, LONG, config=asr_pb2.RecognitionConfig())
        await until(jobs, name, lambda found: found.segment_count >= 3)
        await asyncio.to_thread(_close_database, url, True)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(jobs, name)
        assert code(caught) is grpc.StatusCode.UNAVAILABLE
        await asyncio.sleep(0.5)
        await asyncio.to_thread(_close_database, url, False)
        states, segments = await watch(jobs, name)
        assert states[-1].state == SUCCEEDED
        assert [segment.number for segment in segments] == list(range(1, 31))


def _close_database(url: Any, closed: bool) -> None:
    """Ends every connection to a database and lets nobody in, or everybody again."""
    connection = psycopg2.connect(url.set(database="postgres").render_as_string(hide_password=False))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{url.database}" WITH ALLOW_CONNECTIONS {"false" if closed else "true"}')
        if closed:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database])
    connection.close()


@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
async def test_several_services_share_the_jobs_and_do_each_once(
    tmp_path: Path, storage: str, request: pytest.FixtureRequest
) -> None:
    settings: dict[str, Any] = {"workers": 2}
    if storage == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgres")
    engines = [ToneEngine(delay=0.01), ToneEngine(delay=0.01)]
    async with serve(tmp_path, engines[0], **settings) as one, serve(tmp_path, engines[1], **settings) as two:
        plain = asr_pb2.RecognitionConfig()
        names = await asyncio.gather(*(create((one, two)[n % 2], config=plain) for n in range(8)))
        ended = await asyncio.gather(*(watch((two, one)[n % 2], name) for n, name in enumerate(names)))
        for states, segments in ended:
            assert states[-1].state == SUCCEEDED
            assert states[-1].attempts == 1
            assert [segment.text for segment in segments] == TEXTS
        assert len(engines[0].heard) + len(engines[1].heard) == 8 * len(TEXTS)


async def test_recordings_that_nobody_uses_expire(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(), workers=0, recording_seconds=0.01) as jobs:
        unused = await upload(jobs, TALK)
        used = await upload(jobs, LONG)
        await create(jobs, recording=used.recording)
        assert len(files(tmp_path)) == 2
    async with serve(tmp_path, ToneEngine(), workers=1) as jobs:
        while len(files(tmp_path)) > 1:  # noqa: ASYNC110 — a folder tells nobody
            await asyncio.sleep(0.02)
        assert files(tmp_path)[0].name == used.recording.removeprefix("recordings/")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await create(jobs, recording=unused.recording)
        assert code(caught) is grpc.StatusCode.NOT_FOUND


async def test_a_store_that_is_full_is_said_and_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file where the folder should be")
    async with serve(tmp_path, ToneEngine()) as jobs:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await upload(jobs, TALK)
        assert code(caught) is grpc.StatusCode.UNAVAILABLE
        assert "recordings" in str(caught.value.details())
        assert str(tmp_path) not in str(caught.value.details())


async def test_recordings_of_known_speakers_go_with_the_job(tmp_path: Path) -> None:
    voice = recording(talk((1, [0, 1, 2])))
    known = asr_pb2.DiarizationConfig(known_speakers=[asr_pb2.KnownSpeaker(name="Minh", audio=voice)])
    async with serve(tmp_path, ToneEngine(), workers=0) as jobs:
        name = await create(jobs, config=asr_pb2.RecognitionConfig(diarization=known))
        shown = (await get(jobs, name)).config.diarization.known_speakers
        assert [(speaker.name, speaker.audio) for speaker in shown] == [("Minh", b"")]
    async with serve(tmp_path, ToneEngine()) as jobs:
        _, segments = await watch(jobs, name)
        assert [segment.speaker for segment in segments] == ["S1", "Minh", "S1", "Minh"]


async def test_both_services_answer_on_one_port(tmp_path: Path) -> None:
    chosen = AsrSettings(database_url=f"sqlite:///{tmp_path}/a.db", recordings_url=str(tmp_path / "r"))  # type: ignore[arg-type]  # a plain URL
    application = Application(chosen, ToneEngine())
    await application.start()
    async with server.running(chosen, application.bound) as address, channels.channel(address) as channel:
        asr: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)
        found = await asr.Recognize(asr_pb2.RecognizeRequest(audio=TALK, config=diarized()))
        assert [segment.text for segment in found.transcript.segments] == TEXTS
    await application.close()

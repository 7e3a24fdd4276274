"""Recordings and transcriptions are their owners' alone, whoever else is in the organisation, and in any other."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from google.api import httpbody_pb2

from parley.asr.v1 import transcriptions_pb2 as pb2
from tests.asr.fakes import ToneEngine
from tests.asr.test_transcriptions import TALK, TEXTS, diarized, files, serve
from tests.tenants import ANN, BOB, EVE, NOBODY, Metadata, answer, does_not_exist

OTHERS = (BOB, EVE, NOBODY)


async def create(jobs: Any, person: Metadata, **more: Any) -> str:
    """Begins a transcription of somebody's; its name."""
    source = more if {"recording", "uri"} & set(more) else {"audio": TALK, **more}
    request = pb2.CreateTranscriptionRequest(config=diarized(), **source)
    name: str = (await jobs.CreateTranscription(request, metadata=person)).transcription.name
    return name


async def heard(jobs: Any, name: str, person: Metadata) -> list[str]:
    """What a transcription has heard when it has ended."""
    request = pb2.WatchTranscriptionRequest(name=name)
    return [
        event.segment.text
        async for event in jobs.WatchTranscription(request, metadata=person)
        if event.HasField("segment")
    ]


async def upload(jobs: Any, person: Metadata) -> str:
    """Uploads a recording of somebody's; its name."""

    async def pieces() -> AsyncIterator[pb2.UploadRecordingRequest]:
        yield pb2.UploadRecordingRequest(body=httpbody_pb2.HttpBody(content_type="audio/wav", data=TALK))

    name: str = (await jobs.UploadRecording(pieces(), metadata=person)).recording
    return name


async def listed(jobs: Any, person: Metadata, token: str = "", size: int = 100) -> Any:
    """A page of somebody's transcriptions."""
    return await jobs.ListTranscriptions(
        pb2.ListTranscriptionsRequest(page_size=size, page_token=token), metadata=person
    )


def calls(jobs: Any) -> dict[str, Callable[[str, Metadata], Any]]:
    """Every method that takes a transcription."""
    formats = pb2.ExportTranscriptRequest
    return {
        "GetTranscription": lambda name, who: jobs.GetTranscription(
            pb2.GetTranscriptionRequest(name=name), metadata=who
        ),
        "WatchTranscription": lambda name, who: jobs.WatchTranscription(
            pb2.WatchTranscriptionRequest(name=name), metadata=who
        ),
        "CancelTranscription": lambda name, who: jobs.CancelTranscription(
            pb2.CancelTranscriptionRequest(name=name), metadata=who
        ),
        "DeleteTranscription": lambda name, who: jobs.DeleteTranscription(
            pb2.DeleteTranscriptionRequest(name=name), metadata=who
        ),
        "GetTranscript": lambda name, who: jobs.GetTranscript(pb2.GetTranscriptRequest(name=name), metadata=who),
        "ExportTranscript": lambda name, who: jobs.ExportTranscript(formats(name=name), metadata=who),
        "RenameSpeaker": lambda name, who: jobs.RenameSpeaker(
            pb2.RenameSpeakerRequest(name=name, speaker="S1", display_name="Me"), metadata=who
        ),
        "RevertEnhancement": lambda name, who: jobs.RevertEnhancement(
            pb2.RevertEnhancementRequest(name=name), metadata=who
        ),
    }


async def test_nobody_else_sees_or_changes_a_transcription(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        name = await create(jobs, ANN)
        assert await heard(jobs, name, ANN) == TEXTS, "the worker does it for whoever asked"
        for call in calls(jobs).values():
            await does_not_exist(call, name, *OTHERS)
        for person in OTHERS:
            assert not (await listed(jobs, person)).transcriptions
        (mine,) = (await listed(jobs, ANN)).transcriptions
        assert mine.name == name
        found = await jobs.GetTranscript(pb2.GetTranscriptRequest(name=name), metadata=ANN)
        assert found.transcript.speakers[0].display_name != "Me"
        for method, call in calls(jobs).items():
            if method != "DeleteTranscription":
                assert (await answer(call(name, ANN)))[0] == "OK", method
        assert (await answer(calls(jobs)["DeleteTranscription"](name, ANN)))[0] == "OK"
        assert not files(tmp_path)


def test_every_method_that_takes_a_transcription_is_tried() -> None:
    class Nothing:
        def __getattr__(self, name: str) -> None:
            return None

    methods = {method.name for method in pb2.DESCRIPTOR.services_by_name["TranscriptionService"].methods}
    assert methods - calls(Nothing()).keys() == {"UploadRecording", "CreateTranscription", "ListTranscriptions"}


async def test_a_recording_is_transcribed_by_its_owner_only(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine()) as jobs:
        recording = await upload(jobs, ANN)

        def transcribe(name: str, who: Metadata) -> Any:
            request = pb2.CreateTranscriptionRequest(config=diarized(), recording=name)
            return jobs.CreateTranscription(request, metadata=who)

        await does_not_exist(transcribe, recording, *OTHERS)
        assert await heard(jobs, await create(jobs, ANN, recording=recording), ANN) == TEXTS


async def test_the_id_of_a_request_is_its_clients_own(tmp_path: Path) -> None:
    """Whoever repeats somebody else's id gets a transcription of their own, and learns of no other."""
    async with serve(tmp_path, ToneEngine(), workers=0) as jobs:
        same = {"request_id": str(uuid.uuid4())}
        made = [await create(jobs, person, **same) for person in (ANN, BOB, EVE)]
        assert len(set(made)) == 3
        assert [await create(jobs, person, **same) for person in (ANN, BOB, EVE)] == made


async def test_the_token_of_a_page_opens_nobody_elses(tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(), workers=0) as jobs:
        mine = [await create(jobs, ANN) for _ in range(2)]
        await create(jobs, BOB)
        token = (await listed(jobs, ANN, size=1)).next_page_token
        assert not (await listed(jobs, EVE, token)).transcriptions
        assert [found.name for found in (await listed(jobs, ANN, token)).transcriptions] == mine[:1]


async def test_the_queue_is_everybodys(tmp_path: Path) -> None:
    """Its bound protects the deployment, whoever fills it."""
    async with serve(tmp_path, ToneEngine(), workers=0, transcriptions_waiting=2) as jobs:
        await create(jobs, ANN)
        await create(jobs, EVE)
        request = pb2.CreateTranscriptionRequest(config=diarized(), audio=TALK)
        assert (await answer(jobs.CreateTranscription(request, metadata=BOB)))[0] == "RESOURCE_EXHAUSTED"

"""TranscriptionService: pb ⇄ domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Any

from google.api import httpbody_pb2
from google.protobuf import timestamp_pb2

from parley.asr.v1 import transcriptions_pb2 as pb2
from parley.asr.v1 import transcriptions_pb2_grpc
from services.asr.converters import config_of, config_pb, segment_pb, speaker_pb, transcript_pb
from services.asr.formats import FORMATS
from services.asr.job import Job, State
from services.asr.transcriptions import Transcriptions
from services.mesh import status
from services.mesh.server import Bound

STATES = {
    State.QUEUED: pb2.TRANSCRIPTION_STATE_QUEUED,
    State.RUNNING: pb2.TRANSCRIPTION_STATE_RUNNING,
    State.SUCCEEDED: pb2.TRANSCRIPTION_STATE_SUCCEEDED,
    State.FAILED: pb2.TRANSCRIPTION_STATE_FAILED,
    State.CANCELLED: pb2.TRANSCRIPTION_STATE_CANCELLED,
}
PIECE = 1 << 20
"""Bytes of an exported file to a message."""


class TranscriptionServicer(transcriptions_pb2_grpc.TranscriptionServiceServicer):
    """Serves parley.asr.v1.TranscriptionService.

    Args:
        transcriptions: Does the work.
    """

    def __init__(self, transcriptions: Transcriptions) -> None:
        self._transcriptions = transcriptions

    async def UploadRecording(
        self, request_iterator: AsyncIterator[pb2.UploadRecordingRequest], context: Any
    ) -> pb2.UploadRecordingResponse:
        """Keeps a recording."""
        kept, expires = await self._transcriptions.upload(request.body.data async for request in request_iterator)
        return pb2.UploadRecordingResponse(
            recording=f"recordings/{kept.id}", size=kept.size, expire_time=_time(expires)
        )

    async def CreateTranscription(
        self, request: pb2.CreateTranscriptionRequest, context: Any
    ) -> pb2.CreateTranscriptionResponse:
        """Begins to transcribe."""
        job = await self._transcriptions.create(
            config_of(request.config),
            audio=request.audio,
            recording=_id(request.recording),
            uri=request.uri,
            display_name=request.display_name,
            request_id=request.request_id,
        )
        return pb2.CreateTranscriptionResponse(transcription=job_pb(job))

    async def GetTranscription(
        self, request: pb2.GetTranscriptionRequest, context: Any
    ) -> pb2.GetTranscriptionResponse:
        """Gets a transcription."""
        return pb2.GetTranscriptionResponse(transcription=job_pb(await self._transcriptions.get(_id(request.name))))

    async def ListTranscriptions(
        self, request: pb2.ListTranscriptionsRequest, context: Any
    ) -> pb2.ListTranscriptionsResponse:
        """Lists transcriptions, the newest first."""
        jobs, token = await self._transcriptions.page(request.page_size, request.page_token)
        return pb2.ListTranscriptionsResponse(transcriptions=map(job_pb, jobs), next_page_token=token)

    async def WatchTranscription(
        self, request: pb2.WatchTranscriptionRequest, context: Any
    ) -> AsyncIterator[pb2.WatchTranscriptionResponse]:
        """Streams the state and the segments until the end."""
        async with aclosing(self._transcriptions.watch(_id(request.name), request.after_segment)) as events:
            async for event in events:
                if isinstance(event, Job):
                    yield pb2.WatchTranscriptionResponse(transcription=job_pb(event))
                else:
                    yield pb2.WatchTranscriptionResponse(segment=segment_pb(event))

    async def CancelTranscription(
        self, request: pb2.CancelTranscriptionRequest, context: Any
    ) -> pb2.CancelTranscriptionResponse:
        """Stops a transcription."""
        job = await self._transcriptions.cancel(_id(request.name))
        return pb2.CancelTranscriptionResponse(transcription=job_pb(job))

    async def DeleteTranscription(
        self, request: pb2.DeleteTranscriptionRequest, context: Any
    ) -> pb2.DeleteTranscriptionResponse:
        """Deletes a transcription."""
        await self._transcriptions.delete(_id(request.name))
        return pb2.DeleteTranscriptionResponse()

    async def GetTranscript(self, request: pb2.GetTranscriptRequest, context: Any) -> pb2.GetTranscriptResponse:
        """Gets the transcript."""
        return pb2.GetTranscriptResponse(
            transcript=transcript_pb(await self._transcriptions.transcript(_id(request.name)))
        )

    async def ExportTranscript(
        self, request: pb2.ExportTranscriptRequest, context: Any
    ) -> AsyncIterator[pb2.ExportTranscriptResponse]:
        """Gives the transcript as a file."""
        name = pb2.TranscriptFormat.Name(request.format or pb2.TRANSCRIPT_FORMAT_JSON)
        write = FORMATS[name.removeprefix("TRANSCRIPT_FORMAT_").lower()]
        content_type, data = write(await self._transcriptions.transcript(_id(request.name)))
        for start in range(0, len(data) or 1, PIECE):
            body = httpbody_pb2.HttpBody(content_type=content_type, data=data[start : start + PIECE])
            yield pb2.ExportTranscriptResponse(body=body)

    async def RenameSpeaker(self, request: pb2.RenameSpeakerRequest, context: Any) -> pb2.RenameSpeakerResponse:
        """Names a speaker."""
        speakers = await self._transcriptions.rename(_id(request.name), request.speaker, request.display_name)
        return pb2.RenameSpeakerResponse(speakers=map(speaker_pb, speakers))

    async def RevertEnhancement(
        self, request: pb2.RevertEnhancementRequest, context: Any
    ) -> pb2.RevertEnhancementResponse:
        """Undoes the enhancement of segments."""
        count = await self._transcriptions.revert(_id(request.name), list(request.segments))
        return pb2.RevertEnhancementResponse(segment_count=count)


def bound(transcriptions: Transcriptions) -> Bound:
    """What to serve."""
    return Bound(
        transcriptions_pb2_grpc.add_TranscriptionServiceServicer_to_server,
        TranscriptionServicer(transcriptions),
        pb2.DESCRIPTOR.services_by_name["TranscriptionService"],
    )


def job_pb(job: Job) -> pb2.Transcription:
    """A transcription as its message."""
    message = pb2.Transcription(
        name=job.name,
        display_name=job.display_name,
        source=job.source,
        config=config_pb(job.config),
        state=STATES[job.state],
        progress=job.progress,
        duration=job.duration,
        segment_count=job.segment_count,
        attempts=job.attempts,
        create_time=_time(job.create_time),
        start_time=_time(job.start_time) if job.start_time else None,
        end_time=_time(job.end_time) if job.end_time else None,
    )
    if job.remaining is not None:
        message.remaining.FromMilliseconds(round(job.remaining * 1000))
    if job.failure is not None:
        message.error.CopyFrom(status.to_status(status.of_reason(job.failure.reason, job.failure.message)))
    return message


def _time(moment: datetime) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def _id(name: str) -> str:
    """transcriptions/{id} or recordings/{id} → id."""
    return name.partition("/")[2]

"""The asr service as chat uses it: spoken questions, recordings that are asked about, and the tool asr.recognize."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import grpc

from parley.asr.v1 import asr_pb2, asr_pb2_grpc, transcriptions_pb2, transcriptions_pb2_grpc
from services.chat import converters
from services.chat.inquiries import asks_about_recording
from services.chat.language import Language, detect
from services.chat.length import length_of
from services.chat.models import ModelInfo
from services.chat.recordings import DIALOGUE_SECONDS, is_dialogue
from services.chat.tools import RECOGNIZE, Attachment, Report, ToolContext, ToolSpec, Transcript
from services.mesh import context, status, telemetry
from services.mesh.certificates import Certificates
from services.mesh.channels import channel
from services.mesh.errors import Cancelled, FailedPrecondition, InvalidArgument, ParleyError, Unavailable

log = telemetry.get_logger(__name__)

# Longer recordings are transcribed as a job, which shows its progress and survives a restart of the asr service.
JOB_SECONDS = 60.0
# Where a file does not say its length: what is larger is no spoken question.
QUESTION_BYTES = 1 << 19
# How long the asr service may be away while a job is followed, in seconds: it takes jobs up again.
AWAY_SECONDS = 60.0
# Of a job that is followed for its progress only: no segment has such a number.
NO_SEGMENTS = 1 << 62
# Longest wait for a job to be deleted, in seconds.
FORGET_SECONDS = 5.0
ENDED = transcriptions_pb2.TranscriptionState
Vocabulary = Callable[[str], Awaitable[list[str]]]


class Speech:
    """What the tools know of the asr service.

    Args:
        target: That service, host:port.
        timeout: Longest time of a call, in seconds.
        recording_timeout: Longest time of a transcription in the background, in seconds.
        certificates: Our own, where that service wants one.
    """

    def __init__(
        self, target: str, timeout: float, recording_timeout: float = 3600.0, certificates: Certificates | None = None
    ) -> None:
        self._channel = channel(target, certificates)
        self._stub = asr_pb2_grpc.SpeechRecognitionStub(self._channel)
        self._jobs = transcriptions_pb2_grpc.TranscriptionServiceStub(self._channel)
        self._timeout = timeout
        self._recording_timeout = recording_timeout

    async def recognize(self, audio: bytes, phrases: list[str], *, diarize: bool = False) -> Transcript:
        """What is said in short audio, with phrases that are likely; with speakers where they can be told apart."""
        config = asr_pb2.RecognitionConfig()
        if phrases:
            config.hints.phrases.extend(p[:500] for p in phrases if p)

        async def attempt() -> Transcript:
            request = asr_pb2.RecognizeRequest(config=config, audio=audio)
            try:
                answer = await self._stub.Recognize(request, timeout=self._timeout)
            except grpc.aio.AioRpcError as error:
                raise status.from_rpc_error(error) from error
            return converters.from_transcript(answer.transcript)

        return await _with_speakers(config, attempt) if diarize else await attempt()

    async def transcribe(self, attachment: Attachment, length: float | None, report: Report) -> Transcript:
        """A recording of any length with its speakers, where they can be told apart; without words, where it is long.

        Args:
            attachment: The recording.
            length: Its length in seconds, where it is known.
            report: Told of the progress, where it is long.
        """
        short = length <= JOB_SECONDS if length is not None else len(attachment.content) <= QUESTION_BYTES
        if short:
            return await self.recognize(attachment.content, [], diarize=True)
        config = asr_pb2.RecognitionConfig()
        return await _with_speakers(config, lambda: self._job(attachment, config, report))

    async def _job(self, attachment: Attachment, config: asr_pb2.RecognitionConfig, report: Report) -> Transcript:
        """Transcribes in the background. However this ends, nothing of it is kept there."""
        request = transcriptions_pb2.CreateTranscriptionRequest(
            audio=attachment.content,
            config=config,
            display_name=attachment.filename[:200],
            request_id=str(uuid.uuid4()),
        )
        try:
            name = (await self._jobs.CreateTranscription(request, timeout=self._timeout)).transcription.name
            try:
                await self._follow(name, report)
                wanted = transcriptions_pb2.GetTranscriptRequest(name=name)
                found = converters.from_transcript(
                    (await self._jobs.GetTranscript(wanted, timeout=self._timeout)).transcript
                )
            finally:
                await asyncio.shield(asyncio.create_task(self._forget(name)))
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        return replace(found, segments=tuple(replace(segment, words=()) for segment in found.segments))

    async def _follow(self, name: str, report: Report) -> None:
        """Returns when a job has succeeded. Raises ParleyError where it did not, AioRpcError where nobody can say."""
        until = time.monotonic() + self._recording_timeout
        away_since: float | None = None
        while True:
            request = transcriptions_pb2.WatchTranscriptionRequest(name=name, after_segment=NO_SEGMENTS)
            try:
                async for event in self._jobs.WatchTranscription(request, timeout=max(0.0, until - time.monotonic())):
                    away_since = None
                    if _told(event.transcription, report):
                        return
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > AWAY_SECONDS:
                raise Unavailable("The speech service is away. Try again shortly.", retry_after=AWAY_SECONDS)
            await asyncio.sleep(1)

    async def _forget(self, name: str) -> None:
        """Deletes a job with its recording; one that runs is stopped."""
        # In time of its own, and a task of its own: what the caller had may be over.
        call = context.current()
        if call is not None:
            context.enter(replace(call, deadline=None))
        request = transcriptions_pb2.DeleteTranscriptionRequest(name=name)
        try:
            await self._jobs.DeleteTranscription(request, timeout=FORGET_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.warning("a transcription is left behind", name=name, code=error.code().name)

    async def models(self) -> list[ModelInfo]:
        """The recognition models."""
        try:
            answer = await self._stub.ListModels(asr_pb2.ListModelsRequest(), timeout=min(2.0, self._timeout))
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        # A model that is known but not loaded would be offered to clients in vain.
        recognition = (asr_pb2.MODEL_TASK_UNSPECIFIED, asr_pb2.MODEL_TASK_RECOGNITION)
        fitting = (m for m in answer.models if m.ready and m.task in recognition)
        return [ModelInfo(m.id, "parley", m.description) for m in fitting]

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


async def _with_speakers(config: asr_pb2.RecognitionConfig, attempt: Callable[[], Awaitable[Transcript]]) -> Transcript:
    """Recognises with speakers; without them, where no model that tells them apart is loaded."""
    config.diarization.SetInParent()
    try:
        return await attempt()
    except FailedPrecondition as error:
        if not any(violation.field.startswith("config.diarization") for violation in error.violations):
            raise
        config.ClearField("diarization")
        return await attempt()


def _told(job: transcriptions_pb2.Transcription, report: Report) -> bool:
    """Reports how far a job is; whether it has succeeded. Raises ParleyError where it failed or was stopped."""
    if job.state == ENDED.TRANSCRIPTION_STATE_FAILED:
        raise status.from_status(job.error)
    if job.state == ENDED.TRANSCRIPTION_STATE_CANCELLED:
        raise Cancelled("Somebody stopped the transcription of the recording.")
    if job.state == ENDED.TRANSCRIPTION_STATE_SUCCEEDED:
        return True
    remaining = job.remaining.ToMilliseconds() / 1000 if job.HasField("remaining") else None
    report(job.progress, remaining)
    return False


class RecognizeTool:
    """asr.recognize: the attached audio. Only what is attached can be transcribed, so it has no arguments.

    Audio is a spoken question, or else a recording to be asked about. It is a recording where the text beside it asks
    about one, where it is longer than questions are, or where several people speak in it.

    Args:
        speech: What transcribes.
        vocabulary: What people say of a database, by its name; None: nobody knows.
        question_seconds: The length of the longest question, in seconds.
    """

    spec = ToolSpec(
        RECOGNIZE,
        "Transcribes the audio that is attached to the message. It has been called already where there is any.",
        {"type": "object", "properties": {}, "required": []},
    )

    def __init__(self, speech: Speech, vocabulary: Vocabulary | None, question_seconds: float) -> None:
        self._speech = speech
        self._vocabulary = vocabulary
        self._question_seconds = question_seconds

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> Transcript:
        """What is said: a question with the database's words as hints, a recording with its speakers."""
        if not context.attachments:
            raise InvalidArgument("attachments", "no audio is attached to the message.")
        attachment = context.attachments[0]
        length = length_of(attachment.content)
        unsaid = length is None and len(attachment.content) > QUESTION_BYTES
        if not (asks_about_recording(context.written) or unsaid or (length or 0.0) > self._question_seconds):
            # The same call tells whether several people speak, if it is long enough for that: questions cost no more.
            heard = await self._speech.recognize(
                attachment.content, await self._phrases(context), diarize=(length or 0.0) > DIALOGUE_SECONDS
            )
            if heard.duration <= self._question_seconds and not is_dialogue(heard):
                return heard
            length = heard.duration
        return replace(await self._speech.transcribe(attachment, length, context.report), recording=True)

    async def _phrases(self, context: ToolContext) -> list[str]:
        """What is likely to be asked.

        The words of databases are English: who writes Vietnamese gets none, since they would bend what is heard.
        """
        if self._vocabulary is None or detect(context.written) is not Language.ENGLISH:
            return []
        try:
            return await self._vocabulary(context.database)
        except ParleyError:
            # Without hints the words are guessed more freely; that is better than no transcript.
            return []

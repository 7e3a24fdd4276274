"""A chat service with a scripted provider behind it, and scripted sql, asr and image services beside it."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from google.api import httpbody_pb2

from parley.asr.v1 import asr_pb2, asr_pb2_grpc, transcriptions_pb2, transcriptions_pb2_grpc
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.image.v1 import image_pb2, image_pb2_grpc
from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.chat.application import Application
from services.chat.settings import ChatSettings
from services.mesh import errors, openai, server, status
from services.mesh.provider_settings import ProviderSettings
from services.mesh.server import Bound
from services.mesh.settings import ServiceSettings

KEY = "sk-very-secret"


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    """An event of a streamed completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    head = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": "up"}
    return b"data: " + json.dumps({**head, "choices": [choice], **more}).encode() + b"\n\n"


def called(name: str, arguments: dict[str, Any]) -> list[bytes]:
    """The events of a turn that calls a tool, its arguments in two pieces."""
    text = json.dumps(arguments)
    first = {"index": 0, "id": "call_up", "type": "function", "function": {"name": name, "arguments": text[:5]}}
    second = {"index": 0, "function": {"arguments": text[5:]}}
    return [
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [second]}),
        chunk({}, "tool_calls"),
        b"data: [DONE]\n\n",
    ]


def said(*texts: str) -> list[bytes]:
    """The events of a turn that says something."""
    usage = {"prompt_tokens": 7, "completion_tokens": len(texts)}
    last = [chunk({}, "stop"), b'data: {"choices": [], "usage": ' + json.dumps(usage).encode() + b"}\n\n"]
    return [*(chunk({"content": t}) for t in texts), *last, b"data: [DONE]\n\n"]


Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Upstream:
    """A provider that does what the test says: one handler for each request, the last for all that follow."""

    handlers: list[Handler] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    ports: list[int] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        assert request.transport is not None
        self.ports.append(request.transport.get_extra_info("peername")[1])
        handler = self.handlers[0] if len(self.handlers) == 1 else self.handlers.pop(0)
        try:
            return await handler(request, body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.gone.set()
            raise

    def answers(self, text: str = "Hello") -> None:
        message = {"role": "assistant", "content": text, "refusal": None}
        usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        head = {"id": "chatcmpl-up", "object": "chat.completion", "created": 1, "model": "up"}
        self.does(json.dumps({**head, "choices": [choice], "usage": usage}))

    def does(self, text: str, status: int = 200, **headers: str) -> None:
        async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            return web.Response(text=text, status=status, headers=headers, content_type="application/json")

        self.handlers.append(handler)

    def streams(self, parts: list[bytes], *, delay: float = 0.0, hang: bool = False, die: bool = False) -> None:
        """Streams the parts, then ends, hangs until the client goes, or breaks the connection."""

        async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for part in parts:
                await response.write(part)
                await asyncio.sleep(delay)
            if hang:
                await asyncio.sleep(60)
            if die:
                assert request.transport is not None
                request.transport.abort()
            return response

        self.handlers.append(handler)

    def hangs(self) -> None:
        async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            await asyncio.sleep(60)
            return web.Response()

        self.handlers.append(handler)

    def provider(self, name: str = "canned", **more: Any) -> ProviderSettings:
        return ProviderSettings.model_validate(
            {"name": name, "base_url": self.url, "api_key": KEY, "models": ["m"], "retries": 0, **more}
        )


@asynccontextmanager
async def upstream_server() -> AsyncIterator[Upstream]:
    script = Upstream()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", script.handle)
    # So that a handler is cancelled when its client goes.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield script
    finally:
        await runner.cleanup()


class NotUnderstood(errors.InvalidArgument):
    reason = "QUESTION_NOT_UNDERSTOOD"


class Sql(sql_pb2_grpc.SqlServiceServicer):
    """A sql service that knows the databases and answers of the test."""

    def __init__(self) -> None:
        self.databases = ["shop"]
        self.confidence: dict[str, float] = {}
        self.unknown_words = ""
        self.error: errors.ParleyError | None = None
        self.asked: list[sql_pb2.AskRequest] = []
        self.metadata: dict[str, Any] = {}
        self.hangs = False
        self.away = False
        self.back: sql_pb2.Clarification | None = None
        self.looked_up: list[str] = []
        self.told_words: list[str] = []
        """Who was told what a database's words are."""
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def ListDatabases(self, request: Any, context: Any) -> sql_pb2.ListDatabasesResponse:
        names = [sql_pb2.Database(name=f"databases/{d}", display_name=d.title()) for d in self.databases]
        return sql_pb2.ListDatabasesResponse(databases=names)

    async def GetDatabase(self, request: Any, context: Any) -> sql_pb2.GetDatabaseResponse:
        self.looked_up.append(request.name)
        if self.away:
            raise errors.Unavailable("Gone fishing.")
        if request.name.partition("/")[2] not in self.databases:
            raise errors.NotFound(request.name)
        return sql_pb2.GetDatabaseResponse(database=sql_pb2.Database(name=request.name))

    async def GetSchema(self, request: Any, context: Any) -> sql_pb2.GetSchemaResponse:
        table = sql_pb2.Table(name="customers", columns=[sql_pb2.TableColumn(name="id", type="INTEGER")])
        return sql_pb2.GetSchemaResponse(schema=sql_pb2.Schema(tables=[table]))

    async def GetVocabulary(self, request: Any, context: Any) -> sql_pb2.GetVocabularyResponse:
        self.told_words.append(dict(context.invocation_metadata()).get("x-parley-identity-subject", ""))
        return sql_pb2.GetVocabularyResponse(phrases=["how many customers are there", request.name])

    async def GenerateQuery(self, request: Any, context: Any) -> sql_pb2.GenerateQueryResponse:
        name = request.database.partition("/")[2]
        if name not in self.confidence:
            raise NotUnderstood("question", "not understood", metadata={"unknown_words": "blurb"})
        return sql_pb2.GenerateQueryResponse(query=sql_pb2.GeneratedQuery(confidence=self.confidence[name]))

    async def ExecuteQuery(
        self, request: sql_pb2.ExecuteQueryRequest, context: Any
    ) -> AsyncIterator[sql_pb2.ExecuteQueryResponse]:
        column = sql_pb2.ResultColumn(name="n", type=sql_pb2.COLUMN_TYPE_INTEGER)
        yield sql_pb2.ExecuteQueryResponse(columns=sql_pb2.ResultColumns(columns=[column]))
        batch = sql_pb2.RowBatch()
        batch.rows.add().extend([float(len(request.sql))])
        yield sql_pb2.ExecuteQueryResponse(rows=batch)
        yield sql_pb2.ExecuteQueryResponse(summary=sql_pb2.ResultSummary(row_count=1))

    async def Ask(self, request: sql_pb2.AskRequest, context: Any) -> AsyncIterator[sql_pb2.AskResponse]:
        self.asked.append(request)
        self.began.set()
        self.metadata = dict(context.invocation_metadata())
        if self.hangs:
            try:
                await asyncio.sleep(60)
            finally:
                self.cancelled.set()
        if self.unknown_words:
            raise NotUnderstood("question", "not understood", metadata={"unknown_words": self.unknown_words})
        if self.error is not None:
            raise self.error
        if self.back is not None:
            yield sql_pb2.AskResponse(clarification=self.back)
            return
        yield sql_pb2.AskResponse(query=sql_pb2.GeneratedQuery(sql="SELECT city, COUNT(*) FROM customers GROUP BY 1"))
        columns = [
            sql_pb2.ResultColumn(name="city", type=sql_pb2.COLUMN_TYPE_TEXT),
            sql_pb2.ResultColumn(name="count", type=sql_pb2.COLUMN_TYPE_INTEGER),
        ]
        yield sql_pb2.AskResponse(columns=sql_pb2.ResultColumns(columns=columns))
        batch = sql_pb2.RowBatch()
        batch.rows.add().extend(["Huế", 12])
        batch.rows.add().extend(["Hanoi", 30])
        yield sql_pb2.AskResponse(rows=batch)
        summary = sql_pb2.ResultSummary(row_count=2)
        yield sql_pb2.AskResponse(answer=sql_pb2.Answer(text="There are 2 cities.", summary=summary))


class InvalidAudio(errors.InvalidArgument):
    reason = "INVALID_AUDIO"


class Asr(asr_pb2_grpc.SpeechRecognitionServicer):
    """A recogniser that hears what the audio's bytes spell, and in a WAV file the talk of the test."""

    def __init__(self) -> None:
        self.hints: list[str] = []
        self.configs: list[asr_pb2.RecognitionConfig] = []
        self.talk: asr_pb2.Transcript | None = None
        self.diarizer_loaded = True
        self.away = False

    def heard(self, config: asr_pb2.RecognitionConfig) -> asr_pb2.Transcript:
        """The talk as the config wants it. Raises what the real service does where no diarizer is loaded."""
        self.configs.append(config)
        if self.away:
            raise errors.Unavailable("The ears are away.")
        if config.HasField("diarization") and not self.diarizer_loaded:
            field = errors.FieldViolation("config.diarization", "the model is not loaded here; leave diarization out")
            raise errors.FailedPrecondition("config.diarization: not loaded", violations=[field])
        assert self.talk is not None
        return with_speakers(self.talk) if config.HasField("diarization") else without_speakers(self.talk)

    async def Recognize(self, request: asr_pb2.RecognizeRequest, context: Any) -> asr_pb2.RecognizeResponse:
        self.hints = list(request.config.hints.phrases)
        if request.audio == b"noise":
            raise InvalidAudio("audio", "is not audio")
        if request.audio[:4] == b"RIFF":
            return asr_pb2.RecognizeResponse(transcript=self.heard(request.config))
        text = request.audio.decode()
        segment = asr_pb2.Segment(text=text, start=0.5, end=1.5, confidence=0.75)
        transcript = asr_pb2.Transcript(text=text, segments=[segment], language_code="en-US", duration=2, model="tiny")
        return asr_pb2.RecognizeResponse(transcript=transcript)

    async def ListModels(self, request: Any, context: Any) -> asr_pb2.ListModelsResponse:
        models = [asr_pb2.Model(id="tiny-ear", ready=True), asr_pb2.Model(id="not-loaded")]
        return asr_pb2.ListModelsResponse(models=models)


def talk(*parts: tuple[str, str, float, float]) -> asr_pb2.Transcript:
    """What people say: speaker, text, start and end in seconds of each segment."""
    segments = [
        asr_pb2.Segment(text=text, start=start, end=end, confidence=0.9, speaker=speaker)
        for speaker, text, start, end in parts
    ]
    text = " ".join(segment.text for segment in segments)
    end = max((segment.end for segment in segments), default=3.0)
    return asr_pb2.Transcript(text=text, segments=segments, language_code="en-US", duration=end, model="tiny")


def with_speakers(told: asr_pb2.Transcript) -> asr_pb2.Transcript:
    """The talk with the time of each speaker."""
    answer = asr_pb2.Transcript()
    answer.CopyFrom(told)
    seconds: dict[str, float] = {}
    for segment in told.segments:
        seconds[segment.speaker] = seconds.get(segment.speaker, 0.0) + segment.end - segment.start
    answer.speakers.extend(asr_pb2.Speaker(id=s, display_name=s, seconds=t) for s, t in seconds.items())
    return answer


def without_speakers(told: asr_pb2.Transcript) -> asr_pb2.Transcript:
    """The talk as it is recognised where nobody tells speakers apart."""
    answer = asr_pb2.Transcript()
    answer.CopyFrom(told)
    for segment in answer.segments:
        segment.speaker = ""
    return answer


def wav(seconds: float) -> bytes:
    """The header of a WAV file of this length, and little audio: 100 bytes to the second."""
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, 50, 100, 2, 16)
    return head + bytes(max(0, int(seconds * 100) - len(head) + 12))


class Jobs(transcriptions_pb2_grpc.TranscriptionServiceServicer):
    """Transcriptions in the background that do what the test says.

    Args:
        asr: What hears the recordings.
    """

    def __init__(self, asr: Asr) -> None:
        self._asr = asr
        self.created: list[transcriptions_pb2.CreateTranscriptionRequest] = []
        self.deleted: list[str] = []
        self.failure: errors.ParleyError | None = None
        self.hangs = False
        self.breaks = 0
        self.watched = asyncio.Event()
        self.gone = asyncio.Event()

    async def CreateTranscription(self, request: Any, context: Any) -> transcriptions_pb2.CreateTranscriptionResponse:
        self._asr.heard(request.config)
        self.created.append(request)
        return transcriptions_pb2.CreateTranscriptionResponse(transcription=self._job(0.0))

    async def WatchTranscription(
        self, request: Any, context: Any
    ) -> AsyncIterator[transcriptions_pb2.WatchTranscriptionResponse]:
        yield transcriptions_pb2.WatchTranscriptionResponse(transcription=self._job(0.0))
        self.watched.set()
        if self.breaks:
            self.breaks -= 1
            raise errors.Unavailable("The ears are restarting.")
        half = self._job(0.5)
        half.remaining.FromMilliseconds(1500)
        yield transcriptions_pb2.WatchTranscriptionResponse(transcription=half)
        if self.hangs:
            await asyncio.sleep(60)
        yield transcriptions_pb2.WatchTranscriptionResponse(transcription=self._job(1.0))

    async def GetTranscript(self, request: Any, context: Any) -> transcriptions_pb2.GetTranscriptResponse:
        return transcriptions_pb2.GetTranscriptResponse(transcript=self._asr.heard(self.created[-1].config))

    async def DeleteTranscription(self, request: Any, context: Any) -> transcriptions_pb2.DeleteTranscriptionResponse:
        self.deleted.append(request.name)
        self.gone.set()
        return transcriptions_pb2.DeleteTranscriptionResponse()

    def _job(self, progress: float) -> transcriptions_pb2.Transcription:
        job = transcriptions_pb2.Transcription(name="transcriptions/t1", progress=progress)
        job.state = transcriptions_pb2.TRANSCRIPTION_STATE_RUNNING
        if progress == 1 and self.failure is not None:
            job.state = transcriptions_pb2.TRANSCRIPTION_STATE_FAILED
            job.error.CopyFrom(status.to_status(self.failure))
        elif progress == 1:
            job.state = transcriptions_pb2.TRANSCRIPTION_STATE_SUCCEEDED
        return job


def png(width: int = 8, height: int = 8, colour: bytes = b"\xff\x00\x00") -> bytes:
    """A PNG file of one colour."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\x00" + colour * width) * height
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


class QueueFull(errors.ResourceExhausted):
    reason = "QUEUE_FULL"


class Images(image_pb2_grpc.ImageServiceServicer):
    """An image service that draws squares of one colour, in three steps."""

    def __init__(self) -> None:
        self.requests: list[image_pb2.GenerateRequest] = []
        self.metadata: dict[str, Any] = {}
        self.content = png()
        self.error: errors.ParleyError | None = None
        self.fails_after: int | None = None
        self.hangs = False
        self.stopped_elsewhere = False
        self.signs = False
        """Whether pictures have links; each link is another one."""
        self.signed = 0
        self.lost: set[str] = set()
        """Names of pictures that are gone."""
        self.began = asyncio.Event()
        self.gone = asyncio.Event()

    async def Generate(
        self, request: image_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[image_pb2.GenerateResponse]:
        try:
            async for event in self.draw(request, context):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.gone.set()
            raise

    async def draw(self, request: image_pb2.GenerateRequest, context: Any) -> AsyncIterator[image_pb2.GenerateResponse]:
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        self.began.set()
        if self.error is not None and self.fails_after is None:
            raise self.error
        yield self.event(job=image_pb2.Job(name="imageJobs/j1", state=image_pb2.JOB_STATE_QUEUED, position=1))
        for step in (1, 2, 3):
            progress = image_pb2.Progress(step=step, steps=3, progress=step / 3)
            progress.remaining.FromMilliseconds(500 * (3 - step))
            yield self.event(progress=progress)
            if request.output.preview_interval and step == 2:
                preview = image_pb2.Preview(index=0, step=2, content=b"blurred", content_type="image/jpeg")
                yield self.event(preview=preview)
            if self.hangs and step == 2:
                await asyncio.sleep(60)
        count = max(1, request.settings.count)
        for index in range(count if self.fails_after is None else self.fails_after):
            yield self.event(image=self.image(request, index))
        if self.error is not None:
            raise self.error
        ended = image_pb2.JOB_STATE_CANCELLED if self.stopped_elsewhere else image_pb2.JOB_STATE_SUCCEEDED
        yield self.event(job=image_pb2.Job(name="imageJobs/j1", state=ended))

    def event(self, **event: Any) -> image_pb2.GenerateResponse:
        return image_pb2.GenerateResponse(event=image_pb2.JobEvent(**event))

    def image(self, request: image_pb2.GenerateRequest, index: int) -> image_pb2.Image:
        settings = request.settings
        seed = (settings.seed if settings.HasField("seed") else 40) + index
        drawn = image_pb2.Image(
            name=f"images/i{len(self.requests)}{index}",
            index=index,
            width=settings.width or 64,
            height=settings.height or 64,
            content_type="image/png",
            content=b"" if request.output.omit_content else self.content,
            size=len(self.content),
            seed=seed,
            infotext=f"{settings.prompt}\nSteps: 3, Seed: {seed}",
            model=settings.model or "shapes",
            job="imageJobs/j1",
            link=self.link(f"images/i{len(self.requests)}{index}"),
        )
        drawn.expire_time.FromSeconds(1_800_000_000)
        return drawn

    def link(self, name: str) -> str:
        self.signed += 1
        return f"/api/v1/{name}:view?organisation=acme&expires=1&signature=s{self.signed}" if self.signs else ""

    async def BatchGetImages(
        self, request: image_pb2.BatchGetImagesRequest, context: Any
    ) -> image_pb2.BatchGetImagesResponse:
        if self.error is not None:
            raise self.error
        names = [name for name in request.names if name not in self.lost]
        return image_pb2.BatchGetImagesResponse(
            images=[image_pb2.Image(name=name, link=self.link(name)) for name in names]
        )

    async def ListModels(self, request: Any, context: Any) -> image_pb2.ListModelsResponse:
        models = [image_pb2.ImageModel(id="shapes"), image_pb2.ImageModel(id="broken", fault="no config.json")]
        return image_pb2.ListModelsResponse(models=models)


@dataclass
class Chat:
    """A running chat service and what stands around it."""

    chat: Any
    openai: Any
    sql: Sql
    asr: Asr
    application: Application
    address: str
    jobs: Jobs
    images: Images

    async def post(self, body: Any) -> list[httpbody_pb2.HttpBody]:
        """The parts of POST /v1/chat/completions; an error's envelope is the last one."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = openai_pb2.CreateChatCompletionRequest(body=httpbody_pb2.HttpBody(data=data))
        return await self.parts(self.openai.CreateChatCompletion(request))

    async def parts(self, call: Any) -> list[httpbody_pb2.HttpBody]:
        parts = []
        self.status: str | None = None
        self.code = grpc.StatusCode.OK
        try:
            async for part in call:
                parts.append(part.body)  # noqa: PERF401 — what came before an error is kept
        except grpc.aio.AioRpcError as error:
            self.code = error.code()
            headers = dict(await call.initial_metadata())
            self.status = headers.get(openai.STATUS_HEADER)
        return parts

    async def ask(self, text: str = "", conversation: str = "", **more: Any) -> list[chat_pb2.SendMessageResponse]:
        """The events of an answer, in a new conversation where none is named."""
        if not conversation:
            made = await self.chat.CreateConversation(chat_pb2.CreateConversationRequest())
            conversation = made.conversation.name
        request = chat_pb2.SendMessageRequest(conversation=conversation, text=text, **more)
        return [event async for event in self.chat.SendMessage(request)]

    async def messages(self, conversation: str) -> list[chat_pb2.Message]:
        answer = await self.chat.ListMessages(chat_pb2.ListMessagesRequest(parent=conversation))
        return list(answer.messages)


Start = Callable[..., Awaitable[Chat]]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with upstream_server() as script:
        yield script


@pytest.fixture
async def second_upstream() -> AsyncIterator[Upstream]:
    async with upstream_server() as script:
        yield script


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts chat services with the settings given; several share the database in tmp_path."""
    async with AsyncExitStack() as stack:

        async def starting(**more: Any) -> Chat:
            sql, asr, images = Sql(), Asr(), Images()
            jobs = Jobs(asr)
            quiet = ServiceSettings(drain_seconds=0)
            descriptors = (
                Bound(
                    image_pb2_grpc.add_ImageServiceServicer_to_server,
                    images,
                    image_pb2.DESCRIPTOR.services_by_name["ImageService"],
                ),
                Bound(
                    sql_pb2_grpc.add_SqlServiceServicer_to_server,
                    sql,
                    sql_pb2.DESCRIPTOR.services_by_name["SqlService"],
                ),
                Bound(
                    asr_pb2_grpc.add_SpeechRecognitionServicer_to_server,
                    asr,
                    asr_pb2.DESCRIPTOR.services_by_name["SpeechRecognition"],
                ),
                Bound(
                    transcriptions_pb2_grpc.add_TranscriptionServiceServicer_to_server,
                    jobs,
                    transcriptions_pb2.DESCRIPTOR.services_by_name["TranscriptionService"],
                ),
            )
            image_target = await stack.enter_async_context(server.running(quiet, descriptors[:1]))
            sql_target = await stack.enter_async_context(server.running(quiet, descriptors[1:2]))
            asr_target = await stack.enter_async_context(server.running(quiet, descriptors[2:]))
            given = {
                "database_url": f"sqlite:///{tmp_path}/chat.db",
                "sql_target": sql_target,
                "asr_target": asr_target,
                "image_target": image_target,
                "drain_seconds": 0,
                "save_seconds": 0.1,
                **more,
            }
            application = Application(ChatSettings.model_validate(given))
            await application.start()
            stack.push_async_callback(application.close)
            served = ChatSettings(drain_seconds=0, identity_target=str(more.get("identity_target", "")))
            address = await stack.enter_async_context(
                server.running(served, application.bound, dependencies=application.dependencies)
            )
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            return Chat(
                chat_pb2_grpc.ChatServiceStub(channel),
                openai_pb2_grpc.ChatCompletionsServiceStub(channel),
                sql,
                asr,
                application,
                address,
                jobs,
                images,
            )

        yield starting


@pytest.fixture
async def chat(start: Start) -> Chat:
    """A chat service without providers."""
    return await start()


@pytest.fixture
async def with_model(start: Start, upstream: Upstream) -> Chat:
    """A chat service with the provider's model `m`."""
    return await start(providers=[upstream.provider(timeout=0.5)])

"""The OpenAI API of the chat service: a thin adapter between HTTP bodies and the models.

Requests for a provider's model are passed on, and its answers back, as bytes; the embedded model's events become
chunks.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, closing
from typing import Any
from urllib.parse import unquote

import grpc
from google.api import httpbody_pb2

from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.chat import completions, turns
from services.chat.catalog import Catalog
from services.chat.completions import CompletionRequest
from services.chat.conversations import CheckDatabase
from services.chat.errors import ModelNotFound
from services.chat.generation import Generator
from services.chat.models import ChatModel, Finished, ModelInfo, ModelRequest, TextDelta, ToolCalled, Usage
from services.chat.picture_links import PictureLinks
from services.chat.tally import Tally, characters_in
from services.chat.tools import ToolCall, ToolContext
from services.mesh import telemetry
from services.mesh.errors import ParleyError
from services.mesh.openai import json_body, with_envelope
from services.mesh.providers import Providers, UpstreamRequest, new_id
from services.mesh.server import Bound
from services.mesh.sse import DONE, event

log = telemetry.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
OtherModels = Sequence[Callable[[], Awaitable[list[ModelInfo]]]]
EVENTS = "text/event-stream"


class ChatCompletionsServicer(openai_pb2_grpc.ChatCompletionsServiceServicer):
    """Chat completions and models, as OpenAI's clients expect them.

    Args:
        catalog: The chat models.
        providers: Those that answer for themselves.
        generator: Runs the others with their tools.
        others: Ask for the models that hear and that draw; each raises ParleyError where they cannot be had.
        check_database: Raises NotFound for the name of a database that does not exist.
        links: Gives links to pictures to whoever reads an answer.
    """

    def __init__(
        self,
        catalog: Catalog,
        providers: Providers,
        generator: Generator,
        others: OtherModels,
        check_database: CheckDatabase,
        links: PictureLinks,
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._generator = generator
        self._others = others
        self._check_database = check_database
        self._links = links
        self._started = int(time.time())

    def CreateChatCompletion(
        self, request: openai_pb2.CreateChatCompletionRequest, context: Context
    ) -> AsyncIterator[openai_pb2.CreateChatCompletionResponse]:
        """Answers with JSON, or with server-sent events where the request says so."""
        parts = self._complete(request.body.data)
        return with_envelope(context, parts, lambda body: openai_pb2.CreateChatCompletionResponse(body=body))

    def ListModels(
        self, request: openai_pb2.ListModelsRequest, context: Context
    ) -> AsyncIterator[openai_pb2.ListModelsResponse]:
        """Lists the chat models, the default first, then those that hear and those that draw."""
        return with_envelope(context, self._list(), lambda body: openai_pb2.ListModelsResponse(body=body))

    def GetModel(
        self, request: openai_pb2.GetModelRequest, context: Context
    ) -> AsyncIterator[openai_pb2.GetModelResponse]:
        """One model."""
        return with_envelope(context, self._get(request.model), lambda body: openai_pb2.GetModelResponse(body=body))

    async def _complete(self, raw: bytes) -> AsyncIterator[httpbody_pb2.HttpBody]:
        request = completions.parse(raw)
        model = self._catalog.get(request.model)
        if request.model in self._providers.offers():
            async with aclosing(self._passed_on(request)) as parts:
                async for part in parts:
                    yield part
            return
        answer = Answer(request.model)
        async with aclosing(self._own(model, request, answer)) as parts:
            async for part in parts:
                yield part

    async def _passed_on(self, request: CompletionRequest) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        """The answer of a provider: its bytes, except that a model under another name answers to the one asked for."""
        with closing(Tally(request.model, characters_in(request.payload))) as tally:
            async with aclosing(self._upstream(request, tally)) as parts:
                async for part in parts:
                    yield part

    async def _upstream(self, request: CompletionRequest, tally: Tally) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        upstream = UpstreamRequest(request.model, request.payload, request.raw)
        renamed = self._providers.renamed(request.model)
        if not request.stream:
            whole = await self._providers.complete(upstream)
            tally.chunks([whole.answer])
            yield json_body(_named(whole.answer, request.model) if renamed else whole.data)
            return
        async with aclosing(self._providers.stream(upstream)) as stream:
            async for events in stream:
                tally.chunks(events.chunks)
                data = [_named(c, request.model) for c in events.chunks] if renamed else events.data
                yield _events(b"".join(map(event, data)))
        yield _events(event(DONE))

    async def _own(
        self, model: ChatModel, request: CompletionRequest, answer: Answer
    ) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        """The answer of a model that runs here, with Parley's tools."""
        asked = completions.embedded(request)
        if asked.database:
            await self._check_database(asked.database)
        run = self._generator.run(
            model,
            ModelRequest(asked.messages, client_tools=asked.tools, choice=asked.choice, options=asked.options),
            ToolContext(asked.database, asked.attachments, history=turns.of_prompts(asked.messages), looks=False),
        )
        names = {tool.name for tool in asked.tools}
        if request.stream:
            # Sent before the tools run: the client sees at once that the answer is coming.
            yield _events(answer.chunk({"role": "assistant", "content": ""}, usage=request.include_usage))
        async with aclosing(self._links.in_events(run)) as events:
            async for item in events:
                delta: dict[str, Any] = {}
                if isinstance(item, TextDelta):
                    delta = answer.add_text(item.text)
                elif isinstance(item, ToolCalled) and item.call.tool in names:
                    delta = answer.add_call(item.call)
                elif isinstance(item, Usage):
                    answer.usage = item
                elif isinstance(item, Finished):
                    answer.reason = item.reason.value
                if request.stream and delta:
                    yield _events(answer.chunk(delta, usage=request.include_usage))
        if not request.stream:
            yield json_body(answer.whole())
            return
        yield _events(answer.chunk({}, reason=answer.reason, usage=request.include_usage))
        if request.include_usage:
            yield _events(answer.usage_chunk())
        yield _events(event(DONE))

    async def _infos(self) -> list[ModelInfo]:
        """All models; without those of a service that is away."""
        found = self._catalog.infos()
        for answer in await asyncio.gather(*(ask() for ask in self._others), return_exceptions=True):
            if isinstance(answer, ParleyError):
                log.warning("models of a service are not listed", reason=answer.reason)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found += answer
        return found

    async def _list(self) -> AsyncIterator[httpbody_pb2.HttpBody]:
        models = [self._model(info) for info in await self._infos()]
        yield json_body(json.dumps({"object": "list", "data": models}, ensure_ascii=False).encode())

    async def _get(self, model: str) -> AsyncIterator[httpbody_pb2.HttpBody]:
        infos = await self._infos()
        # Clients percent-encode an id in a path; one that exists as it came is not decoded further.
        wanted = model if any(info.id == model for info in infos) else unquote(model)
        for info in infos:
            if info.id == wanted:
                yield json_body(json.dumps(self._model(info), ensure_ascii=False).encode())
                return
        raise ModelNotFound(wanted)

    def _model(self, info: ModelInfo) -> dict[str, str | int]:
        return {"id": info.id, "object": "model", "created": self._started, "owned_by": info.provider}


def bound(
    catalog: Catalog,
    providers: Providers,
    generator: Generator,
    others: OtherModels,
    check_database: CheckDatabase,
    links: PictureLinks,
) -> Bound:
    """The servicer, ready to be served."""
    return Bound(
        openai_pb2_grpc.add_ChatCompletionsServiceServicer_to_server,
        ChatCompletionsServicer(catalog, providers, generator, others, check_database, links),
        openai_pb2.DESCRIPTOR.services_by_name["ChatCompletionsService"],
    )


class Answer:
    """A chat completion that is growing.

    Args:
        model: The model's id.
    """

    def __init__(self, model: str) -> None:
        self._head = {"id": new_id(), "created": int(time.time()), "model": model}
        self._text: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self.usage = Usage()
        self.reason = "stop"

    def add_text(self, text: str) -> dict[str, Any]:
        """Adds text; returns the delta that says so."""
        self._text.append(text)
        return {"content": text}

    def add_call(self, call: ToolCall) -> dict[str, Any]:
        """Adds a tool call; returns the delta that says so."""
        function = {"name": call.tool, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
        made = {"id": f"call_{new_id()[-24:]}", "type": "function", "function": function}
        self._calls.append(made)
        return {"tool_calls": [{"index": len(self._calls) - 1, **made}]}

    def whole(self) -> bytes:
        """The completion as JSON."""
        text = "".join(self._text)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if self._calls:
            message = {**message, "content": text or None, "tool_calls": self._calls}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.reason}
        body = {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}
        return json.dumps(body, ensure_ascii=False).encode()

    def chunk(self, delta: dict[str, Any], *, reason: str | None = None, usage: bool) -> bytes:
        """An event of the stream; `usage` is null in all but the last where it was asked for."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        body = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        return event(json.dumps({**body, "usage": None} if usage else body, ensure_ascii=False).encode())

    def usage_chunk(self) -> bytes:
        """The last event before the end, where usage was asked for."""
        body = {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": self._usage()}
        return event(json.dumps(body, ensure_ascii=False).encode())

    def _usage(self) -> dict[str, int]:
        read, written = self.usage.prompt_tokens, self.usage.completion_tokens
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _events(data: bytes) -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(content_type=EVENTS, data=data)


def _named(answer: dict[str, Any], model: str) -> bytes:
    """A completion, or a chunk of one, as the answer of `model`."""
    return json.dumps({**answer, "model": model}).encode()

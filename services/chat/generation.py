"""How an answer comes about: a model, the tools that it calls, and again the model, until it has said all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from services.chat import metrics
from services.chat.models import (
    ChatModel,
    Finished,
    FinishReason,
    ModelRequest,
    PromptMessage,
    Role,
    TextDelta,
    ToolAnswered,
    ToolCalled,
    ToolProgressed,
    Usage,
)
from services.chat.tally import tallied
from services.chat.tools import RECOGNIZE, Preview, ToolCall, ToolContext, ToolRegistry

ToolEvent = ToolCalled | ToolProgressed | ToolAnswered
Event = TextDelta | ToolEvent | Usage | Finished

# A model that wants more at once has lost its way.
MAX_CALLS_PER_ROUND = 16


class Generator:
    """Runs models with tools.

    Args:
        registry: Parley's own tools.
        max_rounds: How often a model may call tools before it is offered none and has to answer.
    """

    def __init__(self, registry: ToolRegistry, max_rounds: int) -> None:
        self._registry = registry
        self._max_rounds = max_rounds

    async def run(self, model: ChatModel, request: ModelRequest, context: ToolContext) -> AsyncGenerator[Event, None]:
        """The events of an answer: text, tool calls and their results as they come, then usage, then `Finished`.

        Attached audio is transcribed before the model sees the message. A call of a tool that is the client's own ends
        the answer. Closing the generator stops the model or the tool that is at work.

        Args:
            model: What answers.
            request: The conversation; its `tools` are set here.
            context: What the tools may know.
        """
        started: float | None = time.monotonic()
        messages = list(request.messages)
        for number, attachment in enumerate(context.attachments, start=1):
            call = ToolCall(f"audio_{number}", RECOGNIZE, {})
            heard = replace(context, attachments=(attachment,), written=_written(request.messages))
            async for event in self._call(call, heard, messages):
                yield event
        usage = Usage()
        for round_number in range(self._max_rounds + 1):
            offered = self._registry.specs() if round_number < self._max_rounds else ()
            calls: list[ToolCall] = []
            reason = FinishReason.STOP
            said = ""
            turn = replace(request, messages=tuple(messages), tools=offered)
            async with aclosing(tallied(model, turn)) as events:
                async for model_event in events:
                    if isinstance(model_event, ToolCalled):
                        calls.append(model_event.call)
                    elif isinstance(model_event, Usage):
                        usage += model_event
                    elif isinstance(model_event, Finished):
                        reason = model_event.reason
                    else:
                        said += model_event.text
                        if started is not None:
                            metrics.FIRST_TEXT.observe(time.monotonic() - started)
                            started = None
                        yield model_event
            theirs = [call for call in calls if any(t.name == call.tool for t in request.client_tools)]
            for call in theirs:
                yield ToolCalled(call)
            if theirs or not calls or not offered:
                reason = FinishReason.TOOL_CALLS if theirs else _ending(reason)
                _count(model.info.id, usage, reason)
                yield usage
                yield Finished(reason)
                return
            messages.append(PromptMessage(Role.ASSISTANT, said, tuple(calls[:MAX_CALLS_PER_ROUND])))
            for call in calls[:MAX_CALLS_PER_ROUND]:
                async for event in self._answer(call, context, messages):
                    yield event

    async def _call(
        self, call: ToolCall, context: ToolContext, messages: list[PromptMessage]
    ) -> AsyncGenerator[ToolEvent, None]:
        """Calls a tool on our own account: the messages then look as if the model had asked for it."""
        messages.append(PromptMessage(Role.ASSISTANT, calls=(call,)))
        async for event in self._answer(call, context, messages):
            yield event

    async def _answer(
        self, call: ToolCall, context: ToolContext, messages: list[PromptMessage]
    ) -> AsyncGenerator[ToolEvent, None]:
        """Calls a tool, tells of its progress, and adds its answer to the messages."""
        yield ToolCalled(call)
        told: asyncio.Queue[ToolProgressed | None] = asyncio.Queue()

        def report(progress: float, remaining: float | None, preview: Preview | None = None) -> None:
            told.put_nowait(ToolProgressed(call.id, progress, remaining, preview))

        task = asyncio.create_task(self._registry.call(call, replace(context, report=report)))
        task.add_done_callback(lambda _task: told.put_nowait(None))
        try:
            while (progress := await told.get()) is not None:
                yield progress
            result = await task
        finally:
            task.cancel()
            # Until the tool has let go of what it holds: the answer is not over before.
            await asyncio.wait({task})
        messages.append(PromptMessage(Role.TOOL, call_id=call.id, result=result))
        yield ToolAnswered(result)


def _count(model: str, usage: Usage, reason: FinishReason) -> None:
    """Counts an answer for whoever watches the service."""
    metrics.ANSWERS.labels(model, reason).inc()
    metrics.TOKENS.labels(model, "prompt").inc(usage.prompt_tokens)
    metrics.TOKENS.labels(model, "completion").inc(usage.completion_tokens)


def _ending(reason: FinishReason) -> FinishReason:
    """Why the answer ended, for whoever knows nothing of our tools."""
    return FinishReason.STOP if reason is FinishReason.TOOL_CALLS else reason


def _written(messages: Sequence[PromptMessage]) -> str:
    """What the person wrote last."""
    return next((m.text for m in reversed(messages) if m.role is Role.USER and m.text.strip()), "")

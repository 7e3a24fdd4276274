"""What a chat model is: a stream of events from messages, tools and options."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from services.chat.tools import Preview, ToolCall, ToolResult, ToolSpec


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """A message as a model reads it.

    Attributes:
        role: Who speaks.
        text: What is said; for a tool's answer that a client sent, that answer.
        calls: The tools that an assistant's message calls.
        call_id: Which call a tool's message answers.
        result: What one of Parley's own tools answered.
    """

    role: Role
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    result: ToolResult | None = None


class Choice(StrEnum):
    """How free a model is to call the client's tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the client's tools may or must be called; `name` forces one."""

    choice: Choice = Choice.AUTO
    name: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """How to answer.

    Attributes:
        max_tokens: At most this many tokens (words for the embedded model); None: no limit.
        stop: Texts before which the answer ends.
        tables_in_text: Whether the text has to carry tables: clients of the OpenAI API see nothing else.
        extra: Fields for an upstream provider, as OpenAI names them.
    """

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tables_in_text: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a model is asked.

    Attributes:
        messages: The conversation so far, oldest first; at least one.
        tools: Parley's own tools, which this service calls for the model.
        client_tools: Tools that the client calls itself.
        choice: How free the model is to call the client's tools.
        options: How to answer.
    """

    messages: tuple[PromptMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    client_tools: tuple[ToolSpec, ...] = ()
    choice: ToolChoice = ToolChoice()
    options: Options = Options()


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool is to be called."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolProgressed:
    """A tool that takes long is so far, from 0 to 1.

    Attributes:
        call_id: The call.
        progress: How far it is.
        remaining: How long it will still take, in seconds; None while that cannot be said.
        preview: What the picture looks like so far, where one is drawn.
    """

    call_id: str
    progress: float
    remaining: float | None
    preview: Preview | None = None


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """A tool answered."""

    result: ToolResult


@dataclass(frozen=True, slots=True)
class Usage:
    """What it cost, in tokens; the embedded model counts words."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True, slots=True)
class Finished:
    """The model has ended its turn."""

    reason: FinishReason


ModelEvent = TextDelta | ToolCalled | Usage | Finished


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What people are told of a model; `provider` is "parley" for the embedded one."""

    id: str
    provider: str
    description: str


class ChatModel(Protocol):
    """Something that answers."""

    @property
    def info(self) -> ModelInfo:
        """What it is."""

    def generate(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """One turn of the model: text, or calls of tools; usage where it is known; `Finished` last.

        Closing the generator stops the work. Raises ParleyError where there is no answer.
        """

"""What a conversation is: messages in a tree, each with the tools that were called for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from services.chat.models import FinishReason, PromptMessage, Role, Usage
from services.chat.tools import Attachment, Drawing, ToolCall, ToolResult, Transcript


class State(StrEnum):
    """How far a message got."""

    GENERATING = "generating"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation; times in UTC."""

    id: str
    title: str
    model: str
    database: str
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class AttachmentInfo:
    """What is kept of an attachment; `size` in bytes."""

    filename: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message. `parent_id` is empty for the first; `role` is USER or ASSISTANT."""

    id: str
    parent_id: str
    role: Role
    text: str
    state: State
    model: str
    create_time: datetime
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    usage: Usage | None = None
    attachments: tuple[AttachmentInfo, ...] = ()


@dataclass(slots=True)
class Draft:
    """An answer that is being written."""

    texts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[ToolResult] = field(default_factory=list)
    usage: Usage | None = None

    @property
    def text(self) -> str:
        """What has been said so far."""
        return "".join(self.texts)


@dataclass(frozen=True, slots=True)
class Question:
    """What a person sends.

    Attributes:
        conversation_id: Where to.
        text: What is said; may be empty when there is an attachment.
        attachments: Audio.
        model: The model that is to answer; the conversation's, then the deployment's where it is empty.
        database: databases/{database} of this question; the conversation's where it is empty.
        parent_id: The message that it follows; the newest where it is empty.
    """

    conversation_id: str
    text: str
    attachments: tuple[Attachment, ...] = ()
    model: str = ""
    database: str = ""
    parent_id: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """A generation as stored at its beginning.

    Attributes:
        generation_id: What stops it.
        message_id: The answer's.
        question: The person's message.
        history: The messages before it, oldest first.
        conversation: Where it takes place.
    """

    generation_id: str
    message_id: str
    question: Message
    history: tuple[Message, ...]
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Started:
    """A generation began."""

    begun: Begun
    model: str


@dataclass(frozen=True, slots=True)
class Done:
    """An answer is stored, and why it ended."""

    message: Message
    reason: FinishReason


def prompt(history: Sequence[Message], text: str) -> tuple[PromptMessage, ...]:
    """A conversation as a model reads it: what was said and, where it was spoken, what was understood.

    A recording stands there as the tool's answer that it was: what is said in it is not what the person says. So does
    what was drawn, which later messages may want changed.

    Args:
        history: The earlier messages, oldest first.
        text: What the person says now.
    """
    prompts: list[PromptMessage] = []
    for message in history:
        spoken_by_them, kept = [], []
        for result in message.results:
            if isinstance(result.output, Drawing) or (
                isinstance(result.output, Transcript) and result.output.recording
            ):
                kept.append(result)
            elif isinstance(result.output, Transcript):
                spoken_by_them.append(result.output.text)
        heard = " ".join(spoken_by_them)
        if heard and prompts and prompts[-1].role is Role.USER:
            spoken = f"{prompts[-1].text}\n{heard}".strip()
            prompts[-1] = PromptMessage(Role.USER, spoken)
        calls = {call.id: call for call in message.calls}
        for result in kept:
            # Unique in the conversation; within the message it was already.
            call = replace(calls[result.call_id], id=f"{result.call_id}_{message.id}")
            prompts.append(PromptMessage(Role.ASSISTANT, calls=(call,)))
            prompts.append(PromptMessage(Role.TOOL, call_id=call.id, result=result))
        if message.text or message.role is Role.USER:
            prompts.append(PromptMessage(message.role, message.text))
    return (*prompts, PromptMessage(Role.USER, text))

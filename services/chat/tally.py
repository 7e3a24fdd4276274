"""Counts the tokens of an answer for whom they are: as the model counts them, or estimated where it does not say.

A provider says what an answer cost at its end, if at all. One that was broken off has cost something too: what was
read, and what was written until then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing, closing
from typing import Any

from services.chat.excerpt import CHARACTERS_PER_TOKEN
from services.chat.models import ChatModel, ModelEvent, ModelRequest, TextDelta, Usage
from services.mesh import usage
from services.mesh.usage import Unit

OWN = "parley"
"""The provider of models that count by themselves, whatever they do."""


class Tally:
    """One turn of a model. Close it whatever happens.

    Args:
        model: The model's id.
        read: Characters that it reads; None where it counts by itself whatever it does.
    """

    def __init__(self, model: str, read: int | None) -> None:
        self._tab = usage.tab()
        self._model = model
        self._estimated = read is not None
        self._characters = read or 0
        self._counted: Usage | None = None

    def said(self, text: str) -> None:
        """More was written."""
        self._characters += len(text)

    def counted(self, used: Usage) -> None:
        """The model says what it cost."""
        self._counted = used if self._counted is None else self._counted + used

    def chunks(self, chunks: Iterable[Mapping[str, Any]]) -> None:
        """Chunks of a provider's answer, or the whole of it, as OpenAI's protocol has them."""
        if self._tab.meter is not None:
            for chunk in chunks:
                self._chunk(chunk)

    def _chunk(self, chunk: Mapping[str, Any]) -> None:
        said = chunk.get("usage")
        if isinstance(said, dict):
            self._counted = Usage(_count(said, "prompt_tokens"), _count(said, "completion_tokens"))
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") or choice.get("message") if isinstance(choice, dict) else None
            if isinstance(delta, dict) and isinstance(delta.get("content"), str):
                self.said(delta["content"])

    def close(self) -> None:
        """Tells what was used."""
        if self._counted is not None:
            tokens = self._counted.prompt_tokens + self._counted.completion_tokens
        else:
            tokens = self._characters // CHARACTERS_PER_TOKEN if self._estimated else 0
        self._tab.add(Unit.TOKENS, tokens, self._model)


async def tallied(model: ChatModel, turn: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
    """One turn of a model, counted; closing the generator stops it."""
    read = None if model.info.provider == OWN else sum(len(message.text) for message in turn.messages)
    with closing(Tally(model.info.id, read)) as tally:
        async with aclosing(model.generate(turn)) as events:
            async for event in events:
                if isinstance(event, Usage):
                    tally.counted(event)
                elif isinstance(event, TextDelta):
                    tally.said(event.text)
                yield event


def characters_in(payload: Mapping[str, Any]) -> int:
    """What a model reads of a checked request of the OpenAI API: texts, without pictures and audio."""
    total = 0
    for message in payload["messages"]:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        total += sum(len(part["text"]) for part in parts if isinstance(part.get("text"), str))
    return total


def _count(said: Mapping[str, Any], field: str) -> int:
    value = said.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

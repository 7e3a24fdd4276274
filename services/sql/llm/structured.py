"""Structured answers of language models: as their provider can give them, the strictest way first.

A provider that takes a JSON schema (`response_format`) is held to it; one that refuses it may take a tool, whose
arguments have the same schema; any other is asked for JSON in words. What worked for a model is remembered.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from typing import Any

from services.mesh import telemetry, usage
from services.mesh.provider_errors import UpstreamRejected
from services.mesh.providers import Providers, UpstreamRequest
from services.mesh.usage import Unit
from services.sql.errors import EngineFailed
from services.sql.llm.prompt import SHAPE, tokens_of

log = telemetry.get_logger(__name__)

# Deeper than this no honest answer is nested, and longer none is.
MAX_TEXT = 200_000
_TOOL = "write_query"


class Way(enum.Enum):
    """How a model is made to answer in a structure, the strictest first."""

    SCHEMA = "json_schema"
    TOOL = "tool"
    WORDS = "words"


@dataclass(frozen=True)
class Written:
    """A model's answer."""

    fields: dict[str, Any]
    tokens: int
    """What it cost, the prompt included: as the provider counts it, else an estimate."""


class Writer:
    """Asks one model for structured answers.

    Args:
        providers: All providers.
        model: The model's id, one that they offer.
    """

    def __init__(self, providers: Providers, model: str) -> None:
        self._providers = providers
        self._model = model
        self._way: Way | None = None

    async def write(self, messages: list[dict[str, str]], temperature: float = 0.0) -> Written:
        """The model's answer. Cancelling closes the connection, which tells the provider to stop.

        Raises:
            UpstreamError: No provider answers.
            EngineFailed: A provider refuses the request however it is put, or answers with something else. The request
                is ours, so the caller's question is not to blame.
        """
        ways = [self._way] if self._way is not None else list(Way)
        for way in ways:
            payload = {"model": self._model, "messages": messages, "temperature": temperature, **_form(way)}
            request = UpstreamRequest(self._model, payload, json.dumps(payload, ensure_ascii=False).encode())
            try:
                found = await self._providers.complete(request)
            except UpstreamRejected as error:
                log.info("language model refused a form", form=way.value, said=error.message)
                continue
            self._way = way
            written = _read(found.answer, messages)
            usage.add(Unit.TOKENS, written.tokens, self._model)
            return written
        self._way = None
        raise EngineFailed("The language model's provider rejected the request.", retry_after=None)


def _form(way: Way) -> dict[str, Any]:
    if way is Way.SCHEMA:
        shape = {"name": "query", "strict": True, "schema": SHAPE}
        return {"response_format": {"type": "json_schema", "json_schema": shape}}
    if way is Way.TOOL:
        function = {"name": _TOOL, "description": "Gives the statement that answers.", "parameters": SHAPE}
        choice = {"type": "function", "function": {"name": _TOOL}}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
    return {}


def _read(answer: dict[str, Any], messages: list[dict[str, str]]) -> Written:
    """The fields of a chat completion. Raises EngineFailed."""
    try:
        message = answer["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        text = str(calls[0]["function"]["arguments"] if calls else message.get("content") or "")
    except (LookupError, TypeError, AttributeError):
        raise EngineFailed("The language model's provider answered with something that is not its protocol.") from None
    said = answer.get("usage")
    total = said.get("total_tokens") if isinstance(said, dict) else None
    if not isinstance(total, int) or total <= 0:
        total = sum(tokens_of(item["content"]) for item in messages) + tokens_of(text)
    return Written(parse(text[:MAX_TEXT]), total)


def parse(text: str) -> dict[str, Any]:
    """The JSON object in a model's text, whatever stands around it; a lone SQL block counts as its `sql`.

    Raises:
        EngineFailed: There is neither.
    """
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        try:
            found = json.loads(text[start : end + 1], strict=False)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
    block = re.search(r"```(?:sql)?\s*(.+?)```", text, re.DOTALL) or re.search(
        r"((?:SELECT|WITH)\b.+)", text, re.DOTALL
    )
    if block:
        return {"sql": block[1].strip()}
    raise EngineFailed("The language model answered without a statement.", retry_after=None)

"""A model that a provider serves, as a ChatModel: messages and tools become an OpenAI request, its events ours."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from services.chat.excerpt import CHARACTERS_PER_TOKEN, excerpt
from services.chat.models import (
    Finished,
    FinishReason,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    PromptMessage,
    Role,
    TextDelta,
    ToolCalled,
    Usage,
)
from services.chat.picture_phrases import link
from services.chat.tools import Drawing, Table, ToolCall, ToolResult, ToolSpec, Transcript
from services.mesh.providers import Providers, UpstreamRequest

# What a model is shown of a tool's answer: enough to answer from, small enough to pay for.
MAX_RESULT_ROWS = 50
MAX_RESULT_CHARACTERS = 8000
REASONS = {reason.value: reason for reason in FinishReason}


class UpstreamModel:
    """A model of one or several providers.

    Args:
        providers: All providers.
        model: The model's id, one that they offer.
        recording_tokens: How much of recordings it is shown, in tokens.
    """

    def __init__(self, providers: Providers, model: str, recording_tokens: int = 8000) -> None:
        self._providers = providers
        self._recording_tokens = recording_tokens
        offers = providers.offers()[model]
        self._stream_usage = all(p.stream_usage for p in offers)
        named = ", then ".join(p.name for p in offers)
        self.info = ModelInfo(model, offers[0].name, offers[0].description or f"Served by {named}.")

    async def generate(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """One turn of the model. Tool calls come when they are complete, all at the end."""
        payload = self._payload(request)
        pending: dict[int, dict[str, str]] = {}
        reason = FinishReason.STOP
        upstream = UpstreamRequest(self.info.id, payload, json.dumps(payload).encode())
        async with aclosing(self._providers.stream(upstream)) as stream:
            async for events in stream:
                for chunk in events.chunks:
                    choice = _first_choice(chunk)
                    delta = _object(choice.get("delta"))
                    if isinstance(delta.get("content"), str) and delta["content"]:
                        yield TextDelta(delta["content"])
                    _collect(pending, delta.get("tool_calls"))
                    reason = REASONS.get(str(choice.get("finish_reason")), reason)
                    usage = chunk.get("usage")
                    if isinstance(usage, dict):
                        yield Usage(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
        known = {wire_name(t.name): t.name for t in (*request.tools, *request.client_tools)}
        for index in sorted(pending):
            yield ToolCalled(_call(pending[index], index, known))
        yield Finished(reason)

    def _payload(self, request: ModelRequest) -> dict[str, Any]:
        payload: dict[str, Any] = {
            **request.options.extra,
            "model": self.info.id,
            "messages": self._messages(request.messages),
            "stream": True,
        }
        if self._stream_usage:
            payload["stream_options"] = {"include_usage": True}
        tools = [tool(t) for t in (*request.tools, *request.client_tools)]
        if tools:
            payload["tools"] = tools
        return payload

    def _messages(self, prompts: Sequence[PromptMessage]) -> list[dict[str, Any]]:
        """The messages; recordings share their budget of tokens, the newest first."""
        question = next((p.text for p in reversed(prompts) if p.role is Role.USER), "")
        left = self._recording_tokens
        messages: list[dict[str, Any]] = []
        for prompt in reversed(prompts):
            output = prompt.result.output if prompt.result is not None else None
            if isinstance(output, Transcript) and output.recording:
                shown = excerpt(output, question, left)
                left = max(0, left - len(shown) // CHARACTERS_PER_TOKEN)
                messages.append({"role": "tool", "tool_call_id": prompt.call_id, "content": shown})
            else:
                messages.append(message(prompt))
        return messages[::-1]


def wire_name(tool_name: str) -> str:
    """A tool's name as OpenAI's protocol allows it: `sql.ask` becomes `sql_ask`."""
    return tool_name.replace(".", "_")


def tool(spec: ToolSpec) -> dict[str, Any]:
    """A tool as OpenAI's protocol describes it."""
    function = {"name": wire_name(spec.name), "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": function}


def message(prompt: PromptMessage) -> dict[str, Any]:
    """A message in OpenAI's protocol."""
    if prompt.role is Role.TOOL:
        content = compact(prompt.result) if prompt.result is not None else prompt.text
        return {"role": "tool", "tool_call_id": prompt.call_id, "content": content}
    if not prompt.calls:
        return {"role": prompt.role.value, "content": prompt.text}
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": wire_name(call.tool), "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for call in prompt.calls
    ]
    return {"role": "assistant", "content": prompt.text or None, "tool_calls": calls}


def compact(result: ToolResult) -> str:
    """What a tool answered, in few characters."""
    if result.error is not None:
        return json.dumps({"error": result.error.message}, ensure_ascii=False)
    output = result.output
    if isinstance(output, Transcript):
        return json.dumps({"transcript": output.text, "language": output.language_code}, ensure_ascii=False)
    if isinstance(output, Drawing):
        return json.dumps(_drawn(output), ensure_ascii=False)
    if not isinstance(output, Table):
        return (output or "")[:MAX_RESULT_CHARACTERS]
    rows = list(output.rows[:MAX_RESULT_ROWS])
    while True:
        cut = output.truncated or len(rows) < len(output.rows)
        body = {"answer": output.answer, "sql": output.sql, "columns": [c.name for c in output.columns], "rows": rows}
        text = json.dumps({**body, "more_rows": True} if cut else body, ensure_ascii=False)
        if len(text) <= MAX_RESULT_CHARACTERS or not rows:
            return text
        rows = rows[: len(rows) // 2]


def _drawn(drawing: Drawing) -> dict[str, Any]:
    """What a model is told of pictures: it sees none of them."""
    pictures = [
        {"markdown": link(drawing.prompt, p), "width": p.width, "height": p.height, "seed": p.seed}
        for p in drawing.pictures
    ]
    note = "Show each picture by putting its Markdown into your answer, unchanged."
    told = {"pictures": pictures, "drawn_by": drawing.model, "note": note}
    return {**told, "error": drawing.fault} if drawing.fault else told


def _first_choice(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = chunk.get("choices")
    return _object(choices[0]) if isinstance(choices, list) and choices else {}


def _object(value: Any) -> Mapping[str, Any]:
    """The value where it is an object; an empty one for anything else that a provider may send in its place."""
    return value if isinstance(value, dict) else {}


def _collect(pending: dict[int, dict[str, str]], deltas: Any) -> None:
    """Adds the pieces of tool calls that a chunk brought to what came before."""
    for delta in deltas if isinstance(deltas, list) else ():
        if not isinstance(delta, dict):
            continue
        # Some providers leave the index out and send each call whole.
        given = delta.get("index")
        index = given if isinstance(given, int) else len(pending)
        call = pending.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = _object(delta.get("function"))
        call["id"] = call["id"] or str(delta.get("id") or "")
        call["name"] += str(function.get("name") or "")
        call["arguments"] += str(function.get("arguments") or "")


def _call(pieces: Mapping[str, str], index: int, known: Mapping[str, str]) -> ToolCall:
    """A whole call. Arguments that are no JSON object become none: the tool then says which it misses."""
    try:
        arguments = json.loads(pieces["arguments"] or "{}")
    except (ValueError, RecursionError):
        arguments = {}
    name = known.get(pieces["name"], pieces["name"])
    return ToolCall(pieces["id"] or f"call_{index}", name, arguments if isinstance(arguments, dict) else {})


def _count(usage: Mapping[str, Any], field: str) -> int:
    value = usage.get(field)
    return value if isinstance(value, int) and value >= 0 else 0

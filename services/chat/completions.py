"""Reads and checks chat completion requests of the OpenAI API (POST /v1/chat/completions).

For a model of a provider the request is passed on as it came, so only what Parley itself relies on is checked, and
what would change the meaning of the answer if it were dropped. For the embedded model each field is either honoured,
harmless, or refused by name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.chat.inquiries import asks_about_recording
from services.chat.models import Choice, Options, PromptMessage, Role, ToolChoice
from services.chat.tools import Attachment, ToolCall, ToolSpec
from services.mesh.errors import InvalidArgument, TooLarge

MAX_BODY = 48 << 20
MAX_MESSAGES = 2048
MAX_TEXT = 2_000_000
MAX_AUDIO = 32 << 20
MAX_TOOLS = 128
# How deep lists and objects may lie in each other: enough for any schema, far from what exhausts a stack.
MAX_DEPTH = 100
# What OpenAI allows as a tool's name.
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
DATABASE = re.compile(r"[a-z][a-z0-9-]{0,62}")
# The escape of a half character; in a valid text it stands in a pair, which JSON reads as one character.
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
AUDIO_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "m4a": "audio/mp4",
    "webm": "audio/webm",
}

Check = Callable[[str, Any], None]


def _number(low: float, high: float) -> Check:
    def check(field: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidArgument(field, f"must be a number from {low:g} to {high:g}.")

    return check


def _positive(field: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgument(field, "must be a whole number of at least 1.")


def _boolean(field: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidArgument(field, "must be true or false.")


def _object(field: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise InvalidArgument(field, "must be an object.")


def _stream_options(field: str, value: Any) -> None:
    _object(field, value)
    if value.get("include_usage") is not None:
        _boolean(f"{field}.include_usage", value["include_usage"])


def _one(field: str, value: Any) -> None:
    if value != 1 or isinstance(value, bool):
        raise InvalidArgument(field, "only one choice is generated for a request; leave it out or set it to 1.")


def _stop(field: str, value: Any) -> None:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 1 <= len(texts) <= 4 or not all(isinstance(t, str) and t for t in texts):
        raise InvalidArgument(field, "must be a text or a list of 1 to 4 texts, none of them empty.")


def _model(field: str, value: Any) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        raise InvalidArgument(field, "must be the id of a model, 1 to 200 characters; GET /v1/models lists them.")


def _modalities(field: str, value: Any) -> None:
    if value != ["text"]:
        raise InvalidArgument(field, 'only ["text"] is supported.')


def _refused(field: str, _value: Any) -> None:
    raise InvalidArgument(field, "is not supported.")


def _not_stored(field: str, value: Any) -> None:
    if value:
        raise InvalidArgument(field, "completions are not stored; leave it out or set it to false.")


def _tools(field: str, value: Any) -> None:
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise InvalidArgument(field, f"must be a list of at most {MAX_TOOLS} tools.")
    for i, tool in enumerate(value):
        where = f"{field}[{i}]"
        if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
            raise InvalidArgument(where, 'must be {"type": "function", "function": {…}}.')
        name = tool["function"].get("name")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            raise InvalidArgument(f"{where}.function.name", "must have 1 to 64 letters, digits, '_' and '-'.")
        if not isinstance(tool["function"].get("parameters") or {}, dict):
            raise InvalidArgument(f"{where}.function.parameters", "must be a JSON schema of an object.")


def _messages(field: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise InvalidArgument(field, "must be a list of at least one message.")
    if len(value) > MAX_MESSAGES:
        raise InvalidArgument(field, f"must have at most {MAX_MESSAGES} messages.")
    for i, message in enumerate(value):
        if not isinstance(message, dict):
            raise InvalidArgument(f"{field}[{i}]", "must be an object.")
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise InvalidArgument(f"{field}[{i}].role", f"must be one of {', '.join(sorted(ROLES))}.")
        content = message.get("content")
        if isinstance(content, str):
            if len(content) > MAX_TEXT:
                raise InvalidArgument(f"{field}[{i}].content", f"must have at most {MAX_TEXT} characters.")
        elif isinstance(content, list):
            for j, part in enumerate(content):
                if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                    raise InvalidArgument(f"{field}[{i}].content[{j}]", "must be an object with a type.")
        elif content is not None or role != "assistant":
            raise InvalidArgument(f"{field}[{i}].content", "must be a text or a list of parts.")


# What is checked of a field that is not null, whatever the model.
CHECKS: Mapping[str, Check] = {
    "model": _model,
    "messages": _messages,
    "n": _one,
    "stream": _boolean,
    "stream_options": _stream_options,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "max_tokens": _positive,
    "max_completion_tokens": _positive,
    "stop": _stop,
    "tools": _tools,
    "modalities": _modalities,
    "audio": _refused,
    "store": _not_stored,
    "response_format": _object,
    "metadata": _object,
}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A checked request.

    Attributes:
        raw: The body as it came.
        payload: The same as an object.
        model: The model's id.
        stream: Whether events are wanted.
        include_usage: Whether a last event with the usage is wanted.
    """

    raw: bytes
    payload: Mapping[str, Any]
    model: str
    stream: bool
    include_usage: bool


def parse(raw: bytes) -> CompletionRequest:
    """A request's body, checked. Raises InvalidArgument that names the field, or TooLarge."""
    if len(raw) > MAX_BODY:
        raise TooLarge(f"The body is over {MAX_BODY >> 20} MiB.", metadata={"limit": str(MAX_BODY)})
    try:
        payload = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("body", f"is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise InvalidArgument("body", "must be a JSON object.")
    for field in ("model", "messages"):
        if payload.get(field) is None:
            raise InvalidArgument(field, "is required.")
    # Few requests have what could be wrong here, and a search of the bytes is quicker than a walk through the values.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH or _SURROGATE_ESCAPE.search(raw):
        _sound(payload)
    for field, value in payload.items():
        check = CHECKS.get(field)
        if check is not None and value is not None:
            check(field, value)
    stream = payload.get("stream") is True
    options = payload.get("stream_options")
    if options and not stream:
        raise InvalidArgument("stream_options", "is only allowed together with stream: true.")
    return CompletionRequest(raw, payload, payload["model"], stream, bool(options and options.get("include_usage")))


def _sound(payload: Mapping[str, Any]) -> None:
    """Raises InvalidArgument for halves of characters, which no answer could repeat, and for what is nested too deeply.

    A message's part is named as far as its field, e.g. `messages[0].content`.
    """
    left: list[tuple[str, int, Any]] = [("", 0, payload)]
    while left:
        where, depth, value = left.pop()
        if isinstance(value, str):
            if _SURROGATE.search(value):
                raise InvalidArgument(where, "holds half of a surrogate pair (\\ud800 to \\udfff), which is no text.")
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise InvalidArgument(where, f"must not be nested more than {MAX_DEPTH} deep.")
            named = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(_inside(where, depth, key), depth + 1, inner) for key, inner in named]
            if isinstance(value, dict):
                left += [(where or "body", depth + 1, key) for key in value]


def _inside(where: str, depth: int, key: str | int) -> str:
    """The name of a value in `where`; beyond the fields of a message it would say less than it would cost."""
    if depth == 0:
        return "body" if _SURROGATE.search(str(key)) else str(key)
    if not where.startswith("messages") or depth > 2:
        return where
    return f"{where}[{key}]" if isinstance(key, int) else where if _SURROGATE.search(key) else f"{where}.{key}"


# Fields that the embedded model honours, or whose meaning it cannot miss because it always gives the same answer.
HONOURED = frozenset(
    [
        "model",
        "messages",
        "n",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "tools",
        "tool_choice",
        "metadata",
        "modalities",
        "store",
    ]
)
HARMLESS = frozenset(
    [
        "temperature",
        "top_p",
        "seed",
        "user",
        "presence_penalty",
        "frequency_penalty",
        "parallel_tool_calls",
        "reasoning_effort",
        "verbosity",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
        "prediction",
    ]
)
# Fields that are allowed as long as they ask for nothing.
EMPTY: tuple[object, ...] = (None, False, {}, [], {"type": "text"})


@dataclass(frozen=True, slots=True)
class EmbeddedRequest:
    """What the embedded model needs of a request.

    Attributes:
        messages: The conversation.
        tools: The client's tools.
        choice: How free the model is to call them.
        options: Limits.
        database: databases/{database} that questions are about; empty where none was named.
        attachments: Audio of the last message; where that asks about a recording, of the last one that has audio.
    """

    messages: tuple[PromptMessage, ...]
    tools: tuple[ToolSpec, ...]
    choice: ToolChoice
    options: Options
    database: str
    attachments: tuple[Attachment, ...]


def embedded(request: CompletionRequest) -> EmbeddedRequest:
    """A request for the embedded model. Raises InvalidArgument for what that model cannot do."""
    payload = request.payload
    for field, value in payload.items():
        if field not in HONOURED and field not in HARMLESS and value not in EMPTY:
            raise InvalidArgument(field, f"is not supported by {request.model}; leave it out.")
    messages = payload["messages"]
    attachments: tuple[Attachment, ...] = ()
    earlier: tuple[Attachment, ...] = ()
    prompts: list[PromptMessage] = []
    for i, message in enumerate(messages):
        text, audio = _content(message.get("content"), f"messages[{i}].content")
        prompts.append(_prompt(message, text, f"messages[{i}]"))
        attachments, earlier = audio, audio or earlier
    if not attachments and prompts[-1].role is Role.USER and asks_about_recording(prompts[-1].text):
        attachments = earlier
    stop = payload.get("stop") or ()
    options = Options(
        max_tokens=payload.get("max_completion_tokens") or payload.get("max_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        tables_in_text=True,
    )
    tools = tuple(
        _tool(t["function"], f"tools[{i}].function.parameters") for i, t in enumerate(payload.get("tools") or ())
    )
    choice = _choice(payload.get("tool_choice"), tools)
    return EmbeddedRequest(tuple(prompts), tools, choice, options, _database(payload.get("metadata")), attachments)


def _prompt(message: Mapping[str, Any], text: str, where: str) -> PromptMessage:
    role = {"developer": "system"}.get(message["role"], message["role"])
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(c, dict) for c in calls):
        raise InvalidArgument(f"{where}.tool_calls", "must be a list of tool calls.")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise InvalidArgument(f"{where}.tool_call_id", "is required: the id of the call that this message answers.")
    call_id = message["tool_call_id"] if role == "tool" else ""
    return PromptMessage(Role(role), text, tuple(_asked(c, where) for c in calls), call_id)


def _asked(call: Mapping[str, Any], where: str) -> ToolCall:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidArgument(f"{where}.tool_calls", 'each must have {"function": {"name": …, "arguments": …}}.')
    return ToolCall(str(call.get("id") or ""), function["name"], {})


def _content(content: Any, where: str) -> tuple[str, tuple[Attachment, ...]]:
    """The text and the audio of a message's content."""
    if content is None or isinstance(content, str):
        return content or "", ()
    texts: list[str] = []
    audio: list[Attachment] = []
    for j, part in enumerate(content):
        if part["type"] == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif part["type"] == "input_audio" and isinstance(part.get("input_audio"), dict):
            audio.append(_audio(part["input_audio"], f"{where}[{j}].input_audio"))
        else:
            raise InvalidArgument(
                f"{where}[{j}]", "only parts of type text and input_audio are supported by this model."
            )
    return "\n".join(texts), tuple(audio)


def _audio(part: Mapping[str, Any], where: str) -> Attachment:
    kind, data = part.get("format"), part.get("data")
    if not isinstance(kind, str) or kind not in AUDIO_TYPES:
        raise InvalidArgument(f"{where}.format", f"must be one of {', '.join(AUDIO_TYPES)}.")
    try:
        content = base64.b64decode(data if isinstance(data, str) else "", validate=True)
    except ValueError:  # binascii.Error is one; characters beyond ASCII are another
        raise InvalidArgument(f"{where}.data", "is not base64.") from None
    if not content:
        raise InvalidArgument(f"{where}.data", "is empty; it must hold the audio file's bytes in base64.")
    if len(content) > MAX_AUDIO:
        raise InvalidArgument(f"{where}.data", f"must hold at most {MAX_AUDIO >> 20} MiB.")
    return Attachment(f"audio.{kind}", AUDIO_TYPES[kind], content)


def _tool(function: Mapping[str, Any], where: str) -> ToolSpec:
    schema = function.get("parameters") or {}
    properties, required = schema.get("properties"), schema.get("required")
    if properties is not None and not isinstance(properties, dict):
        raise InvalidArgument(f"{where}.properties", "must be an object of JSON schemas.")
    for name, inner in (properties or {}).items():
        if not isinstance(inner, dict):
            raise InvalidArgument(f"{where}.properties.{name}", "must be a JSON schema, an object.")
        if not isinstance(inner.get("enum") or [], list):
            raise InvalidArgument(f"{where}.properties.{name}.enum", "must be a list of values.")
    if required is not None and not (isinstance(required, list) and all(isinstance(r, str) for r in required)):
        raise InvalidArgument(f"{where}.required", "must be a list of the names of properties.")
    return ToolSpec(function["name"], str(function.get("description") or ""), schema)


def _choice(value: Any, tools: Sequence[ToolSpec]) -> ToolChoice:
    if value is None:
        return ToolChoice()
    if isinstance(value, str) and value in {c.value for c in Choice}:
        return ToolChoice(Choice(value))
    function = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or name not in {t.name for t in tools}:
        raise InvalidArgument("tool_choice", "must be auto, none, required, or name one of the tools.")
    return ToolChoice(Choice.REQUIRED, name)


def _database(metadata: Any) -> str:
    """`metadata.database`, with or without the collection's name."""
    name = (metadata or {}).get("database")
    if name is None or name == "":
        return ""
    if not isinstance(name, str) or not DATABASE.fullmatch(name.removeprefix("databases/")):
        raise InvalidArgument(
            "metadata.database", "must be the id of a database: lower case letters, digits and '-', a letter first."
        )
    return f"databases/{name.removeprefix('databases/')}"

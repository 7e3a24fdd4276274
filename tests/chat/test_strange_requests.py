"""What no client should send to the OpenAI API: refused by name, and never a fault of ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chat import completions
from tests.chat.conftest import Chat, Upstream

MESSAGES = [{"role": "user", "content": "How many customers are in Hanoi?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "kelvin"]}},
            "required": ["city"],
        },
    },
}


def tool(**function: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "q", **function}}]}


def parameters(**schema: Any) -> dict[str, Any]:
    return tool(parameters={"type": "object", **schema})


def error(parts: list[Any]) -> dict[str, Any]:
    return dict(json.loads(parts[-1].data)["error"])


NAME = "tools[0].function.name"
PARAMETERS = "tools[0].function.parameters"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": {"a": 1}, "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "\ud800 how many customers"}]}, "messages[0].content"),
        ({"model": "\udfff"}, "model"),
        ({"metadata": {"\ud800": "x"}}, "metadata"),
        ({"stream_options": {"include_usage": [1]}, "stream": True}, "stream_options.include_usage"),
        (tool(name="has blank"), NAME),
        (tool(name="x" * 65), NAME),
        (tool(name="q\n"), NAME),
        (tool(name=["q"]), NAME),
        (parameters(properties=[]), f"{PARAMETERS}.properties"),
        (parameters(properties={"q": 5}), f"{PARAMETERS}.properties.q"),
        (parameters(properties={"q": {"enum": 5}}), f"{PARAMETERS}.properties.q.enum"),
        (parameters(properties={"q": {}}, required=["q", [1]]), f"{PARAMETERS}.required"),
        (parameters(required="q"), f"{PARAMETERS}.required"),
        ({"metadata": {"database": "Bad Name"}}, "metadata.database"),
        ({"metadata": {"database": []}}, "metadata.database"),
        (
            {"messages": [{"role": "assistant", "tool_calls": {"a": 1}}, *MESSAGES]},
            "messages[0].tool_calls",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"format": []}}]}]},
            "messages[0].content[0].input_audio.format",
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": []}}}, "tool_choice"),
    ],
)
async def test_names_the_field_that_is_wrong(chat: Chat, change: dict[str, Any], param: str) -> None:
    parts = await chat.post({"model": "parley-embedded", "messages": MESSAGES, **change})
    assert (error(parts)["param"], chat.status) == (param, "400")


async def test_surrogates_that_make_a_character_are_text(chat: Chat) -> None:
    parts = await chat.post(
        b'{"model": "parley-embedded", "messages": [{"role": "user", "content": "hi \\ud83d\\ude00"}]}'
    )
    assert json.loads(parts[0].data)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("value", ["[" * 500 + "]" * 500, '{"a": ' * 500 + "1" + "}" * 500])
async def test_what_is_nested_too_deeply_is_refused(chat: Chat, value: str) -> None:
    body = json.dumps({"model": "parley-embedded", "messages": MESSAGES, "user": "DEEP"})
    parts = await chat.post(body.replace('"DEEP"', value).encode())
    assert (error(parts)["param"], chat.status) == ("user", "400")


@pytest.mark.parametrize("answer", ["[" * 100_000, '{"a": "\\ud800"}', '{"a": 1e999}'])
async def test_any_answer_of_a_tool_is_reported(chat: Chat, answer: str) -> None:
    messages = [*MESSAGES, {"role": "tool", "tool_call_id": "c", "content": answer}]
    parts = await chat.post({"model": "parley-embedded", "messages": messages})
    assert "The tool c answered: " in json.loads(parts[0].data)["choices"][0]["message"]["content"]


# Every field that is known here, with a value that is right.
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
RIGHT: dict[str, Any] = {
    "model": "parley-embedded",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"celsius": 31}'},
        {"role": "user", "content": [{"type": "text", "text": "Weather in Hanoi?"}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "metadata": {"database": "shop"},
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 1,
    "stop": ["."],
    "max_tokens": 5,
    "modalities": ["text"],
}
KNOWN = sorted({*completions.CHECKS, *completions.HONOURED, *completions.HARMLESS, "tool_choice", "logprobs"})
TEXT = st.text(st.characters(), max_size=8) | st.sampled_from(["\ud800", "\x00", "how many \udc00", "Bad Name", "user"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from paths(inner, (*path, key))


PLACES = [*((field,) for field in KNOWN), *paths(RIGHT)]


def put(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The right request with another value in one place."""
    request = copy.deepcopy(RIGHT)
    place: Any = request
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return request


# The services that the fixture starts keep nothing of a completion, so that one life of them serves every example.
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PLACES), value=JSON)
async def test_any_value_in_any_field_is_answered_or_refused(
    chat: Chat, path: tuple[str | int, ...], value: Any
) -> None:
    parts = await chat.post(put(path, value))
    assert chat.code is grpc.StatusCode.OK or str(chat.status).startswith("4"), (chat.code, parts[-1].data)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PLACES), value=JSON)
async def test_any_value_for_a_provider_is_passed_on_or_refused(
    with_model: Chat, upstream: Upstream, path: tuple[str | int, ...], value: Any
) -> None:
    upstream.handlers.clear()
    upstream.answers("Hello")
    await with_model.post({**put(path, value), "stream": False, "stream_options": None, "model": "m"})
    assert with_model.code is grpc.StatusCode.OK or str(with_model.status).startswith("4")

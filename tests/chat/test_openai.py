"""POST /v1/chat/completions and the model list, as bytes that OpenAI's own SDK types accept."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import grpc
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from parley.openai.v1 import openai_pb2
from tests.chat.conftest import KEY, Chat, Start, Upstream, called, chunk, said

MESSAGES = [{"role": "user", "content": "Hi there"}]


def events(parts: list[Any]) -> list[Any]:
    """The data of the events in the parts of a stream."""
    text = b"".join(p.data for p in parts).decode()
    data = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [d if d == "[DONE]" else json.loads(d) for d in data]


def error(parts: list[Any]) -> dict[str, Any]:
    return dict(json.loads(parts[-1].data)["error"])


async def test_passes_a_request_on_and_its_answer_back(with_model: Chat, upstream: Upstream) -> None:
    upstream.answers("Hello")
    body = {"model": "m", "messages": MESSAGES, "temperature": 0.5, "logit_bias": {"1": 2}, "top_k": 3}
    parts = await with_model.post(body)
    assert [p.content_type for p in parts] == ["application/json"]
    assert ChatCompletion.model_validate_json(parts[0].data).choices[0].message.content == "Hello"
    assert upstream.requests == [body]
    assert upstream.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_streams_events_as_they_come(with_model: Chat, upstream: Upstream) -> None:
    upstream.streams([b": hello\r\n\r\n", *said("He", "llo")], delay=0.02)
    parts = await with_model.post({"model": "m", "messages": MESSAGES, "stream": True})
    assert len(parts) > 3
    assert {p.content_type for p in parts} == {"text/event-stream"}
    got = events(parts)
    assert got[-1] == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate(c) for c in got[:2]]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello"


async def test_fills_in_what_a_provider_leaves_out(with_model: Chat, upstream: Upstream) -> None:
    upstream.does(
        '{"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}]}'
    )
    parts = await with_model.post({"model": "m", "messages": MESSAGES})
    assert ChatCompletion.model_validate_json(parts[0].data).choices[0].message.content == "x"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "reason", "http"),
    [
        (401, "upstream_unauthenticated", "400"),
        (403, "upstream_unauthenticated", "400"),
        (429, "upstream_rate_limited", "429"),
        (500, "upstream_failed", "503"),
        (404, "upstream_failed", "503"),
    ],
)
async def test_maps_the_providers_errors(
    with_model: Chat, upstream: Upstream, status: int, reason: str, http: str, stream: bool
) -> None:
    upstream.does(f'{{"error": {{"message": "bad key {KEY}"}}}}', status)
    parts = await with_model.post({"model": "m", "messages": MESSAGES, "stream": stream})
    assert error(parts)["code"] == reason
    assert with_model.status == http
    assert KEY not in parts[0].data.decode()


async def test_says_what_a_provider_rejects_without_its_key(with_model: Chat, upstream: Upstream) -> None:
    upstream.does(f'{{"error": {{"message": "no {KEY} for you", "param": "temperature"}}}}', 400)
    parts = await with_model.post({"model": "m", "messages": MESSAGES})
    assert error(parts)["param"] == "temperature"
    assert "no [key] for you" in error(parts)["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ["<html>", "[]", '{"choices": 1}'])
async def test_garbage_is_a_failure(with_model: Chat, upstream: Upstream, text: str, stream: bool) -> None:
    upstream.does(text)
    assert (
        error(await with_model.post({"model": "m", "messages": MESSAGES, "stream": stream}))["code"]
        == "upstream_failed"
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_never_answers_times_out(with_model: Chat, upstream: Upstream, stream: bool) -> None:
    upstream.hangs()
    parts = await with_model.post({"model": "m", "messages": MESSAGES, "stream": stream})
    assert error(parts)["code"] == "upstream_timeout"
    assert with_model.status == "504"


async def test_a_provider_that_cannot_be_reached(start: Start, upstream: Upstream) -> None:
    chat = await start(providers=[upstream.provider(base_url="http://127.0.0.1:1/v1")])
    assert error(await chat.post({"model": "m", "messages": MESSAGES}))["code"] == "upstream_failed"


async def test_retry_after_is_passed_on(with_model: Chat, upstream: Upstream) -> None:
    upstream.does("{}", 429, **{"Retry-After": "17"})
    body = openai_pb2.CreateChatCompletionRequest()
    body.body.data = json.dumps({"model": "m", "messages": MESSAGES}).encode()
    call = with_model.openai.CreateChatCompletion(body)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _part in call:
            pass
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(await call.initial_metadata())["retry-after"] == "17"


@pytest.mark.parametrize("ending", ["die", "garbage", "short"])
async def test_an_error_in_the_middle_of_a_stream_is_an_event(
    with_model: Chat, upstream: Upstream, ending: str
) -> None:
    parts = [chunk({"content": "He"})] + ([b"data: {oops\n\n"] if ending == "garbage" else [])
    upstream.streams(parts, delay=0.05, die=ending == "die")
    got = events(await with_model.post({"model": "m", "messages": MESSAGES, "stream": True}))
    assert got[0]["choices"][0]["delta"]["content"] == "He"
    assert got[-1]["error"]["code"] == "upstream_failed"
    assert len(upstream.requests) == 1


async def test_a_stream_without_done_is_whole_when_it_said_why_it_ended(with_model: Chat, upstream: Upstream) -> None:
    upstream.streams([chunk({"content": "Hi"}), chunk({}, "stop")])
    assert events(await with_model.post({"model": "m", "messages": MESSAGES, "stream": True}))[-1] == "[DONE]"


async def test_a_provider_that_leaves_its_stream_open_holds_nobody_up(start: Start, upstream: Upstream) -> None:
    chat = await start(providers=[upstream.provider(timeout=60)])
    upstream.streams(said("Hi"), hang=True)
    parts = await chat.post({"model": "m", "messages": MESSAGES, "stream": True})
    assert events(parts)[-1] == "[DONE]"
    await asyncio.wait_for(upstream.gone.wait(), 20)


async def test_connections_are_used_again(with_model: Chat, upstream: Upstream) -> None:
    upstream.answers("Hello")
    upstream.answers("Hello")
    upstream.streams(said("Hi"))
    upstream.streams(said("Hi"))
    for stream in (False, False, True, True):
        await with_model.post({"model": "m", "messages": MESSAGES, "stream": stream})
    assert len(set(upstream.ports)) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_tries_again_then_falls_back(
    start: Start, upstream: Upstream, second_upstream: Upstream, stream: bool
) -> None:
    upstream.does("{}", 500)
    if stream:
        second_upstream.streams(said("Hello"))
    else:
        second_upstream.answers("Hello")
    providers = [upstream.provider("a", retries=1), second_upstream.provider("b", models=["m=other-name"])]
    chat = await start(providers=providers)
    parts = await chat.post({"model": "m", "messages": MESSAGES, "stream": stream})
    assert b"Hello" in b"".join(p.data for p in parts)
    assert len(upstream.requests) == 2
    assert second_upstream.requests[0]["model"] == "other-name"


async def test_a_client_that_hangs_up_stops_the_provider(start: Start, upstream: Upstream) -> None:
    chat = await start(providers=[upstream.provider(timeout=60)])
    upstream.streams([chunk({"content": "He"})], hang=True)
    request = openai_pb2.CreateChatCompletionRequest()
    request.body.data = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    call = chat.openai.CreateChatCompletion(request)
    await call.read()
    call.cancel()
    await asyncio.wait_for(upstream.gone.wait(), 20)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": "x" * 201}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "king", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x" * 2_000_001}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": MESSAGES * 2049}, "messages"),
        ({"n": 2}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": "much"}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": []}, "stop"),
        ({"tools": [{"type": "magic"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"store": True}, "store"),
    ],
)
async def test_names_the_field_that_is_wrong(with_model: Chat, change: dict[str, Any], param: str) -> None:
    parts = await with_model.post({"model": "m", "messages": MESSAGES, **change})
    assert error(parts)["param"] == param
    assert error(parts)["type"] == "invalid_request_error"
    assert with_model.status == "400"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
async def test_a_body_that_is_no_request(chat: Chat, body: bytes) -> None:
    assert error(await chat.post(body))["param"] == "body"


async def test_an_unknown_model_is_not_found(chat: Chat) -> None:
    parts = await chat.post({"model": "gpt-x", "messages": MESSAGES})
    assert (error(parts)["code"], chat.status) == ("model_not_found", "404")


async def test_lists_the_models_that_chat_hear_and_draw(with_model: Chat) -> None:
    parts = await with_model.parts(with_model.openai.ListModels(openai_pb2.ListModelsRequest()))
    models = [Model.model_validate(m) for m in json.loads(parts[0].data)["data"]]
    owners = [(m.id, m.owned_by) for m in models]
    assert owners == [("parley-embedded", "parley"), ("m", "canned"), ("tiny-ear", "parley"), ("shapes", "parley")]


async def test_lists_chat_models_while_the_other_services_are_away(start: Start) -> None:
    chat = await start(asr_target="127.0.0.1:1", image_target="127.0.0.1:1")
    parts = await chat.parts(chat.openai.ListModels(openai_pb2.ListModelsRequest()))
    assert [m["id"] for m in json.loads(parts[0].data)["data"]] == ["parley-embedded"]


async def test_gets_one_model(chat: Chat) -> None:
    parts = await chat.parts(chat.openai.GetModel(openai_pb2.GetModelRequest(model="tiny-ear")))
    assert Model.model_validate_json(parts[0].data).id == "tiny-ear"
    parts = await chat.parts(chat.openai.GetModel(openai_pb2.GetModelRequest(model="a/b")))
    assert (error(parts)["code"], chat.status) == ("model_not_found", "404")


async def test_gets_a_model_whose_id_has_a_slash(start: Start, upstream: Upstream) -> None:
    """The SDK percent-encodes it in the path."""
    chat = await start(providers=[upstream.provider(models=["meta/llama", "50%2Foff"])])
    for sent, meant in (
        ("meta%2Fllama", "meta/llama"),
        ("meta/llama", "meta/llama"),
        ("50%2Foff", "50%2Foff"),
        ("50%252Foff", "50%2Foff"),
    ):
        parts = await chat.parts(chat.openai.GetModel(openai_pb2.GetModelRequest(model=sent)))
        assert Model.model_validate_json(parts[0].data).id == meant


async def test_answers_of_a_model_under_an_alias_carry_the_id_that_was_asked_for(
    start: Start, upstream: Upstream
) -> None:
    chat = await start(providers=[upstream.provider(models=["fine2=up"])])
    upstream.answers("Hello")
    upstream.streams([*said("He", "llo")])
    whole = await chat.post({"model": "fine2", "messages": MESSAGES})
    answer = ChatCompletion.model_validate_json(whole[0].data)
    assert (answer.model, answer.id, answer.choices[0].message.content) == ("fine2", "chatcmpl-up", "Hello")
    got = events(await chat.post({"model": "fine2", "messages": MESSAGES, "stream": True}))
    assert [e["model"] for e in got[:-1]] == ["fine2"] * 4
    assert [r["model"] for r in upstream.requests] == ["up", "up"]


async def test_answers_without_an_alias_are_passed_through_byte_for_byte(with_model: Chat, upstream: Upstream) -> None:
    answer = '{"id":"x" ,"object":"chat.completion","created":1,"model":"m-2026","choices":[],"é":1.0}'
    upstream.does(answer)
    assert (await with_model.post({"model": "m", "messages": MESSAGES}))[0].data.decode() == answer
    streamed = [chunk({"content": "é"}), b'data: {"choices" : [],"x":1e0}\n\n', b"data: [DONE]\n\n"]
    upstream.handlers.clear()
    upstream.streams(streamed)
    parts = await with_model.post({"model": "m", "messages": MESSAGES, "stream": True})
    assert b"".join(p.data for p in parts) == b"".join(streamed)


def embedded(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "parley-embedded", "messages": [{"role": "user", "content": text}], **more}


async def test_the_embedded_model_answers_from_a_database(chat: Chat) -> None:
    parts = await chat.post(embedded("How many customers are in each city?", metadata={"database": "shop"}))
    answer = ChatCompletion.model_validate_json(parts[0].data)
    content = answer.choices[0].message.content or ""
    assert content.startswith("There are 2 cities.\n\n| city | count |")
    assert "| Huế | 12 |" in content
    assert chat.sql.asked[0].database == "databases/shop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 7


async def test_a_database_that_does_not_exist_is_not_found(chat: Chat) -> None:
    parts = await chat.post(embedded("How many customers?", metadata={"database": "nope"}))
    assert (error(parts)["code"], chat.status) == ("not_found", "404")
    assert "databases/nope" in error(parts)["message"]
    chat.sql.away = True
    parts = await chat.post(embedded("How many customers?", metadata={"database": "nope"}))
    assert "There are 2 cities." in parts[0].data.decode()


async def test_a_message_has_no_annotations(chat: Chat) -> None:
    assert json.loads((await chat.post(embedded("hello")))[0].data)["choices"][0]["message"]["annotations"] == []


async def test_the_embedded_model_streams_with_usage(chat: Chat) -> None:
    parts = await chat.post(embedded("hello", stream=True, stream_options={"include_usage": True}))
    got = events(parts)
    assert got[-1] == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate(c) for c in got[:-1]]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (chunks[-1].choices, chunks[-2].choices[0].finish_reason) == ([], "stop")
    assert all(c["usage"] is None for c in got[:-2])
    assert chunks[-1].usage is not None
    assert "Hello!" in "".join(c.choices[0].delta.content or "" for c in chunks[:-1])


async def test_the_embedded_model_hears(chat: Chat) -> None:
    data = base64.b64encode(b"how many customers are there").decode()
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    await chat.post(embedded([part], metadata={"database": "shop"}))
    assert chat.sql.asked[0].question == "how many customers are there"
    assert chat.asr.hints == ["how many customers are there", "databases/shop"]


async def test_who_writes_vietnamese_is_heard_without_english_hints(chat: Chat) -> None:
    data = base64.b64encode(b"how many customers are there").decode()
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    text = {"type": "text", "text": "Có bao nhiêu khách hàng?"}
    chat.asr.hints = ["never asked"]
    await chat.post(embedded([text, part], metadata={"database": "shop"}))
    assert chat.asr.hints == []


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tool_choice": {"type": "function", "function": {"name": "no"}}}, "tool_choice"),
        ({"metadata": {"database": 3}}, "metadata.database"),
        ({"frobnicate": 1}, "frobnicate"),
    ],
)
async def test_the_embedded_model_refuses_by_name(chat: Chat, more: dict[str, Any], param: str) -> None:
    assert error(await chat.post(embedded("hi", **more)))["param"] == param


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url"}, "messages[0].content[0]"),
        (
            {"type": "input_audio", "input_audio": {"data": "x", "format": "aiff"}},
            "messages[0].content[0].input_audio.format",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}},
            "messages[0].content[0].input_audio.data",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "é", "format": "wav"}},
            "messages[0].content[0].input_audio.data",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
            "messages[0].content[0].input_audio.data",
        ),
    ],
)
async def test_the_embedded_model_refuses_parts(chat: Chat, part: dict[str, Any], param: str) -> None:
    assert error(await chat.post(embedded([part])))["param"] == param


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def test_the_embedded_model_calls_the_clients_tool_and_reports_its_answer(chat: Chat) -> None:
    request = embedded("What is the weather in Hanoi?", tools=[WEATHER])
    answer = ChatCompletion.model_validate_json((await chat.post(request))[0].data)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (6, 3, 9)
    calls = answer.choices[0].message.tool_calls or []
    call = calls[0].model_dump()
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("get_weather", {"city": "Hanoi"})
    request["messages"] += [
        answer.choices[0].message.model_dump(),
        {"role": "tool", "tool_call_id": call["id"], "content": '{"celsius": 31, "sky": "clear"}'},
    ]
    content = json.loads((await chat.post(request))[0].data)["choices"][0]["message"]["content"]
    assert content == "The tool get_weather answered: celsius: 31; sky: clear"


async def test_the_embedded_model_streams_tool_calls(chat: Chat) -> None:
    got = events(await chat.post(embedded("Weather in Hanoi?", tools=[WEATHER], stream=True)))
    chunks = [ChatCompletionChunk.model_validate(c) for c in got[:-1]]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    calls = [c for k in chunks for c in k.choices[0].delta.tool_calls or []]
    assert calls[0].function is not None
    assert calls[0].function.name == "get_weather"


async def test_client_tools_pass_through_to_a_provider(with_model: Chat, upstream: Upstream) -> None:
    upstream.streams(called("get_weather", {"city": "Huế"}))
    got = events(await with_model.post({"model": "m", "messages": MESSAGES, "tools": [WEATHER], "stream": True}))
    assert got[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert [t["function"]["name"] for t in upstream.requests[0]["tools"]] == ["get_weather"]


async def test_limits_and_stop_texts_hold_for_the_embedded_model(chat: Chat) -> None:
    choice = json.loads((await chat.post(embedded("hello", max_tokens=2)))[0].data)["choices"][0]
    assert (len(choice["message"]["content"].split()), choice["finish_reason"]) == (2, "length")
    choice = json.loads((await chat.post(embedded("hello", stop="!")))[0].data)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello", "stop")

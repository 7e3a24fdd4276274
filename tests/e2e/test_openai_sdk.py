"""The unmodified OpenAI SDK against the whole stack."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.e2e.conftest import CANNED_MODEL, SPOKEN, MeshStack

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def client(stack: MeshStack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=120) as sdk:
        yield sdk


def asked(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert {"parley-embedded", "pocketsphinx"} <= set(ids)
    assert "whisper" not in ids, "it has no model directory here, so it is not loaded"
    assert client.models.retrieve("parley-embedded").object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no/such/model")
    assert caught.value.code == "model_not_found"


def test_a_question_is_answered_with_the_figure_of_the_database(client: openai.OpenAI, stack: MeshStack) -> None:
    answer = client.chat.completions.create(
        model="parley-embedded",
        messages=asked("How many customers are there?"),
        extra_body={"metadata": {"database": "shop"}},
    )
    (expected,) = stack.shop_row("SELECT count(*) FROM customers")
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert str(expected) in (choice.message.content or "").replace(",", "")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_a_streamed_answer_is_the_plain_one(client: openai.OpenAI) -> None:
    question = asked("Có bao nhiêu khách hàng ở Hà Nội?")
    plain = client.chat.completions.create(model="parley-embedded", messages=question)
    chunks = list(
        client.chat.completions.create(
            model="parley-embedded", messages=question, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


def test_client_tools_are_called_and_their_results_told(client: openai.OpenAI) -> None:
    messages = asked("What is the weather in Hanoi?")
    first = client.chat.completions.create(model="parley-embedded", messages=messages, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Hanoi"}
    assistant = first.choices[0].message.model_dump(exclude_none=True)
    messages = [
        *messages,
        assistant,  # type: ignore[list-item]  # what the SDK gave is what it takes
        {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 31, "sky": "clear"}'},
    ]
    second = client.chat.completions.create(model="parley-embedded", messages=messages, tools=[WEATHER])
    assert "31" in (second.choices[0].message.content or "")
    assert second.choices[0].finish_reason == "stop"


def test_streamed_tool_calls_have_the_shape_that_the_sdk_joins(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="parley-embedded", messages=asked("What is the weather in Hanoi?"), tools=[WEATHER]
    ) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments) == {"city": "Hanoi"}


def test_an_upstream_provider_answers_plain_and_streamed(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model=CANNED_MODEL, messages=asked("hello"))
    assert "quick brown fox" in (plain.choices[0].message.content or "")
    chunks = list(client.chat.completions.create(model=CANNED_MODEL, messages=asked("hello"), stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "word " * 20


@pytest.mark.parametrize(
    ("change", "param"),
    [({"n": 2}, "n"), ({"messages": []}, "messages"), ({"temperature": 9}, "temperature")],
    ids=["n", "messages", "temperature"],
)
def test_a_wrong_field_is_named(client: openai.OpenAI, change: dict[str, object], param: str) -> None:
    body: dict[str, object] = {"model": "parley-embedded", "messages": asked("hi"), **change}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**body)  # type: ignore[call-overload]  # wrong on purpose
    assert caught.value.param == param


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-nope", messages=asked("hi"))
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt", "verbose_json"])
def test_audio_is_transcribed_in_every_format(client: openai.OpenAI, stack: MeshStack, response_format: str) -> None:
    answer = client.audio.transcriptions.create(
        model="pocketsphinx",
        file=stack.spoken_question,
        prompt=SPOKEN,
        response_format=response_format,  # type: ignore[call-overload]  # one of the literals, by parametrisation
    )
    text = answer if isinstance(answer, str) else answer.text
    assert SPOKEN in text.lower()
    match response_format:
        case "srt":
            assert text.startswith("1\n00:00:0")
        case "vtt":
            assert text.startswith("WEBVTT")
        case "verbose_json":
            assert float(answer.duration) > 1
            assert answer.segments
            assert answer.segments[0].end > answer.segments[0].start


def test_word_times_and_a_streamed_transcription(client: openai.OpenAI, stack: MeshStack) -> None:
    verbose = client.audio.transcriptions.create(
        model="pocketsphinx",
        file=stack.spoken_question,
        prompt=SPOKEN,
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert verbose.words
    starts = [word.start for word in verbose.words]
    assert starts == sorted(starts)
    events = list(client.audio.transcriptions.create(model="pocketsphinx", file=stack.spoken_question, stream=True))
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta").strip() == events[-1].text


def test_what_is_not_audio_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(model="pocketsphinx", file=("x.wav", b"not audio at all" * 100))
    assert caught.value.param == "file"

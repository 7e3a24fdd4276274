"""Parts of the chat service on their own: events, records, settings, retries."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chat import records
from services.chat.__main__ import main
from services.chat.application import Application
from services.chat.errors import ModelNotFound, UpstreamRateLimited
from services.chat.providers import retry_after
from services.chat.settings import ChatSettings
from services.chat.sse import EventParser, EventTooLong
from services.chat.tools import Column, Segment, Table, ToolCall, ToolResult, Transcript, Word
from services.chat.upstream import MAX_RESULT_CHARACTERS, compact
from services.mesh import errors, settings, status

STREAM = b': comment\r\n\r\ndata: {"a": 1}\r\n\r\nevent: x\ndata:two\ndata: lines\n\n<html>\n\ndata: last'


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_do_not_depend_on_how_the_stream_was_cut(cuts: list[int]) -> None:
    parser = EventParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    events = [e for a, b in pairwise(edges) for e in parser.feed(STREAM[a:b])]
    assert [*events, *parser.close()] == [b'{"a": 1}', b"two\nlines", b"last"]


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_garbage_yields_no_error(chunks: list[bytes]) -> None:
    parser = EventParser()
    for chunk in chunks:
        parser.feed(chunk)
    parser.close()


@pytest.mark.parametrize("data", [b"data: " + b"x" * 200, b"data: xxxxxxxxxx\n" * 20])
def test_an_event_has_a_longest_length(data: bytes) -> None:
    with pytest.raises(EventTooLong):
        EventParser(limit=100).feed(data)


@pytest.mark.parametrize(
    "output",
    [
        "text",
        Table("SELECT 1", "databases/x", (Column("a", "TEXT"),), (("ê",), (None,)), truncated=True, answer="!"),
        Transcript("hi", (Segment("hi", 0.0, 1.0, 0.5, (Word("hi", 0.0, 1.0, 0.5),)),), "en", 1.0, "tiny"),
    ],
)
def test_results_survive_storage(output: Any) -> None:
    result = ToolResult("c", 0.5, output)
    assert records.to_result(json.loads(json.dumps(records.from_result(result)))) == result


@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable("away", retry_after=3),
        errors.InvalidArgument("field", "is wrong"),
        UpstreamRateLimited("x", 4.0),
        status.from_status(status.to_status(errors.NotFound("databases/x"))),
    ],
)
def test_errors_survive_storage(error: errors.ParleyError) -> None:
    record = json.loads(json.dumps(records.from_result(ToolResult("c", 0.5, error=error))))
    restored = records.to_result(record).error
    assert restored is not None
    assert status.to_status(restored) == status.to_status(error)


def test_calls_survive_storage() -> None:
    call = ToolCall("c", "sql.ask", {"question": "?"})
    assert records.to_call(records.from_call(call)) == call


def test_a_large_result_is_shown_in_part() -> None:
    rows = tuple((f"row {i} " * 50,) for i in range(1000))
    text = compact(ToolResult("c", 0.1, Table("", "", (Column("a", "TEXT"),), rows)))
    assert len(text) <= MAX_RESULT_CHARACTERS
    assert json.loads(text)["more_rows"] is True


@pytest.mark.parametrize(("value", "low", "high"), [("17", 17, 17), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0)])
def test_retry_after_is_a_number_or_a_date(value: str, low: float, high: float) -> None:
    seconds = retry_after(value)
    assert seconds is not None
    assert low <= seconds <= high


def test_retry_after_may_be_nonsense() -> None:
    assert retry_after("soon") is None
    assert retry_after("") is None


PROVIDER = {"name": "p", "base_url": "http://p/v1", "api_key": "sk-secret", "models": ["m"]}


def test_providers_come_from_the_environment_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_CHAT_PROVIDERS", json.dumps([PROVIDER]))
    loaded = settings.load(ChatSettings, [])
    assert loaded.providers[0].api_key.get_secret_value() == "sk-secret"
    assert "sk-secret" not in repr(loaded)
    monkeypatch.delenv("PARLEY_CHAT_PROVIDERS")
    file = tmp_path / "providers.json"
    file.write_text(json.dumps([PROVIDER]))
    monkeypatch.setenv("PARLEY_CHAT_PROVIDERS_FILE", str(file))
    assert settings.load(ChatSettings, []).providers[0].name == "p"


@pytest.mark.parametrize("value", ["[{", '[{"name": "p", "api_key": "sk-secret"}]', "3"])
def test_providers_that_are_wrong_are_named_without_their_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("PARLEY_CHAT_PROVIDERS", value)
    with pytest.raises(SystemExit):
        settings.load(ChatSettings, [])
    said = capsys.readouterr().err
    assert said.startswith("PARLEY_CHAT_PROVIDERS")
    assert "sk-secret" not in said


def test_a_providers_file_that_is_wrong_is_named_without_its_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "providers.json"
    monkeypatch.setenv("PARLEY_CHAT_PROVIDERS_FILE", str(file))
    for text in (None, "[{", '[{"name": "p", "api_key": "sk-secret"}]'):
        if text is not None:
            file.write_text(text)
        with pytest.raises(SystemExit):
            settings.load(ChatSettings, [])
        said = capsys.readouterr().err
        assert "providers_file" in said
        assert "sk-secret" not in said


async def test_a_default_model_that_does_not_exist_is_refused_at_start(tmp_path: Path) -> None:
    wrong = ChatSettings.model_validate({"default_model": "none", "database_url": f"sqlite:///{tmp_path}/x.db"})
    with pytest.raises(ModelNotFound):
        Application(wrong)
    with pytest.raises(ModelNotFound):
        await main(wrong)

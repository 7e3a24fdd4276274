"""Parts of the chat service on their own: records, results for models, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.chat import records
from services.chat.__main__ import main
from services.chat.application import Application
from services.chat.errors import ModelNotFound
from services.chat.settings import ChatSettings
from services.chat.tools import Column, Segment, Table, ToolCall, ToolResult, Transcript, Word
from services.chat.upstream import MAX_RESULT_CHARACTERS, compact
from services.mesh import errors, status
from services.mesh.provider_errors import UpstreamRateLimited


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


async def test_a_default_model_that_does_not_exist_is_refused_at_start(tmp_path: Path) -> None:
    wrong = ChatSettings.model_validate({"default_model": "none", "database_url": f"sqlite:///{tmp_path}/x.db"})
    with pytest.raises(ModelNotFound):
        Application(wrong)
    with pytest.raises(ModelNotFound):
        await main(wrong)

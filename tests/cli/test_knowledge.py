"""`parley sql feedback`, `examples`, `suggest` and `eval`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.evaluation import is_ordered, same
from tests.cli.conftest import Gateway, Run, json_reply, stream_reply

SHOP = "/api/v1/databases/shop"
EXAMPLE = {
    "name": "databases/shop/examples/e1",
    "question": "How many?",
    "sql": "SELECT 1",
    "state": "REVIEW_STATE_PROPOSED",
    "useCount": "3",
}


def test_feedback_is_about_the_last_query_unless_a_question_is_given(gateway: Gateway, run: Run) -> None:
    gateway.on("GET", f"{SHOP}/queries", json_reply({"queries": [{"name": "databases/shop/queries/q1"}]}))
    gateway.on("POST", f"{SHOP}:submitFeedback", json_reply({"example": EXAMPLE}))
    done = run("sql", "feedback", "wrong", "-d", "shop", "--corrected", "SELECT 1", "--comment", "too many")
    assert done.returncode == 0
    assert "proposed" in done.stderr
    sent = gateway.requests[-1].json
    assert sent == {
        "verdict": "VERDICT_WRONG",
        "query": "databases/shop/queries/q1",
        "correctedSql": "SELECT 1",
        "comment": "too many",
    }
    run("sql", "feedback", "right", "-d", "shop", "-q", "How many?", "--sql", "SELECT 1")
    sent = gateway.requests[-1].json
    assert (sent["question"], sent["sql"], "query" in sent) == ("How many?", "SELECT 1", False)


def test_feedback_without_any_query_says_what_to_do(gateway: Gateway, run: Run) -> None:
    gateway.on("GET", f"{SHOP}/queries", json_reply({}))
    done = run("sql", "feedback", "right", "-d", "shop")
    assert done.returncode == 2
    assert "--question" in done.stderr


def test_examples_are_listed_reviewed_and_removed(gateway: Gateway, run: Run) -> None:
    gateway.on("GET", f"{SHOP}/examples", json_reply({"examples": [EXAMPLE]}))
    gateway.on("PATCH", f"{SHOP}/examples/e1", json_reply({"example": EXAMPLE}))
    gateway.on("DELETE", f"{SHOP}/examples/e1", json_reply({}))
    listed = run("sql", "examples", "list", "-d", "shop").stdout
    assert listed == "e1\tproposed\t3\tHow many?\tSELECT 1\t\n"
    assert run("sql", "examples", "list", "-d", "shop", "--state", "approved").stdout == ""
    assert run("sql", "examples", "review", "e1", "approved", "-d", "shop").returncode == 0
    assert gateway.requests[-1].json == {"state": "REVIEW_STATE_APPROVED"}
    assert run("sql", "examples", "remove", "e1", "-d", "shop", "--yes").returncode == 0


def test_an_import_names_the_lines_at_fault_and_fails(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    gateway.on(
        "POST",
        f"{SHOP}/examples:import",
        json_reply({"added": 1, "errors": [{"line": 2, "message": "sql: it writes"}]}),
    )
    file = tmp_path / "examples.jsonl"
    file.write_text("one\ntwo\n")
    done = run("sql", "examples", "import", str(file), "-d", "shop")
    assert done.returncode == 1
    assert f"{file}:2: sql: it writes" in done.stderr
    assert gateway.requests[-1].json == {"jsonl": "one\ntwo\n"}
    assert run("sql", "examples", "import", str(tmp_path / "none"), "-d", "shop").returncode == 2


def test_an_export_is_written_as_it_comes(gateway: Gateway, run: Run) -> None:
    gateway.on("GET", f"{SHOP}/examples:export", stream_reply({"question": "Có bao nhiêu?"}))
    assert json.loads(run("sql", "examples", "export", "-d", "shop").stdout) == {"question": "Có bao nhiêu?"}


def test_suggestions_are_shown_with_their_statements(gateway: Gateway, run: Run) -> None:
    reply = {"suggestions": [{"question": "How many?", "sql": "SELECT 1"}]}
    gateway.on("GET", f"{SHOP}/suggestions", json_reply(reply))
    assert run("sql", "suggest", "-d", "shop", "--count", "1", "--language", "vi").stdout == "How many?\tSELECT 1\n"
    assert gateway.requests[-1].query == {"count": ["1"], "languageCode": ["vi"]}


def test_an_evaluation_compares_results_for_each_engine(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    gateway.on("POST", f"{SHOP}:generateQuery", json_reply({"query": {"sql": "SELECT 1"}}))
    rows = [{"rows": {"rows": [[1.0, "a"]]}}, {"summary": {"rowCount": "1"}}]
    gateway.on("POST", f"{SHOP}:executeQuery", stream_reply(*rows))
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "one?", "sql": "SELECT 1, \'a\'"}\n\n{"question": "two?", "sql": "SELECT 2"}\n')
    done = run("sql", "eval", str(file), "-d", "shop", "--engine", "embedded", "--engine", "gpt")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[:5] for line in lines] == [
        ["embedded", "2", "100.0%", "100.0%", "100.0%"],
        ["gpt", "2", "100.0%", "100.0%", "100.0%"],
    ]
    asked = {request.json["engine"] for request in gateway.requests if request.path.endswith("generateQuery")}
    assert asked == {"embedded", "gpt"}


def test_a_refusal_is_no_wrong_answer(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    reason = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ERROR_REASON_QUESTION_NOT_UNDERSTOOD",
        "domain": "parley",
    }
    gateway.on("POST", f"{SHOP}:generateQuery", json_reply({"code": 3, "message": "what?", "details": [reason]}, 400))
    gateway.on("POST", f"{SHOP}:executeQuery", stream_reply({"summary": {"rowCount": "0"}}))
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "one?", "sql": "SELECT 1"}\n')
    done = run("sql", "eval", str(file), "-d", "shop", "--misses")
    assert done.stdout.splitlines()[0].split("\t")[:5] == ["default", "1", "0.0%", "0.0%", "–"]
    assert "what?" in done.stdout


@pytest.mark.parametrize("text", ["", "{", '{"question": "x"}\n', "[]\n"])
def test_a_file_of_questions_that_is_none_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(text)
    done = run("sql", "eval", str(file), "-d", "shop")
    assert done.returncode == 2
    assert str(file) in done.stderr


@pytest.mark.parametrize(
    ("gold", "found", "ordered", "equal"),
    [
        ([(1,), (2,)], [(2,), (1,)], False, True),
        ([(1,), (2,)], [(2,), (1,)], True, False),
        ([("a", 1)], [(1.0, "a")], False, True),
        ([(1, 2), (3, 4)], [(2, 3), (4, 1)], False, False),
        ([(0.1 + 0.2,)], [("0.3",)], False, True),
        ([(1,)], [(1, 1)], False, False),
        ([], [], False, True),
        ([(None,)], [(0,)], False, False),
    ],
)
def test_results_are_compared_by_what_they_say(
    gold: list[tuple[object, ...]], found: list[tuple[object, ...]], ordered: bool, equal: bool
) -> None:
    assert same(gold, found, ordered) is equal


def test_only_an_outer_order_counts() -> None:
    assert is_ordered("SELECT a FROM t ORDER BY a")
    assert not is_ordered("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3)")
    assert not is_ordered("SELECT 'order by'")

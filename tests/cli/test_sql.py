"""`parley sql`, `models` and `conversations`: resources, questions and statements."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Gateway, Reply, Run, json_reply, stream_reply

SHOP = {
    "name": "databases/shop",
    "displayName": "shop",
    "dialect": "DIALECT_SQLITE",
    "schemaTime": "2026-07-01T08:30:00Z",
}
COLUMNS = {"columns": {"columns": [{"name": "n", "type": "COLUMN_TYPE_INTEGER"}, {"name": "who"}]}}
ROWS = [{"rows": {"rows": [[1, 'Lan "L"']]}}, {"rows": {"rows": [[2, None]]}}]
SUMMARY = {"rowCount": "2", "elapsed": "0.004s"}
RUN = "/api/v1/databases/shop:executeQuery"
ASK = "/api/v1/databases/shop:ask"
EXPORT = "/api/v1/databases/shop:exportQuery"
EXPLAIN = "/api/v1/databases/shop:explainQuery"


def test_databases_are_listed_plainly_when_piped(gateway: Gateway, run: Run) -> None:
    gateway.on("GET", "/api/v1/databases", json_reply({"databases": [SHOP]}))
    assert run("sql", "databases").stdout == "shop\tsqlite\t\t2026-07-01 08:30 UTC\n"
    assert json.loads(run("sql", "databases", "--json").stdout) == {"databases": [SHOP]}


def test_lists_follow_their_pages(gateway: Gateway, run: Run) -> None:
    page = {"conversations": [{"name": "conversations/c1", "title": "First"}], "nextPageToken": "t"}
    gateway.on("GET", "/api/v1/conversations", json_reply(page))
    assert run("conversations", "list", "--limit", "3").stdout == "c1\tFirst\t\n" * 3
    assert [request.query.get("pageSize") for request in gateway.requests] == [["3"], ["2"], ["1"]]


def test_a_database_is_added_by_url_file_or_pipe(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    gateway.on("POST", "/api/v1/databases", json_reply({"database": SHOP}))
    file = tmp_path / "shop.db"
    file.touch()
    assert run("sql", "add", "shop", "postgresql://u:p@h/d").returncode == 0
    assert run("sql", "add", "shop", str(file)).returncode == 0
    assert run("sql", "add", "shop", "-", stdin="postgresql://u:p@h/d\n").returncode == 0
    urls = [request.json["url"] for request in gateway.requests]
    assert urls == ["postgresql://u:p@h/d", f"sqlite:///{file}", "postgresql://u:p@h/d"]
    assert gateway.requests[0].query["databaseId"] == ["shop"]


def test_a_url_that_is_none_is_not_repeated(gateway: Gateway, run: Run) -> None:
    result = run("sql", "add", "shop", "user:secret@host/shop")
    assert result.returncode == 2
    assert "secret" not in result.stderr
    assert gateway.requests == []


def test_a_file_outside_the_allowed_folder_comes_with_the_remedy(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    bad = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "database.url", "description": "there is no such file in the folder."}],
    }
    gateway.on("POST", "/api/v1/databases", json_reply({"code": 3, "message": "m", "details": [bad]}, 400))
    file = tmp_path / "shop.db"
    file.touch()
    result = run("sql", "add", "shop", str(file))
    assert result.returncode == 1
    assert result.stderr.startswith("parley: database.url: there is no such file in the folder.")
    assert "parley up --sqlite-root" in result.stderr


def test_removal_asks_first(gateway: Gateway, run: Run) -> None:
    gateway.on("DELETE", "/api/v1/databases/shop", json_reply({}))
    refused = run("sql", "remove", "shop")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert run("sql", "remove", "databases/shop", "--yes").returncode == 0
    assert [request.method for request in gateway.requests] == ["DELETE"]


def test_rows_stream_as_tab_separated_lines_csv_or_json(gateway: Gateway, run: Run) -> None:
    events = [COLUMNS, *ROWS, {"summary": SUMMARY}]
    gateway.on("POST", RUN, stream_reply(*events))
    plain = run("sql", "run", "SELECT 1", "-d", "shop", "--timeout", "2.5", "--max-rows", "9")
    assert plain.stdout == 'n\twho\n1\tLan "L"\n2\t\n'
    assert plain.stderr == "2 rows, 4 ms in the database\n"
    assert gateway.only(RUN).json == {"sql": "SELECT 1", "maxRows": 9, "timeout": "2.500000000s"}
    assert run("sql", "run", "SELECT 1", "-d", "shop", "--csv").stdout == 'n,who\n1,"Lan ""L"""\n2,\n'
    shown = run("sql", "run", "-", "-d", "shop", "--json", stdin="SELECT 2").stdout
    assert [json.loads(line) for line in shown.splitlines()] == events


def test_rows_that_break_off_are_shown_and_reported(
    gateway: Gateway, run: Run, run_on_terminal: Callable[..., tuple[int, str]]
) -> None:
    gateway.on("POST", RUN, stream_reply(COLUMNS, ROWS[0]))
    piped = run("sql", "run", "SELECT 1", "-d", "shop")
    assert (piped.returncode, piped.stdout) == (1, 'n\twho\n1\tLan "L"\n')
    assert "incomplete" in piped.stderr
    code, shown = run_on_terminal("sql", "run", "SELECT 1", "-d", "shop")
    assert code == 1
    assert 'Lan "L"' in shown


def test_a_question_gives_sql_rows_and_a_sentence(gateway: Gateway, run: Run) -> None:
    query = {"query": {"sql": "SELECT n", "confidence": 0.9}}
    answer = {"answer": {"text": "There are 2.", "summary": SUMMARY}}
    gateway.on("POST", ASK, stream_reply({"linkedSchema": {}}, query, COLUMNS, *ROWS, answer))
    gateway.on("GET", "/api/v1/databases", json_reply({"databases": [SHOP]}))
    result = run("sql", "ask", "how many?")
    assert result.stdout == 'n\twho\n1\tLan "L"\n2\t\nThere are 2.\n'
    assert "SELECT n" in result.stderr


@pytest.mark.parametrize(
    ("found", "code", "hint"),
    [([], 1, "parley sql add"), ([SHOP, {"name": "databases/hr"}], 2, "shop, hr")],
)
def test_which_database_must_be_clear(
    gateway: Gateway, run: Run, found: list[dict[str, str]], code: int, hint: str
) -> None:
    gateway.on("GET", "/api/v1/databases", json_reply({"databases": found}))
    result = run("sql", "ask", "how many?")
    assert result.returncode == code
    assert hint in result.stderr


def test_a_dry_run_writes_the_sql_only(gateway: Gateway, run: Run) -> None:
    query = {"sql": "SELECT 1", "explanation": "One.", "confidence": 0.83, "engine": "embedded"}
    gateway.on("POST", "/api/v1/databases/shop:generateQuery", json_reply({"query": query}))
    result = run("sql", "ask", "one?", "-d", "shop", "--dry-run")
    assert result.stdout == "SELECT 1\n"
    assert result.stderr == "One. (confidence 83%, embedded)\n"


def test_a_schema_names_keys(gateway: Gateway, run: Run) -> None:
    table = {
        "name": "orders",
        "primaryKey": ["id"],
        "columns": [
            {"name": "id", "type": "INTEGER"},
            {"name": "customer_id", "type": "INTEGER", "nullable": True, "sampleValues": ["1", "2", "3", "4"]},
        ],
        "foreignKeys": [{"columns": ["customer_id"], "referredTable": "customers", "referredColumns": ["id"]}],
    }
    gateway.on("POST", "/api/v1/databases/shop/schema:refresh", json_reply({"schema": {"tables": [table]}}))
    shown = run("sql", "schema", "shop", "--refresh").stdout
    assert shown == ("orders\tid\tINTEGER not null\tprimary\t\norders\tcustomer_id\tINTEGER\t→ customers.id\t1, 2, 3\n")


def test_models_of_both_kinds_are_listed(gateway: Gateway, run: Run) -> None:
    chat = [{"id": "parley-embedded", "provider": "parley", "description": "No LLM."}]
    speech = [{"id": "pocketsphinx-en", "description": "Weak.", "languageCodes": ["en-US"]}]
    gateway.on("GET", "/api/v1/models", json_reply({"models": chat}))
    gateway.on("GET", "/api/v1/speech/models", json_reply({"models": speech}))
    shown = run("models").stdout
    assert shown == ("parley-embedded\tchat\tNo LLM. [parley]\npocketsphinx-en\tspeech\tWeak. Not loaded. [en-US]\n")
    listed = json.loads(run("models", "--json").stdout)
    assert (listed["chat"], listed["speech"], listed["imageModels"]) == (chat, speech, [])


def test_a_conversation_is_shown_renamed_and_deleted(gateway: Gateway, run: Run) -> None:
    path = "/api/v1/conversations/c1"
    messages = [
        {"role": "ROLE_USER", "text": "hello", "attachments": [{"filename": "a.wav", "size": "1234"}]},
        {"role": "ROLE_ASSISTANT", "text": "there", "state": "MESSAGE_STATE_INTERRUPTED"},
    ]
    gateway.on("GET", f"{path}/messages", json_reply({"messages": messages}))
    gateway.on("PATCH", path, json_reply({"conversation": {}}))
    gateway.on("DELETE", path, json_reply({}))
    shown = run("conversations", "show", "c1").stdout
    assert shown == "you\n[a.wav, 1,234 bytes]\nhello\n\nparley  (cut off)\nthere\n\n"
    assert run("conversations", "rename", "c1", "Greetings").returncode == 0
    assert gateway.only(path).json == {"title": "Greetings"}
    assert run("conversations", "delete", "c1", "-y").returncode == 0
    assert gateway.requests[-1].method == "DELETE"


@pytest.mark.parametrize(
    ("arguments", "form"),
    [(["-o", "x.csv"], "CSV"), (["-o", "x.xlsx"], "XLSX"), (["-o", "x.data", "--format", "arrow"], "ARROW")],
)
def test_a_result_is_written_to_a_file(
    gateway: Gateway, run: Run, tmp_path: Path, arguments: list[str], form: str
) -> None:
    gateway.on("POST", EXPORT, Reply([b"a,b\r\n", b"1,2\r\n"]))
    file = tmp_path / arguments[1]
    result = run("sql", "run", "SELECT 1", "-d", "shop", "--confirm-cost", "-o", str(file), *arguments[2:])
    assert (result.returncode, result.stdout) == (0, "")
    assert "10 bytes" in result.stderr
    assert file.read_bytes() == b"a,b\r\n1,2\r\n"
    sent = gateway.only(EXPORT).json
    assert (sent["format"], sent["confirmCost"]) == (f"EXPORT_FORMAT_{form}", True)


def test_a_file_that_fails_leaves_what_was_there(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("old")
    gateway.on("POST", EXPORT, json_reply({"code": 3, "message": "sql: only SELECT is allowed."}, 400))
    result = run("sql", "run", "DROP TABLE t", "-d", "shop", "-o", str(file))
    assert result.returncode == 1
    assert "only SELECT" in result.stderr
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("x.csv", "old")]


@pytest.mark.parametrize(("arguments", "hint"), [(["-o", "x.doc"], "--format"), (["--format", "csv"], "--output")])
def test_a_file_s_format_must_be_clear(gateway: Gateway, run: Run, arguments: list[str], hint: str) -> None:
    result = run("sql", "run", "SELECT 1", "-d", "shop", *arguments)
    assert result.returncode == 2
    assert hint in result.stderr
    assert not gateway.requests


def test_an_explanation_is_said_in_lines(gateway: Gateway, run: Run) -> None:
    found = {
        "plan": "Seq Scan on orders",
        "cost": 1234.5,
        "elapsed": "0.012s",
        "scans": [{"table": "orders", "rows": "20000", "filter": "status = 'lost'"}],
        "indexes": [{"statement": "CREATE INDEX i ON orders (status)", "reason": "orders: few are left."}],
        "rewrites": [{"sql": "SELECT 2", "reason": "it was simplified.", "cost": 10, "elapsed": "0.001s"}],
        "needsConfirmation": True,
    }
    gateway.on("POST", EXPLAIN, json_reply(found))
    shown = run("sql", "explain", "SELECT 1", "-d", "shop", "--measure", "--plan").stdout
    assert shown.splitlines() == [
        "cost 1,234, took 12 ms, above the ceiling: it needs --confirm-cost",
        "reads all 20,000 rows of orders, for those with status = 'lost'",
        "an index would help; orders: few are left.",
        "  CREATE INDEX i ON orders (status);",
        "cost 10, took 1 ms when written so; it was simplified.",
        "  SELECT 2;",
        "Seq Scan on orders",
    ]
    assert gateway.only(EXPLAIN).json == {"sql": "SELECT 1", "measure": True}
    assert json.loads(run("sql", "explain", "SELECT 1", "-d", "shop", "--json").stdout) == found


def test_a_question_back_is_shown_with_its_choices(gateway: Gateway, run: Run) -> None:
    choices = [{"text": "Cities of customers.", "sql": "SELECT 1"}, {"text": "Cities of employees.", "sql": "SELECT 2"}]
    gateway.on("POST", ASK, stream_reply({"clarification": {"text": "Which of these?", "choices": choices}}))
    result = run("sql", "ask", "-d", "shop", "list the cities")
    assert result.returncode == 0
    assert result.stdout == "Which of these?\n1. Cities of customers.\n2. Cities of employees.\n"
    assert "SELECT 2" in result.stderr
    assert "--guess" in result.stderr


def test_guessing_and_thinking_are_asked_for(gateway: Gateway, run: Run) -> None:
    steps = [{"step": {"text": "Candidate 1 gives 3 rows."}}, {"answer": {"text": "Three.", "summary": {}}}]
    gateway.on("POST", ASK, stream_reply(*steps))
    result = run("sql", "ask", "-d", "shop", "--guess", "--candidates", "3", "how many?")
    assert gateway.only(ASK).json["guess"] is True
    assert gateway.only(ASK).json["thinking"] == {"candidates": 3}
    assert "Candidate 1 gives 3 rows." in result.stderr


def test_a_semantic_layer_is_printed_and_replaced(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    path = "/api/v1/databases/shop/semanticLayer"
    gateway.on("GET", path, json_reply({"yaml": "version: 1\n"}))
    gateway.on("PUT", path, json_reply({"warnings": ["“people” means several things: a, b"]}))
    assert run("sql", "semantics", "get", "shop").stdout == "version: 1\n"
    file = tmp_path / "shop.yaml"
    file.write_text("version: 1\n")
    result = run("sql", "semantics", "set", "shop", str(file))
    assert result.returncode == 0
    assert "several things" in result.stderr
    assert gateway.requests[-1].json == {"yaml": "version: 1\n"}
    assert run("sql", "semantics", "set", "shop", str(tmp_path / "missing.yaml")).returncode == 2

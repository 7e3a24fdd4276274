"""The `parley` command and the demo against the real mesh."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import demo_picture
from deploy.local.components import HEALTH, TRITON
from tests.conftest import ROOT
from tests.e2e.conftest import MeshStack


def parley(stack: MeshStack, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs the command, piped, and expects an exit code."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PARLEY_")}
    environment = {**kept, "PARLEY_GATEWAY": stack.url, "PARLEY_STATE": str(stack.settings.state)}
    command = [sys.executable, "-m", "cli", *arguments]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def test_a_typed_and_a_spoken_question_are_answered(stack: MeshStack) -> None:
    (count,) = stack.shop_row("SELECT count(*) FROM customers")
    typed = parley(stack, "ask", "-d", "shop", stdin="How many customers are there?\n")
    assert typed.stdout.splitlines()[1] == str(count)
    spoken = parley(stack, "ask", "--audio", str(stack.spoken_question), "-d", "shop")
    assert spoken.stdout == typed.stdout
    assert "heard “how many customers are there”" in spoken.stderr


def test_the_events_of_an_answer_are_lines_of_json(stack: MeshStack) -> None:
    events = [
        json.loads(line)
        for line in parley(stack, "ask", "How many orders are there?", "-d", "shop", "--json").stdout.splitlines()
    ]
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert "started" in events[0]
    assert "done" in events[-1]
    (table,) = [event["toolResult"]["table"] for event in events if "table" in event.get("toolResult", {})]
    assert table["rows"] == [list(stack.shop_row("SELECT count(*) FROM orders"))]


def test_a_conversation_is_continued_shown_renamed_and_deleted(stack: MeshStack) -> None:
    parley(stack, "ask", "How many suppliers are there?", "-d", "shop")
    parley(stack, "ask", "How many employees are there?", "-d", "shop", "--last")
    listed = parley(stack, "conversations", "list", "--limit", "1").stdout
    name = listed.split("\t")[0]
    shown = parley(stack, "conversations", "show", name).stdout
    assert shown.index("suppliers") < shown.index("employees")
    parley(stack, "conversations", "rename", name, "Head counts")
    assert parley(stack, "conversations", "list", "--limit", "1").stdout.split("\t")[1] == "Head counts"
    parley(stack, "conversations", "delete", name, "--yes")
    assert "conversations list" in parley(stack, "conversations", "show", name, code=1).stderr


def test_a_refused_message_leaves_no_conversation_behind(stack: MeshStack) -> None:
    before = parley(stack, "conversations", "list", "--json").stdout
    refused = parley(stack, "ask", "hello", "-m", "no-such-model", code=1)
    assert "no-such-model" in refused.stderr
    assert parley(stack, "conversations", "list", "--json").stdout == before


@pytest.mark.parametrize(
    ("form", "expected"), [("text", "how many customers"), ("srt", "00:00:0"), ("vtt", "WEBVTT"), ("json", '"text"')]
)
def test_recordings_are_transcribed(stack: MeshStack, tmp_path: Path, form: str, expected: str) -> None:
    hint = ["--prompt", "how many customers are there"]
    parley(stack, "transcribe", str(stack.spoken_question), "-f", form, "-o", str(tmp_path), *hint)
    (written,) = tmp_path.iterdir()
    assert expected in written.read_text()


def test_what_is_no_recording_is_refused_by_name(stack: MeshStack) -> None:
    refused = parley(stack, "transcribe", str(stack.shop), code=1)
    (line,) = refused.stderr.splitlines()
    assert stack.shop.name in line


def test_statements_run_and_writing_ones_do_not(stack: MeshStack) -> None:
    statement = "SELECT id, name FROM customers ORDER BY id"
    rows = list(csv.reader(io.StringIO(parley(stack, "sql", "run", statement, "-d", "shop", "--csv").stdout)))
    first = stack.shop_row(statement)
    assert rows[:2] == [["id", "name"], [str(first[0]), first[1]]]
    (line,) = parley(stack, "sql", "run", "DELETE FROM customers", "-d", "shop", code=1).stderr.splitlines()
    assert "SELECT" in line


def test_a_database_is_added_described_and_removed(stack: MeshStack) -> None:
    parley(stack, "sql", "add", "second", str(stack.shop), "--description", "The same shop.")
    assert "second\tsqlite\tThe same shop." in parley(stack, "sql", "databases").stdout
    assert "exists" in parley(stack, "sql", "add", "second", str(stack.shop), code=1).stderr
    assert "customers\tname\t" in parley(stack, "sql", "schema", "second", "--refresh").stdout
    assert "parley sql databases" in parley(stack, "sql", "ask", "How many?", "-d", "absent", code=1).stderr
    parley(stack, "sql", "remove", "second", "--yes")
    assert "second" not in parley(stack, "sql", "databases").stdout


def test_the_stack_is_described_with_its_logs(stack: MeshStack) -> None:
    parts = {line.split("\t")[0]: line.split("\t")[1] for line in parley(stack, "status").stdout.splitlines()}
    assert parts == dict.fromkeys((TRITON, *HEALTH, "envoy"), "ready")
    assert '"event": "ready"' in parley(stack, "logs", "chat").stdout
    assert "parley-embedded\tchat" in parley(stack, "models").stdout


def test_the_demo_runs_to_its_end_and_leaves_nothing(stack: MeshStack) -> None:
    """The stack of this run goes on beside it: the demo's own takes nothing from it."""
    command = [sys.executable, "-m", "deploy.local.demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓ 8 rows") == 2, done.stdout
    for hop in ("Envoy", "chat  SendMessage", "chat  CreateChatCompletion", "asr  Recognize", "sql  Ask", "Triton"):
        assert hop in done.stdout
    if demo_picture.possible():
        assert "image  Generate" in done.stdout
        assert "checker reads: " in done.stdout
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{ROOT}/.parley/demo-" not in left
    assert parley(stack, "status").returncode == 0

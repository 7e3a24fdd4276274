"""`parley ask`: events in, an answer out; what breaks ends with its exit code."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Gateway, Run, json_reply, start, stream_reply

CONVERSATION = "conversations/c1"
SEND = f"/api/v1/{CONVERSATION}/messages:send"

STARTED = {"sequence": "1", "started": {"generation": "generations/g1", "message": "messages/m2", "model": "m"}}
CALL = {"sequence": "2", "toolCall": {"id": "t1", "tool": "sql.ask", "arguments": {"database": "databases/shop"}}}
TABLE = {
    "sql": "SELECT city, COUNT(*) FROM customers GROUP BY city",
    "columns": [{"name": "city", "type": "COLUMN_TYPE_TEXT"}, {"name": "count", "type": "COLUMN_TYPE_INTEGER"}],
    "rows": [["Hà Nội", 7], ["Leeds\tWest", 3.0], [None, 1]],
}
RESULT = {"sequence": "3", "toolResult": {"callId": "t1", "elapsed": "0.012s", "table": TABLE}}
TEXT = [{"sequence": str(n), "textDelta": {"text": text}} for n, text in enumerate(("There are ", "11."), 4)]
DONE = {"sequence": "6", "done": {"finishReason": "FINISH_REASON_STOP", "message": {"text": "There are 11."}}}
EVENTS = [STARTED, CALL, RESULT, *TEXT, DONE]


@pytest.fixture
def answering(gateway: Gateway) -> Gateway:
    """A gateway whose chat answers with a table and a sentence."""
    gateway.on("POST", "/api/v1/conversations", json_reply({"conversation": {"name": CONVERSATION}}))
    gateway.on("POST", SEND, stream_reply(*EVENTS))
    return gateway


def test_piped_output_is_plain_with_rows_as_tab_separated_lines(answering: Gateway, run: Run) -> None:
    result = run("ask", "how many customers in each city?", "-d", "shop", "-m", "parley-embedded")
    assert result.returncode == 0
    assert result.stdout == "city\tcount\nHà Nội\t7\nLeeds\\tWest\t3\n\t1\nThere are 11.\n"
    assert "sql.ask database=databases/shop" in result.stderr
    assert "parley ask -c c1" in result.stderr
    sent = answering.only(SEND).json
    assert sent == {
        "text": "how many customers in each city?",
        "database": "databases/shop",
        "model": "parley-embedded",
    }


def test_json_prints_the_events_one_in_each_line(answering: Gateway, run: Run) -> None:
    result = run("ask", "q", "--json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == EVENTS
    assert result.stderr == ""


def test_a_terminal_gets_a_table_and_colours(
    answering: Gateway, run_on_terminal: Callable[..., tuple[int, str]]
) -> None:
    code, shown = run_on_terminal("ask", "q")
    assert code == 0
    assert " Hà Nội " in shown
    assert "╭" in shown
    assert "\x1b[" in shown
    assert "There are 11." in shown


def test_a_recording_is_shown_with_who_said_what(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    speakers = [{"id": "S1", "displayName": "S1", "seconds": 4.2}, {"id": "S2", "displayName": "Lan", "seconds": 5.0}]
    segments = [
        {"text": "good morning", "end": 2.5, "speaker": "S1"},
        {"text": "forty two\x1b[2J orders", "start": 63.5, "end": 70.0, "speaker": "S2"},
    ]
    transcript = {"text": "…", "duration": 70.0, "speakers": speakers, "segments": segments}
    progress = {"sequence": "2", "toolProgress": {"callId": "audio_1", "progress": 0.5, "remaining": "3s"}}
    result = {"sequence": "3", "toolResult": {"callId": "audio_1", "elapsed": "2s", "transcript": transcript}}
    gateway.on("POST", "/api/v1/conversations", json_reply({"conversation": {"name": CONVERSATION}}))
    gateway.on("POST", SEND, stream_reply(STARTED, progress, result, *TEXT, DONE))
    file = tmp_path / "talk.wav"
    file.write_bytes(b"RIFF")
    shown = run("ask", "Who spoke?", "--audio", str(file))
    assert shown.returncode == 0
    assert shown.stdout == "[0:00] S1: good morning\n[1:03] Lan: forty two\x1b[2J orders\nThere are 11.\n"
    assert "heard 70.0 s of audio: S1 4 s, Lan 5 s (2,000 ms)" in shown.stderr
    # What moves is for terminals.
    assert "transcribed" not in shown.stderr


def test_a_terminal_sees_the_progress_of_a_recording(
    gateway: Gateway, run_on_terminal: Callable[..., tuple[int, str]]
) -> None:
    progress = {"sequence": "2", "toolProgress": {"callId": "audio_1", "progress": 0.5, "remaining": "3s"}}
    gateway.on("POST", "/api/v1/conversations", json_reply({"conversation": {"name": CONVERSATION}}))
    gateway.on("POST", SEND, stream_reply(STARTED, progress, *TEXT, DONE))
    code, shown = run_on_terminal("ask", "q")
    assert code == 0
    assert "50% transcribed, 3 s left" in shown


def test_no_color_is_honoured(answering: Gateway, run_on_terminal: Callable[..., tuple[int, str]]) -> None:
    code, shown = run_on_terminal("ask", "q", NO_COLOR="1")
    assert code == 0
    assert "\x1b[3" not in shown
    assert "Hà Nội" in shown


def test_an_answer_cannot_drive_the_terminal(gateway: Gateway, run_on_terminal: Callable[..., tuple[int, str]]) -> None:
    gateway.on("POST", "/api/v1/conversations", json_reply({"conversation": {"name": CONVERSATION}}))
    evil = {"textDelta": {"text": "a\x1b]0;owned\x07b"}}
    gateway.on("POST", SEND, stream_reply(STARTED, evil, DONE))
    _code, shown = run_on_terminal("ask", "q")
    assert "\x1b]0" not in shown
    assert "a\ufffd]0;owned\ufffdb" in shown


@pytest.mark.parametrize("arguments", [["ask"], ["ask", "-"]])
def test_the_question_can_be_piped_in(answering: Gateway, run: Run, arguments: list[str]) -> None:
    assert run(*arguments, stdin="how many?\n").returncode == 0
    assert answering.only(SEND).json["text"] == "how many?"


def test_no_question_at_all_is_wrong_usage(gateway: Gateway, run: Run) -> None:
    result = run("ask", stdin="  \n")
    assert result.returncode == 2
    assert "no question" in result.stderr
    assert gateway.requests == []


def test_a_recording_goes_along_as_attachment(answering: Gateway, run: Run, tmp_path: Path) -> None:
    recording = tmp_path / "turn.wav"
    recording.write_bytes(b"RIFF....WAVE")
    assert run("ask", "--audio", str(recording)).returncode == 0
    (attachment,) = answering.only(SEND).json["attachments"]
    assert attachment["filename"] == "turn.wav"
    assert attachment["contentType"] in {"audio/x-wav", "audio/wav"}
    assert base64.b64decode(attachment["content"]) == b"RIFF....WAVE"


def test_an_empty_recording_is_refused_before_anything_is_sent(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    recording = tmp_path / "turn.wav"
    recording.touch()
    result = run("ask", "--audio", str(recording))
    assert result.returncode == 2
    assert "--audio" in result.stderr
    assert gateway.requests == []


def test_a_conversation_is_continued_by_its_id(answering: Gateway, run: Run) -> None:
    assert run("ask", "and then?", "-c", "c1").returncode == 0
    assert [request.path for request in answering.requests] == [SEND]


def test_the_last_conversation_is_continued(answering: Gateway, run: Run) -> None:
    answering.on("GET", "/api/v1/conversations", json_reply({"conversations": [{"name": CONVERSATION}]}))
    assert run("ask", "and then?", "--last").returncode == 0
    assert [request.path for request in answering.requests] == ["/api/v1/conversations", SEND]


def test_a_refused_message_leaves_no_empty_conversation(answering: Gateway, run: Run) -> None:
    answering.on("POST", SEND, json_reply({"code": 3, "message": "text: say something"}, 400))
    answering.on("DELETE", f"/api/v1/{CONVERSATION}", json_reply({}))
    assert run("ask", "q").returncode == 1
    assert [request.method for request in answering.requests] == ["POST", "POST", "DELETE"]
    assert run("ask", "q", "-c", "c1").returncode == 1
    assert [request.method for request in answering.requests] == ["POST", "POST", "DELETE", "POST"]


def test_a_stream_without_its_last_event_is_incomplete(answering: Gateway, run: Run) -> None:
    answering.on("POST", SEND, stream_reply(STARTED, *TEXT))
    result = run("ask", "q")
    assert result.returncode == 1
    assert result.stdout == "There are 11.\n"
    assert "incomplete" in result.stderr


def test_an_error_in_the_stream_keeps_what_came_before(answering: Gateway, run: Run) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ERROR_REASON_DEPENDENCY_UNAVAILABLE",
        "domain": "parley",
    }
    status: dict[str, Any] = {"code": 14, "message": "Speech cannot be reached.", "details": [info, retry]}
    answering.on("POST", SEND, stream_reply(STARTED, TEXT[0], {"sequence": "5", "error": status}))
    result = run("ask", "q")
    assert result.returncode == 1
    assert result.stdout == "There are \n"
    (error,) = result.stderr.splitlines()
    assert error == "parley: Speech cannot be reached. `parley status` says what is down. Worth another try in 2 s."


def _cancelled_by(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=20)


def test_ctrl_c_hangs_up_cancels_the_generation_and_exits_with_130(answering: Gateway) -> None:
    answering.on("POST", SEND, stream_reply(STARTED, TEXT[0], then_hang=True))
    answering.on("POST", "/api/v1/generations/g1:cancel", json_reply({"wasRunning": True}))
    with start(answering.url, "ask", "tell me everything", "-c", "c1") as process:
        assert process.stdout is not None
        assert process.stdout.read(len("There are ")) == "There are "
        _out, err = _cancelled_by(process)
    assert process.returncode == 130
    assert err == "Stopped.\n"
    assert answering.hung_up.wait(10)
    assert answering.requests[-1].path == "/api/v1/generations/g1:cancel"

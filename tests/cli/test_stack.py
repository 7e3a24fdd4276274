"""`parley up`, `down`, `status`, `logs` where nothing runs or nothing can; tests/e2e runs the real stack."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.cli.conftest import Run
from tests.conftest import free_port


def test_nothing_runs_is_said_and_has_its_exit_code(run: Run, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    shown = run("status", "--state", state)
    assert (shown.returncode, shown.stdout) == (3, "")
    assert "Nothing is running" in shown.stderr
    as_json = run("status", "--state", state, "--json")
    assert as_json.returncode == 3
    assert json.loads(as_json.stdout)["components"] == []
    assert run("down", "--state", state).stderr.startswith("Nothing is running")


def test_a_log_that_does_not_exist_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "chat.log").write_text("one\ntwo\n")
    unknown = run("logs", "caht", "--state", str(tmp_path))
    assert unknown.returncode == 2
    assert "chat" in unknown.stderr
    assert run("logs", "chat", "-n", "1", "--state", str(tmp_path)).stdout == "two\n"
    assert run("logs", "--state", str(tmp_path)).stdout == "chat\tone\nchat\ttwo\n"


def test_a_taken_port_is_named_before_anything_starts(run: Run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for extra in ([], ["--detach"]):
            result = run("up", "--port", port, "--state", str(tmp_path), *extra)
            assert result.returncode == 1
            (line,) = result.stderr.splitlines()
            assert port in line
            assert "--port" in line


def test_a_model_directory_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    result = run("up", "--state", str(tmp_path), "--model-directory", "/no/such/models")
    assert result.returncode == 2
    assert "/no/such/models" in result.stderr


def test_a_folder_that_cannot_be_written_is_named(run: Run) -> None:
    result = run("up", "--state", "/proc/nothing")
    assert result.returncode == 1
    assert "/proc/nothing" in result.stderr
    assert "--state" in result.stderr


def test_half_a_certificate_is_named_before_anything_starts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("x")
    ports = ("--port", str(free_port()), "--admin-port", str(free_port()))
    for extra in ([], ["--detach"]):
        result = run("up", "--state", str(tmp_path), *ports, "--tls-certificate", str(tmp_path / "cert.pem"), *extra)
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert "PARLEY_GATEWAY_TLS_KEY_FILE" in line

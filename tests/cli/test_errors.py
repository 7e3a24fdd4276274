"""Whatever goes wrong: one line that names the field and the remedy, and an exit code that tells the kinds apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Gateway, Reply, Run, json_reply
from tests.conftest import free_port

TYPE = "type.googleapis.com/google.rpc."


def status(code: int, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """A google.rpc.Status in JSON."""
    return {"code": code, "message": message, "details": list(details)}


def info(reason: str, **metadata: str) -> dict[str, Any]:
    """A google.rpc.ErrorInfo in JSON."""
    return {"@type": f"{TYPE}ErrorInfo", "reason": f"ERROR_REASON_{reason}", "domain": "parley", "metadata": metadata}


@pytest.mark.parametrize(
    "arguments", [["models"], ["ask", "q"], ["sql", "databases"], ["conversations", "list"], ["sql", "ask", "q"]]
)
def test_without_a_gateway_every_client_says_how_to_start_one(run: Run, arguments: list[str]) -> None:
    result = run(*arguments, url=f"http://127.0.0.1:{free_port()}")
    assert result.returncode == 3
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "parley up" in line


@pytest.mark.parametrize("url", ["ftp://there", "127.0.0.1:8080", "http://", "nonsense"])
def test_a_gateway_that_is_no_url_is_wrong_usage(run: Run, url: str) -> None:
    result = run("models", "--gateway", url)
    assert result.returncode == 2
    assert "--gateway" in result.stderr


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        pytest.param(
            json_reply(status(5, "databases/shop does not exist.", info("NOT_FOUND", resource="databases/shop")), 404),
            "parley: databases/shop does not exist. `parley sql databases` lists them.",
            id="not found",
        ),
        pytest.param(
            json_reply(
                status(
                    3,
                    "The request is invalid.",
                    info("INVALID_ARGUMENT"),
                    {
                        "@type": f"{TYPE}BadRequest",
                        "fieldViolations": [
                            {"field": "question", "description": "Say something."},
                            {"field": "max_rows", "description": "At most 1000000."},
                        ],
                    },
                ),
                400,
            ),
            "parley: question: Say something.; max_rows: At most 1000000.",
            id="field violations",
        ),
        pytest.param(
            json_reply({"error": {"message": "Too long.", "type": "x", "param": "question", "code": None}}, 400),
            "parley: question: Too long.",
            id="OpenAI envelope",
        ),
        pytest.param(
            Reply([b"upstream\nconnect error"], 503),
            "parley: the gateway answered HTTP 503: upstream connect error",
            id="text",
        ),
        pytest.param(Reply([], 500), "parley: the gateway answered HTTP 500", id="nothing"),
        pytest.param(Reply([b"[1,2]"], 500), "parley: the gateway answered HTTP 500: [1,2]", id="other JSON"),
        pytest.param(Reply([b"<html>"]), "Is it a Parley gateway?", id="something else answers"),
    ],
)
def test_an_error_of_the_server_is_one_line(gateway: Gateway, run: Run, reply: Reply, line: str) -> None:
    gateway.on("POST", "/api/v1/databases/shop:ask", reply)
    result = run("sql", "ask", "q", "-d", "shop")
    assert result.returncode == 1
    assert result.stdout == ""
    (shown,) = result.stderr.splitlines()
    assert line in shown


@pytest.mark.parametrize("arguments", [["ask", "--audio", "absent.wav"], ["transcribe", "absent.wav"], ["nonsense"]])
def test_wrong_usage_exits_with_2_before_anything_is_sent(gateway: Gateway, run: Run, arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2
    assert gateway.requests == []


def test_version_and_help_need_no_gateway(run: Run) -> None:
    assert run("--version").stdout.startswith("parley ")
    assert "transcribe" in run("--help").stdout


def test_help_loads_no_http_client(run: Run, tmp_path: Path) -> None:
    """Start-up is quick because nothing is imported that the command does not use."""
    import subprocess
    import sys

    program = "import sys, cli.main; print(sorted({'httpx', 'rich', 'grpc', 'yaml'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"

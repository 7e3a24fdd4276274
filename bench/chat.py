"""Chat through the whole path against LiteLLM's proxy and a FastAPI + httpx proxy, before the same canned provider.

Run as ``python -m bench.chat [--seconds S] [--rounds N]``. Parley is Envoy (one worker) and the chat service, with
everything on; each of the others is one worker too. Rounds alternate, 16 connections each. The others are installed
into .bench-venv on first use. Bars: 15 times LiteLLM's requests/s, 2.5 times FastAPI's, at most 3 ms more to the first
token of a stream than from the provider directly. ``--gateway URL`` measures a gateway that runs already, whose chat
service offers the model `canned`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import guard
from deploy.local import ports
from gateway import config

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".bench-venv"
OTHERS = ["litellm[proxy]", "fastapi", "httpx", "uvicorn", "uvloop", "httptools"]
COMPLETIONS = "/v1/chat/completions"

# What most people would write: one client, the body passed through.
FASTAPI = """
import os
import httpx
from fastapi import FastAPI, Request, Response
app = FastAPI()
client = httpx.AsyncClient(limits=httpx.Limits(max_connections=256, max_keepalive_connections=256), timeout=60)
@app.post("/v1/chat/completions")
async def complete(request: Request) -> Response:
    body = await request.json()
    answer = await client.post(os.environ["UPSTREAM"] + "/chat/completions", json=body)
    return Response(answer.content, answer.status_code, media_type="application/json")
"""


@contextlib.contextmanager
def process(
    command: list[str], log: Path, *, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; its output goes to a log."""
    with log.open("wb") as out:
        started = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **(environment or {})}, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def wait_for(url: str, log: Path, seconds: float = 90.0, key: str = "sk-bench") -> None:
    """Returns when a chat completion is answered; says what the log says when it is not."""
    body = json.dumps({"model": "canned", "messages": [{"role": "user", "content": "hi"}]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    last: object = None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            request = urllib.request.Request(url + COMPLETIONS, body, headers)  # noqa: S310 — our own loopback URL
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 — the same
                answer.read()
                return
        except (OSError, urllib.error.URLError) as error:
            last = error
            time.sleep(0.2)
    raise SystemExit(f"{url} does not answer: {last}\n{log.read_text(errors='replace')[-3000:]}")


@contextlib.contextmanager
def upstream() -> Iterator[str]:
    """The canned provider; yields its base URL."""
    command = [sys.executable, "-m", "bench.upstream"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            yield started.stdout.readline().strip()
        finally:
            started.terminate()


@contextlib.contextmanager
def parley(folder: Path, provider: str, asked: guard.Guard | None) -> Iterator[str]:
    """Envoy and the chat service; yields the gateway's URL.

    Args:
        folder: Where they keep what they write.
        provider: Base URL of the model's provider.
        asked: The identity service; None: nobody is asked, and everybody let in.
    """
    gateway, admin, chat, metrics, nobody = ports.free(5)
    settings = [{"name": "canned", "base_url": provider, "api_key": "sk-bench", "models": ["canned"]}]
    environment = {
        "PARLEY_CHAT_LISTEN": f"127.0.0.1:{chat}",
        "PARLEY_CHAT_METRICS_LISTEN": f"127.0.0.1:{metrics}",
        "PARLEY_CHAT_DATABASE_URL": f"sqlite:///{folder}/chat.db",
        "PARLEY_CHAT_PROVIDERS": json.dumps(settings),
        **(asked.chat() if asked else {}),
    }
    envoy = folder / "envoy"
    loopback = "127.0.0.1"
    addresses = {name: [config.Endpoint(loopback, chat if name == "chat" else nobody)] for name in config.SERVICES}
    config.write(
        envoy,
        addresses | ({"identity": [asked.endpoint]} if asked else {}),
        listen=config.Endpoint(loopback, gateway),
        admin=config.Endpoint(loopback, admin),
        settings=asked.gateway if asked else guard.GATEWAY,
    )
    if asked is None:
        guard.take_off(envoy)
    with (
        process([sys.executable, "-m", "services.chat"], folder / "chat.log", environment=environment),
        process(list(config.command(workers=1)), folder / "envoy.log", cwd=envoy),
    ):
        wait_for(f"http://127.0.0.1:{gateway}", folder / "chat.log", key=asked.key if asked else "none")
        yield f"http://127.0.0.1:{gateway}"


def install_others() -> None:
    """Installs what Parley is compared with, once."""
    if not (VENV / "bin" / "litellm").exists():
        print("installing LiteLLM and FastAPI into .bench-venv …")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", *OTHERS], check=True)


@contextlib.contextmanager
def fastapi(folder: Path, provider: str) -> Iterator[str]:
    """The FastAPI + httpx proxy; yields its URL."""
    (port,) = ports.free(1)
    (folder / "proxy.py").write_text(FASTAPI)
    command = [str(VENV / "bin" / "uvicorn"), "proxy:app", "--port", str(port), "--workers", "1", "--no-access-log"]
    with process(command, folder / "fastapi.log", cwd=folder, environment={"UPSTREAM": provider}):
        wait_for(f"http://127.0.0.1:{port}", folder / "fastapi.log")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def litellm(folder: Path, provider: str) -> Iterator[str]:
    """LiteLLM's proxy; yields its URL."""
    (port,) = ports.free(1)
    model = {"model": "openai/canned", "api_base": provider, "api_key": "sk-bench"}
    settings = folder / "litellm.yaml"
    settings.write_text(json.dumps({"model_list": [{"model_name": "canned", "litellm_params": model}]}))
    command = [str(VENV / "bin" / "litellm"), "--config", str(settings), "--port", str(port), "--num_workers", "1"]
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        # Without a key it need not check one: Parley does not either on this path.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    with process(command, folder / "litellm.log", environment=environment):
        wait_for(f"http://127.0.0.1:{port}", folder / "litellm.log")
        yield f"http://127.0.0.1:{port}"


def load(url: str, seconds: float, key: str, *, connections: int = 16, stream: bool = False) -> dict[str, Any]:
    """Measures one target for a while, with a key that Parley wants. Ends the program where it answers with errors."""
    command = [
        sys.executable,
        "-m",
        "bench.http_load",
        url,
        "--seconds",
        str(seconds),
        "--connections",
        str(connections),
    ]
    if stream:
        command.append("--stream")
    environment = os.environ | {"PARLEY_API_KEY": key}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    if result["errors"]:
        raise SystemExit(f"{url}: {result['errors']} errors, for example {result['example']}")
    return result


def rates(targets: Mapping[str, str], seconds: float, rounds: int, key: str) -> dict[str, float]:
    """The median requests/s of each target over alternating rounds; the first, short one only warms up."""
    found: dict[str, list[float]] = {name: [] for name in targets}
    for name, url in targets.items():
        load(url + COMPLETIONS, 1.0, key)
        print(f"  warm: {name}")
    for number in range(rounds):
        for name, url in targets.items():
            rate = load(url + COMPLETIONS, seconds, key)["rate"]
            found[name].append(rate)
            print(f"  round {number + 1}: {name:10} {rate:8.0f} requests/s")
    return {name: statistics.median(values) for name, values in found.items()}


def first_token(targets: Mapping[str, str], seconds: float, rounds: int, key: str) -> dict[str, float]:
    """The median milliseconds to the first token of a stream, one connection, alternating rounds."""
    found: dict[str, list[float]] = {name: [] for name in targets}
    for _round in range(rounds):
        for name, url in targets.items():
            found[name].append(load(url, seconds, key, connections=1, stream=True)["median_ms"])
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gateway", help="a gateway that runs already; PARLEY_API_KEY has a key")
    parser.add_argument("--alone", action="store_true", help="without LiteLLM and FastAPI")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(upstream())
        gateway, key = arguments.gateway, os.environ.get("PARLEY_API_KEY", "")
        if not gateway:
            asked = stack.enter_context(guard.identity(folder / "identity", secured=True))
            key = asked.key
            gateway = stack.enter_context(parley(folder, provider, asked))
        targets = {"parley": gateway}
        if not arguments.alone:
            install_others()
            targets["fastapi"] = stack.enter_context(fastapi(folder, provider))
            targets["litellm"] = stack.enter_context(litellm(folder, provider))
        print(f"chat completions, 16 connections, {arguments.rounds} rounds of {arguments.seconds:g} s")
        measured = rates(targets, arguments.seconds, arguments.rounds, key)
        streams = {"provider": provider + "/chat/completions", "parley": gateway + COMPLETIONS}
        ttft = first_token(streams, min(arguments.seconds, 2.0), arguments.rounds, key)
    for name, rate in measured.items():
        print(f"{name:10} {rate:8.0f} requests/s")
    for name, bar in (("litellm", 15.0), ("fastapi", 2.5)):
        if name in measured:
            print(f"parley / {name}: {measured['parley'] / measured[name]:.1f}x  (bar: {bar:g}x)")
    added = ttft["parley"] - ttft["provider"]
    print(f"time to first token: provider {ttft['provider']:.2f} ms, parley {ttft['parley']:.2f} ms")
    print(f"added: {added:.2f} ms  (bar: 3 ms)")


if __name__ == "__main__":
    main()

"""`parley draw` and “draw …” in a conversation against the whole stack: Envoy, image, Triton, diffusers."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import openai
import pytest
from PIL import Image

from tests.conftest import ROOT, missing
from tests.e2e.conftest import MeshStack
from tests.e2e.test_command import parley
from triton_models.repository import TORCH_ENVIRONMENT

WISH = "a red circle left of a blue square"


@pytest.fixture(autouse=True)
def torch() -> None:
    """What draws needs its environment."""
    if not (TORCH_ENVIRONMENT / "bin" / "python").exists():
        missing("the environment of the models that draw (make image-models)")


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def test_a_seed_draws_the_same_picture_again_with_its_settings_inside(stack: MeshStack, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        drawn = parley(stack, "draw", WISH, "--seed", "7", "--steps", "6", "--out", str(tmp_path / name))
        assert drawn.stdout == f"{tmp_path}/{name}\n"
    one, two = (tmp_path / "one.png").read_bytes(), (tmp_path / "two.png").read_bytes()
    picture = opened(one)
    assert picture.size == (64, 64)
    assert picture.info["parameters"].startswith(f"{WISH}\nSteps: 6, Sampler: ")
    assert "Seed: 7, Size: 64x64" in picture.info["parameters"]
    assert picture.tobytes() == opened(two).tobytes()


def test_a_picture_is_drawn_anew_inside_a_mask_only(stack: MeshStack, tmp_path: Path) -> None:
    init, mask = Image.new("RGB", (64, 64), (240, 240, 240)), Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    init.save(tmp_path / "init.png")
    mask.save(tmp_path / "mask.png")
    arguments = ["--init", str(tmp_path / "init.png"), "--mask", str(tmp_path / "mask.png"), "--strength", "1"]
    parley(stack, "draw", "a red circle", *arguments, "--steps", "6", "--out", str(tmp_path / "out.png"))
    out = opened((tmp_path / "out.png").read_bytes()).convert("RGB")
    assert out.crop((0, 0, 31, 64)).getcolors() == [(31 * 64, (240, 240, 240))]


def test_what_can_be_drawn_with_is_listed(stack: MeshStack) -> None:
    rows = [line.split("\t") for line in parley(stack, "models").stdout.splitlines()]
    assert ["shapes", "image"] in [row[:2] for row in rows]


def test_ctrl_c_stops_the_job(stack: MeshStack, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "draw", WISH, "-n", "16", "--steps", "150", "-o", f"{tmp_path}/"]
    environment = {**os.environ, "PARLEY_GATEWAY": stack.url, "PARLEY_STATE": str(stack.settings.state)}
    with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        running = []
        for _attempt in range(600):
            jobs = stack.http.get("/api/v1/imageJobs").json().get("jobs", [])
            running = [job for job in jobs if job["state"] == "JOB_STATE_RUNNING" and job.get("count") == 16]
            if running and running[0].get("progress", {}).get("step"):
                break
        process.send_signal(signal.SIGINT)
        _out, said = process.communicate(timeout=30)
        assert (process.returncode, said.splitlines()[-1]) == (130, "Stopped.")
        (job,) = running
        for _attempt in range(600):
            state = stack.http.get(f"/api/v1/{job['name']}").json()["job"]["state"]
            if state != "JOB_STATE_RUNNING":
                break
        assert state == "JOB_STATE_CANCELLED"


def test_an_error_names_the_field(stack: MeshStack, tmp_path: Path) -> None:
    refused = parley(stack, "draw", WISH, "--size", "70x64", "-o", f"{tmp_path}/", code=1)
    (line,) = refused.stderr.splitlines()
    assert "width" in line
    assert "multiple of 8" in line
    unknown = parley(stack, "draw", WISH, "--model", "dreams", "-o", f"{tmp_path}/", code=1)
    assert "parley models" in unknown.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_conversation_draws_and_keeps_the_name(stack: MeshStack) -> None:
    events = [json.loads(line) for line in parley(stack, "ask", f"draw {WISH}", "--json").stdout.splitlines()]
    assert any("toolProgress" in event for event in events)
    (image,) = [event["toolResult"]["image"] for event in events if "toolResult" in event]
    name = events[0]["started"]["userMessage"]["name"]
    assert name.startswith("messages/")
    served = stack.http.get(f"/api/v1/{image['name']}", timeout=30)
    assert served.headers["content-type"] == "image/png"
    assert opened(served.content).size == (64, 64)
    again = parley(stack, "ask", "another one", "--last")
    assert re.search(r"/api/v1/images/[\w-]+:view\?\S+ \(64 × 64, seed \d+", again.stderr)
    assert f"I drew “{WISH}”" in again.stdout


def test_a_client_of_the_openai_api_is_shown_the_picture(stack: MeshStack) -> None:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=120) as client:
        answer = client.chat.completions.create(
            model="parley-embedded", messages=[{"role": "user", "content": "vẽ một hình tròn màu đỏ"}]
        )
    said = answer.choices[0].message.content or ""
    found = re.search(r"!\[một hình tròn màu đỏ\]\((/api/v1/images/\S+) ", said)
    assert found is not None, said
    # As a browser does that shows the text: it knows no key.
    assert opened(httpx.get(stack.url + found[1], timeout=30).content).size == (64, 64)

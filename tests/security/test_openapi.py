"""Requests made from openapi.json by schemathesis, good ones and bad ones: no 5xx, nothing that is not documented."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from tests.conftest import ROOT
from tests.security.belongings import make
from tests.security.conftest import Mesh

EXAMPLES = 6
"""Requests of each operation, good and bad ones."""
SMALL = {"width": 64, "height": 64, "steps": 1, "count": 1}
"""What makes a picture cheap: any other could be the largest that there is, and draw for an hour."""
schema = schemathesis.openapi.from_dict(json.loads((ROOT / "gateway" / "openapi.json").read_text()))


@pytest.fixture(scope="module")
def belongings(mesh: Mesh) -> dict[str, str]:
    """Things of whoever asks. Each organisation's database files lie in a folder of its name."""
    shop = mesh.stack.shop
    folder = shop.parent / "rivals"
    folder.mkdir(exist_ok=True)
    shutil.copy(shop, folder)
    return make(mesh, "asked", "rival")


def tame(case: schemathesis.Case[Any], belongings: dict[str, str]) -> None:
    """Has a good request name something that is there, unless it would delete that; pictures are few and small."""
    meta = case.meta
    if meta is not None and meta.generation.mode == GenerationMode.POSITIVE and case.method != "DELETE":
        ids = {name.split("/")[-2].removesuffix("s"): name.split("/")[-1] for name in belongings.values()}
        case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
    given = case.body.get("settings") if isinstance(case.body, dict) else None
    if isinstance(given, dict):
        for name, small in SMALL.items():
            value = given.get(name, small)
            # What is no such number stays as bad as it is.
            if isinstance(value, int) and value >= 0:
                given[name] = small
        given.pop("secondPass", None)
        # Each value that a field may have is sent once: hundreds of pictures, of which none has to be drawn.
        if meta is not None and meta.phase.name == TestPhase.COVERAGE and isinstance(given.get("model", ""), str):
            given["model"] = "none"


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_operation_answers_anything_but_what_it_says(
    case: schemathesis.Case[Any], mesh: Mesh, belongings: dict[str, str]
) -> None:
    tame(case, belongings)
    headers = {"authorization": f"Bearer {mesh.keys['rival']}"}
    answer = case.call(base_url=mesh.stack.url, headers=headers, timeout=60)
    case.validate_response(answer, checks=[not_a_server_error, status_code_conformance, content_type_conformance])

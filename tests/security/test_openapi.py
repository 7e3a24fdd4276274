"""Requests made from openapi.json by schemathesis, good ones and bad ones: no 5xx, nothing that is not documented."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from tests.conftest import ROOT
from tests.security.conftest import Mesh

schema = schemathesis.openapi.from_dict(json.loads((ROOT / "gateway" / "openapi.json").read_text()))
EXAMPLES = 5
"""Requests of each operation."""


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_operation_answers_anything_but_what_it_says(case: schemathesis.Case[Any], mesh: Mesh) -> None:
    headers = {"authorization": f"Bearer {mesh.keys['rival']}"}
    answer = case.call(base_url=mesh.stack.url, headers=headers, timeout=60)
    case.validate_response(answer, checks=[not_a_server_error, status_code_conformance])

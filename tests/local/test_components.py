"""What the services of a stack are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.components import service_environment
from deploy.local.settings import StackSettings

PROVIDERS = ("PARLEY_CHAT_PROVIDERS", "PARLEY_CHAT_PROVIDERS_FILE", "PARLEY_SQL_PROVIDERS", "PARLEY_SQL_PROVIDERS_FILE")


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({}, {}),
        ({"PARLEY_CHAT_PROVIDERS": "[1]"}, {"PARLEY_SQL_PROVIDERS": "[1]"}),
        ({"PARLEY_CHAT_PROVIDERS_FILE": "a.json"}, {"PARLEY_SQL_PROVIDERS_FILE": "a.json"}),
        # What the user says of sql himself holds.
        ({"PARLEY_CHAT_PROVIDERS": "[1]", "PARLEY_SQL_PROVIDERS": "[]"}, {}),
        ({"PARLEY_CHAT_PROVIDERS": "[1]", "PARLEY_SQL_PROVIDERS_FILE": "b.json"}, {}),
    ],
)
def test_sql_asks_chats_providers_unless_it_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], passed: dict[str, str]
) -> None:
    for name in PROVIDERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    told = service_environment(StackSettings(state=tmp_path), {"chat": 1, "sql": 2, "asr": 3, "image": 5}, 4)
    assert {name: value for name, value in told["sql"].items() if "PROVIDERS" in name} == passed

"""What the services and the gateway of a stack are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from deploy.local.components import HEALTH, TRITON, database_hosts, service_environment
from deploy.local.settings import StackSettings
from gateway.settings import SettingsError

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
    told = service_environment(StackSettings(state=tmp_path), dict.fromkeys(HEALTH, 1), 4)
    assert {name: value for name, value in told["sql"].items() if "PROVIDERS" in name} == passed


@pytest.mark.parametrize(
    ("host", "given", "hosts"),
    [
        ("127.0.0.1", "", "*,localhost"),
        ("localhost", "", "*,localhost"),
        ("::1", "", "*,localhost"),
        ("0.0.0.0", "", "*"),
        ("192.0.2.7", "", "*"),
        ("0.0.0.0", "localhost:5432", "localhost:5432"),
    ],
)
def test_databases_of_this_machine_are_open_while_the_gateway_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, given: str, hosts: str
) -> None:
    monkeypatch.setenv("PARLEY_SQL_HOSTS", given)
    monkeypatch.setenv("PARLEY_SQL_CLOSED_HOSTS", "redis.example.com")
    told = database_hosts(StackSettings(state=tmp_path, host=host), [8001, 8080])
    assert told["PARLEY_SQL_HOSTS"] == hosts
    assert told["PARLEY_SQL_CLOSED_HOSTS"] == "localhost:8001,localhost:8080,redis.example.com"


def test_each_service_shows_its_own_certificate_and_knows_whom_it_calls(tmp_path: Path) -> None:
    settings = StackSettings(state=tmp_path)
    told = service_environment(settings, {name: 1000 + number for number, name in enumerate(HEALTH)}, 4)
    for name, variables in told.items():
        own = settings.certificate(name)
        prefix = f"PARLEY_{name.upper()}_"
        assert variables[f"{prefix}TLS_CERTIFICATE_FILE"] == str(own.certificate)
        assert variables[f"{prefix}TLS_KEY_FILE"] == str(own.key)
        assert variables[f"{prefix}TLS_CA_FILE"] == str(own.authority)
        targets = {value for setting, value in variables.items() if setting.endswith("_TARGET")}
        assert all(target.partition("@")[0] in {*HEALTH, TRITON} for target in targets)
        assert (f"identity@127.0.0.1:{1000 + list(HEALTH).index('identity')}" in targets) is (name != "identity")


def test_the_gateway_is_told_by_the_settings_and_for_the_rest_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    own.cert_chain_pems[0].write_to_path(certificate)
    own.private_key_pem.write_to_path(key)
    monkeypatch.delenv("PARLEY_IDENTITY_ISSUER", raising=False)
    monkeypatch.setenv("PARLEY_GATEWAY_CORS_ORIGINS", '["https://one.example"]')
    monkeypatch.setenv("PARLEY_GATEWAY_REQUESTS_PER_SECOND", "7")
    plain = StackSettings(state=tmp_path, port=8123)
    assert (plain.url, plain.issuer) == ("http://127.0.0.1:8123", "http://127.0.0.1:8123")
    assert plain.gateway.cors_origins == ("https://one.example",)
    told = StackSettings(
        state=tmp_path, host="::1", tls_certificate=certificate, tls_key=key, cors_origins=("https://two.example",)
    )
    assert told.url == "https://[::1]:8080"
    assert (told.gateway.cors_origins, told.gateway.requests_per_second) == (("https://two.example",), 7)
    assert told.gateway.tls_certificate_file == certificate
    assert StackSettings.from_json(told.to_json()) == told
    with pytest.raises(SettingsError, match="TLS_KEY_FILE: is needed too"):
        _ = StackSettings(tls_certificate=certificate).gateway
    monkeypatch.setenv("PARLEY_IDENTITY_ISSUER", "https://parley.example")
    assert told.issuer == told.gateway.issuer == "https://parley.example"

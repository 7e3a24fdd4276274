"""What a gateway can be told: read from the environment, checked, written into Envoy's files and nowhere else."""

from __future__ import annotations

import dataclasses
import difflib
import json
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from gateway import config
from gateway.config import HERE, Endpoint
from gateway.settings import PREFIX, GatewaySettings, Issuer, SettingsError

SERVICES = {name: [Endpoint("127.0.0.1", 5000 + i)] for i, name in enumerate(config.SERVICES)}
OTHER = Issuer("https://login.example", "https://login.example/keys", ("parley",))


def certificate(folder: Path, *names: str) -> tuple[Path, Path, Path]:
    """Certificate, key and authority in files."""
    authority = trustme.CA()
    made = authority.issue_cert(*(names or ("gateway.example",)))
    files = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    made.cert_chain_pems[0].write_to_path(files[0])
    made.private_key_pem.write_to_path(files[1])
    authority.cert_pem.write_to_path(files[2])
    return files


def test_the_environment_says_every_setting(tmp_path: Path) -> None:
    cert, key, authority = certificate(tmp_path)
    said: dict[str, Any] = {
        "tls_certificate_file": cert,
        "tls_key_file": key,
        "hsts_seconds": 60,
        "mesh_certificate_file": cert,
        "mesh_key_file": key,
        "mesh_ca_file": authority,
        "cors_origins": ("https://a.example", "http://localhost:3000"),
        "requests_per_second": 7,
        "max_connections": 8,
        "max_connections_per_address": 9,
        "trusted_hops": 1,
        "issuer": "https://parley.example",
        "otlp_endpoint": "http://collector.example:4317",
        "trace_percent": 5,
        "issuers": (OTHER,),
    }
    assert set(said) == {field.name for field in dataclasses.fields(GatewaySettings)}
    texts = {name: str(value) for name, value in said.items()}
    texts["cors_origins"] = json.dumps(said["cors_origins"])
    texts["issuers"] = json.dumps([dataclasses.asdict(OTHER)])
    environment = {f"{PREFIX}{name.upper()}": text for name, text in texts.items()}
    assert GatewaySettings.from_environment(environment) == GatewaySettings(**said)
    assert GatewaySettings.from_environment(dict.fromkeys(environment, "")) == GatewaySettings()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("requests_per_second", "many", "no number"),
        ("requests_per_second", "0", "at least 1"),
        ("max_connections", "-1", "at least 1"),
        ("max_connections_per_address", "-1", "at least 0"),
        ("trusted_hops", "-1", "at least 0"),
        ("hsts_seconds", "-1", "negative"),
        ("otlp_endpoint", "collector:4317", "no URL"),
        ("trace_percent", "101", "from 0 to 100"),
        ("cors_origins", "https://a.example", "not JSON"),
        ("cors_origins", '"https://a.example"', "JSON list"),
        ("cors_origins", '["https://a.example/path"]', "no origin"),
        ("cors_origins", '["a.example"]', "no origin"),
        ("tls_certificate_file", "/nowhere/cert.pem", "TLS_KEY_FILE: is needed too"),
        ("issuers", '[{"issuer": "x"}]', "audiences"),
        ("issuers", '[{"issuer": "x", "jwks_uri": "https://x.example/", "audiences": []}]', "one audience"),
        ("issuers", '[{"issuer": "x", "jwks_uri": "http://x.example/", "audiences": ["p"]}]', "no https"),
    ],
)
def test_what_does_not_fit_is_named(name: str, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        GatewaySettings.from_environment({f"{PREFIX}{name.upper()}": text})
    assert str(caught.value).startswith(f"{PREFIX}{name.split('_')[0].upper()}")


def test_a_certificate_and_another_ones_key_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    cert, _key, _authority = certificate(tmp_path)
    _cert, other, _ = certificate(tmp_path / "other")
    with pytest.raises(SettingsError, match="TLS_CERTIFICATE_FILE: it and its key do not fit"):
        GatewaySettings(tls_certificate_file=cert, tls_key_file=other)
    with pytest.raises(SettingsError, match=r"TLS_KEY_FILE: .* is no file"):
        GatewaySettings(tls_certificate_file=cert, tls_key_file=tmp_path / "nothing.pem")


def changes(name: str, folder: Path) -> list[str]:
    """The lines of a file that differ from the committed one, those that are gone and those that came."""
    before, after = (HERE / name).read_text(), (folder / name).read_text()
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


def test_each_setting_changes_its_line_and_nothing_else(tmp_path: Path) -> None:
    cert, key, authority = certificate(tmp_path)
    for settings, file, lines in (
        (GatewaySettings(), "listener.yaml", 0),
        (GatewaySettings(), "bootstrap.yaml", 0),
        (GatewaySettings(), "clusters.yaml", 0),
        (GatewaySettings(requests_per_second=7), "listener.yaml", 2),
        # Behind a proxy connections are not counted by address: one line more that differs.
        (GatewaySettings(trusted_hops=2), "listener.yaml", 4),
        (GatewaySettings(trusted_hops=2, max_connections_per_address=0), "listener.yaml", 4),
        (GatewaySettings(max_connections_per_address=0), "listener.yaml", 2),
        (GatewaySettings(issuer="https://parley.example"), "listener.yaml", 2),
        (GatewaySettings(cors_origins=(r"https://a\.example",)), "listener.yaml", 2),
        (GatewaySettings(max_connections=7), "bootstrap.yaml", 2),
        (GatewaySettings(otlp_endpoint="http://collector.example"), "listener.yaml", 1),
        (GatewaySettings(otlp_endpoint="http://collector.example"), "bootstrap.yaml", 2),
        (GatewaySettings(otlp_endpoint="http://collector.example"), "clusters.yaml", 2),
        # Who signs, and who is asked for: one line more, and one that differs.
        (GatewaySettings(issuers=(OTHER,)), "listener.yaml", 3),
        (GatewaySettings(issuers=(OTHER,)), "clusters.yaml", 1),
        (GatewaySettings(tls_certificate_file=cert, tls_key_file=key), "listener.yaml", 4),
        (GatewaySettings(tls_certificate_file=cert, tls_key_file=key, hsts_seconds=0), "listener.yaml", 2),
        (
            GatewaySettings(mesh_certificate_file=cert, mesh_key_file=key, mesh_ca_file=authority),
            "clusters.yaml",
            len(config.SERVICES),
        ),
    ):
        config.write(tmp_path / "envoy", SERVICES, settings=settings)
        found = changes(file, tmp_path / "envoy")
        assert len(found) == lines, (settings, found)
        yaml.safe_load((tmp_path / "envoy" / file).read_text())


def test_a_mark_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="one mark of tls, found 0"):
        config.configured("", {"tls": "x"})


def test_every_setting_is_in_the_readme() -> None:
    text = (HERE / "README.md").read_text()
    for field in dataclasses.fields(GatewaySettings):
        assert f"`{PREFIX}{field.name.upper()}`" in text, field.name

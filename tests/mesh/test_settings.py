"""Settings: read from the environment, documented, and clear when they are wrong."""

from __future__ import annotations

import importlib
import pathlib

import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import ServiceSettings, describe, environment_name, load

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/settings.py") if path.parent.name != "mesh")


def settings_of(service: str) -> type[ServiceSettings]:
    """The settings class of a service."""
    module = importlib.import_module(f"services.{service}.settings")
    (found,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    ]
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_documented_here_and_in_the_docs(service: str) -> None:
    settings = settings_of(service)
    documented = (ROOT / "docs" / "settings.md").read_text()
    for name, field in settings.model_fields.items():
        variable = environment_name(settings, name)
        assert variable.startswith(f"PARLEY_{service.upper()}_")
        assert field.description, f"{variable} has no docstring"
        assert f"`{variable}`" in documented, f"docs/settings.md does not have {variable}: make generate"


@pytest.mark.parametrize("service", SERVICES)
def test_help_prints_every_setting(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_of(service)
    with pytest.raises(SystemExit) as ended:
        load(settings, ["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(environment_name(settings, name) in printed for name in settings.model_fields)
    assert printed == describe(settings)


def test_a_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_of(SERVICES[0])
    variable = environment_name(settings, "drain_seconds")
    monkeypatch.setenv(variable, "soon")
    with pytest.raises(SystemExit) as ended:
        load(settings, [])
    assert ended.value.code == 2
    assert variable in capsys.readouterr().err


def test_secrets_come_from_files_and_variables_go_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    class Secretive(ServiceSettings):
        """Has secrets."""

        model_config = SettingsConfigDict(env_prefix="PARLEY_SECRETIVE_")

        key: SecretStr = SecretStr("")
        """A key."""

    monkeypatch.delenv("PARLEY_SECRETIVE_KEY", raising=False)
    monkeypatch.setenv("PARLEY_SECRETS_DIR", str(tmp_path))
    (tmp_path / "PARLEY_SECRETIVE_KEY").write_text("of the file\n")
    assert load(Secretive, []).key.get_secret_value() == "of the file"
    monkeypatch.setenv("PARLEY_SECRETIVE_KEY", "of the variable")
    assert load(Secretive, []).key.get_secret_value() == "of the variable"
    monkeypatch.delenv("PARLEY_SECRETIVE_KEY")
    monkeypatch.delenv("PARLEY_SECRETS_DIR")
    assert load(Secretive, []).key.get_secret_value() == ""

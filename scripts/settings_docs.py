"""Writes docs/settings.md from the settings classes of the services: one list drives help, docs and tests."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "gen")]

from pydantic import SecretStr  # noqa: E402 — after the path, as the next

from services.mesh.settings import ServiceSettings, environment_name  # noqa: E402 — a copy documents itself

HEAD = """# Settings

Written by `make generate` from `services/*/settings.py`; `python -m services.<service> --help` prints the same. Each
is an environment variable; lists and objects are JSON. `parley up` sets addresses, storage and secrets by itself.
"""


def settings_class(service: str) -> type[ServiceSettings]:
    """The settings class of a service."""
    module = importlib.import_module(f"services.{service}.settings")
    (found,) = [
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    ]
    return found


def section(service: str) -> str:
    """A service's settings as a Markdown table."""
    settings = settings_class(service)
    rows = [f"\n## {service}\n", "| variable | default | |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        value = field.get_default(call_default_factory=True)
        value = value.get_secret_value() if isinstance(value, SecretStr) else value
        shown = "required" if field.is_required() else f"`{value}`" if str(value) not in ("", "[]", "None") else "empty"
        # What the machine decides is no default to print.
        shown = "by machine" if field.default_factory is not None and value not in ([], {}) else shown
        text = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{environment_name(settings, name)}` | {shown} | {text} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Replaces docs/settings.md."""
    services = sorted(
        path.parent.name for path in (ROOT / "services").glob("*/settings.py") if path.parent.name != "mesh"
    )
    (ROOT / "docs" / "settings.md").write_text(HEAD + "".join(map(section, services)))


if __name__ == "__main__":
    main()

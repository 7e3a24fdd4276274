"""Writes deploy/docker/gateway/ from the Helm chart: how the gateway of the compose file finds the services.

One set of addresses is kept, the chart's; here they are the names of the compose file's services.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import helm_python as helm
import yaml

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "deploy" / "docker" / "gateway"
HEAD = "# Written by scripts/compose.py from the Helm chart.\n"
SERVICE = re.compile(r"\bcompose-([a-z]+)-headless\b")


def files() -> dict[str, str]:
    """The files by name: the chart's ConfigMap of the gateway, for names without a release."""
    with helm.Chart.load(ROOT / "deploy" / "helm" / "parley") as chart:
        rendered = chart.render({"fullnameOverride": "compose"}, name="compose", namespace="compose")
    texts = [text for path, text in rendered.items() if path.endswith("/configmaps.yaml")]
    maps = [item for text in texts for item in yaml.safe_load_all(text) if item]
    (found,) = [item for item in maps if item["metadata"]["name"] == "compose-gateway"]
    return {name: HEAD + SERVICE.sub(r"\1", text) for name, text in found["data"].items()}


def main(arguments: list[str]) -> int:
    """Writes the files, or says with `--check` whether they differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file differs")
    check = parser.parse_args(arguments).check
    wanted = files()
    old = {path.name: path.read_text() for path in TARGET.glob("*")}
    if check:
        if stale := old != wanted:
            sys.stderr.write("deploy/docker/gateway is stale: run python scripts/compose.py\n")
        return int(stale)
    TARGET.mkdir(exist_ok=True)
    for name in old.keys() - wanted.keys():
        (TARGET / name).unlink()
    for name, text in wanted.items():
        (TARGET / name).write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Writes everything that is generated.

That is third_party/, gen/, the gateway's descriptor set, OpenAPI and network filter, the list of settings, the
dashboards, what the Helm chart has from elsewhere, and the kustomize tree.

`--check` writes nothing: it generates into a copy and fails when a committed file differs.
"""

from __future__ import annotations

import filecmp
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUTPUTS = [
    "third_party/protos",
    "gen",
    "gateway/parley.binpb",
    "gateway/openapi.json",
    "gateway/connections.wasm",
    "docs/settings.md",
    "deploy/monitoring/dashboards",
    "deploy/helm/parley",
    "deploy/kustomize",
    "deploy/docker/gateway",
]
# Without a library of C: the filter calls Envoy alone.
WASM = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-nostdlib", "-Oz", "-Wall", "-Wextra"]
WASM += ["-Werror", "-Wl,--no-entry,--export-dynamic,--strip-all"]


def generate(root: pathlib.Path) -> None:
    """Generates in a checkout. Raises CalledProcessError when a step fails."""
    if shutil.which("buf") is None:
        # Before anything is removed.
        sys.exit("buf is not on PATH; `make generate` puts it there.")

    def run(*command: str) -> None:
        subprocess.run(command, cwd=root, check=True)

    run(sys.executable, "scripts/vendor_protos.py")
    shutil.rmtree(root / "gen", ignore_errors=True)
    run("buf", "generate")
    # Files without services get stubs that hold nothing.
    for path in [*(root / "gen").rglob("*_grpc.py"), *(root / "gen").rglob("*_grpc.pyi")]:
        if "Stub" not in path.read_text():
            path.unlink()
    run("buf", "build", "--as-file-descriptor-set", "-o", "gateway/parley.binpb")
    run(sys.executable, "-m", "gateway.openapi")
    run(*WASM, "-o", "gateway/connections.wasm", "gateway/connections.c")
    run(sys.executable, "scripts/settings_docs.py")
    run(sys.executable, "scripts/dashboards.py")
    run(sys.executable, "scripts/chart.py")
    run(sys.executable, "scripts/kustomize.py")
    run(sys.executable, "scripts/compose.py")


def files_below(path: pathlib.Path) -> list[pathlib.Path]:
    """The file, or all files below the folder, compiled Python left out."""
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    return [p for p in found if p.is_file() and "__pycache__" not in p.parts]


def differences() -> list[str]:
    """The generated files whose committed text is not what generating gives, or that should not be there."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "copy"
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", ".bench-venv", ".parley", ".*_cache")
        )
        generate(copy)
        names = {
            p.relative_to(root).as_posix() for root in (ROOT, copy) for out in OUTPUTS for p in files_below(root / out)
        }
        return sorted(
            name
            for name in names
            if not ((ROOT / name).exists() and (copy / name).exists())
            or not filecmp.cmp(ROOT / name, copy / name, shallow=False)
        )


def main() -> None:
    """Generates, or checks."""
    if "--check" not in sys.argv[1:]:
        generate(ROOT)
        return
    stale = differences()
    if stale:
        sys.exit("Generated files are not up to date; run `make generate` and commit:\n  " + "\n  ".join(stale))


if __name__ == "__main__":
    main()

"""Builds the container images with Docker, Podman or Buildah, whichever is there.

python -m deploy.docker.build [--registry ghcr.io] [--tag 0.1.0] [IMAGE …] [-- ARGUMENTS OF THE ENGINE …]
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SERVICES = ("chat", "sql", "asr", "image", "identity")
IMAGES = (*SERVICES, "gateway", "triton", "triton-gpu", "backup")
"""Names of the images; `parley/` comes before them, as in the chart's values."""
ENGINES = {
    # What it is asked to say whether it works, and how it builds.
    "docker": (["docker", "info"], ["docker", "build"]),
    "podman": (["podman", "info"], ["podman", "build"]),
    "buildah": (["buildah", "info"], ["buildah", "build"]),
}


class NoEngineError(RuntimeError):
    """There is nothing to build images with; the message says what would do."""


def engine() -> str:
    """The first engine that is installed and answers. Raises NoEngineError where there is none."""
    for name, (question, _build) in ENGINES.items():
        if shutil.which(name) and subprocess.run(question, capture_output=True, check=False).returncode == 0:
            return name
    raise NoEngineError(f"No engine that builds images answers here: install and start one of {', '.join(ENGINES)}.")


def version() -> str:
    """Parley's version, which images are tagged with."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def labels(tag: str) -> dict[str, str]:
    """What a Dockerfile cannot know: the version, and the commit with its time, where this is a checkout."""
    found = {"version": tag}
    for name, arguments in (("revision", ["rev-parse", "HEAD"]), ("created", ["show", "-s", "--format=%cI", "HEAD"])):
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            found[name] = answer.stdout.strip()
    return {f"org.opencontainers.image.{name}": value for name, value in found.items()}


def dockerfile(image: str) -> Path:
    """What an image is built from."""
    return HERE / f"{'service' if image in SERVICES else image}.Dockerfile"


def command(
    image: str, *, using: str, registry: str, tag: str, pip_config: Path | None = None, extra: Sequence[str] = ()
) -> list[str]:
    """How an image is built, in ROOT.

    Args:
        image: One of IMAGES.
        using: One of ENGINES.
        registry: What the name begins with; empty for none.
        tag: The tag, which is Parley's version.
        pip_config: What pip is told during the build: indexes, certificates. None of it is kept.
        extra: Further arguments of the engine.
    """
    name = "/".join(filter(None, [registry, "parley", image]))
    secret = ["--secret", f"id=pip,src={pip_config}"] if pip_config else []
    return [
        *ENGINES[using][1],
        "--file",
        str(dockerfile(image)),
        "--tag",
        f"{name}:{tag}",
        *(["--build-arg", f"SERVICE={image}"] if image in SERVICES else []),
        *(word for label, value in labels(tag).items() for word in ("--label", f"{label}={value}")),
        *secret,
        *extra,
        str(ROOT),
    ]


def main(arguments: Sequence[str]) -> None:
    """Builds what is asked for. Raises SystemExit with the reason where that fails."""
    parser = argparse.ArgumentParser(prog="python -m deploy.docker.build", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"{', '.join(IMAGES)}; if none: all but triton-gpu")
    parser.add_argument("--engine", choices=ENGINES, help="what builds; if absent the first of these that answers")
    parser.add_argument("--registry", default="ghcr.io", help="what the images' names begin with (ghcr.io)")
    parser.add_argument("--tag", default=version(), help="their tag (Parley's version)")
    parser.add_argument(
        "--pip-config", type=Path, help="a pip.conf for the build: indexes, certificates; it is not kept"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands and do nothing")
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    options = parser.parse_args(own)
    for image in options.images:
        if image not in IMAGES:
            parser.error(f"there is no image {image!r}: {', '.join(IMAGES)}")
    try:
        using = options.engine or engine()
    except NoEngineError as error:
        raise SystemExit(str(error)) from None
    for image in options.images or [name for name in IMAGES if name != "triton-gpu"]:
        line = command(
            image,
            using=using,
            registry=options.registry,
            tag=options.tag,
            pip_config=options.pip_config,
            extra=arguments[len(own) + 1 :],
        )
        sys.stdout.write(f"{shlex.join(line)}\n")
        sys.stdout.flush()
        if not options.dry_run and (status := subprocess.run(line, cwd=ROOT, check=False).returncode):
            raise SystemExit(f"{image}: {using} ended with {status}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Runs `buf breaking` against the contracts as they are on main.

On main itself the comparison is with the commit before: what is released there must stay readable to old clients. A
history without an earlier commit that has contracts has nothing to break.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def git(*arguments: str) -> str | None:
    """What git prints; None when it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def base() -> str | None:
    """The commit to compare with: where this branch left main; on main, the commit before."""
    head = git("rev-parse", "HEAD")
    for main in ("origin/main", "main"):
        fork = git("merge-base", "HEAD", main)
        if fork is not None and fork != head:
            return fork
    return git("rev-parse", "HEAD~1")


def main() -> None:
    """Exits with buf's status; with 0 when there is nothing to compare with."""
    commit = base()
    if commit is None or git("cat-file", "-e", f"{commit}:protos") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = pathlib.Path(folder) / "base.tar"
        wanted = ["buf.yaml", "protos", "third_party"]
        subprocess.run(["git", "archive", "-o", str(archive), commit, *wanted], cwd=ROOT, check=True)
        sys.exit(subprocess.run(["buf", "breaking", "--against", str(archive)], cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    main()

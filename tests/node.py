"""Tools that npm has, for tests alone: fetched once for a checkout, into build/."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT, missing


def packages(*releases: str) -> Path:
    """The folder whose node_modules has these packages (`name@version`). Skips where npm or one of them is missing."""
    if not shutil.which("node") or not shutil.which("npm"):
        missing("Node.js with npm (apt-get install nodejs npm)")
    digest = hashlib.sha256(" ".join(releases).encode()).hexdigest()[:12]
    folder = ROOT / "build" / f"node-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".installed").exists():
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *releases]
            fetched = subprocess.run(command, capture_output=True, text=True, check=False)
            if fetched.returncode:
                missing(f"{', '.join(releases)} from npm ({fetched.stderr.strip()[-200:]})")
            (folder / ".installed").touch()
    return folder

"""Makes what compose.yaml mounts as secrets: passwords, keys, and the URLs that they are part of.

python -m deploy.docker.credentials [FOLDER]

One file for each, readable by whoever may enter the folder, which is its owner. What is there already stays: run it
again after an upgrade that brought a new one.
"""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).parent
SERVICES = ("chat", "sql", "asr", "image", "identity")


def password() -> str:
    """192 bits that stand in a URL as they are."""
    return secrets.token_urlsafe(24)


def key() -> str:
    """A key for what is encrypted at rest, or signed: 32 random bytes."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def make(folder: Path) -> list[str]:
    """Makes the files that are missing; their names.

    Args:
        folder: Made if absent, for its owner alone.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = []

    def file(name: str, content: str) -> str:
        path = folder / name
        if not path.exists():
            # Containers read it as a user of their own; nobody else on this machine may enter the folder.
            path.write_text(content)
            path.chmod(0o444)
            made.append(name)
        return path.read_text()

    file("grafana_password", password())
    redis = file("redis_password", password())
    file("PARLEY_IDENTITY_REDIS_URL", f"redis://:{redis}@redis:6379/0")
    for service in SERVICES:
        own = file(f"{service}_database_password", password())
        file(f"PARLEY_{service.upper()}_DATABASE_URL", f"postgresql://{service}:{own}@postgresql:5432/{service}")
    file("postgresql_password", password())
    for service in ("sql", "identity"):
        file(f"PARLEY_{service.upper()}_ENCRYPTION_KEY", key())
    file("PARLEY_IMAGE_LINK_KEY", key())
    # Model providers with their keys, a JSON list (docs/settings.md): none at first.
    for service in ("chat", "sql"):
        file(f"PARLEY_{service.upper()}_PROVIDERS", "[]")
    return made


if __name__ == "__main__":
    for line in make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "secrets"):
        sys.stdout.write(f"{line}\n")

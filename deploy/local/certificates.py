"""The certificates of a stack: one for each component, so that nobody else on the machine can talk to a service.

Services believe what a component says about who is calling. A port on loopback can be reached by every user of the
machine; a certificate cannot be made by them. The authority's key is used once and kept nowhere: when certificates are
nearly over, or a component is new, all of them are made anew, which costs nothing as all components start together.

Here it is decided when, with the standard library alone, for the supervisor shall stay small; `authority.py` makes
them, in a process of its own.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

RENEWED_BEFORE = datetime.timedelta(days=30)
# A moment in a certificate: DER's UTCTime, 13 bytes in UTC (X.690, 11.8; RFC 5280, 4.1.2.5.1).
MOMENT = re.compile(rb"\x17\x0d(\d{12})Z")


class Files(NamedTuple):
    """Where a component's certificate is."""

    certificate: Path
    """PEM."""
    key: Path
    """PEM, PKCS #8, readable by the user only."""
    authority: Path
    """The certificate of the authority that signed all of them, PEM."""


class CertificatesError(RuntimeError):
    """No certificates could be made; the message says why."""


def files(folder: Path, name: str) -> Files:
    """Where the certificate of a component is."""
    place = folder / name
    return Files(place / "cert.pem", place / "key.pem", place / "ca.pem")


def ensure(folder: Path, names: Sequence[str]) -> None:
    """Makes the certificates of these components where one is missing or nearly over. Raises CertificatesError."""
    if all(_lasts(files(folder, name)) for name in names):
        return
    made = subprocess.run(
        [sys.executable, "-m", "deploy.local.authority", str(folder), *names],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        words = made.stderr.strip().splitlines() or [f"exit code {made.returncode}"]
        raise CertificatesError(f"The certificates cannot be made in {folder}: {words[-1]}")


def _lasts(found: Files) -> bool:
    """Whether a certificate is whole, and will not be over soon."""
    if not all(file.is_file() for file in found):
        return False
    with contextlib.suppress(ValueError):
        ends = not_after(found.certificate.read_text())
        return ends - datetime.datetime.now(datetime.UTC) > RENEWED_BEFORE
    return False


def not_after(pem: str) -> datetime.datetime:
    """When a certificate of ours is over. Raises ValueError for what is none."""
    moments = MOMENT.findall(ssl.PEM_cert_to_DER_cert(pem.strip()))
    if len(moments) != 2:
        raise ValueError("not one of our certificates")
    return datetime.datetime.strptime(moments[1].decode(), "%y%m%d%H%M%S").replace(tzinfo=datetime.UTC)


def client(found: Files) -> ssl.SSLContext:
    """What a client needs to talk to a component over HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(found.certificate, found.key)
    context.load_verify_locations(found.authority)
    context.set_alpn_protocols(["h2"])
    return context

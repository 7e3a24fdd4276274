"""The credential that commands send: `PARLEY_API_KEY`, else that of `parley login`, else the key of the running stack.

`PARLEY_API_KEY` goes to whichever gateway is named. The tokens of a login go to the gateway that gave them. The key
that the first `parley up` made goes to the gateway of the stack that runs now, and to nobody who listens on its port
while none does.
"""

from __future__ import annotations

import fcntl
import json
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli.errors import CommandError

KEY, LOGINS = "key", "logins.json"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
EARLY = 60.0
"""Seconds before its end that an access token is refreshed."""

Json = dict[str, Any]


def state() -> Path:
    """The folder that this machine's stack keeps its files in."""
    return Path(os.environ.get("PARLEY_STATE") or ".parley")


def headers(gateway: str) -> dict[str, str]:
    """The header with the credential for a gateway; none where there is no credential for it.

    Args:
        gateway: Its base URL.
    """
    secret = os.environ.get("PARLEY_API_KEY", "").strip() or _token(gateway) or _own_key(gateway)
    return {"authorization": f"Bearer {secret}"} if secret else {}


def _own_key(gateway: str) -> str:
    """The key of this machine's stack, for the gateway of the one that runs."""
    from deploy.local.state import read

    try:
        key = (state() / KEY).read_text().strip()
    except OSError:
        return ""
    running = read(state())
    return key if running is not None and running.supervised and _same(gateway, running.url) else ""


def _same(gateway: str, own: str) -> bool:
    """Whether a gateway is that of this machine's stack; on loopback it has more names than one."""
    asked, known = urlsplit(gateway), urlsplit(own)
    here = asked.hostname in LOOPBACK or asked.hostname == known.hostname
    return here and (asked.scheme, asked.port) == (known.scheme, known.port)


def keep(gateway: str, tokens: Json) -> None:
    """Keeps the tokens of a login, readable by this user only."""
    with _logins() as logins:
        logins[gateway] = {
            "access": tokens["accessToken"],
            "refresh": tokens["refreshToken"],
            "expires": time.time() + float(str(tokens["expiresIn"]).removesuffix("s")),
        }


def forget(gateway: str) -> str:
    """Forgets the tokens of a login; its refresh token, to be ended, or nothing where there was none."""
    with _logins() as logins:
        return str(logins.pop(gateway, {}).get("refresh", ""))


def _token(gateway: str) -> str:
    """The access token of a login, refreshed where it has nearly ended; empty where there is none."""
    if not (state() / LOGINS).exists():
        return ""
    # Under the lock: a refresh token that two commands used at once would end the session, as if it were stolen.
    with _logins() as logins:
        kept = logins.get(gateway)
        if kept is None:
            return ""
        if kept["expires"] - EARLY < time.time():
            fresh = _refreshed(gateway, kept["refresh"])
            if fresh is None:
                del logins[gateway]
                return ""
            kept = logins[gateway] = fresh
        return str(kept["access"])


def _refreshed(gateway: str, refresh_token: str) -> Json | None:
    """The next tokens; None where the session has ended. Raises CommandError where the gateway does not answer."""
    import httpx

    loopback = urlsplit(gateway).hostname in LOOPBACK
    try:
        with httpx.Client(base_url=gateway, trust_env=not loopback, verify=trusted(), timeout=10) as http:
            answer = http.post("/api/v1/tokens:refresh", json={"refreshToken": refresh_token})
        if answer.status_code == 401:
            return None
        tokens = answer.raise_for_status().json()["tokens"]
    except httpx.HTTPError as error:
        raise CommandError(f"the login at {gateway} could not be renewed ({type(error).__name__}).") from None
    ends = time.time() + float(str(tokens["expiresIn"]).removesuffix("s"))
    return {"access": tokens["accessToken"], "refresh": tokens["refreshToken"], "expires": ends}


def trusted() -> ssl.SSLContext | bool:
    """Who signs certificates that a gateway may have: those in SSL_CERT_FILE, else those that everybody trusts."""
    file = os.environ.get("SSL_CERT_FILE")
    return ssl.create_default_context(cafile=file) if file else True


@contextmanager
def _logins() -> Iterator[dict[str, Json]]:
    """The kept logins by gateway, for one command at a time; what the block changes is written."""
    folder = state()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / LOGINS, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        logins: dict[str, Json] = json.loads(text) if text.strip() else {}
        before = json.dumps(logins)
        yield logins
        if json.dumps(logins) != before:
            file.seek(0)
            file.truncate()
            json.dump(logins, file)

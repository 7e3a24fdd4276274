"""Limits of a tier with a real Redis behind them: what they count when it dies, and when it is back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import free_port, redis_on
from tests.gateway.conftest import Gateway, envoy, identity_service, scripted, wait_for

LIMIT = 6
PATH = "/api/v1/models"


@pytest.fixture
def limited(tmp_path: Path, redis_server: tuple[str, subprocess.Popen[bytes]]) -> Iterator[Gateway]:
    """A gateway whose administrator has six calls a day, counted in Redis."""
    url, _process = redis_server
    tiers = {"free": {"requests": f"{LIMIT}/day"}}
    more = {"redis_url": url, "tiers": json.dumps(tiers), "first_tier": "free"}
    port = free_port()
    with (
        scripted(port, tmp_path / "services.log"),
        identity_service(tmp_path, more=more) as identity,
        envoy(tmp_path / "envoy", port, identity) as gateway,
    ):
        wait_for(lambda: httpx.get(f"{gateway.url}/healthz/chat").status_code == 200, 20, "chat")
        yield gateway


def test_without_redis_limits_are_looser_and_nobody_is_locked_out_or_let_in(
    limited: Gateway, redis_server: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    url, process = redis_server
    with httpx.Client(base_url=limited.url, headers=limited.bearer, timeout=30) as http:

        def left() -> int:
            answer = http.get(PATH)
            assert answer.status_code == 200, answer.text
            return int(answer.headers["x-ratelimit-remaining-requests"])

        assert [left() for _ in range(4)] == [5, 4, 3, 2]
        process.kill()
        process.wait()
        # From here on the process counts for itself, from nothing; and it does count.
        assert [left() for _ in range(LIMIT)] == [5, 4, 3, 2, 1, 0]
        refused = http.get(PATH)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert httpx.get(f"{limited.url}{PATH}").status_code == 401, "strangers stay out"
        port = urlsplit(url).port
        assert port is not None
        with redis_on(port, tmp_path):
            # It is asked anew within a second or so; this Redis has counted nothing yet.
            wait_for(lambda: http.get(PATH).status_code == 200, 20, "Redis to be asked again")

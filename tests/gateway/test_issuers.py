"""Tokens of further issuers: checked by Envoy with their keys, let in by identity as whose account they are."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.settings import GatewaySettings, Issuer
from tests.conftest import free_port
from tests.gateway.conftest import Gateway, answers, envoy, identity_service, scripted, wait_for

AUDIENCE = "parley-at-the-provider"
METADATA = "/api/v1/conversations/metadata"


class Provider(NamedTuple):
    """An issuer of tokens on loopback."""

    url: str
    key: ECKey

    def token(self, **changed: object) -> str:
        """A token for the administrator's account, or as it is changed; times are in seconds from now."""
        claims = {"iss": self.url, "sub": "0042", "aud": AUDIENCE, "exp": 600, "iat": 0} | changed
        now = int(time.time())
        claims = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
        header = {"alg": "ES256", "kid": str(self.key.kid)}
        return jwt.encode(header, {name: value for name, value in claims.items() if value is not None}, self.key)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A running issuer."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    document = json.dumps({"keys": [{**key.as_dict(private=False), "alg": "ES256"}]}).encode()

    class Keys(BaseHTTPRequestHandler):
        """Gives the public keys."""

        def do_GET(self) -> None:
            """Answers."""
            self.send_response(200)
            self.send_header("content-length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the name that http.server gives it
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Provider(f"http://127.0.0.1:{server.server_address[1]}", key)
        server.shutdown()


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Callable[..., httpx.Response]]:
    """Asks a gateway that knows the issuer, with a token; a path may be given."""
    folder, port = tmp_path_factory.mktemp("issuers"), free_port()
    known = [{"id": "work", "issuer": provider.url, "client_id": AUDIENCE, "default_roles": ["member"]}]
    settings = GatewaySettings(issuers=(Issuer(provider.url, f"{provider.url}/keys", (AUDIENCE,)),))
    with (
        scripted(port, folder / "services.log"),
        identity_service(folder, more={"oidc_providers": json.dumps(known)}) as identity,
        envoy(folder / "envoy", port, identity, settings) as gateway,
        httpx.Client(base_url=gateway.url) as http,
    ):
        link(folder / "identity.db", provider.url)
        wait_for(lambda: answers(f"{gateway.url}/healthz/chat"), 20, "chat")

        def asked(token: str, path: str = METADATA, **headers: str) -> httpx.Response:
            return http.get(path, headers={"authorization": f"Bearer {token}", **headers})

        wait_for(lambda: asked(provider.token()).status_code == 200, 10, "the issuer's keys")
        yield asked
        own_key_still_works(gateway)


def link(database: Path, issuer: str) -> None:
    """Makes an account known as the administrator's, as a log-in at the provider does."""
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO oidc_accounts VALUES (?, '0042', 'default', 'admin', 0)", [issuer])


def own_key_still_works(gateway: Gateway) -> None:
    """Checks that further issuers take nothing from the deployment's own credentials."""
    assert httpx.get(f"{gateway.url}{METADATA}", headers=gateway.bearer).status_code == 200


def test_a_token_of_a_known_account_is_its_user(ask: Callable[..., httpx.Response], provider: Provider) -> None:
    answer = ask(provider.token())
    told = json.loads(answer.json()["conversation"]["title"])
    assert told["x-parley-identity-subject"] == "default/admin"
    assert not {"authorization", "x-parley-token-payload"} & set(told), "what the provider says stays here"


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "somebody-else"},
        {"aud": None},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"exp": -600},
        {"exp": None},
        {"nbf": 600},
        {"sub": "0043"},
        {"sub": None},
    ],
    ids=str,
)
def test_any_other_token_is_refused(
    ask: Callable[..., httpx.Response], provider: Provider, changed: dict[str, object]
) -> None:
    assert ask(provider.token(**changed)).status_code in {401, 403}


def test_what_another_key_signed_is_refused(ask: Callable[..., httpx.Response], provider: Provider) -> None:
    other = Provider(provider.url, ECKey.generate_key("P-256", auto_kid=True))
    assert ask(other.token()).status_code == 401
    # What Envoy would say of the right one does not help the wrong one.
    assert ask(other.token(), **{"x-parley-token-payload": "eyJpc3MiOiAieCJ9"}).status_code == 401


def test_identitys_own_methods_want_its_own_credentials(ask: Callable[..., httpx.Response], provider: Provider) -> None:
    assert ask(provider.token(), "/api/v1/users/me").status_code == 401

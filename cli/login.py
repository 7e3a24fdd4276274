"""`parley login` and `parley logout`: by password, or at an OpenID provider in the browser."""

from __future__ import annotations

import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Annotated, Self
from urllib.parse import parse_qs, urlsplit

import typer

from cli import credentials, output
from cli.errors import CommandError
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json
from cli.users import ask_password

WAIT_SECONDS = 300
DONE = b"<!doctype html><title>Parley</title><p>You are logged in, or the terminal says why not. Close this page.</p>"


def login(
    user: Annotated[str, typer.Argument(help="Your id; not needed with --provider.")] = "",
    provider: Annotated[str, typer.Option(help="Log in at this OpenID provider, in the browser.")] = "",
    organisation: Annotated[str, typer.Option(help="Your organisation, where it is not the default one.")] = "",
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Log in; later commands use it.

    The password is asked for, or read from standard input when that is piped.
    """
    with Gateway(gateway, anonymous=True) as client:
        tokens = _by_provider(client, provider) if provider else _by_password(client, user, organisation)
        credentials.keep(client.url, tokens)
    who = tokens.get("user", "").removeprefix("users/")
    output.note(f"Logged in as {who} of {tokens.get('organisation', '').removeprefix('organisations/')}.")


def logout(gateway: GatewayOption = DEFAULT) -> None:
    """End the session of `parley login`."""
    with Gateway(gateway, anonymous=True) as client:
        refresh_token = credentials.forget(client.url)
        if refresh_token:
            client.post("/api/v1/tokens:logout", {"refreshToken": refresh_token})
    output.note("Logged out." if refresh_token else "Nobody was logged in.")


def _by_password(client: Gateway, user: str, organisation: str) -> Json:
    name = user or str(typer.prompt("User", err=True))
    body = {"userId": name, "password": ask_password("Password")}
    if organisation:
        body["organisation"] = f"organisations/{organisation}"
    tokens: Json = client.post("/api/v1/tokens:login", body)["tokens"]
    return tokens


def _by_provider(client: Gateway, provider: str) -> Json:
    """Logs in in the browser, which comes back to a port of this machine (RFC 8252)."""
    with _Callback() as callback:
        body = {"provider": provider, "redirectUri": callback.uri}
        begun = client.post("/api/v1/tokens:beginOidc", body)
        output.note(f"Log in here: {begun['authorizationUri']}")
        webbrowser.open(begun["authorizationUri"])
        back = callback.wait()
    if "error" in back:
        raise CommandError(f"the provider refused: {back.get('error_description', back['error'])}")
    if back.get("state") != begun["state"]:
        raise CommandError("what came back belongs to another login. Try again.")
    body = {"state": back["state"], "code": back.get("code", ""), "issuer": back.get("iss", "")}
    tokens: Json = client.post("/api/v1/tokens:completeOidc", body)["tokens"]
    return tokens


class _Callback:
    """Listens on a free port of the loopback until the browser comes back, once."""

    def __enter__(self) -> Self:
        self._back: dict[str, str] = {}
        self._came = threading.Event()
        self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        self.uri = f"http://127.0.0.1:{self._server.server_port}/callback"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self) -> dict[str, str]:
        """The parameters that the browser came back with. Raises CommandError where it never did."""
        if not self._came.wait(WAIT_SECONDS):
            raise CommandError(f"nobody came back from the browser within {WAIT_SECONDS} s. Try again.")
        return self._back

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path != "/callback" or outer._came.is_set():
                    self.send_error(404)
                    return
                outer._back = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(DONE)
                outer._came.set()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it so
                """Says nothing: the path has a code in it."""

        return Handler

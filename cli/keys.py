"""`parley keys`: make, list, revoke and rotate API keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli import output
from cli.conversations import confirmed
from cli.errors import UsageError
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json, resource
from cli.output import JsonOption

app = typer.Typer(no_args_is_help=True, help="API keys.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `list` shows it.")]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="What it may do, e.g. chat; may be repeated. All, without it.")
    ] = None,
    user: Annotated[str, typer.Option(help="Whose it is; yours, without it.")] = "",
    expires: Annotated[str, typer.Option(help="After how long it ends: 12h, 90d. Never, without it.")] = "",
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is printed once, and nobody can find it out later."""
    body: Json = {"displayName": name, "scopes": scope or [], "user": f"users/{user}" if user else ""}
    if expires:
        ends = datetime.now(UTC) + timedelta(seconds=duration(expires))
        body["expireTime"] = ends.isoformat().replace("+00:00", "Z")
    with Gateway(gateway) as client:
        _show_secret(client.post("/api/v1/apiKeys", body), as_json)


def _show_secret(made: Json, as_json: bool) -> None:
    """Prints a new key: the secret alone on standard output, what there is to know on standard error."""
    if as_json:
        output.document(made)
        return
    output.write(made["secret"] + "\n")
    output.note(f"Keep it: it is not shown again. Its id is {_id(made['apiKey'])}.")


def _id(key: Json) -> str:
    return str(key["name"]).removeprefix("apiKeys/")


@app.command("list")
def list_(
    user: Annotated[str, typer.Option(help="Only this user's.")] = "",
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List keys, the newest first: yours, or everybody's where you administer them."""
    with Gateway(gateway) as client:
        found = client.pages("/api/v1/apiKeys", "apiKeys", user=f"users/{user}" if user else "")
    if as_json:
        output.document({"apiKeys": found})
    else:
        headings = ("key", "user", "for", "scopes", "state", "last used")
        output.listing(headings, map(_row, found), "No keys yet: parley keys create")


def _row(key: Json) -> tuple[str, ...]:
    ends, revoked = key.get("expireTime"), key.get("revokeTime")
    state = "revoked" if revoked else f"until {day(ends)}" if ends else "valid"
    scopes = " ".join(key.get("scopes", [])) or "all"
    user = key.get("user", "").removeprefix("users/")
    return _id(key), user, key.get("displayName", ""), scopes, state, day(key.get("lastUsedTime"))


def day(time: str | None) -> str:
    """A time to the minute."""
    return f"{time[:16].replace('T', ' ')} UTC" if time else ""


@app.command()
def revoke(
    key: Key,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Revoke a key: it is refused everywhere within a second."""
    if not yes and not confirmed(f"Revoke {key}? Whoever uses it is shut out at once."):
        return
    with Gateway(gateway) as client:
        client.post(f"/api/v1/{resource('apiKeys', key)}:revoke", {})
    output.note(f"Revoked {key}.")


@app.command()
def rotate(
    key: Key,
    overlap: Annotated[str, typer.Option(help="How long the old one goes on: 30m, 1d.")] = "1d",
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a key in the place of another, which goes on for a while."""
    with Gateway(gateway) as client:
        made = client.post(f"/api/v1/{resource('apiKeys', key)}:rotate", {"overlap": f"{duration(overlap)}s"})
        _show_secret(made, as_json)


def duration(text: str) -> int:
    """Seconds of `90d`, `12h`, `30m`, `45s`. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no length of time such as 30m, 12h or 90d.")
    return int(match[1]) * UNITS[match[2]]

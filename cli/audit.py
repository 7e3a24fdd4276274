"""`parley audit`: who did what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from cli import output
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json
from cli.keys import day
from cli.output import JsonOption


def audit(
    user: Annotated[str, typer.Option(help="Only what this user did.")] = "",
    action: Annotated[str, typer.Option(help="Only what begins so: users., apiKeys.revoke")] = "",
    denied: Annotated[bool, typer.Option("--denied", help="Only what was refused.")] = False,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 50,
    export: Annotated[
        Path | None, typer.Option(help="Write all of it to this file as lines of JSON.", dir_okay=False)
    ] = None,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show the audit log, the newest first, or export it."""
    wanted = {
        "filter.actor": f"users/{user}" if user else "",
        "filter.action": action,
        "filter.outcome": "OUTCOME_DENIED" if denied else "",
    }
    given = {name: value for name, value in wanted.items() if value}
    with Gateway(gateway) as client:
        if export:
            _export(client, urlencode(given), export)
            return
        found = client.pages("/api/v1/auditEntries", "auditEntries", limit, **given)
    if as_json:
        output.document({"auditEntries": found})
    else:
        output.listing(("time", "user", "action", "resource", "outcome", "detail"), map(_row, found), "Nothing yet.")


def _export(client: Gateway, query: str, file: Path) -> None:
    """Writes the log to a file, which appears when it is whole."""
    partial = file.with_name(f".{file.name}.part")
    try:
        with partial.open("wb") as target:
            for piece in client.bytes_of(f"/api/v1/auditEntries:export?{query}"):
                target.write(piece)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    output.note(f"Wrote {file}.")


def _row(entry: Json) -> tuple[str, ...]:
    return (
        day(entry.get("time")),
        entry.get("actor", "").removeprefix("users/"),
        entry.get("action", ""),
        entry.get("resource", ""),
        entry.get("outcome", "").removeprefix("OUTCOME_").lower(),
        entry.get("detail", ""),
    )

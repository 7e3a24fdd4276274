"""`parley usage`: what was used."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from cli import output
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json
from cli.output import JsonOption


class By(enum.StrEnum):
    """What sums are made for."""

    DAY = "day"
    USER = "user"
    KEY = "api_key"
    SERVICE = "service"
    MODEL = "model"


def usage(
    by: Annotated[list[By] | None, typer.Option("--by", help="Sum up by this; may be repeated.")] = None,
    user: Annotated[str, typer.Option(help="Only this user's.")] = "",
    since: Annotated[str, typer.Option(help="From this day on: 2026-07-01. The last 30 days, without it.")] = "",
    until: Annotated[str, typer.Option(help="To this day.")] = "",
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show what was used: by you, or by everybody where you administer it."""
    dimensions = by or [By.DAY, By.SERVICE, By.MODEL]
    groups = [f"USAGE_DIMENSION_{one.value.upper()}" for one in dimensions]
    given = {"startDay": since, "endDay": until, "user": f"users/{user}" if user else ""}
    with Gateway(gateway) as client:
        answer = client.get("/api/v1/usage", groupBy=groups, **{name: value for name, value in given.items() if value})
    found = answer.get("sums", [])
    if as_json:
        output.document({"sums": found})
    else:
        headings = (*(one.value.replace("_", " ") for one in dimensions), "unit", "amount")
        output.listing(headings, (_row(one, dimensions) for one in found), "Nothing was used.")


def _row(total: Json, dimensions: list[By]) -> tuple[str, ...]:
    names = {By.KEY: "apiKey"}
    values = [str(total.get(names.get(one, one.value), "")).rpartition("/")[2] for one in dimensions]
    unit = str(total.get("unit", "")).removeprefix("USAGE_UNIT_").lower().replace("_", " ")
    return (*values, unit, f"{float(total.get('amount', 0)):,.10g}")

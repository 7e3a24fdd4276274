"""Which chart shows a result: a Vega-Lite specification (https://vega.github.io/vega-lite/docs/spec.html) without data.

Time and a measure make a line, a category and a measure bars, two measures points; a single figure makes none. Whoever
draws it names the rows `result`, as objects by column name.
"""

from __future__ import annotations

import re
from typing import Any

from services.sql.language.words import spoken_name
from services.sql.results.digest import ColumnDigest, Digest, Role
from services.sql.values import ColumnType

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
# Beyond these a picture shows nothing any more.
MAX_POINTS = 5000
MAX_BARS = 40
MAX_COLORS = 12
# Longer labels stand beside horizontal bars.
_LONG_LABEL = 12
_MANY_BARS = 8


def suggest(digest: Digest) -> dict[str, Any] | None:
    """A specification, or None where no chart fits.

    Args:
        digest: The whole result's.
    """
    names = [item.column.name for item in digest.columns]
    if not 2 <= digest.rows <= MAX_POINTS or len(set(names)) < len(names) or not all(names):
        return None
    measures = digest.of(Role.MEASURE)
    times = digest.of(Role.TIME, Role.YEAR)
    categories = [item for item in digest.of(Role.CATEGORY) if len(item.distinct) > 1]
    if not measures or len(digest.columns) > 6 or digest.of(Role.OTHER):
        return None
    if times and len(times[0].distinct) > 1:
        return _line(digest, times[0], measures[0], categories)
    if categories:
        return _bars(digest, measures[0], categories)
    return _points(measures[0], measures[1]) if len(measures) == 2 == len(digest.columns) and digest.rows > 2 else None


def _line(
    digest: Digest, time: ColumnDigest, measure: ColumnDigest, categories: list[ColumnDigest]
) -> dict[str, Any] | None:
    x = _axis(time, "ordinal" if time.role is Role.YEAR else "temporal")
    encoding = {"x": x, "y": _axis(measure, "quantitative")}
    one_each = len(time.distinct) + bool(time.nulls) == digest.rows
    if not one_each:
        color = next((item for item in categories if len(item.distinct) <= MAX_COLORS), None)
        if color is None or len(time.distinct) * (len(color.distinct) + bool(color.nulls)) < digest.rows:
            # Several values at one time, and nothing that tells them apart.
            return _spec("point", [time, measure], {**encoding}) if not categories else None
        encoding["color"] = _axis(color, "nominal")
        return _spec("line", [time, measure, color], encoding, point=True)
    return _spec("line", [time, measure], encoding, point=digest.rows <= 60)


def _bars(digest: Digest, measure: ColumnDigest, categories: list[ColumnDigest]) -> dict[str, Any] | None:
    label = max(categories, key=lambda item: len(item.distinct))
    others = [item for item in categories if item is not label and len(item.distinct) <= MAX_COLORS]
    if len(label.distinct) > MAX_BARS:
        return None
    one_each = len(label.distinct) + bool(label.nulls) == digest.rows
    if not one_each and not others:
        return None
    # The statement's own order.
    long, across = {**_axis(label, "nominal"), "sort": None}, _axis(measure, "quantitative")
    wide = label.longest > _LONG_LABEL or len(label.distinct) > _MANY_BARS
    encoding = {"y": long, "x": across} if wide else {"x": long, "y": across}
    if one_each:
        return _spec("bar", [label, measure], encoding)
    encoding["color"] = _axis(others[0], "nominal")
    encoding["yOffset" if wide else "xOffset"] = {"field": _field(others[0].column.name)}
    return _spec("bar", [label, measure, others[0]], encoding)


def _points(first: ColumnDigest, second: ColumnDigest) -> dict[str, Any]:
    return _spec("point", [first, second], {"x": _axis(first, "quantitative"), "y": _axis(second, "quantitative")})


def _spec(mark: str, used: list[ColumnDigest], encoding: dict[str, Any], **options: bool) -> dict[str, Any]:
    tooltips = [{"field": _field(item.column.name), "title": _title(item)} for item in used]
    parse = {item.column.name: "number" for item in used if item.column.type is ColumnType.DECIMAL}
    data = {"name": "result", **({"format": {"type": "json", "parse": parse}} if parse else {})}
    shown = {key: value for key, value in options.items() if value}
    return {
        "$schema": SCHEMA,
        "data": data,
        "mark": {"type": mark, **shown},
        "encoding": {**encoding, "tooltip": tooltips},
    }


def _axis(item: ColumnDigest, kind: str) -> dict[str, Any]:
    return {"field": _field(item.column.name), "type": kind, "title": _title(item)}


def _title(item: ColumnDigest) -> str:
    return spoken_name(item.column.name) or item.column.name


def _field(name: str) -> str:
    """A column's name as a path of Vega-Lite: what would lead into an object is escaped."""
    return re.sub(r"([.\[\]\\])", r"\\\1", name)

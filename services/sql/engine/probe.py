"""What the first rows of a meaning say about whether it was meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.sql.meaning.frame import Frame

NO_MATTER = ("gives nothing", "gives zero", "gives rows", "gives one row")
"""Beginnings of outcomes that say how sure an answer is, but not what was meant: that nothing fits is an answer too."""


def outcome(rows: Sequence[Sequence[Any]] | None, frame: Frame) -> dict[str, float]:
    """What rows say about their frame, as features."""
    if rows is None:
        return {"fails": 1.0}
    found: dict[str, float] = {}
    grouped = bool(frame.groups)
    single = frame.limit == 1 or (not grouped and all(term.aggregate for term in frame.select))
    if not rows:
        kind = frame.sets or ("having" if frame.having else "conditions" if frame.filters else "joins")
        found[f"gives nothing {kind}"] = 1.0
        return found
    cells = [value for row in rows for value in row]
    if all(value is None for value in cells):
        found["gives only unknowns"] = 1.0
    elif any(all(row[column] is None for row in rows) for column in range(len(rows[0]))):
        found["gives an unknown column"] = 1.0
    if single and len(cells) == 1 and cells[0] == 0:
        found["gives zero"] = 1.0
    if not single:
        found["gives one row" if len(rows) == 1 else "gives rows"] = 1.0
        if grouped and len(rows) == 1:
            found["gives one group"] = 1.0
    if len({tuple(map(str, row)) for row in rows}) < len(rows):
        found[f"repeats rows {len(frame.tables) > 1}"] = 1.0
    if grouped and frame.order is None and all(row[-1] == 1 for row in rows) and len(rows) > 2:
        found["gives groups of one"] = 1.0
    return found

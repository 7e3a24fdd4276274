"""Types of columns that came as text: the first one that every value of a column fits."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

# What stands for nothing in a column of numbers or dates.
_NOTHING = "('', '-', '--', 'na', 'n/a', '#n/a', 'nan', 'null', 'none', 'nil')"
_VALUE = "trim(v)"
_MONEY = f"regexp_replace({_VALUE}, '[\\s\\x{{00A0}}$€£¥₫]', '', 'g')"
_WHOLE = "(0|[1-9]\\d*)"


@dataclass(frozen=True)
class Cast:
    """A way to read text.

    Args:
        expression: SQL over `v`: the value, or NULL where it does not fit.
        note: What was assumed, where the text could mean something else.
    """

    expression: str
    note: str = ""


def _number(thousands: str, decimal: str) -> Cast:
    pattern = f"[+-]?([1-9]\\d{{0,2}}(\\{thousands}\\d{{3}})+|{_WHOLE})(\\{decimal}\\d+)?([eE][+-]?\\d+)?"
    plain = f"replace(replace({_MONEY}, '{thousands}', ''), '{decimal}', '.')"
    return Cast(f"CASE WHEN regexp_full_match({_MONEY}, '{pattern}') THEN TRY_CAST({plain} AS DOUBLE) END")


def _pattern(pattern: str, expression: str) -> Cast:
    return Cast(f"CASE WHEN regexp_full_match({_VALUE}, '{pattern}') THEN {expression} END")


def _dated(*formats: str, kind: str = "DATE", note: str = "") -> Cast:
    listed = ", ".join(f"'{item}'" for item in formats)
    return Cast(f"TRY_CAST(try_strptime({_VALUE}, [{listed}]) AS {kind})", note)


_TIMES = ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M")
_POINT, _COMMA = _number(",", "."), _number(".", ",")
_INTEGER = _pattern("[+-]?(0|[1-9]\\d{0,17})", f"TRY_CAST({_VALUE} AS BIGINT)")
_OTHERS = (
    Cast(
        f"CASE lower({_VALUE}) WHEN 'true' THEN true WHEN 'yes' THEN true WHEN 'false' THEN false "
        "WHEN 'no' THEN false END"
    ),
    _pattern("\\d{4}-\\d{2}-\\d{2}", f"TRY_CAST({_VALUE} AS DATE)"),
    _pattern("\\d{4}-\\d{2}-\\d{2}[ T]\\d{2}:\\d{2}(:\\d{2}(\\.\\d+)?)?", f"TRY_CAST({_VALUE} AS TIMESTAMP)"),
    _pattern("\\d{4}-\\d{2}-\\d{2}[ T]\\d{2}:\\d{2}.*", f"TRY_CAST({_VALUE} AS TIMESTAMPTZ)"),
    _dated("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", note="dates are read with the day first"),
    _dated("%m/%d/%Y", "%m-%d-%Y", note="dates are read with the month first"),
    _dated("%Y/%m/%d", "%Y%m%d"),
    _dated(*(f"%d/%m/%Y {time}" for time in _TIMES), kind="TIMESTAMP", note="dates are read with the day first"),
    _dated(*(f"%m/%d/%Y {time}" for time in _TIMES), kind="TIMESTAMP", note="dates are read with the month first"),
)
TEXT = Cast("nullif(v, '')")


def chosen(connection: duckdb.DuckDBPyConnection, table: str, column: str, *, comma: bool) -> Cast:
    """The cast for a column of text.

    Args:
        connection: Where the table is.
        table: Its name, quoted.
        column: The column's name, quoted.
        comma: Whether a comma is likelier the decimal sign than a sign between thousands.
    """
    casts: tuple[Cast, ...] = (_INTEGER, *((_COMMA, _POINT) if comma else (_POINT, _COMMA)), *_OTHERS)
    source = f"SELECT {column} AS v FROM {table} WHERE lower(trim({column})) NOT IN {_NOTHING}"  # noqa: S608  quoted names
    # Most columns are text: their first values show it.
    for bound in (" LIMIT 200", ""):
        counts = ", ".join(f"count({cast.expression})" for cast in casts)
        found = connection.execute(f"SELECT count(*), {counts} FROM ({source}{bound})").fetchone()  # noqa: S608  as above
        assert found is not None
        casts = tuple(cast for cast, count in zip(casts, found[1:], strict=True) if count == found[0] > 0)
        if not casts:
            return TEXT
    return casts[0]

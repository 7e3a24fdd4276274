"""Results as an Apache Arrow IPC stream: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format.

Written with nanoarrow, which is 1 MB where pyarrow is 55 MB (and 170 MB installed): a stream of plain columns is all
that is needed here. Integers are int64, numbers float64, dates date32, timestamps microseconds in UTC, bytes binary,
and decimals, JSON and columns of mixed types text, so that no digit is lost.
"""

from __future__ import annotations

import array
import base64
import datetime as dt
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import nanoarrow as na
from nanoarrow.ipc import StreamWriter

from services.sql.errors import SqlFailed
from services.sql.values import ColumnType, ResultColumn, Value

CONTENT_TYPE = "application/vnd.apache.arrow.stream"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class ArrowStream:
    """Writes a result; the pieces, one after another, are the stream.

    Args:
        columns: The columns of the result.
    """

    content_type = CONTENT_TYPE

    def __init__(self, columns: Sequence[ResultColumn]) -> None:
        self._columns = columns
        self._kinds = [_KINDS.get(column.type, _TEXT) for column in columns]
        # Not a mapping: names need not be unique in SQL, nor in Arrow.
        named = zip(columns, self._kinds, strict=True)
        fields = [na.c_schema(kind.type).modify(name=column.name) for column, kind in named]
        self._schema = na.struct(fields)
        self._out = io.BytesIO()
        self._writer = StreamWriter.from_writable(self._out)
        self._count = 0

    def head(self) -> bytes:
        """The schema."""
        return self.batch([])

    def batch(self, rows: Sequence[Sequence[Value]]) -> bytes:
        """Some rows, as one record batch.

        Raises:
            SqlFailed: A value does not fit its column, whose type was judged by the first rows.
        """
        children = [self._child(index, [row[index] for row in rows]) for index in range(len(self._columns))]
        found = na.c_array_from_buffers(self._schema, len(rows), [None], null_count=0, children=children)
        self._writer.write_array(found)
        self._count += len(rows)
        return self._taken()

    def end(self) -> bytes:
        """The mark of the stream's end."""
        self._writer.close()
        return self._taken()

    def _child(self, index: int, values: list[Value]) -> Any:
        kind, column = self._kinds[index], self._columns[index]
        converted: list[Any] = []
        for place, value in enumerate(values):
            try:
                converted.append(None if value is None else kind.convert(value))
            except (ValueError, TypeError, OverflowError):
                raise SqlFailed(
                    f"Column {column.name} began as {column.type.value}, and row {self._count + place + 1} holds "
                    "another kind of value: CAST the column to text in the statement, or ask for rows."
                ) from None
        nulls = converted.count(None)
        valid = _bits([value is not None for value in converted]) if nulls else None
        try:
            buffers = kind.buffers(converted)
        except OverflowError:
            raise SqlFailed(
                f"Column {column.name} holds whole numbers beyond 64 bits: CAST it to text in the statement."
            ) from None
        return na.c_array_from_buffers(kind.type, len(values), [valid, *buffers], null_count=nulls)

    def _taken(self) -> bytes:
        taken = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        return taken


class _Kind:
    """How values of a column type go into Arrow's buffers.

    Args:
        kind: Arrow's type.
        convert: A value of the contract as what the buffers hold; raises ValueError, TypeError or OverflowError.
        buffers: The buffers after the validity one, of values that may be None.
    """

    def __init__(self, kind: Any, convert: Callable[[Any], Any], buffers: Callable[[list[Any]], list[Any]]) -> None:
        self.type = kind
        self.convert = convert
        self.buffers = buffers


def _bits(values: Sequence[bool]) -> bytes:
    """A bitmap, the least significant bit first."""
    found = bytearray((len(values) + 7) // 8)
    for index, value in enumerate(values):
        if value:
            found[index // 8] |= 1 << (index % 8)
    return bytes(found)


def _fixed(code: str) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [array.array(code, [0 if value is None else value for value in values])]


def _variable(values: list[Any]) -> list[Any]:
    offsets, data = array.array("i", [0]), bytearray()
    for value in values:
        data += value or b""
        offsets.append(len(data))
    return [offsets, bytes(data)]


def _whole(value: Any) -> int:
    """Numbers beyond 2^53 are strings in the contract."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value)


def _floating(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _day(value: Any) -> int:
    return (dt.date.fromisoformat(value) - _EPOCH.date()).days


def _moment(value: Any) -> int:
    moment = dt.datetime.fromisoformat(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False).encode()


_TEXT = _Kind(na.string(), _text, _variable)
_KINDS = {
    ColumnType.INTEGER: _Kind(na.int64(), _whole, _fixed("q")),
    ColumnType.NUMBER: _Kind(na.float64(), _floating, _fixed("d")),
    ColumnType.BOOLEAN: _Kind(na.bool_(), _truth, lambda values: [_bits(values)]),
    ColumnType.DATE: _Kind(na.date32(), _day, _fixed("i")),
    ColumnType.TIMESTAMP: _Kind(na.timestamp("us", "UTC"), _moment, _fixed("q")),
    ColumnType.BYTES: _Kind(na.binary(), base64.b64decode, _variable),
}

"""Tool calls and their results as JSON, for the database."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from services.chat.tools import (
    Column,
    Drawing,
    Picture,
    Segment,
    Speaker,
    Table,
    ToolCall,
    ToolResult,
    Transcript,
    Word,
)
from services.mesh import errors
from services.mesh.errors import FieldViolation, ParleyError

# An error is stored with the nearest of the mesh's classes: that decides its status when it is read again.
_CLASSES = {
    cls.__name__: cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ParleyError)
}


def from_call(call: ToolCall) -> dict[str, Any]:
    """The record of a call."""
    return {"id": call.id, "tool": call.tool, "arguments": dict(call.arguments)}


def to_call(record: dict[str, Any]) -> ToolCall:
    """The call of a record."""
    return ToolCall(record["id"], record["tool"], record["arguments"])


def from_result(result: ToolResult) -> dict[str, Any]:
    """The record of a result."""
    record: dict[str, Any] = {"call_id": result.call_id, "elapsed": result.elapsed}
    if result.error is not None:
        return {**record, "error": _from_error(result.error)}
    if isinstance(result.output, Table):
        return {**record, "table": asdict(result.output)}
    if isinstance(result.output, Transcript):
        return {**record, "transcript": asdict(result.output)}
    if isinstance(result.output, Drawing):
        return {**record, "drawing": _from_drawing(result.output)}
    return {**record, "text": result.output or ""}


def to_result(record: dict[str, Any]) -> ToolResult:
    """The result of a record."""
    call_id, elapsed = record["call_id"], record["elapsed"]
    if "error" in record:
        return ToolResult(call_id, elapsed, error=_to_error(record["error"]))
    if "table" in record:
        return ToolResult(call_id, elapsed, _to_table(record["table"]))
    if "transcript" in record:
        return ToolResult(call_id, elapsed, _to_transcript(record["transcript"]))
    if "drawing" in record:
        pictures = tuple(Picture(**picture) for picture in record["drawing"]["pictures"])
        return ToolResult(call_id, elapsed, Drawing(**{**record["drawing"], "pictures": pictures}))
    return ToolResult(call_id, elapsed, record["text"])


def _from_drawing(drawing: Drawing) -> dict[str, Any]:
    """The record of what was drawn: the names of the pictures, which the image service keeps, not their bytes."""
    record = asdict(replace(drawing, pictures=()))
    pictures = [asdict(replace(picture, content=b"")) for picture in drawing.pictures]
    for picture in pictures:
        del picture["content"], picture["link"]
    return {**record, "pictures": pictures}


def _to_table(record: dict[str, Any]) -> Table:
    columns = tuple(Column(**c) for c in record["columns"])
    return Table(**{**record, "columns": columns, "rows": tuple(tuple(row) for row in record["rows"])})


def _to_transcript(record: dict[str, Any]) -> Transcript:
    segments = tuple(Segment(**{**s, "words": tuple(Word(**w) for w in s["words"])}) for s in record["segments"])
    speakers = tuple(Speaker(**s) for s in record.get("speakers", ()))
    return Transcript(**{**record, "segments": segments, "speakers": speakers})


def _from_error(error: ParleyError) -> dict[str, Any]:
    return {
        "class": next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _CLASSES),
        "reason": error.reason,
        "message": error.message,
        "metadata": dict(error.metadata),
        "retry_after": error.retry_after,
        "violations": [list(v) for v in error.violations],
    }


def _to_error(record: dict[str, Any]) -> ParleyError:
    cls = _CLASSES.get(record["class"], ParleyError)
    # Subclasses take arguments of their own, which are not stored; what they made of them is.
    error = cls.__new__(cls)
    ParleyError.__init__(
        error,
        record["message"],
        metadata=record["metadata"],
        retry_after=record["retry_after"],
        violations=[FieldViolation(*v) for v in record["violations"]],
    )
    # An attribute of the class elsewhere; here as it was stored.
    error.reason = record["reason"]  # type: ignore[misc]
    return error

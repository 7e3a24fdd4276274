"""Errors as the Stable Diffusion web UI's clients read them: FastAPI's 422 for wrong fields, and its own object."""

from __future__ import annotations

import re
from typing import Any

from services.image.bodies import dumped
from services.mesh import status
from services.mesh.errors import InvalidArgument, ParleyError

_PART = re.compile(r"[^.\[\]]+")


class HttpException(InvalidArgument):
    """What the web UI answers with a text and a status of its own choice, where others have a list of fields.

    Args:
        field: The field at fault.
        detail: The text; begins as the web UI's does, and says what would be right.
        http: The status.
    """

    def __init__(self, field: str, detail: str, http: int) -> None:
        super().__init__(field, detail)
        self.message, self.http = detail, http


def said(error: ParleyError) -> tuple[int, bytes]:
    """The HTTP status and the JSON of an error."""
    if isinstance(error, HttpException):
        return error.http, _object("HTTPException", error.message)
    code = status.http_status(error)
    if code == 400 and error.violations:
        details = [
            {"type": "value_error", "loc": ["body", *_location(one.field)], "msg": one.description}
            for one in error.violations
        ]
        return 422, dumped({"detail": details})
    return code, _object("".join(word.title() for word in error.reason.split("_")), error.message)


def _object(kind: str, message: str) -> bytes:
    return dumped({"error": kind, "detail": message, "body": "", "errors": message})


def _location(path: str) -> list[Any]:
    """`imageList[0].data` as FastAPI has it: ["imageList", 0, "data"]; nothing for the whole body."""
    parts = _PART.findall(path) if path != "body" else []
    return [int(part) if part.isdigit() else part for part in parts]

"""JSON bodies of the façades, checked against a model: every field that is wrong is named, with what would be right."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, RootModel, ValidationError

from services.mesh.errors import FieldViolation, InvalidRequest

SHOWN = 16
"""More faults than this help nobody."""
PIECE = 1 << 20
"""Bytes of an answer that travel in one message: pictures in base64 may be more than a message takes."""


class Body(BaseModel):
    """What every body holds to: unknown fields are ignored, as the APIs spoken here do; no NaN, no infinity."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


def _finite(value: Any) -> Any:
    """Refuses NaN and infinities wherever they are: no JSON could repeat them."""
    json.dumps(value, allow_nan=False)
    return value


Anything = Annotated[dict[str, Any], AfterValidator(_finite)]
"""An object of which only parts are known."""
M = TypeVar("M", bound=Body)


def read(model: type[M], raw: bytes) -> M:
    """A JSON body, checked. No body at all is an empty object. Raises InvalidRequest."""
    try:
        return model.model_validate_json(raw.removeprefix(codecs.BOM_UTF8).strip() or b"{}")
    except ValidationError as error:
        raise InvalidRequest(violations(error)) from None


class _Object(RootModel[Anything]):
    """Any JSON object."""


def read_object(raw: bytes) -> dict[str, Any]:
    """A JSON body that may have any field. Raises InvalidRequest."""
    try:
        return _Object.model_validate_json(raw.removeprefix(codecs.BOM_UTF8).strip() or b"{}").root
    except ValidationError as error:
        raise InvalidRequest(violations(error)) from None


def check(model: type[M], values: Mapping[str, Any], where: str = "") -> M:
    """Values that came in another way, checked.

    Args:
        model: What they must be.
        values: The fields.
        where: What the client calls the whole, to name the fields in it.

    Raises:
        InvalidRequest: Some are wrong.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidRequest(violations(error, where)) from None


def violations(error: ValidationError, where: str = "") -> list[FieldViolation]:
    """What is wrong, field by field."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)[:SHOWN]
    return [FieldViolation(_path(fault, where), fault["msg"]) for fault in faults]


def _path(fault: Mapping[str, Any], where: str) -> str:
    """The field as a client writes it: `imageList[0].data`."""
    if fault["type"] == "json_invalid":
        return "body"
    path = where
    for part in fault["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
    return path or "body"


def dumped(answer: Any) -> bytes:
    """An answer as JSON."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def pieces(data: bytes) -> Iterator[bytes]:
    """An answer in pieces that fit into a message; at least one."""
    for start in range(0, max(1, len(data)), PIECE):
        yield data[start : start + PIECE]

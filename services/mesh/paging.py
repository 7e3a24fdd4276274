"""Pages of a list (https://google.aip.dev/158): tokens are opaque to clients, the sort key of the last row to us."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from services.mesh.errors import InvalidArgument

DEFAULT_PAGE = 50
"""Rows of a page whose size the request leaves open."""
MAX_PAGE = 1000


def size(asked: int) -> int:
    """How many rows a page has for a request that asks for so many; 0 leaves it open."""
    return min(asked or DEFAULT_PAGE, MAX_PAGE)


def token(*key: object) -> str:
    """The token for what follows the row with this sort key. The parts go through `str`."""
    return base64.urlsafe_b64encode(json.dumps([str(part) for part in key]).encode()).decode().rstrip("=")


def key(token: str, *kinds: Callable[[str], Any]) -> tuple[Any, ...]:
    """The sort key that `token` packed.

    Args:
        token: From a request; not empty.
        kinds: What each part is made with, e.g. `micros`, `moment`, `str`; raises ValueError for
            what it is not made of.

    Raises:
        InvalidArgument: It is not a token that was given out; names the field `page_token`.
    """
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        parts = json.loads(packed)
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise ValueError(token)
        return tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))
    except (ValueError, OverflowError, binascii.Error, RecursionError):
        raise InvalidArgument("page_token", "is not one that a previous page gave.") from None


def micros(text: str) -> int:
    """A time in microseconds since 1970, as stores keep it. Raises ValueError for what no database holds."""
    found = int(text)
    if not 0 <= found < 1 << 62:
        raise ValueError(text)
    return found


def moment(text: str) -> datetime:
    """A time as `str` writes it, in UTC. Raises ValueError or OverflowError for anything else."""
    return datetime.fromisoformat(text).astimezone(UTC)

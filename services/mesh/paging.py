"""Page tokens: opaque to clients, the sort key of a page's last row to us (https://google.aip.dev/158)."""

from __future__ import annotations

import base64
import binascii

from services.mesh.errors import InvalidArgument

DEFAULT_PAGE = 50
"""Rows of a page whose size the request leaves open."""


def token(*key: int | str) -> str:
    """The token for what follows a row with this sort key."""
    return base64.urlsafe_b64encode(":".join(map(str, key)).encode()).decode().rstrip("=")


def key(token: str, parts: int) -> list[str]:
    """The sort key that `token` packed; its first part is a time in microseconds.

    Raises:
        InvalidArgument: It is not a token that was given out; names the field `page_token`.
    """
    try:
        found = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().split(":")
        if len(found) != parts or not 0 <= int(found[0]) < 1 << 62:
            raise ValueError(token)
    except (ValueError, binascii.Error):
        raise InvalidArgument("page_token", "is not one that a previous page gave.") from None
    return found

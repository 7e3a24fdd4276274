"""Pictures inside of JSON: base64, bare or as a data URL. No other URL is followed."""

from __future__ import annotations

import base64
import binascii

from services.image.errors import InvalidImage
from services.mesh.errors import FieldViolation, TooLarge

MAX_PICTURE = 32 << 20
"""Largest picture, in bytes."""
MAX_ENCODED = MAX_PICTURE * 4 // 3 + (MAX_PICTURE // 24)
"""Its length in base64, with line breaks and the head of a data URL."""


def picture(field: str, text: str) -> bytes:
    """The file that a text holds.

    Args:
        field: What the request calls it.
        text: Base64 as RFC 4648 has it, with or without line breaks, or `data:image/png;base64,…`.

    Raises:
        InvalidImage: It is neither.
        TooLarge: The file is over MAX_PICTURE; found out before it is decoded.
    """
    if text[:8].lower().startswith(("http://", "https://")):
        raise InvalidImage(field, "addresses are not followed: send the picture itself, in base64 or as a data URL")
    if len(text) > MAX_ENCODED:
        raise too_large(field)
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise InvalidImage(field, "a data URL must be in base64: data:image/png;base64,…")
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidImage(field, "is neither base64 nor a data URL (data:image/png;base64,…)") from None
    return bounded(field, content)


def bounded(field: str, content: bytes) -> bytes:
    """A file of a form or of base64. Raises InvalidImage where it is empty, TooLarge where it is over MAX_PICTURE."""
    if not content:
        raise InvalidImage(field, "is empty: send a picture")
    if len(content) > MAX_PICTURE:
        raise too_large(field)
    return content


def too_large(field: str) -> TooLarge:
    """What is said of a file over MAX_PICTURE."""
    description = f"must not be over {MAX_PICTURE >> 20} MiB: send a smaller picture"
    return TooLarge(
        f"{field}: {description}",
        metadata={"limit": str(MAX_PICTURE)},
        violations=[FieldViolation(field, description)],
    )


def encoded(content: bytes) -> str:
    """A file in base64."""
    return base64.b64encode(content).decode("ascii")

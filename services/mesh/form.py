"""Multipart forms that are in memory already: taken apart, bounded, their fields and files by name."""

from __future__ import annotations

import io
from collections.abc import Callable, Container
from dataclasses import dataclass, field

import multipart

from services.mesh.errors import InvalidArgument

MAX_PARTS = 1024


@dataclass(frozen=True, slots=True)
class Form:
    """A form's parts, each name with its values in the order in which they came.

    Attributes:
        fields: The texts.
        files: The contents of the files.
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)


def read(body: bytes, content_type: str, files: Container[str], longest: Callable[[str], int]) -> Form:
    """Takes a form apart.

    Args:
        body: The form's bytes; the server bounds them.
        content_type: With its boundary.
        files: The names of the parts that are files, whatever they say of themselves.
        longest: How many bytes the text of a name may have.

    Raises:
        InvalidArgument: It is no multipart form, or a text is too long; what is at fault is named.
    """
    kind, options = multipart.parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise InvalidArgument("body", "must be multipart/form-data with a boundary")
    form = Form()
    # Nothing goes to disk: the body is in memory already.
    limit = len(body) + 1
    parser = multipart.MultipartParser(
        io.BytesIO(body), options["boundary"], part_limit=MAX_PARTS, spool_limit=limit, memory_limit=limit
    )
    try:
        for part in parser:
            if part.name in files:
                form.files.setdefault(part.name, []).append(part.raw)
            elif part.size > longest(part.name):
                raise InvalidArgument(part.name, f"must not be longer than {longest(part.name)} bytes")
            else:
                form.fields.setdefault(part.name, []).append(part.value)
    except multipart.MultipartError as error:
        raise InvalidArgument("body", f"not a well-formed multipart form: {error}") from None
    except UnicodeDecodeError:
        raise InvalidArgument("body", "its text fields must be UTF-8") from None
    return form

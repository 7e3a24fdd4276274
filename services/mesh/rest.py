"""Holds a REST call's body and query to its path.

The gateway's transcoder fills a request message from the path, then from the body or the query: a field that the path
names can be overwritten, and the call would act on another resource than its URL says. Whoever decides by the URL, a
person reading the access log or a rule about paths, would be deceived. So the path is compared with what arrived.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from services.mesh.errors import InvalidArgument

_VARIABLE = re.compile(r"\{([\w.]+)(?:=([^}]*))?\}")
_WILDCARD = re.compile(r"\\\*\\\*|\\\*")

Check = Callable[[str, Message], None]


def path_check(method: str) -> Check | None:
    """A function that compares a path with a request; None for a method whose REST rule has no variable.

    The function takes the original path, query included, and raises InvalidArgument that names the field which differs.

    Args:
        method: Full gRPC name, `/parley.sql.v1.SqlService/Ask`.
    """
    try:
        found = descriptor_pool.Default().FindMethodByName(method.strip("/").replace("/", "."))
    except KeyError:
        return None
    rule = found.GetOptions().Extensions[annotations_pb2.http]
    fields, pattern = compiled(_template(rule))
    if not fields:
        return None

    def check(path: str, request: Message) -> None:
        match = pattern.fullmatch(path.partition("?")[0])
        for position, field in enumerate(fields):
            arrived = request
            for name in field.split("."):
                arrived = getattr(arrived, name)
            # A slash inside a segment stays encoded on its way through the transcoder.
            said = match[position + 1] if match else ""
            if arrived not in (said, unquote(said)):
                raise InvalidArgument(field, f"differs from the path, which says {unquote(said)!r}: leave it out")

    return check


def _template(rule: http_pb2.HttpRule) -> str:
    """The path template of a rule; empty where there is none."""
    kind = rule.WhichOneof("pattern")
    return str(getattr(rule, kind)) if kind and kind != "custom" else ""


def compiled(template: str) -> tuple[list[str], re.Pattern[str]]:
    """The variables of a path template (google.api.http), and a pattern with one group for each.

    `*` stands for one segment, `**` for any number of them.
    """
    fields: list[str] = []
    pattern, position = "", 0
    for variable in _VARIABLE.finditer(template):
        fields.append(variable[1])
        inner = _WILDCARD.sub(lambda m: "[^/]+?" if m[0] == "\\*" else ".+", re.escape(variable[2] or "*"))
        pattern += re.escape(template[position : variable.start()]) + f"({inner})"
        position = variable.end()
    return fields, re.compile(pattern + re.escape(template[position:]))

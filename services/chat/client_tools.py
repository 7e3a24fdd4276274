"""When the embedded model calls a tool of the client, and with which arguments: rules over the words of the question.

A tool matches when the question shares a word with its name or with an enumerated value, or two words with its
description and parameter names. Words that fit every tool ("get", "find") do not count. The tool that shares most is
called, if its required arguments can be filled; a tie between two tools is no clear match.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.chat.language import fold
from services.chat.models import Choice, ToolChoice
from services.chat.tools import ToolSpec

# Words that would fit any tool or any question, in English and in folded Vietnamese.
_COMMON_WORDS = """
a an and any are at be by call can check compute create current do does fetch find for from function get given
has have how i if in is it its list look lookup make many me much my name new of on or please query read
return returns run search set show some tell that the this to tool use user value what when where which who
will with you your ban cac cho co cua duoc gi hay la mot nao nhung o tai the toi va
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_QUOTED = re.compile(r"[\"“«]([^\"”»]+)[\"”»]|(?<!\w)'([^']+)'(?!\w)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_NAME = r"[^\W\d_a-z][\w'’-]*"
_PLACED = re.compile(rf"\b(?:in|at|for|from|to|of|near|about|ở|tại|từ|đến|của|về)\s+((?:{_NAME})(?:\s+{_NAME})*)")
_NAMES = re.compile(rf"(?<=\s)((?:{_NAME})(?:\s+{_NAME})*)")
_THRESHOLD = 2


def choose(question: str, tools: Sequence[ToolSpec], choice: ToolChoice) -> tuple[ToolSpec, dict[str, Any]] | None:
    """The tool to call for a question and its arguments; None where none is clearly meant or can be filled.

    Args:
        question: What the person says.
        tools: What the client offers.
        choice: A tool that is forced counts as a match; with REQUIRED the best one does.
    """
    if choice.name:
        candidates = [tool for tool in tools if tool.name == choice.name]
    elif choice.choice is Choice.NONE or not tools:
        return None
    else:
        candidates = _ranked(question, tools, least=0 if choice.choice is Choice.REQUIRED else _THRESHOLD)
    for tool in candidates:
        arguments = fill(question, tool)
        if arguments is not None:
            return tool, arguments
    return None


def _ranked(question: str, tools: Sequence[ToolSpec], least: int) -> list[ToolSpec]:
    scored = sorted(((score(question, tool), i) for i, tool in enumerate(tools)), key=lambda s: (-s[0], s[1]))
    if least and len(scored) > 1 and scored[0][0] == scored[1][0]:
        return []
    reached = [tools[i] for points, i in scored if points >= least]
    return reached if not least else reached[:1]


def score(question: str, tool: ToolSpec) -> int:
    """How well a tool fits: 2 for each word of its name or enumerated values, 1 for description and parameters."""
    properties = _properties(tool)
    strong = _words(_split(tool.name)) | _words(
        " ".join(str(v) for schema in properties.values() for v in schema.get("enum") or ())
    )
    weak = _words(tool.description) | _words(" ".join(_split(name) for name in properties))
    asked = _words(question)
    return 2 * len(asked & strong) + len(asked & (weak - strong))


def fill(question: str, tool: ToolSpec) -> dict[str, Any] | None:
    """The tool's arguments as the question gives them; None where a required one is missing.

    In the order of the schema: enumerated values by name, numbers and dates in their order, strings from quotes, then
    from names after a preposition, then from other names; a tool with one free string gets the whole question.
    """
    required = list(tool.parameters.get("required") or ())
    properties = _properties(tool)
    found: dict[str, Any] = {}
    for name, schema in properties.items():
        value = _enumerated(question, schema.get("enum") or ())
        if value is not None:
            found[name] = value
    supply = _Supply(question, taken=[str(v) for v in found.values()])
    free = [n for n in required if n not in found and properties.get(n, {}).get("type", "string") == "string"]
    for name in required:
        if name in found:
            continue
        schema = properties.get(name, {})
        value = None if schema.get("enum") else supply.take(schema)
        if value is None and free == [name] and not schema.get("enum") and not schema.get("format"):
            value = question.strip()
        if value is None:
            return None
        found[name] = value
    return found


class _Supply:
    """What a question offers to arguments; each piece is given out once.

    Args:
        question: The question.
        taken: Texts that are in use already.
    """

    def __init__(self, question: str, taken: Iterable[str]) -> None:
        used = {fold(t) for t in taken}
        quoted = [a or b for a, b in _QUOTED.findall(question)]
        bare = _QUOTED.sub(" ", question)
        self._dates = _DATE.findall(bare)
        self._numbers = _NUMBER.findall(_DATE.sub(" ", bare))
        texts = [*quoted, *_PLACED.findall(bare), *_NAMES.findall(bare)]
        self._texts = [t for i, t in enumerate(texts) if fold(t) not in used and t not in texts[:i]]

    def take(self, schema: Mapping[str, Any]) -> Any:
        """The next piece that fits a schema; None where there is none."""
        kind = schema.get("type", "string")
        if kind == "string":
            pieces = self._dates if schema.get("format") == "date" else self._texts
            return pieces.pop(0) if pieces else None
        if kind not in ("integer", "number") or not self._numbers:
            return None
        number = float(self._numbers.pop(0))
        if not math.isfinite(number):
            return None
        if kind == "number" and not number.is_integer():
            return number
        return int(number) if number.is_integer() else None


def _properties(tool: ToolSpec) -> Mapping[str, Mapping[str, Any]]:
    properties = tool.parameters.get("properties")
    return {k: v for k, v in properties.items() if isinstance(v, Mapping)} if isinstance(properties, Mapping) else {}


def _enumerated(question: str, values: Iterable[Any]) -> Any:
    padded = f" {fold(question)} "
    return next((v for v in values if fold(_split(str(v))) and f" {fold(_split(str(v)))} " in padded), None)


def _split(name: str) -> str:
    """`getWeather_forCity` as words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.]", " ", name)


def _words(text: str) -> set[str]:
    """The words that say something, in the singular."""
    return {_singular(w) for w in fold(text).split() if w not in _COMMON and len(w) > 1}


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

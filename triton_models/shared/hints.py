"""What a request says is likely to be spoken, read from the JSON of the `hints` tensor."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

WORD = re.compile(r"[$€£]?\d+(?:,\d{3})*(?:\.\d+)?(?:st|nd|rd|th|%)?(?!\w)|[^\W_]+(?:['’][^\W_]+)*")
MOST_BOOST = 20.0
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
HEADER = re.compile(r"#JSGF[^;]*;|\bgrammar\s+[^;]*;")
# Rule names, tags and weights of a grammar are not words.
MARKUP = re.compile(r"<[^>]*>|\{[^}]*\}|/[0-9.eE+-]*/")


class HintsError(ValueError):
    """The hints make no sense; the message names the field and the remedy."""


class Hints(NamedTuple):
    """What is likely to be said."""

    phrases: list[str]
    """Words, phrases or sentences."""
    grammar: str
    """A JSGF grammar; empty for none."""
    boost: float = 0.0
    """How strongly phrases are preferred, from 0 to 20; 0 is the model's own."""

    @classmethod
    def parse(cls, data: bytes) -> Hints:
        """Reads `{"phrases": […], "grammar": "…", "boost": 0}`, all optional; no bytes: none. Raises HintsError."""
        if not data:
            return cls([], "")
        try:
            fields = json.loads(data)
            phrases = [str(phrase) for phrase in fields.get("phrases", [])]
            hints = cls(phrases, str(fields.get("grammar", "")), float(fields.get("boost", 0)))
        except (ValueError, AttributeError, TypeError) as error:
            raise HintsError(f"hints: not a JSON object with `phrases` and `grammar` ({error})") from None
        if not 0 <= hints.boost <= MOST_BOOST:
            raise HintsError(f"hints.boost: must be from 0 to {MOST_BOOST:g}")
        if hints.phrases and hints.grammar:
            raise HintsError("hints: phrases and a grammar exclude each other; send one of them")
        if re.search(r"\bimport\s*<", COMMENT.sub(" ", hints.grammar)):
            raise HintsError("hints.grammar: imports are not supported; write the rules out")
        return hints

    def sentences(self) -> list[list[str]]:
        """The phrases as words in lower case, punctuation left out."""
        return [words for phrase in self.phrases if (words := WORD.findall(phrase.lower().replace("’", "'")))]

    def grammar_words(self) -> set[str]:
        """The words that the grammar mentions, as it writes them."""
        rules = MARKUP.sub(" ", HEADER.sub(" ", COMMENT.sub(" ", self.grammar)))
        rules = re.sub(r"\bpublic\b", " ", rules)
        return {word for token in re.split(r"[\s|()\[\]*+=;]+", rules) if (word := token.strip('"'))}

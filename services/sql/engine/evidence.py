"""What speaks for a meaning: how the words of a question fit the parts of a frame, as named, weighted features.

The model is log-linear over features of question and meaning, as in Zettlemoyer and Collins (2005) and Berant et al.
(2013): n-grams of the question beside what the frame does, the neighbours of each mention beside the part that it
plays, and what speaks against any frame (needless joins, columns that no word names). Words that are linked to the
schema appear as what they were linked to, so that nothing is learned about a particular database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from services.sql.engine.contexts import Contexts, delexicalised, ngrams
from services.sql.engine.deeds import deeds, number_role, roles
from services.sql.engine.meant import Meant
from services.sql.engine.structure import Structure
from services.sql.language.tokens import Token
from services.sql.linking.joins import JoinGraph
from services.sql.meaning.frame import Frame, Ref
from services.sql.meaning.marks import Mark
from services.sql.meaning.parts import Parts
from services.sql.schema import Schema

# An unconnected frame makes no statement.
IMPOSSIBLE = -1e6


class Evidence:
    """Judges the meanings of one question.

    Args:
        schema: The database's.
        graph: Its joins.
        tokens: The question.
        marks: What `scan` found.
        weights: What each feature counts.
        known: The n-grams that features are made of; None: all (for training).
        kept: Values of conditions that every meaning has to have, since the rules are sure of them.
    """

    def __init__(
        self,
        schema: Schema,
        graph: JoinGraph,
        tokens: Sequence[Token],
        marks: Sequence[Mark],
        weights: Mapping[str, float],
        known: frozenset[str] | None = None,
        kept: frozenset[str | float] = frozenset(),
    ) -> None:
        self._marks = marks
        self._weights = weights
        self.step = weights.get("steps", 0.0)
        """What each step away from a seed counts."""
        self.ngrams = [gram for gram in ngrams(delexicalised(tokens, marks)) if known is None or gram in known]
        self._contexts = Contexts(tokens, marks)
        self._meant = Meant(marks, Parts(schema, graph))
        self._structure = Structure(schema, graph, marks, self._meant, kept)
        self._sums: dict[tuple[str, ...], float] = {}

    def score(self, frame: Frame) -> float:
        """How much speaks for a frame: an unnormalised log probability."""
        structure = self._structure.of(frame)
        if structure is None:
            return IMPOSSIBLE
        weights, sums = self._weights, self._sums
        total = sum(weights.get(name, 0.0) * value for name, value in structure)
        for factor in self._factors(frame):
            known = sums.get(factor)
            if known is None:
                known = sums[factor] = sum(weights.get(name, 0.0) for name in self.expanded(factor))
            total += known
        return total

    def taken_apart(self, frame: Frame) -> tuple[dict[str, float], list[tuple[str, ...]]]:
        """What `score` sums, unweighted: named features of its structure, and factors that `expanded` names."""
        found: dict[str, float] = {}
        for name, value in self._structure.of(frame) or ():
            found[name] = found.get(name, 0.0) + value
        return found, list(self._factors(frame))

    def expanded(self, factor: tuple[str, ...]) -> list[str]:
        """The features of a factor, each of which counts once."""
        if factor[0] == "does":
            return [f"{factor[1]}|", *(f"{factor[1]}|{gram}" for gram in self.ngrams)]
        return [f"{factor[2]}@{context}" for context in self._contexts.of(int(factor[1]))]

    def _factors(self, frame: Frame) -> Iterator[tuple[str, ...]]:
        for deed in deeds(frame):
            yield "does", deed
        refs, tables = roles(frame)
        for position, mark in enumerate(self._marks):
            if mark.kind == "mention":
                yield "plays", str(position), self._role(mark, position, frame, refs, tables)
            elif mark.kind in ("number", "period", "text"):
                yield "plays", str(position), mark.kind[0] + number_role(mark, frame)

    def _role(self, mark: Mark, position: int, frame: Frame, refs: dict[Ref, str], tables: dict[str, str]) -> str:
        for item in (*mark.items, *mark.others):
            if item.value is not None:
                for condition in frame.filters:
                    if condition.ref == item.ref and item.value in condition.values:
                        return f"v{condition.op}{'!' * condition.negated}{'|' * condition.joined_by_or}"
        for (table, column), _weight, _gap in self._meant.items[position]:
            if column and (table, column) in refs:
                return "c" + refs[table, column]
            if not column and table in tables:
                return "t" + tables[table]
        kind = mark.items[0]
        return "v-" if kind.value is not None else "c-" if kind.column else "t-"

"""Values of a database by their words, and which columns hold the same kind of thing."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from sqlglot import exp

from services.sql.examples.sketch import Names, Ref
from services.sql.language.phrases import MAX_VALUE_WORDS, QUIET, Word, value_words
from services.sql.schema import Kind, Schema

# Columns share a domain where so much of the smaller one's values is in the other, and it has so many.
_SHARED = 0.8
_ENOUGH = 5
# A value in more columns than this tells nothing about any two of them.
_COMMON = 20
# Statements that must compare two columns.
_AGREED = 2


@dataclass(frozen=True)
class Named:
    """Words of a question that name a value."""

    start: int
    end: int
    text: str
    """The value as the database has it; a number as the question has it."""
    refs: frozenset[Ref]
    """The columns that have it; empty for numbers and for texts that no column has."""
    numeric: bool = False
    query: exp.Query | None = None
    """The statement that gives the values, where the words describe them instead of naming one."""
    sureness: float = 1.0
    """How well the words fit, from 0 to 1."""
    examples: tuple[str, ...] = ()
    """Ids of the examples that the statement was made after."""
    stems: tuple[str, ...] = ()
    """For words that describe values: the words of the example that they were understood by."""


class Domains:
    """Values and domains of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._parent: dict[Ref, Ref] = {}
        self._values: dict[tuple[str, ...], dict[Ref, str]] = defaultdict(dict)
        self._schema = schema
        self._constant: set[Ref] = set()
        sets: dict[Ref, set[str]] = {}
        for table in schema.tables:
            for column in table.columns:
                ref = table.name.lower(), column.name.lower()
                if column.kind not in (Kind.TEXT, Kind.OTHER, Kind.DATE, Kind.TIMESTAMP):
                    continue
                sets[ref] = {value.lower() for value in column.values}
                if len(column.values) < 2 and table.row_count > 1:
                    # A value that every row has tells nothing: `in the usa` where all is in the USA.
                    self._constant |= {ref} if column.values else set()
                    continue
                for value in column.values:
                    parts = value_words(value)
                    if 0 < len(parts) <= MAX_VALUE_WORDS and not (len(parts) == 1 and len(parts[0]) < 2):
                        self._values[parts].setdefault(ref, value)
            for key in table.foreign_keys:
                for own, other in zip(key.columns, key.referred_columns, strict=False):
                    self._join((table.name.lower(), own.lower()), (key.referred_table.lower(), other.lower()))
        for (left, right), shared in _overlaps(sets).items():
            if shared >= _SHARED * min(len(sets[left]), len(sets[right])):
                self._join(left, right)

    def _join(self, left: Ref, right: Ref) -> None:
        self._parent[self.root(left)] = self.root(right)

    def taught(self, trees: Iterable[exp.Query]) -> Domains:
        """The same, and columns that statements compare with each other hold the same kind of thing.

        Args:
            trees: Statements of examples; one alone may be odd, so that two must agree.
        """
        seen: Counter[tuple[Ref, Ref]] = Counter()
        for tree in trees:
            seen.update(_compared(tree, Names(self._schema, tree)))
        found = copy(self)
        found._parent = dict(self._parent)
        for (left, right), count in seen.items():
            if count >= _AGREED:
                found._join(left, right)
        return found

    def root(self, ref: Ref) -> Ref:
        """The column that stands for a column's domain."""
        while ref in self._parent and self._parent[ref] != ref:
            ref = self._parent[ref]
        return ref

    def same(self, left: frozenset[Ref], right: frozenset[Ref]) -> bool:
        """Whether a column of each holds the same kind of thing."""
        return bool({self.root(ref) for ref in left} & {self.root(ref) for ref in right})

    def joins_all(self, tree: exp.Query) -> bool:
        """Whether a statement joins tables only by what every row has, so that each row meets all of the other."""
        names = Names(self._schema, tree)
        for join in tree.find_all(exp.Join):
            sides = [
                (names.ref(node.left), names.ref(node.right))
                for node in join.find_all(exp.EQ)
                if isinstance(node.left, exp.Column) and isinstance(node.right, exp.Column)
            ]
            if sides and all(left in self._constant and right in self._constant for left, right in sides):
                return True
        return False

    def named(self, words: Sequence[Word]) -> list[Named]:
        """Values and numbers that words name, the longest first; they may overlap."""
        found = list(self._named(words))
        found += [
            Named(at, at + 1, word.folded, frozenset(), numeric=True)
            for at, word in enumerate(words)
            if word.number is not None
        ]
        return sorted(found, key=lambda item: (item.start - item.end, item.start))

    def _named(self, words: Sequence[Word]) -> Iterator[Named]:
        for start in range(len(words)):
            for end in range(start + 1, min(len(words), start + MAX_VALUE_WORDS) + 1):
                parts = tuple(word.folded for word in words[start:end])
                refs = self._values.get(parts)
                if refs is None or (end == start + 1 and parts[0] in QUIET and not words[start].quoted):
                    continue
                texts = set(refs.values())
                # The same words may be spelt differently in different columns: each spelling is a value of its own.
                for text in sorted(texts):
                    yield Named(start, end, text, frozenset(ref for ref, value in refs.items() if value == text))


def _compared(tree: exp.Query, names: Names) -> set[tuple[Ref, Ref]]:
    """The pairs of columns that a statement compares: `a = b`, `a IN (SELECT b …)`, `a = (SELECT b …)`."""
    found: set[tuple[Ref, Ref]] = set()
    for node in tree.find_all(exp.EQ, exp.In):
        left = node.this
        right = node.args.get("query") if isinstance(node, exp.In) else node.expression
        if isinstance(right, exp.Subquery):
            right = right.unnest()
        if isinstance(right, exp.Select) and len(right.expressions) == 1:
            right = right.expressions[0].unalias()
        if isinstance(left, exp.Column) and isinstance(right, exp.Column):
            one, other = sorted((names.ref(left), names.ref(right)))
            found.add((one, other))
    return found


def _overlaps(sets: Mapping[Ref, set[str]]) -> Counter[tuple[Ref, Ref]]:
    """How many values two columns share, for columns that have enough of them."""
    holders: dict[str, list[Ref]] = defaultdict(list)
    for ref, values in sets.items():
        if len(values) >= _ENOUGH:
            for value in values:
                holders[value].append(ref)
    shared: Counter[tuple[Ref, Ref]] = Counter()
    for refs in holders.values():
        # A value that very many columns have (`yes`, `0`) would cost much and tell little.
        if 1 < len(refs) <= _COMMON:
            shared.update(itertools.combinations(refs, 2))
    return shared

"""Examples of one database, prepared to be found again: their words, their statements' sketches, what words go with.

Recall is by words (weighted by how rare they are among the examples), by the parts of the statements that the words of
the question go with (associations learned from the examples themselves), and by operations (cues.py).
"""

from __future__ import annotations

import enum
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlglot import exp

from services.sql.examples.idle import without_idle
from services.sql.examples.sketch import Names, Ref, Sketch, canonical, literals, parse, sketch
from services.sql.language.phrases import QUIET, SLOT, Word, find, pairs, trigrams, words_of
from services.sql.language.words import split_name, stem
from services.sql.schema import Column, Kind, Schema, Table

# Examples of a database that are prepared; the newest win.
MAX_EXAMPLES = 2000
_ROUNDS = 4
_YOUNG = 20
# Associations that are weaker are forgotten.
_RARE = 0.002


class State(enum.StrEnum):
    """Whether somebody looked at an example; the values are the names in the contract."""

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


@dataclass(frozen=True)
class Example:
    """A question and the statement that answers it."""

    id: str
    question: str
    sql: str
    state: State = State.PROPOSED


@dataclass(frozen=True)
class Slot:
    """A value of an example: where it stands in the question and in the statement."""

    text: str
    numeric: bool
    start: int
    """Index of its first word in the question; -1 where the question does not have it."""
    end: int
    literals: tuple[int, ...]
    """Which of the statement's literals it is, as services.sql.examples.sketch.literals counts them."""
    refs: frozenset[Ref]
    """The columns that it is compared with."""
    open: bool = False
    """Whether it stands for a description that was cut out (compose.py): it must be filled."""


@dataclass(frozen=True)
class Noun:
    """A word of an example's question that names the rows of a table of its statement."""

    at: int
    """Index of the word."""
    ref: Ref
    """The column that names those rows."""


@dataclass(frozen=True)
class Prepared:
    """An example whose statement fits the schema."""

    example: Example
    words: tuple[Word, ...]
    tree: exp.Query
    schema: Schema
    slots: tuple[Slot, ...]
    nouns: tuple[Noun, ...]

    @cached_property
    def sketch(self) -> Sketch:
        """What its statement is made of."""
        return sketch(self.tree, self.schema)

    @cached_property
    def canonical(self) -> str:
        """Its statement as text for comparing."""
        return canonical(self.tree)

    @cached_property
    def shown(self) -> exp.Column | None:
        """The only column that its statement shows; None where it shows anything else."""
        return column_shown(self.tree)

    @cached_property
    def counts(self) -> bool:
        """Whether its statement shows nothing but how many there are."""
        shown = self.tree.expressions if isinstance(self.tree, exp.Select) else []
        return len(shown) == 1 and isinstance(shown[0].unalias(), exp.Count)

    @cached_property
    def masked(self) -> tuple[str, ...]:
        """The stems of its question with SLOT for each value."""
        return mask(self.words, [(slot.start, slot.end) for slot in self.slots])

    @cached_property
    def pairs(self) -> set[tuple[str, str]]:
        """Neighbouring words of it."""
        return pairs(self.masked)

    @cached_property
    def trigrams(self) -> set[str]:
        """Runs of characters of it."""
        return trigrams(self.masked)


def mask(words: Sequence[Word], spans: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """The stems of words with SLOT for each span."""
    found: list[str] = []
    starts = {start: end for start, end in spans if start >= 0}
    at = 0
    while at < len(words):
        if at in starts:
            found.append(SLOT)
            at = max(starts[at], at + 1)
        else:
            found.append(words[at].stem)
            at += 1
    return tuple(found)


def prepare(example: Example, schema: Schema) -> Prepared | None:
    """An example with its statement taken apart; None where the statement does not fit the schema any more."""
    tree = parse(example.sql, schema)
    if tree is None or not fits(tree, schema):
        return None
    words = without_idle(words_of(example.question), schema)
    return prepared(example, words, tree, schema)


def prepared(example: Example, words: tuple[Word, ...], tree: exp.Query, schema: Schema) -> Prepared:
    """An example taken apart, whose words or statement may have been changed since."""
    return Prepared(example, words, tree, schema, _slots(tree, words, schema), _nouns(tree, words, schema))


def column_shown(tree: exp.Query) -> exp.Column | None:
    """The only column that a statement shows; None where it shows anything else."""
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1:
        return None
    item = tree.expressions[0].unalias()
    return item if isinstance(item, exp.Column) and not isinstance(item.this, exp.Star) else None


def fits(tree: exp.Query, schema: Schema) -> bool:
    """Whether the schema has every table and column that a statement names."""
    tables = {table.name.lower(): {column.name.lower() for column in table.columns} for table in schema.tables}
    made = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    made |= {node.alias.lower() for node in tree.find_all(exp.Subquery) if node.alias}
    named = {table.name.lower() for table in tree.find_all(exp.Table)}
    if not named - made <= tables.keys():
        return False
    columns = {name for table in named - made for name in tables[table]}
    columns |= {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    aliases = {table.alias_or_name.lower(): table.name.lower() for table in tree.find_all(exp.Table)}
    for column in tree.find_all(exp.Column):
        if isinstance(column.this, exp.Star) or column.name.lower() == "rowid":
            continue
        owner = aliases.get(column.table.lower(), "")
        known = tables.get(owner, columns)
        if column.name.lower() not in known:
            return False
    return True


def _slots(tree: exp.Query, words: Sequence[Word], schema: Schema) -> tuple[Slot, ...]:
    """The values of a statement; the same value in several places is one slot."""
    names = Names(schema, tree)
    places: dict[tuple[str, bool], list[int]] = defaultdict(list)
    refs: dict[tuple[str, bool], set[Ref]] = defaultdict(set)
    for number, literal in enumerate(literals(tree)):
        key = literal.name.strip("%"), not literal.is_string
        places[key].append(number)
        refs[key] |= _compared(literal, names)
    found = []
    for (text, numeric), numbers in places.items():
        if text == SLOT:
            start = next((at for at, word in enumerate(words) if word.folded == SLOT), -1)
            end = start + 1
        else:
            start, end = find(text, words) or (-1, -1)
        found.append(Slot(text, numeric, start, end, tuple(numbers), frozenset(refs[text, numeric]), open=text == SLOT))
    return tuple(found)


def _nouns(tree: exp.Query, words: Sequence[Word], schema: Schema) -> tuple[Noun, ...]:
    """The words that name tables of the statement which have a column that names their rows."""
    named = {table.name.lower() for table in tree.find_all(exp.Table)}
    found = []
    for table in schema.tables:
        if table.name.lower() in named:
            spelt = {word for part in split_name(table.name) for word in [stem(part)]}
            column = naming_column(table)
            at = next((at for at, word in enumerate(words) if spelt == {word.stem}), None)
            if column is not None and at is not None:
                found.append(Noun(at, (table.name.lower(), column.lower())))
    return tuple(found)


def naming_column(table: Table) -> str | None:
    """The column that names the rows of a table: `name`, `state_name`; None where there is none."""
    own = set(split_name(table.name)) | {stem(part) for part in split_name(table.name)}
    for column in table.columns:
        parts = split_name(column.name)
        if column.kind in (Kind.TEXT, Kind.OTHER) and parts[-1:] in (("name",), ("title",)) and set(parts[:-1]) <= own:
            return column.name
    return None


def _compared(literal: exp.Literal, names: Names) -> set[Ref]:
    parent = literal.parent
    while parent is not None and not isinstance(parent, (exp.Predicate, exp.Select)):
        parent = parent.parent
    if parent is None or isinstance(parent, exp.Select):
        return set()
    return {names.ref(column) for column in parent.find_all(exp.Column)}


class ExampleIndex:
    """Examples of one database.

    Args:
        schema: The database's.
        examples: Prepared ones.
        learned: An index of some of them, whose weights and associations are taken over.
    """

    def __init__(self, schema: Schema, examples: Sequence[Prepared], learned: ExampleIndex | None = None) -> None:
        self.schema = schema
        self.examples = tuple(examples)
        self._postings: dict[str, list[int]] = defaultdict(list)
        counts: Counter[str] = Counter()
        for number, item in enumerate(self.examples):
            for word in set(item.masked):
                self._postings[word].append(number)
                counts[word] += 1
        rarities = {word: _rarity(word, count, len(self.examples)) for word, count in counts.items()}
        self._rarity: dict[str, float] = rarities if learned is None else learned._rarity
        self._unseen = _rarity("", 0, len(self.examples))
        self._norms = [math.sqrt(sum(self.rarity(word) ** 2 for word in set(item.masked))) for item in self.examples]
        self._shown: dict[str, Counter[str]] = defaultdict(Counter)
        for item in self.examples:
            self._shown[_asked(item.words)][_shown(item.sketch)] += 1
        self.associations: Associations = Associations(self.examples) if learned is None else learned.associations

    def extended(self, more: Sequence[Prepared]) -> ExampleIndex:
        """The same with more to recall, from which nothing is learned."""
        return ExampleIndex(self.schema, [*self.examples, *more], self)

    def column_of(self, item: Prepared) -> Column | None:
        """The only column that an example shows, where it holds what it is named for; None for keys and the rest."""
        if item.shown is None:
            return None
        named, name = Names(self.schema, item.tree).ref(item.shown)
        for table in self.schema.tables:
            if table.name.lower() == named:
                keys = {key.lower() for key in table.key_columns}
                return next((c for c in table.columns if c.name.lower() == name and name not in keys), None)
        return None

    def asked(self, words: Sequence[Word], found: Sketch) -> float:
        """How many of the examples that ask for the same thing are shown what a statement shows, from 0 to 1."""
        shown = self._shown[_asked(words)]
        # Counted against one example more: what a single one says is not sure.
        return shown[_shown(found)] / (sum(shown.values()) + 1)

    def rarity(self, word: str) -> float:
        """How much a word says, from 0."""
        known = self._rarity.get(word)
        return known if known is not None else self._unseen * (0.2 if word in QUIET else 1.0)

    def similar(self, stems: Iterable[str]) -> list[float]:
        """The cosine of weighted words between a question and each example."""
        present = set(stems)
        scores = [0.0] * len(self.examples)
        for word in present:
            weight = self.rarity(word) ** 2
            for number in self._postings.get(word, ()):
                scores[number] += weight
        norm = math.sqrt(sum(self.rarity(word) ** 2 for word in present)) or 1.0
        return [score / (norm * (self._norms[number] or 1.0)) for number, score in enumerate(scores)]


def _asked(words: Sequence[Word]) -> str:
    """What a question asks for: its first word that says something, and whether it asks how many."""
    counting = any((left.folded, right.folded) == ("how", "many") for left, right in itertools.pairwise(words))
    head = next((word.stem for word in words if word.stem not in QUIET), "")
    return f"{'#' * counting}{head}"


def _shown(found: Sketch) -> str:
    """What a statement shows, counts of anything alike."""
    return ", ".join("count" if item.startswith("count(") else item for item in found.shown)


def _rarity(word: str, count: int, total: int) -> float:
    # In a young knowledge base nearly every word of a question is new: that says little yet.
    total = max(total, _YOUNG)
    return math.log(1 + (total + 1) / (count + 0.5)) * (0.3 if word in QUIET else 1.0)


class Associations:
    """Which words go with which parts of statements, learned from examples: IBM model 1 (Brown et al., 1993).

    Args:
        examples: What to learn from.
    """

    def __init__(self, examples: Sequence[Prepared]) -> None:
        # The empty word stands for what statements have whatever the question.
        data = [([*dict.fromkeys(item.masked), ""], sorted(item.sketch.pieces)) for item in examples]
        chance: dict[str, dict[str, float]] = {word: {} for words, _parts in data for word in words}
        unknown = 1.0
        for _round in range(_ROUNDS):
            counts: dict[str, dict[str, float]] = {word: defaultdict(float) for word in chance}
            for words, parts in data:
                rows = [chance[word] for word in words]
                for part in parts:
                    shares = [row.get(part, unknown) for row in rows]
                    total = sum(shares)
                    for word, share in zip(words, shares, strict=True):
                        counts[word][part] += share / total
            unknown = _RARE
            for word, row in counts.items():
                total = sum(row.values()) + 0.5
                chance[word] = {part: count / total for part, count in row.items() if count / total > _RARE}
        self._chance = chance

    def strength(self, word: str, part: str) -> float:
        """How likely a word stands for a part, from 0 to 1."""
        return self._chance.get(word, {}).get(part, 0.0)

    def fit(self, stems: Sequence[str], parts: Iterable[str]) -> float:
        """The mean log-likelihood of a statement's parts given words; 0 is the best."""
        rows = [self._chance[word] for word in (*dict.fromkeys(stems), "") if word in self._chance]
        found = list(parts)
        if not found or not rows:
            return 0.0
        total = 0.0
        for part in found:
            total += math.log(max(0.001, sum(row.get(part, 0.0) for row in rows) / len(rows)))
        return total / len(found)

"""Answers a question after the examples of its database: recalls, adapts, and judges what comes out.

Candidates are statements of similar examples with the values of the question, compositions of several examples
(compose.py), and what an engine wrote without examples. A small network over a few figures (how alike the
questions are, whether every value found its place, whether the operations are those that the words ask for, whether
the engine agrees) ranks them; a softmax over the candidates is their confidence. Its weights are learned on
development data by `python -m bench.sql_examples_training`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlglot import exp

from services.sql.examples import adapt, cues, scoring
from services.sql.examples.compose import Composer
from services.sql.examples.domains import Domains, Named
from services.sql.examples.edits import Edits
from services.sql.examples.examples import Example, ExampleIndex, Prepared, State, mask, naming_column
from services.sql.examples.idle import without_idle
from services.sql.examples.scoring import Network
from services.sql.examples.sketch import Sketch, canonical, parse, sketch
from services.sql.language.phrases import QUIET, Word, order_likeness, pairs, trigrams, words_of
from services.sql.language.words import split_name, stem
from services.sql.schema import Schema

# Examples that are adapted and judged closely.
RECALLED = 30
# Examples that are tried for each description of values.
_COMPOSED = 6
_EDITED = 12
# What a review adds to the score: nothing in the development data was reviewed, so nothing teaches it.
_APPROVED = 0.3


@dataclass
class Candidate:
    """A statement that may answer the question."""

    build: Callable[[], exp.Query]
    """Makes its tree, which most candidates never need."""
    canonical: str
    sketch: Sketch
    figures: dict[str, float] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    """Ids of the examples that it was made after, the most similar first."""
    score: float = 0.0
    confidence: float = 0.0
    """From 0 to 1; those of all candidates add up to less than 1."""

    def sql(self, schema: Schema) -> str:
        """The statement as text."""
        return self.build().sql(dialect=schema.dialect.value)


class Recall:
    """Examples of one database, to answer questions by.

    Args:
        index: The examples.
        domains: The database's values.
        cue_weights: Another model of operations than the shipped one.
    """

    def __init__(
        self, index: ExampleIndex, domains: Domains, cue_weights: Mapping[str, Mapping[str, float]] | None = None
    ) -> None:
        self._index = index
        self._domains = domains = domains.taught(item.tree for item in index.examples)
        self._edits = Edits(index, domains)
        self._composer = Composer(index, domains, self._edits)
        opened = self._composer.opened()
        if opened:
            # What is cut open answers like any other example from here on.
            self._index = index.extended(opened)
            self._composer = Composer(self._index, domains, self._edits)
        self._cues = cue_weights
        self._nouns = [
            (spelt, (table.name.lower(), (naming_column(table) or "").lower()))
            for table in index.schema.tables
            if len(parts := split_name(table.name)) == 1
            for spelt in [stem(parts[0])]
        ]

    def candidates(self, question: str, written: Sequence[tuple[str, float]] = ()) -> list[Candidate]:
        """Statements that may answer a question, with their figures, not ranked yet.

        Args:
            question: The question.
            written: Statements that an engine wrote without examples, with its confidence.
        """
        words = without_idle(words_of(question), self._index.schema)
        named = self._domains.named(words)
        likely = cues.likelihoods(words, self._cues)
        stems = [word.stem for word in words]
        found: dict[str, Candidate] = {}
        for rank_, item in enumerate(self._recalled(words, named)):
            self._add(found, item, words, named)
            for variant in self._edits.variants(item, words, named) if rank_ < _EDITED else ():
                self._add(found, variant, words, named, edited=True)
        for described in self._composer.described(words, named):
            fitting = (item for item in self._recalled(words, [described], whole=False) if self._takes(item, described))
            for item in itertools.islice(fitting, _COMPOSED):
                for variant in [item, *self._edits.variants(item, words, named)]:
                    self._add(found, variant, words, [described, *named], edited=variant is not item)
        best = max((candidate.figures["cosine"] for candidate in found.values()), default=0.0)
        self._add_written(found, written, best)
        for candidate in found.values():
            figures = candidate.figures
            figures["cue"] = cues.fit(likely, candidate.sketch.operations)
            figures["association"] = self._index.associations.fit(stems, candidate.sketch.pieces)
            figures["homes"], figures["strays"] = self._homes(words, named, candidate.sketch)
            figures["unused"] = float(_unused(named, candidate.sketch))
            figures["denied"] = float(cues.disagrees(words, candidate.sketch.operations))
            figures["unmet"] = float(self._edits.unmet(words, candidate.sketch))
            figures["nouns"] = self._homeless(words, candidate.sketch)
            figures["asked"] = self._index.asked(words, candidate.sketch)
        self._relate(found)
        return list(found.values())

    def alike(self, question: str, count: int) -> list[Example]:
        """The examples whose questions are most like this one, the most similar first."""
        words = without_idle(words_of(question), self._index.schema)
        found = [item.example for item in self._recalled(words, self._domains.named(words), count)]
        return list({example.id: example for example in found}.values())

    def _takes(self, item: Prepared, described: Named) -> bool:
        """Whether a description may take a place in an example."""
        return bool(item.nouns) or any(self._domains.same(slot.refs, described.refs) for slot in item.slots)

    def _recalled(
        self, words: Sequence[Word], named: Sequence[Named], count: int = RECALLED, whole: bool = True
    ) -> list[Prepared]:
        """The examples that are most alike: without the values in the words, and with them where it is `whole`."""
        masked = {word.stem for word in words} if whole else set()
        for item in named:
            masked |= set(mask(words, [(item.start, item.end)]))
        scores = self._index.similar(masked)
        order = heapq.nlargest(count, range(len(scores)), key=scores.__getitem__)
        return [self._index.examples[number] for number in order if scores[number] > 0]

    def _add(
        self,
        found: dict[str, Candidate],
        item: Prepared,
        words: Sequence[Word],
        named: Sequence[Named],
        edited: bool = False,
    ) -> None:
        if not self._asks_alike(item, words):
            return
        filling = adapt.fill(item, words, named, self._domains)
        covered = {at for start, end in filling.spans for at in range(start, end)}
        outside = [word for at, word in enumerate(words) if at not in covered]
        if not filling.complete or cues.denies(outside) != cues.denies(item.words):
            # What denies something is answered by what does, unless the denial is in a description.
            return
        figures = self._alike(item, mask(words, filling.spans), adapt.masked(item, filling))
        figures["described"] = 1 - filling.sureness
        figures["edited"] = float(edited)
        figures["composed"] = float(
            any(entry.query is not None for entry in [*filling.fillers.values(), *filling.rows.values()])
        )
        figures["kept"] = float(filling.kept)
        figures["approved"] = float(item.example.state is State.APPROVED)
        known = self._candidate(found, item, filling, figures)
        known.figures["votes"] += figures["cosine"] ** 2
        known.examples += [item.example.id, *filling.examples]
        if _likeness(figures) > _likeness(known.figures):
            known.figures |= figures

    def _asks_alike(self, item: Prepared, words: Sequence[Word]) -> bool:
        """Whether an example asks for a number of things only where the question does.

        Words like `how many` are too common to weigh much in a comparison, but nothing else tells the two apart. What
        asks for the things where the question counts them, or the other way round, answers in a variant (edits.py).
        """
        if item.counts:
            return cues.asks_number(words) or not cues.asks_number(item.words)
        if not cues.asks_how_many(words) or cues.asks_number(item.words):
            return True
        column = self._index.column_of(item)
        return column is None or column.numeric

    def _candidate(
        self, found: dict[str, Candidate], item: Prepared, filling: adapt.Filling, figures: Mapping[str, float]
    ) -> Candidate:
        """The candidate of an adapted example; examples that come to the same statement share one."""
        plain = adapt.is_plain(item, filling)
        tree = None if plain else adapt.statement(item, filling)
        text = adapt.plain_text(item, filling) if tree is None else canonical(tree)
        if text not in found:
            made = adapt.plain_sketch(item, filling) if tree is None else sketch(tree, self._index.schema)
            build = partial(adapt.statement, item, filling) if tree is None else partial(_same, tree)
            found[text] = Candidate(build, text, made, {**figures, "votes": 0.0})
        return found[text]

    def _alike(self, item: Prepared, masked: tuple[str, ...], example: tuple[str, ...]) -> dict[str, float]:
        """How alike an example's question is to the new one, values masked in both."""
        weight = self._index.rarity
        own, other = set(masked), set(example)
        shared = sum(weight(word) ** 2 for word in own & other)
        mine, theirs = (sum(weight(word) ** 2 for word in side) or 1.0 for side in (own, other))
        same = example is item.masked
        return {
            "order": order_likeness(masked, example, weight),
            "head": float(_head(masked) == _head(example)),
            "missed": max((weight(word) for word in own - other), default=0.0),
            "extra": max((weight(word) for word in other - own), default=0.0),
            "cosine": shared / math.sqrt(mine * theirs),
            "covered": shared / mine,
            "covers": shared / theirs,
            "pairs": _dice(pairs(masked), item.pairs if same else pairs(example)),
            "trigrams": _dice(trigrams(masked), item.trigrams if same else trigrams(example)),
            "exact": float(masked == example),
        }

    def _add_written(self, found: dict[str, Candidate], written: Sequence[tuple[str, float]], best: float) -> None:
        for sql, confidence in written:
            tree = parse(sql, self._index.schema)
            if tree is None or self._domains.joins_all(tree):
                continue
            text = canonical(tree)
            candidate = found.setdefault(text, Candidate(partial(_same, tree), text, sketch(tree, self._index.schema)))
            candidate.figures["written"] = 1.0
            candidate.figures["sure"] = confidence
            if not candidate.examples:
                candidate.figures |= {"alone": 1.0, "alone-best": best}

    def _homes(self, words: Sequence[Word], named: Sequence[Named], found: Sketch) -> tuple[float, float]:
        """How well the words of a question find a home in a statement, and its columns words; from 0 to 1."""
        covered = {at for entry in named for at in range(entry.start, entry.end)}
        content = {word.stem for at, word in enumerate(words) if at not in covered and word.stem not in QUIET}
        strength = self._index.associations.strength
        parts = sorted(found.pieces)
        spelt = {stem(part) for name in [*found.tables, *(c for _t, c in found.columns)] for part in split_name(name)}
        homes = [
            1.0 if word in spelt else max((strength(word, part) for part in parts), default=0.0) for word in content
        ]
        strays = []
        for table, column in found.columns:
            own = {stem(part) for part in split_name(column)} - {stem(part) for part in split_name(table)}
            said = bool(own & content) or max((strength(w, f"{table}.{column}") for w in content), default=0.0) > 0.2
            strays.append(float(not said))
        weights = [self._index.rarity(word) for word in content]
        home = sum(w * h for w, h in zip(weights, homes, strict=True)) / (sum(weights) or 1.0) if content else 1.0
        return home, sum(strays) / (len(strays) or 1)

    def _homeless(self, words: Sequence[Word], found: Sketch) -> float:
        """The part of the words that name tables which a statement says nothing about, from 0 to 1."""
        own = [(table, ref) for table, ref in self._nouns if any(word.stem == table for word in words)]
        columns = found.columns | {(table, "") for table in found.tables}
        homeless = [
            not any(ref[0] == table or self._domains.same(frozenset({ref}), frozenset({(table, column)}))
                    for table, column in columns)
            for _word, ref in own
        ]  # fmt: skip
        return sum(homeless) / (len(homeless) or 1)

    def _relate(self, found: Mapping[str, Candidate]) -> None:
        """Figures that compare a candidate with the others: with the best of each, and with the engine's."""
        written = [candidate for candidate in found.values() if candidate.figures.get("written")]
        for name in ("cosine", "cue", "association"):
            top = max((candidate.figures.get(name, -9.0) for candidate in found.values()), default=0.0)
            for candidate in found.values():
                candidate.figures[f"{name}-gap"] = candidate.figures.get(name, 0.0) - top
        for candidate in found.values():
            overlaps = [_dice(candidate.sketch.pieces, other.sketch.pieces) for other in written]
            candidate.figures["agrees"] = max(overlaps, default=0.0)

    def ranked(
        self,
        question: str,
        written: Sequence[tuple[str, float]] = (),
    ) -> list[Candidate]:
        """The candidates, the likeliest first, with scores and confidences."""
        return rank(self.candidates(question, written), scoring.network())


def rank(found: list[Candidate], network: Network) -> list[Candidate]:
    """Scores candidates by their figures and sorts them."""
    for candidate in found:
        candidate.score = network.score(candidate.figures) + _APPROVED * candidate.figures.get("approved", 0.0)
    none = network.none
    top = max([none, *(candidate.score for candidate in found)])
    total = math.exp(none - top) + sum(math.exp(candidate.score - top) for candidate in found)
    for candidate in found:
        candidate.confidence = math.exp(candidate.score - top) / total
    return sorted(found, key=lambda candidate: -candidate.score)


def _same(tree: exp.Query) -> exp.Query:
    return tree


def _head(stems: Sequence[str]) -> str:
    """The first word that says something: mostly what a question asks for."""
    return next((word for word in stems if word not in QUIET), "")


def _likeness(figures: Mapping[str, float]) -> float:
    return figures.get("cosine", 0.0) + figures.get("order", 0.0) + 0.5 * figures.get("trigrams", 0.0)


def _dice(left: AbstractSet[Any], right: AbstractSet[Any]) -> float:
    total = len(left) + len(right)
    return 2 * len(left & right) / total if total else 0.0


def _unused(named: Sequence[Named], found: Sketch) -> int:
    """How many values that the question names have no place in the statement; of overlapping ones one must."""
    used = set(found.literals)
    covered: set[int] = set()
    for item in named:
        if item.text.lower().strip("%") in used:
            covered |= set(range(item.start, item.end))
    missing: set[int] = set()
    count = 0
    for item in named:
        span = set(range(item.start, item.end))
        if not span & (covered | missing):
            missing |= span
            count += 1
    return count

"""Words that describe values instead of naming one: `the states that border texas` where an example has `ohio`.

Each run of words of a question is compared with the examples that show a single column. Where it is much like one of
them, the run stands for what that example's statement gives, and may fill a place for values of the same domain in
another example. Longer runs are built of shorter ones, so that descriptions nest: a chart over spans, as in parsing
with a synchronous grammar (Wong and Mooney, 2006) whose rules are the examples themselves.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from services.sql.examples import adapt
from services.sql.examples.domains import Domains, Named
from services.sql.examples.edits import Edits
from services.sql.examples.examples import ExampleIndex, Prepared, column_shown, mask, naming_column, prepared
from services.sql.examples.sketch import Names, canonical
from services.sql.language.phrases import QUIET, SLOT, Word, order_likeness

# Runs that are looked at have so many words that say something, and are no longer than this.
MIN_CONTENT = 2
MAX_RUN = 12
# Questions with more words are not looked into; so many examples are cut open.
MAX_QUESTION = 40
MAX_OPENED = 500
# How much of a run's words an example must share, and the other way round.
_COVERED = 0.8
_COVERS = 0.62
_CUT = 0.6
_LIKE = 0.3
_TRIED = 6
_KEPT = 2
_MAX_DESCRIBED = 24
# Words that may stand before or after a description but do not belong to it.
_EDGES = frozenset({"of", "in", "by", "with", "to", "and", "or", "do", "is", "are", "have", "has", "on", "at"})


class Composer:
    """Finds descriptions of values in questions.

    Args:
        index: The examples.
        domains: The database's.
        edits: Makes variants of examples.
    """

    def __init__(self, index: ExampleIndex, domains: Domains, edits: Edits) -> None:
        self._index = index
        self._domains = domains
        self._edits = edits
        self._naming = {
            table.name.lower(): column for table in index.schema.tables if (column := naming_column(table)) is not None
        }

    def opened(self) -> list[Prepared]:
        """The examples that have a description in them, with a place in its stead that any value of its domain fills.

        What a description's words are is known where another example asks for just that: the run of words that is the
        most like that example's question is cut out.
        """
        known: dict[str, Prepared] = {}
        for item in self._index.examples:
            known.setdefault(_shape(item.canonical), item)
        found: list[Prepared] = []
        for item in self._index.examples:
            if len(item.words) > MAX_QUESTION or len(found) == MAX_OPENED:
                continue
            for node in item.tree.find_all(exp.In, exp.EQ):
                inner = self._described_by(item, node)
                other = known.get(_shape(canonical(inner))) if inner is not None else None
                made = self._cut(item, node, other) if other is not None and other is not item else None
                if made is not None:
                    found.append(made)
                    break
        return found

    def _described_by(self, item: Prepared, node: exp.Expr) -> exp.Select | None:
        """The statement that gives what a condition describes; None where it describes nothing by itself."""
        inner = _inner(node)
        if inner is not None:
            return inner
        # `the longest river`: a row that is told by its own column's highest or lowest value.
        extreme = _extreme(node)
        if extreme is None or len(item.sketch.tables) != 1 or node.find_ancestor(exp.Select) is not item.tree:
            return None
        column = self._naming.get(next(iter(item.sketch.tables)))
        if column is None:
            return None
        table = item.tree.find(exp.Table)
        made = item.tree.copy()
        made.set("distinct", None)
        made.set("expressions", [exp.column(column, table=table.alias_or_name if table is not None else None)])
        return made if isinstance(made, exp.Select) and not made.args.get("group") else None

    def _cut(self, item: Prepared, node: exp.Expr, other: Prepared) -> Prepared | None:
        span = self._span(item, other)
        if span is None:
            return None
        tree = item.tree.copy()
        if _inner(node) is None:
            # What told the row goes; its name is asked for instead.
            table = tree.find(exp.Table)
            assert table is not None
            column = exp.column(self._naming[table.name.lower()], table=table.alias_or_name)
            tree.set("where", exp.Where(this=exp.EQ(this=column, expression=exp.Literal.string(SLOT))))
        else:
            # A superlative says its condition twice: within and without.
            for twin in list(tree.find_all(exp.In, exp.EQ)):
                inner = _inner(twin)
                if inner is not None and _shape(canonical(inner)) == _shape(other.canonical):
                    twin.replace(exp.EQ(this=twin.this, expression=exp.Literal.string(SLOT)))
        place = Word(SLOT, SLOT)
        words = (*item.words[: span[0]], place, *item.words[span[1] :])
        return prepared(item.example, words, tree, self._index.schema)

    def _span(self, item: Prepared, other: Prepared) -> tuple[int, int] | None:
        """The words of an example's question that are the most like another's; None where none are like it."""
        weight = self._index.rarity
        wanted = other.masked
        head = next((at for at, word in enumerate(wanted) if word not in QUIET), 0)
        wanted = wanted[head:]
        masked = [
            SLOT if any(slot.start <= at < slot.end for slot in item.slots) else word.stem
            for at, word in enumerate(item.words)
        ]
        best, span = _CUT, None
        for start in range(1, len(masked) - 1):
            for end in range(start + 2, len(masked) + 1):
                score = order_likeness(masked[start:end], wanted, weight)
                if score > best:
                    best, span = score, (start, end)
        return span

    def described(self, words: Sequence[Word], named: Sequence[Named]) -> list[Named]:
        """Runs of words that describe values, the surest first; none in a question of very many words."""
        if len(words) > MAX_QUESTION:
            return []
        found: list[Named] = []
        for length in range(2, min(MAX_RUN, len(words) - 1) + 1):
            for start in range(1, len(words) - length + 1):
                if _may_describe(words[start : start + length]):
                    found += self._readings(words, start, start + length, [*found, *named])
        return sorted(found, key=lambda item: -item.sureness)[:_MAX_DESCRIBED]

    def _readings(self, words: Sequence[Word], start: int, end: int, named: Sequence[Named]) -> list[Named]:
        run = words[start:end]
        inside = [
            replace(item, start=item.start - start, end=item.end - start)
            for item in named
            if item.start >= start and item.end <= end and (item.start, item.end) != (start, end)
        ]
        masked = {word.stem for word in run}
        for item in inside:
            masked |= set(mask(run, [(item.start, item.end)]))
        scores = self._index.similar(masked)
        order = heapq.nlargest(_TRIED, range(len(scores)), key=scores.__getitem__)
        found: dict[str, Named] = {}
        for number in order:
            example = self._index.examples[number]
            if example.shown is None or scores[number] < _LIKE:
                continue
            for variant in [example, *self._edits.variants(example, run, inside, whole=False)]:
                for reading in self._both_readings(variant, run, inside):
                    if reading.query is not None:
                        key = reading.query.sql()
                        if key not in found or found[key].sureness < reading.sureness:
                            found[key] = replace(reading, start=start, end=end)
        return sorted(found.values(), key=lambda item: -item.sureness)[:_KEPT]

    def _both_readings(self, item: Prepared, run: Sequence[Word], inside: Sequence[Named]) -> list[Named]:
        """With the descriptions inside of the run, and without them: they may be less than what the run describes."""
        plain = [entry for entry in inside if entry.query is None]
        known = [inside, plain] if len(plain) < len(inside) else [inside]
        readings = [self._reading(item, run, entries) for entries in known]
        return [reading for reading in readings if reading is not None]

    def _reading(self, item: Prepared, run: Sequence[Word], inside: Sequence[Named]) -> Named | None:
        """What a run of words describes if it means what an example asks for; None where it does not."""
        shown = item.shown
        if shown is None:
            return None
        filling = adapt.fill(item, run, inside, self._domains)
        if filling.kept or not filling.complete:
            return None
        masked, example = mask(run, filling.spans), adapt.masked(item, filling)
        weight = self._index.rarity
        mine, theirs = set(masked), set(example)
        shared = sum(weight(word) for word in mine & theirs)
        covered = shared / (sum(map(weight, mine)) or 1.0)
        covers = shared / (sum(map(weight, theirs)) or 1.0)
        if covered < _COVERED or covers < _COVERS:
            return None
        sureness = covered * (covers + order_likeness(masked, example, weight)) / 2 * filling.sureness
        ref = Names(self._index.schema, item.tree).ref(shown)
        return Named(
            0, 0, "", frozenset({ref}), query=adapt.statement(item, filling), sureness=sureness,
            examples=(item.example.id, *filling.examples),
        )  # fmt: skip


def _inner(node: exp.Expr) -> exp.Select | None:
    """The SELECT of `column IN (SELECT column …)` and of `column = (SELECT column …)`."""
    query = node.args.get("query") if isinstance(node, exp.In) else node.args.get("expression")
    inner = query.unnest() if isinstance(query, exp.Subquery) else query
    if not isinstance(inner, exp.Select) or not isinstance(node.this, exp.Column):
        return None
    return inner if column_shown(inner) is not None else None


def _extreme(node: exp.Expr) -> exp.Expr | None:
    """The MAX or MIN of `column = (SELECT MAX(column) FROM …)`."""
    query = node.args.get("expression") if isinstance(node, exp.EQ) else None
    inner = query.unnest() if isinstance(query, exp.Subquery) else None
    if not isinstance(inner, exp.Select) or len(inner.expressions) != 1:
        return None
    shown = inner.expressions[0].unalias()
    return shown if isinstance(shown, (exp.Max, exp.Min)) else None


def _shape(text: str) -> str:
    """A canonical statement without its values."""
    return re.sub(r"'[^']*'|\b\d+(\.\d+)?\b", "?", text).replace("distinct ", "")


def _may_describe(run: Sequence[Word]) -> bool:
    content = sum(word.stem not in QUIET for word in run)
    return content >= MIN_CONTENT and run[0].folded not in _EDGES and run[-1].folded not in _EDGES | {"the", "a"}

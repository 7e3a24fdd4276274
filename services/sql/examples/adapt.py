"""Adapts an example to a new question: the values of its statement are replaced by those of the question.

A value of the example goes with words of its question and with columns of its statement; its place is taken by words of
the new question that name a value of those columns, or of columns that hold the same kind of thing. Words that describe
values (compose.py) take it with the statement that gives them; they may also take the place of the noun
that names a table's rows: `the largest state` becomes `the largest state that borders ohio`. A value that the new
question has nothing for is dropped with its condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sqlglot import exp

from services.sql.examples.domains import Domains, Named
from services.sql.examples.edits import drop, narrow
from services.sql.examples.examples import Prepared, Slot, column_shown, mask
from services.sql.examples.sketch import Sketch, literals
from services.sql.language.phrases import Word, find

_LITERAL = re.compile(r"'(?:[^']|'')*'|(?<![\w.])\d+(?:\.\d+)?(?![\w.])")


@dataclass(frozen=True)
class Filling:
    """What the values of an example become in a new question."""

    fillers: Mapping[int, Named]
    """By the index of the slot."""
    rows: Mapping[int, Named]
    """Descriptions that narrow the rows of a table, by the index of the noun (Prepared.nouns)."""
    missing: tuple[int, ...]
    """Slots that the question has nothing for, although the example's question names them."""

    complete: bool = True
    """Whether every place that must be filled is."""

    @property
    def kept(self) -> int:
        """How many values of the example the question has nothing for."""
        return len(self.missing)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The words of the question that are values now."""
        return [(named.start, named.end) for named in self._all if named.start >= 0]

    @property
    def sureness(self) -> float:
        """How sure its descriptions are, from 0 to 1."""
        product = 1.0
        for named in self._all:
            product *= named.sureness
        return product

    @property
    def examples(self) -> tuple[str, ...]:
        """Ids of the examples that its descriptions were made after."""
        return tuple(identifier for named in self._all for identifier in named.examples)

    @cached_property
    def _all(self) -> list[Named]:
        return [*self.fillers.values(), *self.rows.values()]


def fill(item: Prepared, words: Sequence[Word], named: Sequence[Named], domains: Domains) -> Filling:
    """Finds words of a question for the values of an example.

    Args:
        item: The example.
        words: The new question.
        named: What its words name or describe; those before win.
        domains: The database's.
    """
    fillers: dict[int, Named] = {}
    taken: set[int] = set()
    for described in (entry for entry in named if entry.query is not None):
        # A description takes its words away from the values in it.
        _take(item.slots, [described], fillers, taken, domains)
    # The same value in both questions stays; the longest first, since `York` is in `New York`.
    for number, slot in sorted(enumerate(item.slots), key=lambda entry: -len(entry[1].text)):
        span = None if number in fillers else find(slot.text, words)
        if span is not None and not taken & set(range(*span)):
            fillers[number] = Named(*span, slot.text, slot.refs, slot.numeric)
            taken |= set(range(*span))
    _take(item.slots, [entry for entry in named if entry.query is None], fillers, taken, domains)
    rows: dict[int, Named] = {}
    for described in (entry for entry in named if entry.query is not None):
        for number, noun in enumerate(item.nouns):
            free = number not in rows and not taken & set(range(described.start, described.end))
            if free and domains.same(frozenset({noun.ref}), described.refs):
                rows[number] = described
                taken |= set(range(described.start, described.end))
    missing = tuple(number for number, slot in enumerate(item.slots) if number not in fillers and slot.start >= 0)
    complete = all(number in fillers for number, slot in enumerate(item.slots) if slot.open)
    return Filling(fillers, rows, missing, complete)


def _take(
    slots: Sequence[Slot], named: Iterable[Named], fillers: dict[int, Named], taken: set[int], domains: Domains
) -> None:
    """Gives free slots, in the order of the example's question, the first of the named things that suits each."""
    named = list(named)
    for number, slot in sorted(enumerate(slots), key=lambda entry: entry[1].start):
        if number in fillers or slot.start < 0:
            continue
        for entry in named:
            span = set(range(entry.start, entry.end))
            if not taken & span and _suits(slot, entry, domains):
                fillers[number] = entry
                taken |= span
                break


def _suits(slot: Slot, named: Named, domains: Domains) -> bool:
    if slot.numeric != named.numeric:
        return False
    return named.numeric or domains.same(slot.refs, named.refs)


def masked(item: Prepared, filling: Filling) -> tuple[str, ...]:
    """The example's question as it is compared: SLOT for its values and for narrowed nouns."""
    if not filling.rows:
        return item.masked
    spans = [(slot.start, slot.end) for slot in item.slots]
    spans += [(item.nouns[number].at, item.nouns[number].at + 1) for number in filling.rows]
    return mask(item.words, spans)


def statement(item: Prepared, filling: Filling) -> exp.Query:
    """The example's statement with the new values; the example's own tree where nothing changes."""
    changed = {
        literal: filling.fillers[number]
        for number, slot in enumerate(item.slots)
        if number in filling.fillers
        and (filling.fillers[number].text != slot.text or filling.fillers[number].query is not None)
        for literal in slot.literals
    }
    dropped = {literal for number in filling.missing for literal in item.slots[number].literals}
    if not changed and not dropped and not filling.rows:
        return item.tree
    tree = item.tree.copy()
    scopes = list(tree.find_all(exp.Select)) if filling.rows else []
    for number, node in enumerate(list(literals(tree))):
        if number in changed:
            _replace(node, changed[number])
        elif number in dropped:
            drop(node)
    for number, described in filling.rows.items():
        assert described.query is not None
        table, column = item.nouns[number].ref
        inside = exp.In(this=exp.column(column, table=table), query=described.query.copy().subquery())
        narrow(scopes, table, inside)
    return _direct(tree)


def _direct(tree: exp.Query) -> exp.Query:
    """`SELECT x FROM t WHERE x IN (SELECT x FROM t …)` is what stands in the brackets."""
    shown, where = column_shown(tree), tree.args.get("where")
    inside = where.this if where is not None else None
    inner = inside.args.get("query") if isinstance(inside, exp.In) else None
    if (
        shown is None
        or inside is None
        or not isinstance(inner, exp.Subquery)
        or not isinstance(inside.this, exp.Column)
    ):
        return tree
    if any(tree.args.get(name) for name in ("joins", "group", "having", "order", "limit")):
        return tree
    query = inner.unnest()
    own = column_shown(query) if isinstance(query, exp.Query) else None
    tables = [next(iter(side.find_all(exp.Table)), None) for side in (tree, query)]
    names = {column.name.lower() for column in (shown, inside.this, own) if column is not None}
    if own is None or len(names) > 1 or len({table.name.lower() for table in tables if table is not None}) > 1:
        return tree
    return query.copy() if isinstance(query, exp.Query) and len(list(query.find_all(exp.Join))) == 0 else tree


def is_plain(item: Prepared, filling: Filling) -> bool:
    """Whether the statement stays as it is but for its values."""
    described = any(named.query is not None for named in filling.fillers.values())
    return not (filling.rows or filling.missing or described)


def plain_text(item: Prepared, filling: Filling) -> str:
    """What `canonical(statement(item, filling))` is where `is_plain`; no tree is needed for it."""
    values = _changed(item, filling)

    def renewed(match: re.Match[str]) -> str:
        text = match[0].strip("'")
        bare = text.strip("%")
        new = values.get(bare.replace("''", "'"))
        if new is None:
            return match[0]
        quote = "'" if match[0].startswith("'") else ""
        return quote + text.replace(bare, new.replace("'", "''"), 1) + quote

    return _LITERAL.sub(renewed, item.canonical) if values else item.canonical


def plain_sketch(item: Prepared, filling: Filling) -> Sketch:
    """What the statement's sketch is where `is_plain`."""
    values = _changed(item, filling)
    if not values:
        return item.sketch
    return replace(item.sketch, literals=tuple(values.get(text, text) for text in item.sketch.literals))


def _changed(item: Prepared, filling: Filling) -> dict[str, str]:
    """Values that are replaced, in lower case, by those in their place."""
    pairs = ((item.slots[number].text.lower(), named.text.lower()) for number, named in filling.fillers.items())
    return {old: new for old, new in pairs if old != new}


def _replace(node: exp.Literal, named: Named) -> None:
    """Puts a value in a literal's place; the wildcards of LIKE stay; a description becomes IN (SELECT …)."""
    parent = node.parent
    if named.query is not None:
        inner = named.query.copy()
        if isinstance(parent, (exp.EQ, exp.Like)):
            parent.replace(
                exp.In(this=parent.this if parent.this is not node else parent.expression, query=inner.subquery())
            )
        elif isinstance(parent, exp.NEQ):
            parent.replace(exp.Not(this=exp.In(this=parent.this, query=inner.subquery())))
        elif isinstance(parent, exp.In):
            parent.replace(exp.In(this=parent.this, query=inner.subquery()))
        return
    if named.numeric and not node.is_string:
        node.replace(exp.Literal.number(named.text))
        return
    old, text = node.name, named.text
    if isinstance(parent, (exp.Like, exp.ILike)):
        text = ("%" if old.startswith("%") else "") + text + ("%" if old.endswith("%") else "")
    node.replace(exp.Literal.string(text))

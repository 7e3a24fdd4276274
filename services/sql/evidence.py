"""What speaks for a meaning: how the words of a question fit the parts of a frame, as named, weighted features.

The model is log-linear over features of question and meaning, as in Zettlemoyer and Collins (2005) and Berant et al.
(2013): n-grams of the question beside what the frame does, the neighbours of each mention beside the part that it
plays, and what speaks against any frame (needless joins, columns that no word names). Words that are linked to the
schema appear as what they were linked to, so that nothing is learned about a particular database.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from services.sql.completion import Completion
from services.sql.frame import EVERYTHING, Filter, Frame, Ref, Term
from services.sql.joins import JoinGraph
from services.sql.linking import REVENUE, computed
from services.sql.marks import Mark
from services.sql.parts import Parts, display_columns
from services.sql.schema import Schema
from services.sql.tokens import Token
from services.sql.words import split_name

_SYMBOLS = {"number": "#", "text": "V", "period": "P"}
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
        self._schema = schema
        self._graph = graph
        self._kept = kept
        self._parts = Parts(schema, graph)
        self._completion = Completion(schema)
        self._marks = marks
        self._weights = weights
        self.step = weights.get("steps", 0.0)
        """What each step away from a seed counts."""
        self._words = _delexicalised(tokens, marks)
        self.ngrams = [gram for gram in _ngrams(self._words) if known is None or gram in known]
        self._asked = {deed for mark in marks for deed in _asked(mark)}
        # Too rare for weights to be learned: what is asked for so is done so.
        self._musts = {deed for deed in self._asked if deed.startswith(("period", "selling"))}
        self._contexts = _Contexts(tokens, marks)
        # Too rare for weights to be learned, too: whoever says revenue, or a metric's name, means that.
        self._measured = {mark.items[0].ref for mark in marks if mark.items and computed(mark.items[0].column)}
        self._meanings = [self._items(mark) for mark in marks]
        self._support: dict[Ref, float] = {}
        self._gap: dict[Ref, float] = {}
        for items in self._meanings:
            for ref, weight, gap in items:
                self._support[ref] = max(weight, self._support.get(ref, 0.0))
                self._gap[ref] = min(gap, self._gap.get(ref, 9.0))
        self._named = {ref[0] for items in self._meanings for ref, _weight, gap in items if not ref[1] and gap < 0.1}
        self._owners = self._beside()
        self._sums: dict[tuple[str, ...], float] = {}
        self._joins: dict[tuple[str, ...], int | None] = {}

    def _items(self, mark: Mark) -> list[tuple[Ref, float, float]]:
        """What a mention may stand for, with its weight and how much the best one is likelier."""
        items = (*mark.items, *mark.others)
        best = max((item.weight for item in items), default=0.0)
        found = [(item.ref, item.weight, best - item.weight) for item in items]
        for item in items:
            meant = self._parts.entity(item, mark.words)
            if meant is not item:
                found.append((meant.ref, item.weight, best - item.weight))
        return found

    def _beside(self) -> dict[Ref, set[str]]:
        """The tables that are said right before or after the words for a column: `names of students`."""
        found: dict[Ref, set[str]] = {}
        mentions = [number for number, mark in enumerate(self._marks) if mark.kind == "mention"]
        for one, other in itertools.pairwise(mentions):
            gap = self._marks[other].start - self._marks[one].end
            for column, table, near in ((one, other, gap <= 3), (other, one, gap == 0)):
                tables = {ref[0] for ref, _weight, lack in self._meanings[table] if not ref[1] and lack < 0.1}
                for ref, _weight, _lack in self._meanings[column] if near and tables else ():
                    if ref[1]:
                        found.setdefault(ref, set()).update(tables)
        return found

    def score(self, frame: Frame) -> float:
        """How much speaks for a frame: an unnormalised log probability."""
        structure = self._structure(frame)
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
        for name, value in self._structure(frame) or ():
            found[name] = found.get(name, 0.0) + value
        return found, list(self._factors(frame))

    # Factors: what a frame does, and the part that each mark plays in it.

    def expanded(self, factor: tuple[str, ...]) -> list[str]:
        """The features of a factor, each of which counts once."""
        if factor[0] == "does":
            return [f"{factor[1]}|", *(f"{factor[1]}|{gram}" for gram in self.ngrams)]
        return [f"{factor[2]}@{context}" for context in self._contexts.of(int(factor[1]))]

    def _factors(self, frame: Frame) -> Iterator[tuple[str, ...]]:
        for deed in _deeds(frame):
            yield "does", deed
        refs, tables = _roles(frame)
        for position, mark in enumerate(self._marks):
            if mark.kind == "mention":
                yield "plays", str(position), self._role(mark, position, frame, refs, tables)
            elif mark.kind in ("number", "period", "text"):
                yield "plays", str(position), mark.kind[0] + _number_role(mark, frame)

    def _role(self, mark: Mark, position: int, frame: Frame, refs: dict[Ref, str], tables: dict[str, str]) -> str:
        for item in (*mark.items, *mark.others):
            if item.value is not None:
                for condition in frame.filters:
                    if condition.ref == item.ref and item.value in condition.values:
                        return f"v{condition.op}{'!' * condition.negated}{'|' * condition.joined_by_or}"
        for (table, column), _weight, _gap in self._meanings[position]:
            if column and (table, column) in refs:
                return "c" + refs[table, column]
            if not column and table in tables:
                return "t" + tables[table]
        kind = mark.items[0]
        return "v-" if kind.value is not None else "c-" if kind.column else "t-"

    # Structure: what speaks for or against a frame whatever the words.

    def _structure(self, frame: Frame) -> list[tuple[str, float]] | None:
        does = _does(frame)
        if not frame.tables or _absurd(frame) or self._musts - does:
            return None
        if "negation" in does and not self._asked & {"negation", "compare !="}:
            # Nothing is turned into its opposite that no word turns.
            return None
        if self._measured and not self._measured & set(frame.refs):
            return None
        if self._kept and not self._kept <= {value for item in frame.filters for value in item.values}:
            return None
        if any(self._counts_keys(term, frame) if term.aggregate else self._shows_key(term) for term in frame.select):
            return None
        joins = self._steps(tuple(dict.fromkeys(frame.tables)))
        if joins is None:
            return None
        plain = [term for term in frame.select if not term.aggregate]
        used = {ref[0] for ref in frame.refs}
        found: list[tuple[str, float]] = [
            ("joins", float(joins)),
            ("tables between", float(joins + 1 - len(frame.tables))),
            ("tables only mentioned", float(sum(name not in used for name in frame.tables))),
            ("tables not named", float(sum(name not in self._named for name in frame.tables))),
            ("conditions", float(len(frame.filters))),
        ]
        found += self._agreement(frame)
        found += self._selected(frame, plain)
        for ref in set(frame.refs):
            if ref[1] not in ("*", EVERYTHING):
                found += self._linked(ref)
        for item in frame.filters:
            found += self._condition(item, frame)
        found += self._grouped(frame, plain)
        if frame.order is not None:
            found += self._ordered(frame.order, frame)
        if len(frame.tables) > 1 and plain and len(plain) == len(frame.select) and not frame.groups:
            multiplied = self._completion.multiplies(frame.tables)
            found.append((f"repeats {multiplied} {frame.distinct} {frame.order is not None}", 1.0))
        return found

    def _counts_keys(self, term: Term, frame: Frame) -> bool:
        """Whether a term averages identifiers, counts the rows of its only table by them, or sums up dates."""
        key = term.ref[1] in self._schema.by_name[term.ref[0]].key_columns
        alone = len(frame.tables) == 1 and (term.ref[1],) == self._schema.by_name[term.ref[0]].primary_key
        return bool(term.period) or (key and term.aggregate in ("SUM", "AVG")) or (alone and term.aggregate == "COUNT")

    def _shows_key(self, term: Term) -> bool:
        """Whether a term shows an identifier that no word names, though the row has a name."""
        if term.ref in self._support or term.ref[1] == EVERYTHING:
            return False
        table = self._schema.by_name[term.ref[0]]
        return term.ref[1] in table.key_columns and bool(display_columns(table))

    def _agreement(self, frame: Frame) -> list[tuple[str, float]]:
        """What the words ask for and the frame does not do, and the other way round."""
        does = _does(frame)
        found = [(f"unheard {kind}", 1.0) for kind in self._asked - does]
        found += [(f"unsaid {kind}", 1.0) for kind in does - self._asked if not kind.startswith(("period", "selling"))]
        refs = set(frame.refs)
        used = {ref[0] for ref in refs} | {*frame.tables, *frame.without}
        values = {value for item in (*frame.filters, *frame.having) for value in item.values} | {frame.limit}
        for mark, items in zip(self._marks, self._meanings, strict=True):
            if mark.kind == "mention":
                if mark.items[0].value is not None:
                    heard = any(item.value in values for item in mark.items) or any(ref in refs for ref, _, _ in items)
                    kind = "value"
                else:
                    heard = any(ref in refs if ref[1] else ref[0] in used for ref, _weight, _gap in items)
                    kind = "column" if mark.items[0].column else "table"
                if not heard:
                    found.append((f"unheard {kind} {mark.items[0].weight >= 0.8}", 1.0))
            elif mark.kind == "number" and mark.number not in values:
                found.append(("unheard number", 1.0))
            elif mark.kind == "text" and mark.text not in values:
                found.append(("unheard text", 1.0))
            elif mark.kind == "period" and not values & {mark.text, *_year(mark)}:
                found.append(("unheard period", 1.0))
        return found

    def _linked(self, ref: Ref) -> list[tuple[str, float]]:
        """How well a word stands for a column that is used."""
        weight = self._support.get(ref)
        if weight is None:
            return []
        found = [("link lack", 1.0 - weight), ("link gap", self._gap[ref])]
        if ref in self._owners:
            found.append((f"of the table said beside it {ref[0] in self._owners[ref]}", 1.0))
        found.append(("column of a named table", 1.0 if ref[0] in self._named else 0.0))
        if self._named and ref[0] not in self._named:
            found.append(("column of another table", 1.0))
        if ref[1] in self._schema.by_name[ref[0]].key_columns:
            found.append(("key used", 1.0))
        return found

    def _selected(self, frame: Frame, plain: Sequence[Term]) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = [("columns", float(len(plain)))]
        conditions = {item.ref for item in frame.filters if item.op == "=" and not item.negated}
        for term in frame.select:
            if term.ref[1] == EVERYTHING:
                continue
            if term.ref[1] == "*":
                found.append((f"counts {term.ref[0] in self._named} {term.ref[0] == frame.tables[0]}", 1.0))
                continue
            table = self._schema.by_name[term.ref[0]]
            named = term.ref[1] in display_columns(table)
            key = term.ref[1] in table.key_columns
            if term.ref not in self._support:
                kind = "name" if named else "key" if key else "other"
                found.append((f"unasked {kind} {term.ref[0] in self._named} {bool(term.aggregate)}", 1.0))
            if term.ref in conditions:
                found.append((f"selects what is known {bool(term.aggregate)}", 1.0))
            if term.aggregate in ("SUM", "AVG", "MIN", "MAX"):
                found.append((f"{term.aggregate} key {key} numeric {self._parts.numeric(term.ref)}", 1.0))
            if frame.order is not None and term == frame.order:
                found.append((f"selects its order {term.aggregate} {len(frame.select) > 1}", 1.0))
        if len({term.ref[0] for term in plain}) > 1:
            found.append(("columns of several tables", 1.0))
        return found

    def _condition(self, item: Filter, frame: Frame) -> list[tuple[str, float]]:
        numeric = self._parts.numeric(item.ref)
        kind = "number" if item.values and isinstance(item.values[0], float) else "text"
        found = [(f"compares {kind} {item.op} numeric {numeric}", 1.0)]
        if kind == "number" and item.ref not in self._support:
            found.append(("compares what is not named", 1.0))
        if kind == "number" and item.ref[1] in self._schema.by_name[item.ref[0]].key_columns:
            found.append(("compares a key", 1.0))
        if item.ref[0] in self._named:
            found.append((f"condition on a named table {kind}", 1.0))
        if item.ref[0] == frame.tables[0]:
            found.append((f"condition on the main table {kind}", 1.0))
        return found

    def _grouped(self, frame: Frame, plain: Sequence[Term]) -> list[tuple[str, float]]:
        if not frame.groups:
            return []
        keys = {term.ref for term in frame.groups}
        whole = {ref[0] for ref in keys if ref[1] in self._schema.by_name[ref[0]].primary_key}
        loose = sum(term.ref not in keys and term.ref[0] not in whole for term in plain)
        unshown = not any(term.ref in keys or term.ref[0] in whole for term in plain)
        found = [("loose columns of groups", float(loose)), (f"groups unshown {unshown}", 1.0)]
        found.append((f"groups by key {bool(whole)} of several tables {len(frame.tables) > 1}", 1.0))
        found.append((f"groups {len(frame.groups) if not whole else 'key'}", 1.0))
        if whole and len(frame.tables) == 1:
            found.append(("groups of one row", 1.0))
        if not all(term.ref in self._support or term.ref[0] in self._named for term in frame.groups):
            found.append(("groups not named", 1.0))
        return found

    def _ordered(self, order: Term, frame: Frame) -> list[tuple[str, float]]:
        if order.ref[1] == "*":
            return [("orders by rows", 1.0)]
        numeric = self._parts.numeric(order.ref) or self._parts.is_temporal(order.ref)
        found = [(f"orders by {'number' if numeric else 'text'} limit {frame.limit is not None}", 1.0)]
        if order.ref not in self._support:
            found.append(("order not named", 1.0))
        if order.ref[1] in self._schema.by_name[order.ref[0]].key_columns:
            found.append(("orders by a key", 1.0))
        if frame.groups and not order.aggregate and order.ref not in {term.ref for term in frame.groups}:
            found.append(("orders groups by a row", 1.0))
        return found

    def _steps(self, tables: tuple[str, ...]) -> int | None:
        if tables not in self._joins:
            steps = self._graph.connect(tables)
            self._joins[tables] = None if steps is None else len(steps)
        return self._joins[tables]


class _Contexts:
    """The neighbourhoods of a question's marks, as names."""

    def __init__(self, tokens: Sequence[Token], marks: Sequence[Mark]) -> None:
        self._tokens = tokens
        self._marks = marks
        self._symbols = [_symbol(mark) for mark in marks]
        self._at = {position: number for number, mark in enumerate(marks) for position in range(mark.start, mark.end)}
        self._mentions = [number for number, mark in enumerate(marks) if mark.kind == "mention"]
        self._kinds = {mark.sign.kind for mark in marks if mark.sign is not None}
        self._known: dict[int, list[str]] = {}

    def of(self, number: int) -> list[str]:
        """The names of one mark's neighbourhood."""
        if number not in self._known:
            self._known[number] = self._named(number)
        return self._known[number]

    def _word(self, position: int) -> str:
        if not 0 <= position < len(self._tokens):
            return "^" if position < 0 else "$"
        number = self._at.get(position)
        if number is not None and self._marks[number].kind != "sign":
            return self._symbols[number]
        return self._tokens[position].word

    def _named(self, number: int) -> list[str]:
        mark = self._marks[number]
        before, earlier = self._word(mark.start - 1), self._word(mark.start - 2)
        after, later = self._word(mark.end), self._word(mark.end + 1)
        rank = self._mentions.index(number) if number in self._mentions else -1
        found = [
            "", f"<{before}", f"<{earlier} {before}", f">{after}", f">{after} {later}", f"<{before}>{after}",
            f"n{min(rank, 3)}", f"n{min(rank, 1)}{self._word(0)} {self._word(1)}",
            f"n{min(rank, 2)}of{min(len(self._mentions), 5)}",
        ]  # fmt: skip
        signs = [self._mark_name(other) for other in self._marks[:number][::-1] if other.kind == "sign"]
        found.append(f"s{signs[0] if signs else ''}")
        found.append(f"s{' '.join(signs[:2])}")
        found.append(f"<<{self._symbols[number - 1] if number else '^'}")
        found.append(f">>{self._symbols[number + 1] if number + 1 < len(self._marks) else '$'}")
        found += [f"has {kind}" for kind in self._kinds if kind not in ("and", "where")]
        if rank == len(self._mentions) - 1:
            found.append("last")
        return found

    def _mark_name(self, mark: Mark) -> str:
        return f"{mark.sign.kind}:{mark.sign.value}" if mark.sign else mark.kind


def _symbol(mark: Mark) -> str:
    if mark.kind == "sign" and mark.sign is not None:
        return f"{mark.sign.kind}:{mark.sign.value}"
    if mark.kind != "mention":
        return _SYMBOLS[mark.kind]
    first = mark.items[0]
    return "V" if first.value is not None else "C" if first.column else "T"


def _delexicalised(tokens: Sequence[Token], marks: Sequence[Mark]) -> list[str]:
    """The question's words, with what is linked replaced by a letter for what it is linked to."""
    starts = {mark.start: mark for mark in marks if mark.kind != "sign"}
    found, position = ["^"], 0
    while position < len(tokens):
        mark = starts.get(position)
        found.append(_symbol(mark) if mark else tokens[position].word)
        position = mark.end if mark else position + 1
    return [*found, "$"]


def _ngrams(words: Sequence[str]) -> list[str]:
    found = dict.fromkeys(words)
    for size in (2, 3):
        found.update(dict.fromkeys(" ".join(words[n : n + size]) for n in range(len(words) - size + 1)))
    return list(found)


def _deeds(frame: Frame) -> list[str]:
    """What a frame does, as names."""
    plain = sum(not term.aggregate for term in frame.select)
    found = [f"plain{min(plain, 4)}", f"conditions{min(len(frame.filters), 3)}"]
    for term in frame.select:
        if term.aggregate:
            star = "*" if term.ref[1] == "*" else " distinct" if term.distinct else ""
            found.append(f"{term.aggregate}{star}{' for each' if frame.groups else ''}")
        elif term.ref[1] == EVERYTHING:
            found.append("everything")
    if frame.groups:
        found.append("groups")
    if frame.order is not None:
        limit = "" if frame.limit is None else " one" if frame.limit == 1 else " some"
        direction = "down" if frame.descending else "up"
        found += [f"order {direction}{limit}", f"order {frame.order.aggregate}{bool(limit)}"]
    for item in frame.having:
        found.append(f"having {item.aggregate} {item.op}")
    for item in frame.filters:
        found.append(f"where {item.op}{'!' if item.negated else ''}{item.against}")
    if any(item.joined_by_or for item in frame.filters) and not frame.sets:
        found.append("or")
    found += [name for name, on in (("distinct", frame.distinct), ("without", bool(frame.without))) if on]
    found.append(f"shape {_shape(frame, plain)}")
    return [*found, frame.sets] if frame.sets else found


def _shape(frame: Frame, plain: int) -> str:
    """The outline of a statement: what it shows, and its clauses."""
    shown = "".join(sorted({term.aggregate[:2].lower() or "-" for term in frame.select}))
    order = "" if frame.order is None else f"o{frame.order.aggregate[:2].lower()}{'l' if frame.limit else ''}"
    clauses = "".join(letter for letter, on in (("g", frame.groups), ("h", frame.having), ("x", frame.without)) if on)
    return f"{shown}{min(plain, 2)}{clauses}{order}{frame.sets[:1]}"


def _absurd(frame: Frame) -> bool:
    """Whether a frame says what nobody means, or says something in a roundabout way."""
    summed = [term for term in frame.select if term.aggregate]
    ranked = frame.order is not None and bool(frame.order.aggregate)
    if frame.groups:
        pointless = not (summed or ranked or frame.having) or frame.distinct
    else:
        pointless = (
            bool(frame.having) or ranked or (bool(summed) and (len(summed) < len(frame.select) or frame.distinct))
        )
    if pointless or (summed and not frame.groups and frame.order is not None):
        return True
    if len(set(frame.select)) < len(frame.select) or (frame.limit is not None and frame.order is None):
        return True
    return _malformed(frame) or _contradictory(frame)


def _malformed(frame: Frame) -> bool:
    """Whether no statement can say it: parts of tables that are left out, groups and orders by what is no column."""
    order = [frame.order] if frame.order else []
    shown: list[Term | Filter] = [*frame.select, *frame.groups, *order, *frame.having]
    left_out = any(item.ref[0] in frame.without for item in shown)
    if left_out or frame.tables[0] in frame.without or set(frame.tables) & set(frame.without):
        return True
    if any(term.ref[1] in ("*", EVERYTHING, REVENUE) for term in frame.groups):
        return True
    whole: list[Term | Filter] = [*frame.filters, *order]
    return any(item.ref[1] == EVERYTHING or (item.ref[1] == "*" and not item.aggregate) for item in whole)


def _contradictory(frame: Frame) -> bool:
    """Whether conditions repeat or exclude each other; each half of a set has its own."""
    if len({(item.ref, item.values) for item in frame.filters}) < len(frame.filters):
        return True
    values = [item.values for item in frame.filters if item.op == "=" and isinstance(item.values[0], str)]
    if len(set(values)) < len(values):
        # One word is one condition.
        return True
    equal: set[Ref] = set()
    for position, item in enumerate(frame.filters):
        if item.op == "=" and not item.negated and not frame.sets:
            either = item.joined_by_or or (
                position + 1 < len(frame.filters) and frame.filters[position + 1].joined_by_or
            )
            if item.ref in equal and not either:
                return True
            equal.add(item.ref)
    return False


def _roles(frame: Frame) -> tuple[dict[Ref, str], dict[str, str]]:
    """The parts that columns and tables play, as letters."""
    refs: dict[Ref, str] = {}

    def play(ref: Ref, letter: str) -> None:
        if letter not in refs.get(ref, ""):
            refs[ref] = refs.get(ref, "") + letter

    for term in frame.select:
        play(term.ref, {"": "s", "COUNT": "n", "SUM": "t", "AVG": "a", "MIN": "m", "MAX": "m"}[term.aggregate])
    for term in frame.groups:
        play(term.ref, "g")
    for item in frame.filters:
        play(item.ref, "w")
    for item in frame.having:
        play(item.ref, "h")
    if frame.order is not None:
        play(frame.order.ref, "o")
    tables: dict[str, str] = {}
    for (table, _column), letters in refs.items():
        known = tables.get(table, "")
        tables[table] = known + "".join(letter for letter in letters if letter not in known)
    for name in frame.tables:
        tables.setdefault(name, "j")
    for name in frame.without:
        tables[name] = "x"
    main = frame.tables[0] if frame.tables else ""
    return refs, {name: ("1" if name == main else "") + "".join(sorted(letters)) for name, letters in tables.items()}


def _asked(mark: Mark) -> list[str]:
    """What a sign asks for, as `_does` calls it."""
    sign = mark.sign
    if sign is None:
        return []
    if sign.kind in ("super", "popular"):
        return ["superlative", f"order {sign.value}", *(["count of rows"] if sign.kind == "popular" else [])]
    if sign.kind in ("period", "selling"):
        return [f"{sign.kind} {sign.value}"]
    if sign.kind == "direction":
        return ["order", f"order {sign.value}"]
    same = {"order": "order", "alphabet": "order", "group": "groups", "not": "negation", "distinct": "distinct",
            "or": "or", "both": "sets", "everything": "everything"}  # fmt: skip
    if sign.kind in same:
        return [same[sign.kind]]
    if sign.kind == "aggregate":
        return [sign.value]
    if sign.kind == "like":
        return [f"like {sign.value}"]
    return [f"compare {sign.value}"] if sign.kind == "compare" else []


def _does(frame: Frame) -> set[str]:
    """What a frame does that words may ask for."""
    terms = [*frame.select, *([frame.order] if frame.order else [])]
    found = {term.aggregate for term in terms if term.aggregate} | {item.aggregate or "" for item in frame.having}
    found |= {item.against for item in (*frame.filters, *frame.having)}
    conditions = [*frame.filters, *frame.having]
    found |= {f"compare {i.op}" for i in conditions if i.op not in ("=", "contains", "starts", "ends", "null")}
    found |= {f"like {item.op}" for item in conditions if item.op in ("contains", "starts", "ends")}
    if frame.order is not None:
        found.add("superlative" if frame.limit is not None else "order")
        found.add("order desc" if frame.descending else "order asc")
        if frame.order.ref[1] == "*":
            found.add("count of rows")
    if frame.distinct or any(term.distinct for term in frame.select):
        found.add("distinct")
    if frame.without or frame.sets == "EXCEPT" or any(i.negated or i.op in ("!=", "null") for i in conditions):
        found.add("negation")
    if frame.sets == "UNION" or any(item.joined_by_or for item in frame.filters):
        found.add("or")
    if frame.sets == "INTERSECT":
        found.add("sets")
    if frame.groups:
        found.add("groups")
    if any(term.ref[1] == EVERYTHING for term in frame.select):
        found.add("everything")
    for term in (*frame.select, *frame.groups):
        words = {term.period, *split_name(term.ref[1])}
        found |= {f"period {period}" for period in ("year", "month") if period in words}
    if frame.order is not None and frame.order.aggregate == "SUM":
        found.add(f"selling {'desc' if frame.descending else 'asc'}")
    return found - {""}


def _year(mark: Mark) -> list[float]:
    return [float(mark.text)] if mark.text.isdigit() else []


def _number_role(mark: Mark, frame: Frame) -> str:
    wanted: set[str | float] = {mark.number} if mark.kind == "number" else {mark.text}
    wanted.update(_year(mark) if mark.kind == "period" else ())
    for item in frame.filters:
        if wanted & set(item.values):
            return f"w{item.op}"
    for item in frame.having:
        if wanted & set(item.values):
            return f"h{item.op}"
    return "l" if frame.limit is not None and frame.limit in wanted else "-"

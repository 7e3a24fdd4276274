"""What speaks for or against a frame whatever weights the words have: its joins, columns, conditions and groups."""

from __future__ import annotations

from collections.abc import Sequence

from services.sql.engine.absurd import absurd
from services.sql.engine.deeds import asked, does, year
from services.sql.engine.meant import Meant
from services.sql.language.words import listed, split_name
from services.sql.linking.joins import JoinGraph
from services.sql.meaning.completion import Completion
from services.sql.meaning.frame import EVERYTHING, Filter, Frame, Ref, Term
from services.sql.meaning.marks import Mark
from services.sql.meaning.parts import Parts, display_columns
from services.sql.schema import Schema

_COUNTS = frozenset(listed("number num no count total quantity"))


class Structure:
    """Takes the frames of one question apart.

    Args:
        schema: The database's.
        graph: Its joins.
        marks: What `scan` found in the question.
        meant: What its mentions may stand for.
        kept: Values of conditions that every meaning has to have, since the rules are sure of them.
    """

    def __init__(
        self, schema: Schema, graph: JoinGraph, marks: Sequence[Mark], meant: Meant, kept: frozenset[str | float]
    ) -> None:
        self._schema = schema
        self._graph = graph
        self._marks = marks
        self._meant = meant
        self._kept = kept
        self._parts = Parts(schema, graph)
        self._completion = Completion(schema)
        self._asked = {deed for mark in marks for deed in asked(mark)}
        # Too rare for weights to be learned: what is asked for so is done so.
        self._musts = {deed for deed in self._asked if deed.startswith(("period", "selling"))}
        self._joins: dict[tuple[str, ...], int | None] = {}

    def of(self, frame: Frame) -> list[tuple[str, float]] | None:
        """Named features of a frame, each with its value; None for what cannot be meant."""
        done = does(frame)
        if not frame.tables or absurd(frame) or self._musts - done:
            return None
        if "negation" in done and not self._asked & {"negation", "compare !="}:
            # Nothing is turned into its opposite that no word turns.
            return None
        if self._meant.measured and not self._meant.measured & set(frame.refs):
            return None
        if self._kept and not self._kept <= {value for item in frame.filters for value in item.values}:
            return None
        if frame.order is not None and self._counts_counts(frame.order):
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
            ("tables not named", float(sum(name not in self._meant.named for name in frame.tables))),
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

    def _counts_counts(self, term: Term) -> bool:
        """Whether a term counts the values of a column that is a count itself: `number_of_seats`."""
        counts = bool(_COUNTS & set(split_name(term.ref[1]))) and self._parts.numeric(term.ref)
        key = term.ref[1] in self._schema.by_name[term.ref[0]].key_columns
        return term.aggregate == "COUNT" and term.ref[1] not in ("*", EVERYTHING) and counts and not key

    def _counts_keys(self, term: Term, frame: Frame) -> bool:
        """Whether a term averages identifiers, counts the rows of its only table by them, or sums up dates."""
        key = term.ref[1] in self._schema.by_name[term.ref[0]].key_columns
        alone = len(frame.tables) == 1 and (term.ref[1],) == self._schema.by_name[term.ref[0]].primary_key
        return bool(term.period) or (key and term.aggregate in ("SUM", "AVG")) or (alone and term.aggregate == "COUNT")

    def _shows_key(self, term: Term) -> bool:
        """Whether a term shows an identifier that no word names, though the row has a name."""
        if term.ref in self._meant.support or term.ref[1] == EVERYTHING:
            return False
        table = self._schema.by_name[term.ref[0]]
        return term.ref[1] in table.key_columns and bool(display_columns(table))

    def _agreement(self, frame: Frame) -> list[tuple[str, float]]:
        """What the words ask for and the frame does not do, and the other way round."""
        done = does(frame)
        found = [(f"unheard {kind}", 1.0) for kind in self._asked - done]
        found += [(f"unsaid {kind}", 1.0) for kind in done - self._asked if not kind.startswith(("period", "selling"))]
        refs = set(frame.refs)
        used = {ref[0] for ref in refs} | {*frame.tables, *frame.without}
        values = {value for item in (*frame.filters, *frame.having) for value in item.values} | {frame.limit}
        for mark, items in zip(self._marks, self._meant.items, strict=True):
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
            elif mark.kind == "period" and not values & {mark.text, *year(mark)}:
                found.append(("unheard period", 1.0))
        return found

    def _linked(self, ref: Ref) -> list[tuple[str, float]]:
        """How well a word stands for a column that is used."""
        weight = self._meant.support.get(ref)
        if weight is None:
            return []
        found = [("link lack", 1.0 - weight), ("link gap", self._meant.gap[ref])]
        if ref in self._meant.owners:
            found.append((f"of the table said beside it {ref[0] in self._meant.owners[ref]}", 1.0))
        found.append(("column of a named table", 1.0 if ref[0] in self._meant.named else 0.0))
        if self._meant.named and ref[0] not in self._meant.named:
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
                found.append((f"counts {term.ref[0] in self._meant.named} {term.ref[0] == frame.tables[0]}", 1.0))
                continue
            table = self._schema.by_name[term.ref[0]]
            named = term.ref[1] in display_columns(table)
            key = term.ref[1] in table.key_columns
            if term.ref not in self._meant.support:
                kind = "name" if named else "key" if key else "other"
                found.append((f"unasked {kind} {term.ref[0] in self._meant.named} {bool(term.aggregate)}", 1.0))
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
        if kind == "number" and item.ref not in self._meant.support:
            found.append(("compares what is not named", 1.0))
        if kind == "number" and item.ref[1] in self._schema.by_name[item.ref[0]].key_columns:
            found.append(("compares a key", 1.0))
        if item.ref[0] in self._meant.named:
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
        if not all(term.ref in self._meant.support or term.ref[0] in self._meant.named for term in frame.groups):
            found.append(("groups not named", 1.0))
        return found

    def _ordered(self, order: Term, frame: Frame) -> list[tuple[str, float]]:
        if order.ref[1] == "*":
            return [("orders by rows", 1.0)]
        numeric = self._parts.numeric(order.ref) or self._parts.is_temporal(order.ref)
        found = [(f"orders by {'number' if numeric else 'text'} limit {frame.limit is not None}", 1.0)]
        if order.ref not in self._meant.support:
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

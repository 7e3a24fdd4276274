"""Builds the SQL of a completed frame as a sqlglot expression."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from dataclasses import replace

import sqlglot
from sqlglot import exp

from services.sql.language.words import listed, split_name, spoken_name
from services.sql.linking.joins import JoinGraph, leads_to
from services.sql.linking.linking import METRIC, REVENUE, revenue_columns
from services.sql.meaning.frame import EVERYTHING, Filter, Frame, Ref, Term
from services.sql.schema import Column, Dialect, Kind, Metric, Schema

_COMPARISONS: dict[str, type[exp.Binary]] = {
    "=": exp.EQ, "!=": exp.NEQ, ">": exp.GT, ">=": exp.GTE, "<": exp.LT, "<=": exp.LTE,
}  # fmt: skip
_AGGREGATES: dict[str, type[exp.AggFunc]] = {
    "COUNT": exp.Count,
    "SUM": exp.Sum,
    "AVG": exp.Avg,
    "MIN": exp.Min,
    "MAX": exp.Max,
}
_MEASURES = {"COUNT": "number_of", "SUM": "total", "AVG": "average", "MIN": "lowest", "MAX": "highest"}
_RESERVED = frozenset(
    listed(
        "all analyse analyze and any array as asc both case cast check collate column constraint create cross "
        "current_date "
        "default desc distinct do else end except exists false fetch for foreign from full grant group having in "
        "index inner "
        "intersect into is isnull join key lateral leading left like limit match natural not notnull null offset "
        "on only or "
        "order outer over primary references replace returning right row rows select set some table then to trailing "
        "transaction true union unique user using values view when where window with year"
    )
)


_SETS: dict[str, type[exp.SetOperation]] = {
    "INTERSECT": exp.Intersect, "EXCEPT": exp.Except, "UNION": exp.Union,
}  # fmt: skip


class Unbuildable(Exception):
    """The frame does not make a query: nothing to select from, or tables that no key connects."""


class Builder:
    """Builds statements for one schema.

    Args:
        schema: The database's.
        graph: Its joins.
        today: What relative dates count from.
    """

    def __init__(self, schema: Schema, graph: JoinGraph, today: dt.date) -> None:
        self._schema = schema
        self._graph = graph
        self._today = today
        self._qualified = False
        self._counted: Ref | None = None
        """The key by which rows are counted that a join repeats."""

    def build(self, frame: Frame) -> str:
        """The statement in the schema's dialect. Raises Unbuildable.

        Args:
            frame: A completed one.
        """
        self._counted = self._repeated(frame)
        tree = self._combined(frame) if frame.sets and frame.filters else self._query(frame)
        return tree.sql(self._schema.dialect.value)

    def _combined(self, frame: Frame) -> exp.Expr:
        """Two queries as one set: the last condition is met by rows of their own."""
        *kept, last = frame.filters
        plain = replace(last, negated=False, joined_by_or=False)
        plainer = replace(frame, sets="", order=None, limit=None)
        if frame.sets == "EXCEPT":
            first, second = kept, [plain]
        else:
            # The condition beside the last one is the other half's; those before them hold for both.
            first, second = kept, [*kept[:-1], plain]
        halves = [self._query(_narrowed(replace(plainer, filters=filters))) for filters in (first, second)]
        return _SETS[frame.sets](this=halves[0], expression=halves[1], distinct=True)

    def _repeated(self, frame: Frame) -> Ref | None:
        """The key of the table whose rows are counted, where joins give a row of it several times."""
        counts = [term.ref[0] for term in frame.select if term.ref[1] == "*" and term.ref[0]]
        if not counts or frame.groups or frame.having or frame.sets:
            return None
        key = self._schema.by_name[counts[0]].primary_key
        joined = {name for step in self._graph.connect(frame.tables) or () for name in (step.left, step.right)}
        once = all(leads_to(self._schema, counts[0], name) for name in joined)
        return (counts[0], key[0]) if len(key) == 1 and not once else None

    def _query(self, frame: Frame) -> exp.Select:
        if not frame.tables:
            raise Unbuildable("nothing in the question names a table or a column")
        self._qualified = len(frame.tables) > 1 or bool(frame.without)
        query = exp.select(*self._projection(frame.select, frame.tables), dialect=self._schema.dialect.value)
        query = self._from(query, frame.tables)
        for condition in self._conditions(frame):
            query = query.where(condition)
        if frame.groups:
            query = query.group_by(*(self._term(term) for term in frame.groups))
        for item in frame.having:
            query = query.having(self._having(item))
        if frame.order is not None:
            query = query.order_by(self._ordered(frame.order, frame.descending, frame))
            if frame.limit is None and not frame.order.aggregate:
                further = [(term, down) for term, down in frame.then if term != frame.order]
                query = query.order_by(*(self._ordered(term, down, frame) for term, down in further))
        if frame.limit is not None:
            query = query.limit(frame.limit)
        return query.distinct() if frame.distinct else query

    def _ordered(self, term: Term, descending: bool, frame: Frame) -> exp.Ordered:
        """The order; where only the first rows are asked for, an unknown value is neither highest nor lowest."""
        column = self._schema.by_name[term.ref[0]].by_name.get(term.ref[1]) if term.ref[0] else None
        small = self._schema.dialect is Dialect.SQLITE
        plain = small != descending
        unknown_last = frame.limit is not None and column is not None and column.nullable and not term.aggregate
        return exp.Ordered(this=self._term(term), desc=descending, nulls_first=plain and not unknown_last)

    # Where it comes from.

    def _from(self, query: exp.Select, tables: list[str]) -> exp.Select:
        steps = self._graph.connect(tables)
        if steps is None:
            raise Unbuildable(f"no key connects {' and '.join(spoken_name(name) for name in tables)}")
        self._qualified = self._qualified or bool(steps)
        # The projection was made before it was known that tables in between have to be joined.
        query = query.from_(self._table(tables[0]))
        for step in steps:
            on = exp.and_(*(
                exp.EQ(this=self._column((step.left, left)), expression=self._column((step.right, right)))
                for left, right in step.columns
            ))  # fmt: skip
            query = query.join(self._table(step.right), on=on)
        return query

    def _table(self, name: str) -> exp.Table:
        return exp.Table(this=self._identifier(name))

    def _identifier(self, name: str) -> exp.Identifier:
        plain = r"[a-z_][a-z0-9_]*" if self._schema.dialect is Dialect.POSTGRESQL else r"[A-Za-z_][A-Za-z0-9_]*"
        return exp.to_identifier(name, quoted=not re.fullmatch(plain, name) or name.lower() in _RESERVED)

    def _column(self, ref: Ref) -> exp.Expr:
        table = self._identifier(ref[0]) if self._qualified else None
        if ref[1].startswith(METRIC):
            return self._metric(self._schema.metrics_by_name[ref[1].removeprefix(METRIC)])
        if ref[1] == REVENUE:
            pair = revenue_columns(self._schema.by_name[ref[0]])
            assert pair is not None
            return exp.Mul(this=self._column((ref[0], pair[0])), expression=self._column((ref[0], pair[1])))
        return exp.Column(this=self._identifier(ref[1]), table=table)

    def _metric(self, metric: Metric) -> exp.Expr:
        """A metric of the semantic layer, its columns with their table's name; rows that do not count give NULL."""
        tree = sqlglot.parse_one(metric.expression, dialect=self._schema.dialect.grammar)
        kept = sqlglot.condition(metric.filter, dialect=self._schema.dialect.grammar) if metric.filter else None
        if kept is not None:
            for aggregate in list(tree.find_all(exp.AggFunc)):
                counted = aggregate.this
                if isinstance(counted, exp.Distinct):
                    inner = [exp.case().when(kept.copy(), item) for item in counted.expressions]
                    aggregate.set("this", exp.Distinct(expressions=inner))
                else:
                    value = exp.Literal.number(1) if isinstance(counted, exp.Star) else counted
                    aggregate.set("this", exp.case().when(kept.copy(), value))
        if self._qualified:
            for column in tree.find_all(exp.Column):
                column.set("table", self._identifier(metric.table))
        return tree

    def _bare(self, ref: Ref) -> exp.Expr:
        """A column without its table's name: inside a subquery that reads that table only."""
        qualified, self._qualified = self._qualified, False
        try:
            return self._column(ref)
        finally:
            self._qualified = qualified

    def _term(self, term: Term) -> exp.Expr:
        if term.ref[1].startswith(METRIC):
            # It sums up rows itself.
            return self._column(term.ref)
        aggregate = term.aggregate or ("SUM" if term.ref[1] == REVENUE else "")
        if term.ref[1] == "*":
            if self._counted is not None and self._counted[0] == term.ref[0]:
                return exp.Count(this=exp.Distinct(expressions=[self._column(self._counted)]))
            return exp.Count(this=exp.Star())
        if term.ref[1] == EVERYTHING:
            table = self._identifier(term.ref[0]) if self._qualified else None
            return exp.Column(this=exp.Star(), table=table) if table else exp.Star()
        column = self._column(term.ref)
        if term.period:
            column = self._cut(column, term.period)
        if not aggregate:
            return column
        inner: exp.Expr = exp.Distinct(expressions=[column]) if term.distinct else column
        return _AGGREGATES[aggregate](this=inner)

    def _projection(self, select: list[Term], tables: list[str]) -> list[exp.Expr]:
        """The selected terms; those that are computed get a name that no column of the statement has."""
        taken = {name.lower() for table in tables for name in self._schema.by_name[table].by_name}
        found = []
        for term in select:
            node, name = self._term(term), _result_name(term)
            if name:
                while name in taken:
                    name += "_"
                taken.add(name)
                node = exp.alias_(node, self._identifier(name))
            found.append(node)
        return found

    def _cut(self, column: exp.Expr, period: str) -> exp.Expr:
        """A date down to its year or month, as text."""
        if self._schema.dialect is Dialect.SQLITE:
            return exp.Anonymous(
                this="STRFTIME", expressions=[exp.Literal.string("%Y" if period == "year" else "%Y-%m"), column]
            )
        return exp.Anonymous(
            this="TO_CHAR", expressions=[column, exp.Literal.string("YYYY" if period == "year" else "YYYY-MM")]
        )

    # Conditions.

    def _conditions(self, frame: Frame) -> list[exp.Expr]:
        own = [item for item in frame.filters if item.ref[0] not in frame.without]
        groups: list[list[exp.Expr]] = []
        for item in own:
            condition = self._condition(item)
            if item.joined_by_or and groups:
                groups[-1].append(condition)
            else:
                groups.append([condition])
        found = [exp.or_(*group) if len(group) > 1 else group[0] for group in groups]
        return found + [
            self._without(frame.tables[0], table, [item for item in frame.filters if item.ref[0] == table])
            for table in frame.without
        ]

    def _without(self, main: str, table: str, filters: list[Filter]) -> exp.Expr:
        """The main table's key is not among those that have a row there."""
        key = self._schema.by_name[main].primary_key
        step = self._graph.direct(main, table)
        if step is not None and len(step.columns) == 1:
            here, there = step.columns[0]
            inner = exp.select(self._column((table, there))).from_(self._table(table))
            # NOT IN is never true beside a NULL.
            inner = inner.where(exp.Not(this=exp.Is(this=self._column((table, there)), expression=exp.Null())))
        elif len(key) == 1:
            here = key[0]
            inner = self._from(exp.select(self._column((main, here))), [main, table])
        else:
            raise Unbuildable(f"no key connects {spoken_name(main)} and {spoken_name(table)}")
        for item in filters:
            inner = inner.where(self._condition(item))
        return exp.Not(this=exp.In(this=self._column((main, here)), query=inner.subquery()))

    def _having(self, item: Filter) -> exp.Expr:
        left = self._term(Term(item.ref, item.aggregate or "COUNT"))
        if item.against:
            return _COMPARISONS.get(item.op, exp.GT)(this=left, expression=self._inner(item))
        return self._compared(left, item.op, [_number(value) for value in item.values])

    def _condition(self, item: Filter) -> exp.Expr:
        column = self._column(item.ref)
        if item.op.startswith("period "):
            condition = self._in_period(column, item.op.split()[1], str(item.values[0]))
        elif item.against:
            condition = _COMPARISONS.get(item.op, exp.GT)(this=column, expression=self._inner(item))
        elif item.op == "null":
            condition = exp.Is(this=column, expression=exp.Null())
            known = self._schema.by_name[item.ref[0]].by_name.get(item.ref[1])
            if known is not None and known.kind is Kind.TEXT:
                condition = exp.or_(condition, exp.EQ(this=column.copy(), expression=exp.Literal.string("")))
        elif item.op in ("contains", "starts", "ends"):
            text = str(item.values[0])
            pattern = {"contains": f"%{text}%", "starts": f"{text}%", "ends": f"%{text}"}[item.op]
            condition = exp.Like(this=column, expression=exp.Literal.string(pattern))
        else:
            known = self._schema.by_name[item.ref[0]].by_name.get(item.ref[1])
            if known is not None and known.kind is Kind.TEXT and item.op not in ("=", "!="):
                column, known = exp.Cast(this=column, to=exp.DataType.build("double")), None
            condition = self._compared(column, item.op, [_literal(value, known) for value in item.values])
        if not item.negated:
            return condition
        if isinstance(condition, exp.EQ):
            return exp.NEQ(this=condition.this, expression=condition.expression)
        return exp.Not(this=exp.Paren(this=condition))

    def _inner(self, item: Filter) -> exp.Expr:
        """What a column is compared with: its average, highest or lowest over the whole table."""
        aggregate = _AGGREGATES[item.against](this=self._bare(item.ref))
        return exp.select(aggregate).from_(self._table(item.ref[0])).subquery()

    def _compared(self, left: exp.Expr, op: str, values: list[exp.Expr]) -> exp.Expr:
        if op == "between":
            return exp.Between(this=left, low=values[0], high=values[-1])
        return _COMPARISONS[op](this=left, expression=values[0])

    def _in_period(self, column: exp.Expr, op: str, text: str) -> exp.Expr:
        """A date within a period, or before or after it."""
        if text.startswith("--"):
            month = text[2:]
            if self._schema.dialect is Dialect.SQLITE:
                found = exp.Anonymous(this="STRFTIME", expressions=[exp.Literal.string("%m"), column])
            else:
                found = exp.Anonymous(this="TO_CHAR", expressions=[column, exp.Literal.string("MM")])
            return _COMPARISONS[op if op in _COMPARISONS else "="](this=found, expression=exp.Literal.string(month))
        first, following = (day.isoformat() for day in self._bounds(text))
        start, end = exp.Literal.string(first), exp.Literal.string(following)
        if op in (">", "<="):
            return (exp.GTE if op == ">" else exp.LT)(this=column, expression=end)
        if op in (">=", "<"):
            return (exp.GTE if op == ">=" else exp.LT)(this=column, expression=start)
        return exp.and_(exp.GTE(this=column, expression=start), exp.LT(this=column.copy(), expression=end))

    def _bounds(self, text: str) -> tuple[dt.date, dt.date]:
        """The first day of a period and the first day after it."""
        today = self._today
        if text == "last week":
            monday = today - dt.timedelta(days=today.weekday())
            return monday - dt.timedelta(days=7), monday
        if text.endswith("year"):
            year = today.year - (text == "last year")
            return dt.date(year, 1, 1), dt.date(year + 1, 1, 1)
        if text.endswith("month"):
            first = today.replace(day=1)
            first = (first - dt.timedelta(days=1)).replace(day=1) if text == "last month" else first
        elif len(text) == 4:
            return dt.date(int(text), 1, 1), dt.date(int(text) + 1, 1, 1)
        else:
            first = dt.date(int(text[:4]), int(text[5:7]), 1)
        return first, first + dt.timedelta(days=calendar.monthrange(first.year, first.month)[1])


def _narrowed(frame: Frame) -> Frame:
    """A half of a set: it reads no table that only the other half is about."""
    used = {ref[0] for ref in frame.refs}
    return replace(frame, tables=[name for name in frame.tables if name in used] or frame.tables[:1])


def _result_name(term: Term) -> str:
    """What the column of a computed term is called: `count`, `average_price`; empty for a plain column."""
    column = "_".join(split_name(term.ref[1]))
    if term.ref[1].startswith(METRIC):
        return column
    if term.ref[1] == REVENUE:
        return column if term.aggregate in ("", "SUM") else f"{_MEASURES[term.aggregate]}_{column}"
    if term.period:
        return f"{column}_{term.period}"
    if term.aggregate == "COUNT":
        return f"{column}_count" if column else "count"
    return f"{_MEASURES[term.aggregate]}_{column}" if term.aggregate else ""


def _number(value: str | float) -> exp.Expr:
    return exp.Literal.number(int(value) if isinstance(value, float) and value.is_integer() else value)


def _literal(value: str | float, column: Column | None) -> exp.Expr:
    """A value as the column has it: numbers for numbers, text for text."""
    if isinstance(value, str):
        return exp.Literal.string(value)
    number = _number(value)
    return exp.Literal.string(number.name) if column is not None and column.kind is Kind.TEXT else number

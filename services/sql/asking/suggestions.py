"""Questions that a database can answer, made from its schema and values, in English and Vietnamese.

Each comes with a statement made beside it. Only those are given whose statement runs and has rows, and which the
embedded engine answers with the same rows: what is suggested is understood.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from services.mesh import telemetry, tenancy
from services.mesh.authority import Persona
from services.mesh.errors import ParleyError
from services.sql.databases import Databases
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.examples.examples import naming_column
from services.sql.execution.execute import Rows, Slots
from services.sql.guard import guard
from services.sql.language.spoken_names import vietnamese_name
from services.sql.language.words import lemma, plural, split_name
from services.sql.schema import Column, Kind, Schema, Table
from services.sql.target import Target

log = telemetry.get_logger(__name__)

DEFAULT_COUNT = 5
MAX_COUNT = 50
# Candidates that are tried at most, for how many are wanted.
_TRIED = 4
_SECONDS = 5.0
_ROWS = 1000
# A column with so many different values sorts rows into groups.
_GROUPS = range(2, 26)
_MAX_VALUE = 40
_CACHED = 64

_FORMS = {
    "en": {
        "count": "How many {rows} are there?",
        "names": "What are the names of the {rows}?",
        "group": "How many {rows} are there for each {column}?",
        "average": "What is the average {column} of the {rows}?",
        "highest": "Which {row} has the highest {column}?",
        "lowest": "Which {row} has the lowest {column}?",
        "value": "How many {rows} have {column} {value}?",
        "different": "What are the different {column} values of the {rows}?",
        "parent": "How many {rows} does each {parent} have?",
        "maximum": "What is the maximum {column} of the {rows}?",
    },
    "vi": {
        "count": "Có bao nhiêu {rows}?",
        "names": "Liệt kê tên của các {rows}",
        "group": "Có bao nhiêu {rows} theo từng {column}?",
        "average": "{column} trung bình của các {rows} là bao nhiêu?",
        "highest": "{row} nào có {column} cao nhất?",
        "lowest": "{row} nào có {column} thấp nhất?",
        "value": "Có bao nhiêu {rows} có {column} là {value}?",
        "different": "Liệt kê các {column} khác nhau của {rows}",
        "parent": "Mỗi {parent} có bao nhiêu {rows}?",
        "maximum": "{column} cao nhất của các {rows} là bao nhiêu?",
    },
}


@dataclass(frozen=True)
class Suggestion:
    """A question that the database can answer."""

    question: str
    sql: str
    kind: str
    """What it does; the key of its form."""


class Suggestions:
    """Suggests questions.

    Args:
        databases: The databases.
        engine: Must understand what is suggested.
        slots: Runs the statements.
    """

    def __init__(self, databases: Databases, engine: EmbeddedEngine, slots: Slots) -> None:
        self._databases = databases
        self._engine = engine
        self._slots = slots
        self._cache: OrderedDict[tuple[str, Persona, str, int, str], list[Suggestion]] = OrderedDict()

    async def suggest(self, database: str, count: int, language: str) -> list[Suggestion]:
        """At most `count` suggestions (5 where it is 0), of different kinds first; the same for the same schema.

        Raises:
            NotFound: There is no such database.
            SchemaOnly: There is only a schema: nothing can be run.
            DatabaseUnavailable: It cannot be reached.
        """
        schema, read = await self._databases.schema(database)
        target = await self._databases.target(database)
        wanted = min(count or DEFAULT_COUNT, MAX_COUNT)
        tongue = "vi" if language.lower().split("-")[0] == "vi" else "en"
        key = (tenancy.key(database), target.persona, read.isoformat(), wanted, tongue)
        if key not in self._cache:
            self._cache[key] = await self._found(schema, target, wanted, tongue)
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return self._cache[key]

    async def _found(self, schema: Schema, target: Target, wanted: int, language: str) -> list[Suggestion]:
        found: list[Suggestion] = []
        for candidate in ordered(candidates(schema, language))[: wanted * _TRIED + _TRIED]:
            if len(found) == wanted:
                break
            if await self._holds(candidate, schema, target):
                found.append(candidate)
        return found

    async def _holds(self, candidate: Suggestion, schema: Schema, target: Target) -> bool:
        """Whether the statement has rows, and the engine's statement for the question has the same."""
        try:
            rows = await self._rows(candidate.sql, schema, target)
            if not rows or all(value is None for row in rows for value in row):
                return False
            written = await self._engine.generate(candidate.question, schema)
            return _same(rows, await self._rows(written.sql, schema, target))
        except ParleyError as error:
            log.debug("suggestion left out", error=type(error).__name__)
            return False

    async def _rows(self, sql: str, schema: Schema, target: Target) -> list[tuple[object, ...]]:
        checked = guard.check(sql, schema.dialect, _ROWS, sizes=schema.sizes)
        parts = self._slots.run(target, checked, _ROWS, _SECONDS)
        return [tuple(row) for part in [part async for part in parts] if isinstance(part, Rows) for row in part.rows]


def _same(left: list[tuple[object, ...]], right: list[tuple[object, ...]]) -> bool:
    """Whether two results hold the same rows, whatever their order and that of their columns."""
    return Counter(tuple(sorted(map(repr, row))) for row in left) == Counter(
        tuple(sorted(map(repr, row))) for row in right
    )


def ordered(found: Iterator[Suggestion]) -> list[Suggestion]:
    """One of each kind, then another of each, and so on."""
    turns: Counter[str] = Counter()
    placed: list[tuple[int, int, Suggestion]] = []
    for number, item in enumerate(found):
        placed.append((turns[item.kind], number, item))
        turns[item.kind] += 1
    return [item for _turn, _number, item in sorted(placed, key=lambda entry: entry[:2])]


def candidates(schema: Schema, language: str) -> Iterator[Suggestion]:
    """Questions with statements, the largest tables first; nothing was run yet."""
    tables = sorted(schema.tables, key=lambda table: (-table.row_count, table.name))
    for table in [table for table in tables if table.row_count]:
        yield from _Form(schema, table, language).all()


class _Form:
    """Makes questions about one table."""

    def __init__(self, schema: Schema, table: Table, language: str) -> None:
        self._schema = schema
        self._table = table
        self._language = language

    def all(self) -> Iterator[Suggestion]:
        table = self._table
        name = naming_column(table)
        yield self._made("count", exp.select(exp.Count(this=exp.Star())).from_(self._source()))
        if name is not None:
            yield self._made("names", exp.select(_column(name)).from_(self._source()))
        for column in table.columns:
            if column.name not in table.key_columns:
                yield from self._about(column, name)
        yield from self._parents()

    def _about(self, column: Column, name: str | None) -> Iterator[Suggestion]:
        own = _column(column.name)
        if column.numeric and not any(part in ("id", "code", "year") for part in split_name(column.name)):
            yield self._made("average", exp.select(exp.Avg(this=own.copy())).from_(self._source()), column)
            yield self._made("maximum", exp.select(exp.Max(this=own.copy())).from_(self._source()), column)
            if name is not None:
                for kind, descending in (("highest", True), ("lowest", False)):
                    order = exp.Ordered(this=own.copy(), desc=descending, nulls_first=False)
                    tree = exp.select(_column(name)).from_(self._source()).order_by(order).limit(1)
                    yield self._made(kind, tree, column)
        values = [value for value in column.values if len(value) <= _MAX_VALUE and value.isprintable()]
        if column.kind is Kind.TEXT and len(values) in _GROUPS and column.name != name:
            grouped = exp.select(own.copy(), exp.Count(this=exp.Star())).from_(self._source()).group_by(own.copy())
            yield self._made("group", grouped, column)
            yield self._made("different", exp.select(own.copy()).distinct().from_(self._source()), column)
            value = min(values)
            counted = exp.select(exp.Count(this=exp.Star())).from_(self._source())
            yield self._made("value", counted.where(own.copy().eq(exp.Literal.string(value))), column, value)

    def _parents(self) -> Iterator[Suggestion]:
        for key in self._table.foreign_keys:
            parent = self._schema.by_name[key.referred_table]
            name = naming_column(parent)
            if name is None or len(key.columns) != 1 or parent.name == self._table.name:
                continue
            joined = exp.column(key.referred_columns[0], table="p", quoted=True).eq(
                exp.column(key.columns[0], table="c", quoted=True)
            )
            tree = (
                exp.select(exp.column(name, table="p", quoted=True), exp.Count(this=exp.Star()))
                .from_(exp.alias_(exp.Table(this=exp.to_identifier(parent.name, quoted=True)), "p", table=True))
                .join(exp.alias_(self._source(), "c", table=True), on=joined)
                .group_by(
                    exp.column(key.referred_columns[0], table="p", quoted=True),
                    exp.column(name, table="p", quoted=True),
                )
            )
            yield self._made("parent", tree, parent=parent)

    def _source(self) -> exp.Table:
        return exp.Table(this=exp.to_identifier(self._table.name, quoted=True))

    def _made(
        self, kind: str, tree: exp.Select, column: Column | None = None, value: str = "", parent: Table | None = None
    ) -> Suggestion:
        said = {
            "rows": self._rows_said(self._table),
            "row": self._row_said(self._table),
            "column": self._column_said(column) if column is not None else "",
            "value": value,
            "parent": self._row_said(parent) if parent is not None else "",
        }
        question = _FORMS[self._language][kind].format(**said)
        return Suggestion(question[:1].upper() + question[1:], tree.sql(dialect=self._schema.dialect.value), kind)

    def _row_said(self, table: Table) -> str:
        *first, last = split_name(table.name) or (table.name,)
        one = " ".join([*first, lemma(last)])
        return vietnamese_name(one) if self._language == "vi" else one

    def _rows_said(self, table: Table) -> str:
        if self._language == "vi":
            return self._row_said(table)
        *first, last = split_name(table.name) or (table.name,)
        return " ".join([*first, plural(last)])

    def _column_said(self, column: Column) -> str:
        """A column's name without that of its table: `name` for `state_name` of `state`."""
        words = list(split_name(column.name)) or [column.name]
        own = set(split_name(self._table.name))
        while len(words) > 1 and words[0] in own:
            words.pop(0)
        said = " ".join(words)
        return vietnamese_name(said) if self._language == "vi" else said


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)

"""A schema with what its semantic layer says: descriptions, synonyms, metrics and joins.

Where the database changed since the layer was written, what no longer fits is left out and said.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.sql.language.words import fold
from services.sql.schema import Column, Dialect, ForeignKey, Metric, Schema, Table
from services.sql.schemas.semantic import ColumnMeaning, JoinMeaning, Layer, MetricMeaning, Place, TableMeaning

MAX_METRICS = 500


def applied(layer: Layer, schema: Schema) -> tuple[Schema, list[str]]:
    """The schema with the layer, and what of the layer does not fit it."""
    faults: list[str] = []
    meanings: dict[str, TableMeaning] = {}
    for name, meaning in layer.tables:
        table = _table(name, schema, meaning.place, faults)
        if table is not None:
            meanings[table.name] = meaning
    joins: defaultdict[str, list[ForeignKey]] = defaultdict(list)
    for join in layer.joins:
        key = _join(join, schema, faults)
        if key is not None:
            joins[key[0]].append(key[1])
    tables = tuple(
        _meant(_joined(table, joins[table.name]), meanings[table.name], faults)
        if table.name in meanings
        else _joined(table, joins[table.name])
        for table in schema.tables
    )
    metrics = [metric for item in layer.metrics if (metric := _metric(item, schema, faults)) is not None]
    named = {fold(metric.name): metric for metric in metrics}
    if len(named) < len(metrics):
        faults.append("metrics: two have the same name")
    return replace(schema, tables=tables, metrics=tuple(named.values())[:MAX_METRICS]), faults


def oddities(layer: Layer, schema: Schema) -> list[str]:
    """What is odd in a layer that fits: synonyms that mean several things, values that nobody has seen."""
    meant: defaultdict[str, set[str]] = defaultdict(set)
    found: list[str] = []
    for name, table in layer.tables:
        for said in table.synonyms:
            meant[fold(said)].add(name)
        for column, meaning in table.columns:
            for said in meaning.synonyms:
                meant[fold(said)].add(f"{name}.{column}")
            known = schema.by_name[_exact(name, schema.by_name)].by_name
            values = known[_exact(column, known)].values
            unseen = [
                value for value in dict.fromkeys(v for _said, v in meaning.values) if values and value not in values
            ]
            found += [f"{meaning.place}: the value {value!r} is not among those that were sampled" for value in unseen]
    for metric in layer.metrics:
        for said in (metric.name, *metric.synonyms):
            meant[fold(said)].add(f"the metric {metric.name}")
    for said, places in sorted(meant.items()):
        if len(places) > 1:
            found.append(f"“{said}” means several things: {', '.join(sorted(places))}")
    named = [table.name for table in schema.tables if meant.get(fold(table.name), set()) - {table.name}]
    return found + [f"“{name}” is the name of a table, and a synonym of something else" for name in named]


def _table(name: str, schema: Schema, place: Place, faults: list[str]) -> Table | None:
    exact = _exact(name, schema.by_name)
    if exact in schema.by_name:
        return schema.by_name[exact]
    faults.append(f"{place}: there is no table {name!r}{_near(name, schema.by_name)}")
    return None


def _column(name: str, table: Table, place: Place, faults: list[str]) -> Column | None:
    exact = _exact(name, table.by_name)
    if exact in table.by_name:
        return table.by_name[exact]
    faults.append(f"{place}: {table.name} has no column {name!r}{_near(name, table.by_name)}")
    return None


def _exact(name: str, names: Iterable[str]) -> str:
    """The name as the database spells it, whose case may be another."""
    known = list(names)
    return name if name in known else next((other for other in known if other.lower() == name.lower()), name)


def _near(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), 2, 0.6)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _meant(table: Table, meaning: TableMeaning, faults: list[str]) -> Table:
    columns: dict[str, ColumnMeaning] = {}
    for name, said in meaning.columns:
        column = _column(name, table, said.place, faults)
        if column is not None:
            columns[column.name] = said
    return replace(
        table,
        description=meaning.description or table.description,
        synonyms=meaning.synonyms,
        columns=tuple(
            replace(
                column,
                description=columns[column.name].description or column.description,
                synonyms=columns[column.name].synonyms,
                value_synonyms=columns[column.name].values,
            )
            if column.name in columns
            else column
            for column in table.columns
        ),
    )


def _join(join: JoinMeaning, schema: Schema, faults: list[str]) -> tuple[str, ForeignKey] | None:
    here = _table(join.table, schema, join.place, faults)
    there = _table(join.referred_table, schema, join.place, faults)
    if here is None or there is None:
        return None
    columns = [_column(name, here, join.place, faults) for name in join.columns]
    referred = [_column(name, there, join.place, faults) for name in join.referred_columns]
    if None in columns or None in referred:
        return None
    key = ForeignKey(
        tuple(column.name for column in columns if column),
        there.name,
        tuple(column.name for column in referred if column),
        inferred=True,
    )
    return here.name, key


def _joined(table: Table, keys: list[ForeignKey]) -> Table:
    """With joins that no key says already; they stand above what was only inferred."""
    if not keys:
        return table
    known = {(key.columns, key.referred_table) for key in table.foreign_keys}
    said = {key.columns for key in keys}
    kept = [key for key in table.foreign_keys if not (key.inferred and key.columns in said)]
    added = [key for key in keys if (key.columns, key.referred_table) not in known or key.columns in said]
    declared = {(key.columns, key.referred_table) for key in kept}
    return replace(
        table, foreign_keys=(*kept, *(key for key in added if (key.columns, key.referred_table) not in declared))
    )


def _metric(item: MetricMeaning, schema: Schema, faults: list[str]) -> Metric | None:
    table = _table(item.table, schema, item.place, faults)
    if table is None:
        return None
    before = len(faults)
    tree = _expression(item.expression, schema.dialect, f"{item.place}: expression", faults)
    kept = _expression(item.filter, schema.dialect, f"{item.place}: filter", faults) if item.filter else None
    if tree is not None and tree.find(exp.AggFunc) is None:
        faults.append(f"{item.place}: expression must sum up rows: sum(…), count(*), avg(…)")
    if kept is not None and kept.find(exp.AggFunc) is not None:
        faults.append(f"{item.place}: filter is a condition on single rows; it must not sum up")
    for part in (tree, kept):
        for column in part.find_all(exp.Column) if part is not None else ():
            if column.table and column.table.lower() != table.name.lower():
                faults.append(f"{item.place}: it may only use columns of {table.name}")
            elif not isinstance(column.this, exp.Star):
                _column(column.name, table, item.place, faults)
    if len(faults) > before:
        return None
    return Metric(item.name, table.name, item.expression, item.filter, item.synonyms, item.description)


def _expression(text: str, dialect: Dialect, place: str, faults: list[str]) -> exp.Expr | None:
    """A single expression without subqueries."""
    try:
        tree = sqlglot.parse_one(f"SELECT {text}", dialect=dialect.grammar)
    except (SqlglotError, RecursionError):
        faults.append(f"{place} is not valid {dialect.grammar}: {text[:80]}")
        return None
    parts = tree.expressions if isinstance(tree, exp.Select) else []
    whole = len(parts) == 1 and not any(tree.args.get(name) for name in ("from_", "from", "where", "joins", "limit"))
    if not whole or tree.find(exp.Subquery) or len(list(tree.find_all(exp.Select))) != 1:
        faults.append(f"{place} must be one expression without a query in it")
        return None
    found: exp.Expr = parts[0].unalias()
    return found


def statements(schema: Schema, joins: Iterable[JoinMeaning]) -> list[tuple[str, str]]:
    """What must run for the metrics and joins of an applied layer, each with its name; they give no rows."""
    dialect = schema.dialect.value
    found: list[tuple[str, str]] = []
    for metric in schema.metrics:
        tree = sqlglot.parse_one(f"SELECT {metric.expression}", dialect=schema.dialect.grammar)
        assert isinstance(tree, exp.Select)
        query = tree.from_(exp.Table(this=exp.to_identifier(metric.table, quoted=True)))
        if metric.filter:
            query = query.where(metric.filter, dialect=schema.dialect.grammar)
        found.append((f"the metric {metric.name}", query.limit(0).sql(dialect)))
    for join in joins:
        here, there = _exact(join.table, schema.by_name), _exact(join.referred_table, schema.by_name)
        on = exp.and_(
            *(
                exp.EQ(
                    this=exp.column(_exact(left, schema.by_name[here].by_name), table="a", quoted=True),
                    expression=exp.column(_exact(right, schema.by_name[there].by_name), table="b", quoted=True),
                )
                for left, right in zip(join.columns, join.referred_columns, strict=True)
            )
        )
        first = exp.alias_(exp.Table(this=exp.to_identifier(here, quoted=True)), "a", table=True)
        second = exp.alias_(exp.Table(this=exp.to_identifier(there, quoted=True)), "b", table=True)
        query = exp.select(exp.Literal.number(1)).from_(first).join(second, on=on).limit(0)
        found.append((str(join.place), query.sql(dialect)))
    return found


def phrases(schema: Schema) -> list[str]:
    """What people may say because of the layer: its synonyms, and questions for its metrics."""
    found: dict[str, None] = {}
    for table in schema.tables:
        for said in table.synonyms:
            found |= {f"how many {said} are there": None, f"show all {said}": None}
        for column in table.columns:
            found |= dict.fromkeys((*column.synonyms, *(said for said, _value in column.value_synonyms)))
    for metric in schema.metrics:
        for said in (metric.name, *metric.synonyms):
            found |= {f"what is the {said}": None, f"show the {said}": None}
    return list(found)

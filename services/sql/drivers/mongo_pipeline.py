"""A SELECT as an aggregation pipeline of MongoDB.

Supported: expressions, WHERE, inner and left joins on equal columns (as $lookup), GROUP BY, HAVING, the usual
aggregates, DISTINCT, ORDER BY, LIMIT, OFFSET, subqueries in FROM, and in WHERE and SELECT where they do not refer to
the query around them, WITH. The rest is refused by name. Nested fields are columns with dots: `"address.city"`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp

from services.sql.drivers.mongo_expressions import Expressions, constant, is_constant, not_null, unsupported
from services.sql.errors import SchemaOutdated, SqlFailed

Stage = dict[str, Any]

# Stages that the translation may use: none of them writes or runs code.
STAGES = {"$match", "$project", "$addFields", "$lookup", "$unwind", "$group", "$sort", "$skip", "$limit", "$facet"}
STAGES |= {"$replaceRoot"}
# Values of a subquery in a condition; more make no sensible statement.
MAX_MEMBERS = 10_000
_NOT_SUPPORTED = ("windows", "qualify", "laterals", "sample", "match", "connect", "pivots")


@dataclass
class Pipeline:
    """A translated SELECT."""

    collection: str
    stages: list[Stage]
    columns: list[str]
    """Names of the result's columns; the values lie in the fields o0, o1 … of the documents."""


@dataclass(frozen=True)
class Source:
    """What a name in FROM stands for: a collection, or the columns of a subquery."""

    collection: str = ""
    columns: tuple[str, ...] = ()
    prefix: str = ""
    """Where its documents lie, with a dot at the end; empty where they are the documents themselves."""


@dataclass
class Translator:
    """Translates statements for one database.

    Args:
        fields: The fields of a collection with their BSON types, nested ones with dots. None where there is no such
            collection.
        run: Runs a pipeline, and gives the values of its first column; for subqueries.
    """

    fields: Callable[[str], Mapping[str, str] | None]
    run: Callable[[Pipeline], list[Any]]
    _named: dict[str, exp.Query] = field(default_factory=dict)

    def translate(self, sql: str) -> Pipeline:
        """A statement that the guard passed as a pipeline.

        Raises:
            SqlFailed: It uses what is not supported; the message names it.
            SchemaOutdated: There is no such collection.
        """
        tree = sqlglot.parse_one(sql, dialect="mongodb").transform(_plain_negation)
        if not isinstance(tree, exp.Query):
            unsupported(tree)
        pipeline = self.query(tree)
        for stage in pipeline.stages:
            assert set(stage) <= STAGES, stage
        return pipeline

    def query(self, tree: exp.Query) -> Pipeline:
        """A query as a pipeline. Raises as `translate`."""
        inner = tree.unnest()
        if not isinstance(inner, exp.Select):
            unsupported(inner)
        tree = inner
        for name in _NOT_SUPPORTED:
            if tree.args.get(name):
                raise SqlFailed(f"MongoDB: {name.upper()} is not supported here.")
        for part in tree.ctes:
            self._named[part.alias.lower()] = part.this
        return _Select(self, tree).pipeline()

    def named(self, name: str) -> exp.Query | None:
        """The query that WITH calls so."""
        return self._named.get(name.lower())


class _Select:
    """Translates one SELECT."""

    def __init__(self, translator: Translator, tree: exp.Select) -> None:
        self._translator = translator
        self._tree = tree
        self._sources: dict[str, Source] = {}
        self._stages: list[Stage] = []
        self._collection = ""
        self._expressions = Expressions(self._path, self._type, self._subquery)

    def pipeline(self) -> Pipeline:
        """The whole."""
        self._from()
        where = self._tree.args.get("where")
        if where is not None:
            self._stages.append({"$match": self._expressions.match(where.this)})
        selected = self._selected()
        self._group(selected)
        having = self._tree.args.get("having")
        if having is not None:
            self._stages.append({"$match": {"$expr": self._expressions.truth(_without_aliases(having.this, selected))}})
        self._project(selected)
        self._limit()
        return Pipeline(self._collection, self._stages, [name for name, _node in selected])

    # FROM.

    def _from(self) -> None:
        origin = self._tree.args.get("from_") or self._tree.args.get("from")
        if origin is None:
            raise SqlFailed("MongoDB: a statement without FROM is not supported.")
        joins = self._tree.args.get("joins") or []
        self._base(origin.this, nested=bool(joins))
        for join in joins:
            self._join(join)

    def _base(self, node: exp.Expr, *, nested: bool) -> None:
        """The first source. Where others are joined to it, its documents move into a field of its name."""
        alias = node.alias_or_name
        prefix = f"{_field(alias)}." if nested else ""
        query = node if isinstance(node, exp.Subquery) else self._translator.named(node.name)
        if query is not None:
            inner = self._translator.query(query if isinstance(query, exp.Query) else node)
            self._collection = inner.collection
            outputs = {f"o{index}": f"$o{index}" for index in range(len(inner.columns))}
            self._stages += [*inner.stages, {"$project": {"_id": 0, **outputs}}]
            self._sources[alias.lower()] = Source("", tuple(inner.columns), prefix)
        elif isinstance(node, exp.Table):
            self._collection = node.name
            self._sources[alias.lower()] = Source(self._known(node.name), (), prefix)
        else:
            unsupported(node)
        if nested:
            self._stages.append({"$project": {"_id": 0, _field(alias): "$$ROOT"}})

    def _join(self, join: exp.Join) -> None:
        """An inner or left join on equal columns."""
        node = join.this
        side = join.side.upper()
        if side not in ("", "LEFT") or join.kind.upper() not in ("", "INNER", "OUTER") or join.args.get("using"):
            raise SqlFailed(
                f"MongoDB: this join is not supported: {join.sql('mongodb')[:100]}. Write JOIN or LEFT JOIN … ON."
            )
        if not isinstance(node, exp.Table) or self._translator.named(node.name) is not None:
            raise SqlFailed("MongoDB: only a collection can be joined; put the subquery first, after FROM.")
        alias = node.alias_or_name
        name = _field(alias)
        self._sources[alias.lower()] = Source(self._known(node.name), (), f"{name}.")
        condition = join.args.get("on")
        local, foreign, others = self._equality(condition, f"{name}.")
        left = side == "LEFT"
        if left and others:
            raise SqlFailed("MongoDB: LEFT JOIN is supported on one pair of equal columns only.")
        lookup = {"from": node.name, "localField": local, "foreignField": foreign.removeprefix(f"{name}."), "as": name}
        # To $lookup a missing field equals another; to SQL nothing equals null.
        empty = {"$cond": [not_null(f"${local}"), f"${name}", []]}
        self._stages += [
            {"$lookup": lookup},
            {"$addFields": {name: empty}},
            {"$unwind": {"path": f"${name}", "preserveNullAndEmptyArrays": left}},
        ]
        for other in others:
            self._stages.append({"$match": self._expressions.match(other)})

    def _equality(self, condition: exp.Expr | None, prefix: str) -> tuple[str, str, list[exp.Expr]]:
        """The column here, the column there, and the conditions besides."""
        parts = list(condition.flatten()) if isinstance(condition, exp.And) else [condition]
        for index, part in enumerate(parts):
            part = part.unnest() if part is not None else None
            if (
                isinstance(part, exp.EQ)
                and isinstance(part.this, exp.Column)
                and isinstance(part.expression, exp.Column)
            ):
                sides = sorted(
                    [self._path(part.this), self._path(part.expression)], key=lambda path: path.startswith(prefix)
                )
                if sides[1].startswith(prefix) and not sides[0].startswith(prefix):
                    return (
                        sides[0],
                        sides[1],
                        [other for at, other in enumerate(parts) if at != index and other is not None],
                    )
        raise SqlFailed("MongoDB: a join needs a pair of equal columns: JOIN b ON b.x = a.y.")

    def _known(self, collection: str) -> str:
        if self._translator.fields(collection) is None:
            raise SchemaOutdated(f"MongoDB: there is no collection {collection}")
        return collection

    # Columns.

    def _source(self, column: exp.Column) -> tuple[Source, str]:
        """What a column belongs to, and its name there; an unknown qualifier is the parent of a nested field."""
        parts = [part.name for part in column.parts]
        if len(parts) > 1 and parts[0].lower() in self._sources:
            return self._sources[parts[0].lower()], ".".join(parts[1:])
        name = ".".join(parts)
        holders = [source for source in self._sources.values() if self._has(source, name)]
        if len(holders) > 1:
            raise SqlFailed(f"MongoDB: the column {name} is in several tables: write table.column.")
        if not holders and len(self._sources) > 1:
            raise SchemaOutdated(f"MongoDB: no table here has the column {name}")
        return (holders or list(self._sources.values()))[0], name

    def _has(self, source: Source, name: str) -> bool:
        known = source.columns if not source.collection else self._translator.fields(source.collection) or {}
        return name in known or any(item.startswith(f"{name}.") for item in known)

    def _path(self, column: exp.Column) -> str:
        source, name = self._source(column)
        if source.collection:
            if not self._has(source, name):
                raise SchemaOutdated(f"MongoDB: {source.collection} has no field {name}")
            return source.prefix + name
        lower = [item.lower() for item in source.columns]
        if name.lower() not in lower:
            raise SchemaOutdated(f"MongoDB: the subquery has no column {name}")
        return f"{source.prefix}o{lower.index(name.lower())}"

    def _type(self, column: exp.Column) -> str:
        source, name = self._source(column)
        return (self._translator.fields(source.collection) or {}).get(name, "") if source.collection else ""

    def _subquery(self, query: exp.Query) -> list[Any]:
        for column in query.find_all(exp.Column):
            inner = {table.alias_or_name.lower() for table in query.find_all(exp.Table)}
            if column.table and column.table.lower() in self._sources and column.table.lower() not in inner:
                raise SqlFailed(
                    "MongoDB: a subquery that refers to the query around it is not supported. Write a JOIN."
                )
        return self._translator.run(self._translator.query(query))

    # SELECT.

    def _selected(self) -> list[tuple[str, exp.Expr]]:
        """Names and expressions of the result's columns; a star stands for the known fields."""
        found: list[tuple[str, exp.Expr]] = []
        for node in self._tree.expressions:
            if node.is_star and not isinstance(node, exp.Count):
                only = node.table.lower() if isinstance(node, exp.Column) else ""
                for alias, source in self._sources.items():
                    names = source.columns or tuple(self._translator.fields(source.collection) or ())
                    found += [
                        (name, exp.column(name, table=alias, quoted=True)) for name in names if only in ("", alias)
                    ]
            else:
                inner = node.unalias()
                found.append(
                    (node.alias or (inner.name if isinstance(inner, exp.Column) else inner.sql("mongodb")), inner)
                )
        return found

    def _group(self, selected: list[tuple[str, exp.Expr]]) -> None:
        """GROUP BY and aggregates."""
        group = self._tree.args.get("group")
        parts = [node for _name, node in selected]
        parts += [
            item.args["this"]
            for item in (self._tree.args.get("having"), self._tree.args.get("order"))
            if item and item.this
        ]
        parts += list(self._tree.args["order"].expressions) if self._tree.args.get("order") else []
        calls = {call.sql(): call for part in parts for call in part.find_all(exp.AggFunc)}
        if group is None and not calls:
            return
        if any(call.find_ancestor(exp.Window) for call in calls.values()):
            raise SqlFailed("MongoDB: window functions are not supported.")
        keys = [_without_aliases(_by_number(item, selected), selected) for item in (group.expressions if group else ())]
        identifier = {f"k{index}": self._expressions.value(key) for index, key in enumerate(keys)}
        accumulators: Stage = {}
        known: dict[str, Any] = {key.sql(): f"$_id.k{index}" for index, key in enumerate(keys)}
        nothing: Stage = {}
        for index, (text, call) in enumerate(calls.items()):
            name = f"a{index}"
            known[text], empty = self._accumulate(call, name, accumulators)
            nothing |= empty
        self._stages.append({"$group": {"_id": identifier or None, **accumulators}})
        if group is None:
            # Without GROUP BY there is one row even for no documents.
            self._stages += [
                {"$facet": {"rows": [{"$limit": 1}]}},
                {"$replaceRoot": {"newRoot": {"$ifNull": [{"$arrayElemAt": ["$rows", 0]}, {"$literal": nothing}]}}},
            ]
        self._expressions.aggregates = known

    def _accumulate(self, call: exp.Expr, name: str, into: Stage) -> tuple[Any, Stage]:
        """Adds an aggregate's accumulators; gives its value afterwards, and its accumulators over no documents."""
        inner = call.this
        distinct = isinstance(inner, exp.Distinct)
        argument = inner.expressions[0] if distinct else inner
        if isinstance(call, exp.Count):
            if argument is None or isinstance(argument, exp.Star):
                into[name] = {"$sum": 1}
                return f"${name}", {name: 0}
            value = self._expressions.value(argument)
            if distinct:
                into[name] = {"$addToSet": value}
                there = {"$filter": {"input": f"${name}", "as": "item", "cond": not_null("$$item")}}
                return {"$size": there}, {name: []}
            into[name] = {"$sum": {"$cond": [not_null(value), 1, 0]}}
            return f"${name}", {name: 0}
        if distinct and not isinstance(call, (exp.Min, exp.Max)):
            unsupported(call)
        value = self._expressions.value(argument)
        if isinstance(call, exp.Sum):
            into[name], into[f"{name}n"] = {"$sum": value}, {"$sum": {"$cond": [not_null(value), 1, 0]}}
            # The sum of nothing is null to SQL, and 0 to MongoDB.
            return {"$cond": [{"$gt": [f"${name}n", 0]}, f"${name}", None]}, {name: 0, f"{name}n": 0}
        operators: dict[type[exp.Expr], str] = {
            exp.Avg: "$avg",
            exp.Min: "$min",
            exp.Max: "$max",
            exp.Stddev: "$stdDevSamp",
            exp.StddevSamp: "$stdDevSamp",
        }
        if type(call) not in operators:
            unsupported(call)
        into[name] = {operators[type(call)]: value}
        return f"${name}", {name: None}

    def _project(self, selected: list[tuple[str, exp.Expr]]) -> None:
        """The result's columns as o0, o1 …, DISTINCT, and ORDER BY with its keys as s0, s1 and so on."""
        outputs = {f"o{index}": self._expressions.value(node) for index, (_name, node) in enumerate(selected)}
        order = self._tree.args.get("order")
        keys, directions = self._order(order.expressions if order else [], selected)
        if self._tree.args.get("distinct") is not None:
            if not all(isinstance(key, int) for key in keys.values()):
                raise SqlFailed("MongoDB: with DISTINCT, ORDER BY takes columns of the result only.")
            self._stages += [
                {"$project": {"_id": 0, **outputs}},
                {"$group": {"_id": {name: f"${name}" for name in outputs}}},
                {"$project": {"_id": 0, **{name: f"$_id.{name}" for name in outputs}}},
                *([{"$addFields": {name: f"$o{at}" for name, at in keys.items()}}] if keys else []),
            ]
        else:
            own = {name: outputs[f"o{key}"] if isinstance(key, int) else key for name, key in keys.items()}
            self._stages.append({"$project": {"_id": 0, **outputs, **own}})
        if directions:
            self._stages.append({"$sort": directions})

    def _order(self, items: list[exp.Expr], selected: list[tuple[str, exp.Expr]]) -> tuple[Stage, dict[str, int]]:
        """Sort keys and their directions; a key that is a column of the result is its number."""
        names = {name.lower(): index for index, (name, _node) in reversed(list(enumerate(selected)))}
        texts = {node.sql(): index for index, (_name, node) in reversed(list(enumerate(selected)))}
        keys: Stage = {}
        directions: dict[str, int] = {}
        for index, item in enumerate(items):
            node = _by_number(item.this, selected)
            at = texts.get(node.sql())
            if at is None and isinstance(node, exp.Column) and not node.table:
                at = names.get(node.name.lower())
            value = at if at is not None else self._expressions.value(_without_aliases(node, selected))
            descending = bool(item.args.get("desc"))
            first = item.args.get("nulls_first")
            if first is not None and bool(first) == descending:
                # MongoDB has nulls first where it ascends.
                own = self._expressions.value(node) if at is None else self._expressions.value(selected[at][1])
                keys[f"n{index}"], directions[f"n{index}"] = {"$cond": [not_null(own), 1, 0]}, 1 if first else -1
            keys[f"s{index}"], directions[f"s{index}"] = value, -1 if descending else 1
        return keys, directions

    def _limit(self) -> None:
        for part, stage in (("offset", "$skip"), ("limit", "$limit")):
            node = self._tree.args.get(part)
            if node is None:
                continue
            count = node.args.get("count") if isinstance(node, exp.Fetch) else node.expression
            if count is None or not is_constant(count) or not isinstance(constant(count), int):
                raise SqlFailed(f"MongoDB: {part.upper()} needs a number.")
            number = constant(count)
            if stage == "$limit" and number == 0:
                # $limit takes no 0.
                self._stages.append({"$match": {"$expr": False}})
            elif number:
                self._stages.append({stage: number})


def _plain_negation(node: exp.Expr) -> exp.Expr:
    """`x IS NOT NULL` as `NOT x IS NULL`: sqlglot has two ways to say it."""
    if isinstance(node, exp.Is) and node.args.get("negate"):
        return exp.Not(this=exp.Is(this=node.this, expression=node.expression))
    return node


def _by_number(node: exp.Expr, selected: list[tuple[str, exp.Expr]]) -> exp.Expr:
    """What `ORDER BY 2` or `GROUP BY 1` means."""
    if isinstance(node, exp.Literal) and node.is_int and 0 < int(node.name) <= len(selected):
        return selected[int(node.name) - 1][1]
    return node


def _without_aliases(node: exp.Expr, selected: list[tuple[str, exp.Expr]]) -> exp.Expr:
    """An expression with the names of result columns replaced by what they stand for."""
    names = {name.lower(): found for name, found in selected if not isinstance(found, exp.Column)}

    def replaced(item: exp.Expr) -> exp.Expr:
        if isinstance(item, exp.Column) and not item.table and item.name.lower() in names:
            return names[item.name.lower()].copy()
        return item

    return node.copy().transform(replaced)


def _field(alias: str) -> str:
    """A field name for a source: no dots, no dollar sign."""
    return "t_" + alias.replace(".", "_").replace("$", "_")

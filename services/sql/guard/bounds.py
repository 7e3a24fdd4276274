"""Bounds on what a statement computes, as far as its text tells: recursion, products of tables, generated values.

No reading of text can tell how long a statement runs; that is what timeouts and the cost ceiling are for. These rules
refuse what cannot end, or would end only by filling the memory, before a database begins with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sqlglot import exp

from services.sql.errors import Rule, SqlRejected
from services.sql.schema import Dialect

MAX_PRODUCT = 100_000_000
"""Rows that tables without a condition between them may make together."""
UNKNOWN_ROWS = 1000
"""Rows that a table is taken for whose size is not known."""
MAX_SERIES = 10_000_000
"""Values that a series may have."""
MAX_LENGTH = 10_000
"""Characters that one call may make."""
MAX_LIST = 5000
MAX_ARMS = 100
MAX_TABLES = 60
MAX_PATTERN = 1000
MAX_WILDCARDS = 12
_SERIES = frozenset({"generate_series", "range", "numbers", "generateseries"})
# Which argument of a function says how long its result is.
_LENGTHS = {"repeat": 1, "lpad": 1, "rpad": 1, "space": 0, "bar": 3}
# A repeated group that itself repeats: backtracking takes time exponential in the text's length.
_NESTED_REPEAT = re.compile(r"\((?:[^()\\]|\\.)*(?<!\\)(?:[+*]|\{\d+,\d*\})(?:[^()\\]|\\.)*\)(?:[+*]|\{\d+,\d*\})")
_REPEATS = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def check_bounds(tree: exp.Query, dialect: Dialect, sizes: Mapping[str, int]) -> None:
    """Checks a statement's bounds.

    Args:
        tree: The statement.
        dialect: Its dialect.
        sizes: About how many rows tables have, by their names in lower case; others are taken for UNKNOWN_ROWS.

    Raises:
        SqlRejected: It breaks one.
    """
    for node in tree.walk():
        if isinstance(node, exp.CTE):
            _check_recursion(node)
        elif isinstance(node, exp.In) and len(node.expressions) > MAX_LIST:
            raise SqlRejected(f"a list has more than {MAX_LIST:,} values: join a table instead.", Rule.SIZE)
        elif isinstance(node, exp.Func):
            _check_generated(node, dialect)
        elif isinstance(node, exp.Select) and len(node.args.get("joins") or ()) >= MAX_TABLES:
            raise SqlRejected(f"it joins more than {MAX_TABLES} tables.", Rule.SIZE)
        _check_pattern(node)
    if sum(1 for _ in tree.find_all(exp.SetOperation)) >= MAX_ARMS:
        raise SqlRejected(f"it unites more than {MAX_ARMS} queries.", Rule.SIZE)
    _Sizes(sizes).of(tree)


# Recursion.


def _check_recursion(cte: exp.CTE) -> None:
    """A CTE that reads itself needs what may end it: a condition or a join in the arm that does, or a LIMIT."""
    name = cte.alias.lower()
    arms = [arm for arm in _arms(cte.this) if _reads(arm, name)]
    if cte.this.args.get("limit") is not None:
        return
    for arm in arms:
        select = arm.unnest()
        ends = isinstance(select, exp.Select) and (
            _is_condition(select.args.get("where"))
            or any(_is_condition(join) for join in select.args.get("joins") or ())
        )
        if not ends:
            raise SqlRejected(
                f"the recursion of {cte.alias} has nothing that ends it: add a WHERE to its recursive part.", Rule.COST
            )


def _arms(query: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(query, exp.SetOperation):
        yield from _arms(query.this)
        yield from _arms(query.expression)
    else:
        yield query


def _reads(query: exp.Expr, name: str) -> bool:
    return any(table.name.lower() == name and not table.db for table in query.find_all(exp.Table))


def _is_condition(node: exp.Expr | None) -> bool:
    """Whether a WHERE or a join's ON compares something that may differ from row to row."""
    if isinstance(node, exp.Join):
        return bool(node.args.get("using")) or node.method == "NATURAL" or _is_condition(node.args.get("on"))
    return node is not None and node.find(exp.Column) is not None


# Generated values.


def _check_generated(node: exp.Func, dialect: Dialect) -> None:
    name = _name(node)
    if name in _SERIES or isinstance(node, (exp.GenerateSeries, exp.GenerateDateArray)):
        size = series_size(node)
        if size is not None and size > MAX_SERIES:
            raise SqlRejected(f"a series has more than {MAX_SERIES:,} values.", Rule.COST)
    length = _length(node, name)
    if length is not None:
        if not (isinstance(length, exp.Literal) and length.is_int and int(length.name) <= MAX_LENGTH):
            raise SqlRejected(
                f"{name or node.key} may make {MAX_LENGTH:,} characters at most, said as a number.", Rule.COST
            )
        if any(_length(inner, _name(inner)) is not None for inner in node.find_all(exp.Func) if inner is not node):
            raise SqlRejected(f"{name or node.key} repeats what is repeated.", Rule.COST)
    if (name == "format" or isinstance(node, exp.Format)) and dialect in (Dialect.POSTGRESQL, Dialect.MONGODB):
        template = _arguments(node)[:1]
        if not template or not isinstance(template[0], exp.Literal) or re.search(r"%[^sIL%]", template[0].name):
            raise SqlRejected("format takes a text with %s, %I and %L only.", Rule.COST)
    if isinstance(node, exp.Replace) or name == "replace":
        _check_growth(node)


def _name(node: exp.Expr) -> str:
    """The name of a function as it is written; empty for one that sqlglot has a class for."""
    if not isinstance(node, exp.Anonymous):
        return ""
    return str(node.this if isinstance(node.this, str) else node.this.name).lower()


def _arguments(node: exp.Expr) -> list[exp.Expr]:
    """The arguments in their order, however sqlglot keeps them."""
    found: list[exp.Expr] = []
    for key in node.arg_types:
        value = node.args.get(key)
        found += value if isinstance(value, list) else [value] if isinstance(value, exp.Expr) else []
    return found


def _length(node: exp.Expr, name: str) -> exp.Expr | None:
    """The argument that says how long a function's result is."""
    if isinstance(node, exp.Pad):
        return _arguments(node)[1]
    if isinstance(node, exp.Repeat):
        times: exp.Expr | None = node.args.get("times")
        return times
    if isinstance(node, exp.Space):
        return _arguments(node)[0]
    place = _LENGTHS.get(name)
    arguments = _arguments(node) if place is not None else []
    return arguments[place] if place is not None and place < len(arguments) else None


def series_size(node: exp.Expr) -> int | None:
    """How many values a series of plain numbers has; None for any other."""
    if not isinstance(node, exp.GenerateSeries) and _name(node) not in _SERIES:
        return None
    if isinstance(node, exp.GenerateSeries):
        given = [node.args.get("start"), node.args.get("end"), node.args.get("step")]
    else:
        given = list(_arguments(node)[-3:])
        given = [exp.Literal.number(0), *given] if len(given) == 1 else given
    numbers = [_number(item) for item in given if item is not None]
    if len(numbers) < 2 or any(number is None for number in numbers):
        return None
    first, last, step = (*numbers, 1)[:3]
    assert first is not None
    assert last is not None
    return int(abs(last - first) / abs(step or 1)) + 1


def _number(node: exp.Expr) -> float | None:
    node = node.unnest()
    if isinstance(node, exp.Cast):
        return _number(node.this)
    if isinstance(node, exp.Neg):
        inner = _number(node.this)
        return None if inner is None else -inner
    if isinstance(node, exp.Binary) and isinstance(node, (exp.Mul, exp.Pow, exp.Add)):
        left, right = _number(node.this), _number(node.expression)
        if left is None or right is None:
            return None
        if isinstance(node, exp.Pow):
            # The exponent of a float is bounded, that of an int would be computed.
            return float("1e300") if abs(left) > 1 and right > 300 else float(left) ** min(right, 300)
        return left * right if isinstance(node, exp.Mul) else left + right
    try:
        return float(node.name) if isinstance(node, exp.Literal) else None
    except ValueError:
        return None


def _check_growth(node: exp.Expr) -> None:
    """Nested replacements that each make a text longer."""
    growth = 1.0
    current: exp.Expr | None = node
    while current is not None and (isinstance(current, exp.Replace) or _name(current) == "replace"):
        arguments = _arguments(current)
        if len(arguments) > 2 and isinstance(arguments[2], exp.Literal):
            old = len(arguments[1].name) if isinstance(arguments[1], exp.Literal) else 1
            growth *= max(1.0, len(arguments[2].name) / max(1, old))
        current = arguments[0].unnest() if arguments else None
    if growth > MAX_LENGTH:
        raise SqlRejected("its replacements make a text too long.", Rule.COST)


# Patterns.


def _check_pattern(node: exp.Expr) -> None:
    if isinstance(node, (exp.Like, exp.ILike)):
        pattern = node.expression
        if isinstance(pattern, exp.Literal) and pattern.name.count("%") > MAX_WILDCARDS:
            raise SqlRejected(f"a LIKE pattern has more than {MAX_WILDCARDS} % signs.", Rule.COST)
        return
    regular = isinstance(node, (exp.RegexpLike, exp.RegexpILike, exp.SimilarTo)) or (
        isinstance(node, exp.Func)
        and (_name(node) or node.key).replace("_", "").startswith(("regexp", "match", "extractall"))
    )
    if not regular:
        return
    for literal in node.args.values():
        if isinstance(literal, exp.Literal) and literal.is_string:
            _check_expression(literal.name)
        elif isinstance(literal, list):
            for item in literal:
                if isinstance(item, exp.Literal) and item.is_string:
                    _check_expression(item.name)


def _check_expression(pattern: str) -> None:
    """A regular expression."""
    repeats = 1
    for least, most in _REPEATS.findall(pattern):
        repeats *= max(1, int(least[:9]), int((most or "0")[:9]))
    if len(pattern) > MAX_PATTERN or repeats > 1000 or _NESTED_REPEAT.search(pattern):
        raise SqlRejected("a regular expression repeats what is repeated, or is too long.", Rule.COST)


# Products of tables.


class _Sizes:
    """About how many rows queries give, and whether they multiply tables.

    Args:
        tables: Rows by table, in lower case.
    """

    def __init__(self, tables: Mapping[str, int]) -> None:
        self._known = dict(tables)

    def of(self, query: exp.Expr) -> int:
        """The rows of a query; raises SqlRejected where unconnected tables in it make too many."""
        query = query.unnest() if isinstance(query, (exp.Subquery, exp.Paren)) else query
        before = dict(self._known)
        for cte in getattr(query, "ctes", ()):
            self._known.setdefault(cte.alias.lower(), UNKNOWN_ROWS)  # what a recursion reads of itself
            self._known[cte.alias.lower()] = self.of(cte.this)
        try:
            if isinstance(query, exp.SetOperation):
                return _bounded(self.of(query.this) + self.of(query.expression), query)
            return self._select(query) if isinstance(query, exp.Select) else UNKNOWN_ROWS
        finally:
            self._known = before

    def _select(self, select: exp.Select) -> int:
        sources = _Sources()
        source = select.args.get("from_")
        if source is not None:
            sources.add(source.this, self._source(source.this))
        for join in _joins(select):
            connected = _lateral(join.this) or join.method in ("NATURAL", "POSITIONAL") or bool(join.args.get("using"))
            sources.add(join.this, self._source(join.this), connected)
            sources.connect(join.args.get("on"))
        sources.connect(select.args.get("where"))
        sources.connect(select.args.get("prewhere"))
        rows = sources.rows()
        if rows > MAX_PRODUCT:
            raise SqlRejected(f"it multiplies tables into some {rows:.0e} rows: join them by a condition.", Rule.COST)
        for inner in _own_subqueries(select):
            self.of(inner)
        single = any(item.find(exp.AggFunc) and not item.find(exp.Window) for item in select.expressions)
        if single and select.args.get("group") is None:
            return 1
        return _bounded(rows, select)

    def _source(self, node: exp.Expr) -> int:
        if isinstance(node, exp.Subquery):
            return self.of(node)
        if isinstance(node, exp.Values):
            return len(node.expressions)
        if isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
            return (series_size(node.this) if node.this else None) or 10
        if isinstance(node, exp.Table):
            return self._known.get(node.name.lower(), UNKNOWN_ROWS)
        series = node.find(exp.GenerateSeries)
        return (series_size(series) if series else None) or 10


class _Sources:
    """The sources of a SELECT, and which of them conditions connect."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._parents: dict[str, str] = {}

    def add(self, node: exp.Expr, size: int, connected: bool = False) -> None:
        """Takes a source; `connected` with those before it."""
        name = (node.alias_or_name or str(id(node))).lower()
        if name in self._sizes:
            name = f"{name} {len(self._sizes)}"
        self._sizes[name] = max(1, size)
        self._parents[name] = name
        if connected:
            self._unite(list(self._sizes))

    def connect(self, condition: exp.Expr | None) -> None:
        """Takes a condition: the sources that one of its parts compares belong together."""
        if condition is None:
            return
        whole = condition.this if isinstance(condition, (exp.Where, exp.PreWhere)) else condition
        for part in whole.unnest().flatten() if isinstance(whole.unnest(), exp.And) else [whole]:
            columns = list(part.find_all(exp.Column))
            names = {column.table.lower() for column in columns if column.table} & set(self._sizes)
            if any(not column.table for column in columns) and len(columns) > 1:
                # A column without its table may be of any.
                names = set(self._sizes)
            self._unite(sorted(names))

    def _unite(self, names: list[str]) -> None:
        for name in names[1:]:
            self._parents[self._root(name)] = self._root(names[0])

    def _root(self, name: str) -> str:
        while self._parents[name] != name:
            name = self._parents[name]
        return name

    def rows(self) -> int:
        """The product over groups of connected sources, each as large as its largest."""
        groups: dict[str, int] = {}
        for name, size in self._sizes.items():
            root = self._root(name)
            groups[root] = max(groups.get(root, 1), size)
        product = 1
        for size in groups.values():
            product *= size
        return product


def _joins(select: exp.Select) -> Iterator[exp.Join]:
    """The joins of a SELECT, those written inside parentheses or after a table included."""
    yield from select.args.get("joins") or ()
    source = select.args.get("from_")
    for node in [source.this if source else None, *(join.this for join in select.args.get("joins") or ())]:
        if isinstance(node, (exp.Table, exp.Subquery)):
            yield from node.args.get("joins") or ()


def _lateral(node: exp.Expr) -> bool:
    """Whether a source takes its rows from those before it."""
    return isinstance(node, (exp.Lateral, exp.Unnest)) or (
        isinstance(node, exp.Table) and node.this is not None and node.find(exp.Column) is not None
    )


def _own_subqueries(select: exp.Select) -> Iterator[exp.Expr]:
    """Queries inside the expressions of a SELECT: not its sources, nor what lies inside other queries."""
    places = [*select.expressions, *(select.args.get(key) for key in ("where", "having", "qualify", "group", "order"))]
    places += [join.args.get("on") for join in select.args.get("joins") or ()]
    for place in places:
        if isinstance(place, exp.Expr):
            for node in place.walk(prune=lambda inner: isinstance(inner, exp.Query)):
                if isinstance(node, exp.Query):
                    yield node


def _bounded(rows: int, query: exp.Query) -> int:
    """The rows that a LIMIT leaves."""
    limit = query.args.get("limit")
    count = None if limit is None else limit.args.get("expression") or limit.args.get("count")
    number = _number(count) if isinstance(count, exp.Expr) else None
    return rows if number is None else min(rows, max(0, int(min(number, MAX_PRODUCT))))

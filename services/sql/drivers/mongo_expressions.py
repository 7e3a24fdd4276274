"""SQL expressions as MongoDB's: values, and conditions with SQL's three truth values.

MongoDB compares everything with everything: null is less than 5, and no date equals text. So a condition is written as
what makes it true or what makes it false, each with the nulls excluded, and literals take the type of what they are
compared with.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, NoReturn

from bson import ObjectId
from bson.errors import InvalidId
from sqlglot import exp

from services.sql.errors import SqlFailed

Expression = Any

_ARITHMETIC = {exp.Add: "$add", exp.Sub: "$subtract", exp.Mul: "$multiply", exp.Div: "$divide", exp.Mod: "$mod"}
_COMPARISONS: dict[type[exp.Expr], tuple[str, str]] = {
    exp.EQ: ("$eq", "$ne"),
    exp.NEQ: ("$ne", "$eq"),
    exp.LT: ("$lt", "$gte"),
    exp.LTE: ("$lte", "$gt"),
    exp.GT: ("$gt", "$lte"),
    exp.GTE: ("$gte", "$lt"),
}
_MIRRORED = {"$eq": "$eq", "$ne": "$ne", "$lt": "$gt", "$lte": "$gte", "$gt": "$lt", "$gte": "$lte"}
_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Abs: "$abs",
    exp.Ceil: "$ceil",
    exp.Floor: "$floor",
    exp.Sqrt: "$sqrt",
    exp.Exp: "$exp",
    exp.Ln: "$ln",
}
# MongoDB makes "" of null here.
_TEXT_FUNCTIONS: dict[type[exp.Expr], str] = {exp.Lower: "$toLower", exp.Upper: "$toUpper", exp.Length: "$strLenCP"}
_PARTS = {
    "YEAR": "$year",
    "MONTH": "$month",
    "DAY": "$dayOfMonth",
    "HOUR": "$hour",
    "MINUTE": "$minute",
    "SECOND": "$second",
    "WEEK": "$isoWeek",
    "DOY": "$dayOfYear",
    "ISODOW": "$isoDayOfWeek",
}
_TRUNCATED = {"YEAR": ["year"], "MONTH": ["year", "month"], "DAY": ["year", "month", "day"]}
_TRUNCATED["HOUR"] = [*_TRUNCATED["DAY"], "hour"]
_DATE_PARTS: dict[type[exp.Expr], str] = {exp.Year: "YEAR", exp.Month: "MONTH", exp.Day: "DAY"}
_CASTS = {
    **dict.fromkeys(exp.DataType.INTEGER_TYPES, "$toLong"),
    **dict.fromkeys(exp.DataType.FLOAT_TYPES, "$toDouble"),
    **dict.fromkeys(exp.DataType.TEXT_TYPES, "$toString"),
    exp.DataType.Type.DECIMAL: "$toDecimal",
    exp.DataType.Type.BOOLEAN: "$toBool",
}


class Expressions:
    """Translates the expressions of one query.

    Args:
        path: The document path of a column. Raises SqlFailed where it is none.
        bson_type: The BSON type that a column's values have; empty where it is not known.
        values: The values of a subquery that stands in an expression.
    """

    def __init__(
        self,
        path: Callable[[exp.Column], str],
        bson_type: Callable[[exp.Column], str],
        values: Callable[[exp.Query], list[Any]],
    ) -> None:
        self._path = path
        self._bson_type = bson_type
        self._values = values
        self.aggregates: dict[str, Expression] = {}
        """What stands for an aggregate, by its SQL, once the documents are grouped."""

    # Values.

    def value(self, node: exp.Expr) -> Expression:
        """An expression's value. Raises SqlFailed for what is not supported."""
        known = self.aggregates.get(node.sql())
        if known is not None:
            return known
        if isinstance(node, (exp.Paren, exp.Alias)):
            return self.value(node.this)
        if isinstance(node, exp.Column):
            return f"${self._path(node)}"
        if is_constant(node):
            return {"$literal": constant(node)}
        if isinstance(node, exp.Subquery):
            values = self._values(node)
            return {"$literal": values[0] if values else None}
        for translate in (self._number, self._text, self._moment, self._choice):
            found = translate(node)
            if found is not None:
                return found
        if isinstance(node, (*_COMPARISONS, exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Between, exp.Like)):
            return {"$cond": [self.truth(node), True, {"$cond": [self.truth(node, want=False), False, None]}]}
        return unsupported(node)

    def _number(self, node: exp.Expr) -> Expression | None:
        for kind, operator in _ARITHMETIC.items():
            if isinstance(node, kind):
                return {operator: [self.value(node.this), self.value(node.expression)]}
        if type(node) in _FUNCTIONS:
            return {_FUNCTIONS[type(node)]: self.value(node.this)}
        if isinstance(node, exp.Neg):
            return {"$multiply": [self.value(node.this), -1]}
        if isinstance(node, exp.Round):
            places = node.args.get("decimals")
            return {"$round": [self.value(node.this), self.value(places) if places is not None else 0]}
        if isinstance(node, exp.Pow):
            return {"$pow": [self.value(node.this), self.value(node.expression)]}
        return None

    def _text(self, node: exp.Expr) -> Expression | None:
        if type(node) in _TEXT_FUNCTIONS:
            return self._unless_null(node.this, {_TEXT_FUNCTIONS[type(node)]: self.value(node.this)})
        if isinstance(node, exp.Trim):
            return {"$trim": {"input": self.value(node.this)}}
        if isinstance(node, exp.DPipe):
            return {"$concat": [self.value(node.this), self.value(node.expression)]}
        if isinstance(node, exp.Concat):
            return {"$concat": [self.value(item) for item in node.expressions]}
        if isinstance(node, exp.Substring):
            start = {"$subtract": [self.value(node.args["start"]), 1]}
            length = node.args.get("length")
            parts = [self.value(node.this), start, self.value(length) if length is not None else 1_000_000]
            return self._unless_null(node.this, {"$substrCP": parts})
        return None

    def _moment(self, node: exp.Expr) -> Expression | None:
        if isinstance(node, exp.Extract):
            return self._part(node.this.name.upper(), node.expression)
        if type(node) in _DATE_PARTS:
            return self._part(_DATE_PARTS[type(node)], node.this)
        if isinstance(node, (exp.DateTrunc, exp.TimestampTrunc)):
            unit = node.args["unit"].name.upper()
            if unit not in _TRUNCATED:
                unsupported(node)
            # $dateTrunc came with MongoDB 5; these work before it too.
            parts = {name: self._part(name.upper(), node.this) for name in _TRUNCATED[unit]}
            return self._unless_null(node.this, {"$dateFromParts": parts})
        if isinstance(node, exp.TimeToStr):
            return {"$dateToString": {"date": self.value(node.this), "format": node.args["format"].name}}
        if isinstance(node, exp.Cast):
            if node.to.this in exp.DataType.TEMPORAL_TYPES:
                return self._unless_null(node.this, {"$toDate": self.value(node.this)})
            if node.to.this not in _CASTS:
                unsupported(node)
            return {_CASTS[node.to.this]: self.value(node.this)}
        return None

    def _part(self, name: str, moment: exp.Expr) -> Expression:
        date = self.value(moment)
        if name == "QUARTER":
            return {"$ceil": {"$divide": [{"$month": date}, 3]}}
        if name in ("DOW", "DAYOFWEEK"):
            # Sunday is 1 to MongoDB and 0 to PostgreSQL.
            return {"$subtract": [{"$dayOfWeek": date}, 1]}
        if name not in _PARTS:
            raise SqlFailed(f"MongoDB: the part {name} of a date is not supported.")
        return {_PARTS[name]: date}

    def _choice(self, node: exp.Expr) -> Expression | None:
        if isinstance(node, exp.Case):
            default = node.args.get("default")
            subject = node.this
            branches = [
                {
                    "case": self.truth(
                        exp.EQ(this=subject.copy(), expression=rule.this.copy()) if subject else rule.this
                    ),
                    "then": self.value(rule.args["true"]),
                }
                for rule in node.args["ifs"]
            ]
            return {"$switch": {"branches": branches, "default": self.value(default) if default is not None else None}}
        if isinstance(node, exp.Coalesce):
            found = self.value(node.expressions[-1] if node.expressions else node.this)
            for item in reversed([node.this, *node.expressions[:-1]] if node.expressions else []):
                found = {"$ifNull": [self.value(item), found]}
            return found
        if isinstance(node, exp.Nullif):
            first = self.value(node.this)
            return {"$cond": [{"$eq": [first, self.value(node.expression)]}, None, first]}
        return None

    def _unless_null(self, node: exp.Expr, found: Expression) -> Expression:
        return {"$cond": [not_null(self.value(node)), found, None]}

    # Conditions.

    def truth(self, node: exp.Expr, *, want: bool = True) -> Expression:
        """An expression that holds where a condition is true (or, not `want`, false), and not where it is unknown."""
        if isinstance(node, exp.Paren):
            return self.truth(node.this, want=want)
        if isinstance(node, exp.Not):
            return self.truth(node.this, want=not want)
        if isinstance(node, (exp.And, exp.Or)):
            operator = "$and" if isinstance(node, exp.And) == want else "$or"
            return {operator: [self.truth(node.this, want=want), self.truth(node.expression, want=want)]}
        if type(node) in _COMPARISONS:
            return self._compared(_COMPARISONS[type(node)][0 if want else 1], node.this, node.expression)
        if isinstance(node, exp.Between):
            parts = [
                exp.GTE(this=node.this, expression=node.args["low"]),
                exp.LTE(this=node.this, expression=node.args["high"]),
            ]
            return {"$and" if want else "$or": [self.truth(part, want=want) for part in parts]}
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            exists = not_null(self.value(node.this))
            return {"$not": [exists]} if want else exists
        if isinstance(node, exp.In):
            return self._contained(node, want=want)
        if isinstance(node, (exp.Like, exp.ILike)):
            return self._like(node, want=want)
        if isinstance(node, exp.Boolean):
            return node.this is want
        # A column or CASE that is true or false itself.
        return {"$eq": [self.value(node), want]}

    def _compared(self, operator: str, left: exp.Expr, right: exp.Expr) -> Expression:
        sides = [self._beside(left, right), self._beside(right, left)]
        nullable = [
            side
            for side in sides
            if not (isinstance(side, dict) and "$literal" in side and side["$literal"] is not None)
        ]
        return {"$and": [*(not_null(side) for side in nullable), {operator: sides}]}

    def _beside(self, node: exp.Expr, other: exp.Expr) -> Expression:
        """A side of a comparison: a literal has the type of the column that it is compared with."""
        if is_constant(node):
            return {"$literal": self.typed(constant(node), other)}
        return self.value(node)

    def typed(self, value: Any, other: exp.Expr) -> Any:
        """A literal as the BSON type of what it is compared with."""
        other = other.unnest()
        if not isinstance(value, str):
            return value
        kind = self._bson_type(other) if isinstance(other, exp.Column) else ""
        if isinstance(other, (exp.DateTrunc, exp.TimestampTrunc)) or (
            isinstance(other, exp.Cast) and other.to.this in exp.DataType.TEMPORAL_TYPES
        ):
            kind = "date"
        if kind == "date":
            return _moment(value)
        if kind == "objectId":
            try:
                return ObjectId(value)
            except InvalidId:
                return value
        return value

    def _contained(self, node: exp.In, *, want: bool) -> Expression:
        values, unknown = self.members(node)
        subject = self.value(node.this)
        inside = {"$in": [subject, {"$literal": values}]}
        if want:
            return {"$and": [not_null(subject), inside]}
        return False if unknown else {"$and": [not_null(subject), {"$not": [inside]}]}

    def members(self, node: exp.In) -> tuple[list[Any], bool]:
        """The values of an IN list or subquery without nulls, and whether there was a null."""
        query = node.args.get("query")
        if query is not None:
            values = self._values(query.unnest())
        elif all(is_constant(item) for item in node.expressions):
            values = [self.typed(constant(item), node.this) for item in node.expressions]
        else:
            unsupported(node)
        return [value for value in values if value is not None], any(value is None for value in values)

    def _like(self, node: exp.Like | exp.ILike, *, want: bool) -> Expression:
        subject = self.value(node.this)
        found = {"$regexMatch": {"input": {"$toString": subject}, "regex": like_pattern(node)}}
        return {"$and": [not_null(subject), found if want else {"$not": [found]}]}

    # Conditions in the form that can use an index.

    def match(self, node: exp.Expr) -> dict[str, Any]:
        """A condition for $match: in its own language where that says the same, else as an expression."""
        if isinstance(node, exp.Paren):
            return self.match(node.this)
        if isinstance(node, (exp.And, exp.Or)):
            return {
                "$and" if isinstance(node, exp.And) else "$or": [self.match(node.this), self.match(node.expression)]
            }
        found = self._plain(node)
        return found if found is not None else {"$expr": self.truth(node)}

    def _plain(self, node: exp.Expr) -> dict[str, Any] | None:
        """A condition on one column; None where it is another."""
        negated = isinstance(node, exp.Not)
        inner = node.this.unnest() if negated else node
        column: exp.Expr | None = inner.this
        operator = _COMPARISONS.get(type(inner), ("", ""))[0]
        if operator and not negated and isinstance(inner.expression, exp.Column) and is_constant(column):
            literal: exp.Expr | None = column
            column, operator = inner.expression, _MIRRORED[operator]
        else:
            literal = inner.args.get("expression")
        if not isinstance(column, exp.Column) or column.sql() in self.aggregates:
            return None
        path = self._path(column)
        if operator and not negated and literal is not None and is_constant(literal) and constant(literal) is not None:
            value = self.typed(constant(literal), column)
            # Not equal, and not null either.
            return {path: {"$nin": [value, None]} if operator == "$ne" else {operator: value}}
        if isinstance(inner, exp.Is) and isinstance(literal, exp.Null):
            return {path: {"$ne" if negated else "$eq": None}}
        if isinstance(inner, exp.In):
            values, unknown = self.members(inner)
            if negated and unknown:
                return {"$expr": False}
            return {path: {"$nin": [*values, None]} if negated else {"$in": values}}
        if isinstance(inner, (exp.Like, exp.ILike)):
            found = {"$regex": like_pattern(inner)}
            return {path: {"$not": found, "$ne": None} if negated else found}
        return None


def not_null(value: Expression) -> Expression:
    """Whether a value is there: null, and a field that is missing, come before everything else."""
    return {"$gt": [value, None]}


def is_constant(node: exp.Expr | None) -> bool:
    """Whether a value is known without any document."""
    if isinstance(node, (exp.Paren, exp.Neg)):
        return is_constant(node.this)
    if isinstance(node, exp.Cast):
        return node.to.this in exp.DataType.TEMPORAL_TYPES and is_constant(node.this)
    return isinstance(node, (exp.Literal, exp.Boolean, exp.Null, exp.CurrentDate, exp.CurrentTimestamp))


def constant(node: exp.Expr) -> Any:
    """The value of a constant."""
    if isinstance(node, exp.Paren):
        return constant(node.this)
    if isinstance(node, exp.Neg):
        return -constant(node.this)
    if isinstance(node, exp.Cast):
        return _moment(str(constant(node.this)))
    if isinstance(node, (exp.CurrentDate, exp.CurrentTimestamp)):
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        return now if isinstance(node, exp.CurrentTimestamp) else dt.datetime.combine(now.date(), dt.time())
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        return None
    if node.is_string:
        return node.name
    return int(node.name) if node.is_int else float(node.name)


def like_pattern(node: exp.Expr) -> str:
    """A LIKE pattern as a regular expression."""
    if not is_constant(node.expression):
        raise SqlFailed("MongoDB: LIKE needs a pattern that is written out.")
    marks = {"%": ".*", "_": "."}
    flags = "(?si)" if isinstance(node, exp.ILike) else "(?s)"
    return f"{flags}^" + "".join(marks.get(char) or re.escape(char) for char in str(constant(node.expression))) + "$"


def unsupported(node: exp.Expr) -> NoReturn:
    """Raises SqlFailed with what cannot be translated."""
    raise SqlFailed(f"MongoDB: {node.key.upper()} is not supported here: {node.sql('mongodb')[:100]}")


def _moment(text: str) -> Any:
    """A date or time in UTC; text that is none stays."""
    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    return found.astimezone(dt.UTC).replace(tzinfo=None) if found.tzinfo else found

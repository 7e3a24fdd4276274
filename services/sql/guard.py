"""The guard: every statement that reaches a database, written by a person or an engine, passes here first.

A statement is parsed in the database's dialect and must be exactly one query that only reads. What runs is the text
generated from the checked tree, so that comments and spellings that the parser and the database might read differently
are gone. Execution is read-only besides (services/sql/execute.py): either barrier alone has to hold.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.sql.errors import SqlRejected
from services.sql.schema import Dialect
from services.sql.words import listed

# sqlglot logs statements that it cannot parse, with the values in them.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

MAX_TOKENS = 20_000
MAX_DEPTH = 60

# Nodes that write, change the session, take locks or hand text to the database unparsed.
_FORBIDDEN: tuple[tuple[type[exp.Expr], str], ...] = (
    (exp.DML, "it writes"),
    (exp.DDL, "it changes the schema"),
    (exp.Drop, "it changes the schema"),
    (exp.Alter, "it changes the schema"),
    (exp.TruncateTable, "it writes"),
    (exp.Into, "SELECT INTO writes"),
    (exp.Lock, "locking clauses are not allowed"),
    (exp.Command, "it is not a query"),
    (exp.Pragma, "PRAGMA is not allowed"),
    (exp.Attach, "ATTACH is not allowed"),
    (exp.Detach, "DETACH is not allowed"),
    (exp.Set, "SET is not allowed"),
    (exp.Use, "USE is not allowed"),
    (exp.Transaction, "transactions are not allowed"),
    (exp.Commit, "transactions are not allowed"),
    (exp.Rollback, "transactions are not allowed"),
    (exp.Kill, "KILL is not allowed"),
    (exp.Parameter, "parameters are not allowed: write the values"),
    (exp.Placeholder, "parameters are not allowed: write the values"),
    (exp.SessionParameter, "session variables are not allowed"),
)

# Syntax that sqlglot models as functions.
_SYNTAX: tuple[type[exp.Expr], ...] = (
    *(exp.And, exp.Or, exp.Xor, exp.Case, exp.Cast, exp.TryCast, exp.If, exp.Exists, exp.Array, exp.Extract),
    *(exp.Explode, exp.Unnest, exp.JSONExtract, exp.JSONExtractScalar, exp.JSONBExtract, exp.JSONBExtractScalar),
    *(exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Count, exp.Concat, exp.DPipe, exp.Anonymous),
    *(exp.RegexpLike, exp.RegexpILike, exp.ArrayContainsAll, exp.ArrayOverlaps, exp.JSONBContains, exp.StrPosition),
    *(exp.TsOrDsToDate, exp.TsOrDsToTimestamp, exp.TimeToStr, exp.StrToTime, exp.StrToDate, exp.TimestampTrunc),
    *(
        exp.DateTrunc,
        exp.Substring,
        exp.Trim,
        exp.Pow,
        exp.Mod,
        exp.Length,
        exp.Coalesce,
        exp.ArrayAgg,
        exp.GroupConcat,
    ),
    *(exp.ToChar, exp.ToNumber, exp.AnyValue, exp.LogicalAnd, exp.LogicalOr, exp.Log, exp.Ln, exp.Rand, exp.Date),
    *(exp.Variance, exp.Stddev, exp.StddevSamp, exp.CastToStrType),
    *(exp.CurrentDatetime, exp.UnixToTime, exp.TimeStrToTime, exp.JSONObject, exp.JSONArray),
)
_COMMON = frozenset(
    listed(
        "abs acos asin atan atan2 avg ceil ceiling char_length character_length coalesce concat cos count "
        "cume_dist date "
        "degrees dense_rank exp first_value floor greatest group_concat ifnull initcap instr json_array_length lag "
        "last_value lead least left length ln log log10 log2 lower ltrim max min mod nth_value ntile nullif "
        "percent_rank "
        "pi pow power radians rank regexp_replace replace reverse right round row_number rtrim sign sin sqrt "
        "string_agg "
        "strpos substr substring sum tan trim trunc truncate upper var_pop var_samp variance stddev stddev_pop "
        "stddev_samp"
    )
)
_FUNCTIONS = {
    # Not printf and format: one call with a width fills gigabytes, and no timeout is looked at inside a function. Not
    # json_each and json_tree: they are virtual tables, which the authorizer of execution does not let through.
    Dialect.SQLITE: _COMMON
    | frozenset(
        listed(
            "changes datetime glob hex iif json json_array json_extract json_object "
            "json_type "
            "julianday like likelihood likely nullif quote random strftime time timediff total typeof unicode "
            "unixepoch unlikely json_group_array json_group_object char octet_length"
        )
    ),
    Dialect.POSTGRESQL: _COMMON
    | frozenset(
        listed(
            "age array_agg array_length array_to_string ascii bit_and bit_or bool_and bool_or btrim cardinality cbrt "
            "chr clock_timestamp concat_ws corr date_bin date_part date_trunc div every extract format generate_series "
            "isfinite json_agg json_array_elements json_array_elements_text json_build_object json_each json_each_text "
            "json_object_keys jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_each "
            "jsonb_build_object jsonb_object_keys justify_days make_date make_interval md5 mode now num_nonnulls "
            "octet_length overlay percentile_cont percentile_disc position random regexp_count regexp_match "
            "regexp_matches regexp_split_to_table row_to_json similarity split_part starts_with string_to_array "
            "string_to_table to_char to_date to_json to_jsonb to_number to_timestamp translate unaccent unnest "
            "width_bucket regr_slope regr_intercept regr_r2 covar_pop covar_samp"
        )
    ),
}
_SYSTEM_TABLES = {
    Dialect.SQLITE: re.compile(r"^(pragma_|sqlite_|dbstat$|fts\w*_|bytecode$|tables_used$)", re.IGNORECASE),
    Dialect.POSTGRESQL: re.compile(r"^pg_", re.IGNORECASE),
}
_SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})


@dataclass(frozen=True)
class Checked:
    """A statement that passed."""

    sql: str
    """The text to run, with a row limit."""
    dialect: Dialect


def check(sql: str, dialect: Dialect, max_rows: int) -> Checked:
    """Checks a statement and bounds its rows.

    Args:
        sql: What someone wants to run.
        dialect: The database's dialect.
        max_rows: The result is limited to one more, so that a reader notices when it was cut off.

    Raises:
        SqlRejected: It is not exactly one reading statement, is too large, or uses something that is not allowed.
    """
    tree = _parse(sql, dialect)
    for node in tree.walk():
        _check_node(node, dialect)
    text = _limited(tree, max_rows + 1).sql(dialect.value, comments=False)
    # What runs is this text: it has to mean to a parser what was checked.
    _parse(text, dialect)
    return Checked(text, dialect)


def _parse(sql: str, dialect: Dialect) -> exp.Query:
    try:
        tokens = sqlglot.tokenize(sql, dialect.value)
        _check_size(tokens)
        statements = [tree for tree in sqlglot.parse(sql, dialect.value) if tree is not None]
    except RecursionError:
        raise SqlRejected("it is nested too deeply.") from None
    except SqlglotError as error:
        raise SqlRejected(f"it is not valid {dialect.value}: {_first_line(error)}") from None
    # A lone `;` after the statement parses to nothing or to an empty Semicolon.
    statements = [tree for tree in statements if not isinstance(tree, exp.Semicolon)]
    if len(statements) != 1:
        raise SqlRejected(f"exactly one statement is allowed; this has {len(statements)}.")
    tree = statements[0]
    if not isinstance(tree, exp.Query) or isinstance(tree, exp.Table):
        raise SqlRejected(f"only SELECT is allowed; this is {tree.key.upper()}.")
    return tree


def _check_size(tokens: list[sqlglot.Token]) -> None:
    if len(tokens) > MAX_TOKENS:
        raise SqlRejected(f"it is longer than {MAX_TOKENS} tokens.")
    depth = 0
    for token in tokens:
        if token.token_type.name in ("L_PAREN", "CASE"):
            depth += 1
        elif token.token_type.name in ("R_PAREN", "END"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise SqlRejected(f"it is nested deeper than {MAX_DEPTH} levels.")


def _check_node(node: exp.Expr, dialect: Dialect) -> None:
    for kind, why in _FORBIDDEN:
        if isinstance(node, kind):
            raise SqlRejected(f"{why}. Only a SELECT that reads is allowed.")
    if isinstance(node, exp.Func):
        _check_function(node, dialect)
    elif isinstance(node, exp.Table):
        _check_table(node, dialect)


def _check_function(node: exp.Func, dialect: Dialect) -> None:
    allowed = _FUNCTIONS[dialect]
    if isinstance(node, exp.Anonymous):
        names = {str(node.this if isinstance(node.this, str) else node.this.name).lower()}
    elif isinstance(node, _SYNTAX):
        return
    else:
        # As the database would see it: the generated text starts with the function's name in that dialect.
        written = re.match(r"\w+(?=\()", node.sql(dialect.value))
        names = {written[0].lower()} if written else {name.lower() for name in node.sql_names()}
    if not names & allowed:
        raise SqlRejected(f"the function {min(names)} is not allowed.")


def _check_table(node: exp.Table, dialect: Dialect) -> None:
    if node.db.lower() in _SYSTEM_SCHEMAS or node.catalog.lower() in _SYSTEM_SCHEMAS:
        raise SqlRejected("system tables are not allowed.")
    if isinstance(node.this, exp.Identifier) and _SYSTEM_TABLES[dialect].match(node.name):
        raise SqlRejected(f"the system table {node.name} is not allowed.")


def _limited(tree: exp.Query, limit: int) -> exp.Query:
    """The tree with at most `limit` rows; one that is no plain number is left to the reader, who stops too."""
    current = tree.args.get("limit")
    if current is not None:
        count = current.expression if isinstance(current, exp.Limit) else current.args.get("count")
        if not isinstance(count, exp.Literal) or not count.is_int or int(count.name) <= limit:
            return tree
        current.set("expression" if isinstance(current, exp.Limit) else "count", exp.Literal.number(limit))
        return tree
    if isinstance(tree, exp.Subquery):
        return (
            exp.select("*")
            .from_(exp.Subquery(this=tree.unnest(), alias=exp.TableAlias(this=exp.to_identifier("result"))))
            .limit(limit)
        )
    return tree.limit(limit)


def _first_line(error: Exception) -> str:
    """The message without the excerpt and its terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()[0][:200]

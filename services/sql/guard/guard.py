"""The guard: every statement that reaches a database, written by a person or an engine, passes here first.

A statement is parsed in the database's dialect and must be exactly one query that only reads: made of the kinds of
nodes listed here, calling functions listed in functions.py, within the bounds of bounds.py.
What runs is the text generated from the checked tree, and that text is checked again, so that comments and spellings
that the parser and the database might read differently are gone. Execution is read-only besides
(services/sql/execution): either barrier alone has to hold.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.generators.mysql import MySQLGenerator

from services.mesh.errors import InvalidArgument
from services.sql.errors import Rule, SqlRejected
from services.sql.guard import lexical
from services.sql.guard.bounds import check_bounds
from services.sql.language.words import listed
from services.sql.schema import Dialect

# sqlglot logs statements that it cannot parse, with the values in them.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

# Nodes that do more than read, and what they do.
_FORBIDDEN: tuple[tuple[type[exp.Expr], Rule, str], ...] = (
    (exp.DML, Rule.WRITE, "it writes"),
    (exp.DDL, Rule.WRITE, "it changes the schema"),
    (exp.Drop, Rule.WRITE, "it changes the schema"),
    (exp.Alter, Rule.WRITE, "it changes the schema"),
    (exp.TruncateTable, Rule.WRITE, "it writes"),
    (exp.Into, Rule.WRITE, "SELECT INTO writes"),
    (exp.Copy, Rule.WRITE, "COPY writes"),
    (exp.Lock, Rule.LOCK, "locking clauses are not allowed"),
    (exp.Command, Rule.WRITE, "it is not a query"),
    (exp.Pragma, Rule.SESSION, "PRAGMA is not allowed"),
    (exp.Attach, Rule.WRITE, "ATTACH is not allowed"),
    (exp.Detach, Rule.WRITE, "DETACH is not allowed"),
    (exp.Set, Rule.SESSION, "SET is not allowed"),
    (exp.Use, Rule.SESSION, "USE is not allowed"),
    (exp.Transaction, Rule.SESSION, "transactions are not allowed"),
    (exp.Commit, Rule.SESSION, "transactions are not allowed"),
    (exp.Rollback, Rule.SESSION, "transactions are not allowed"),
    (exp.Kill, Rule.SESSION, "KILL is not allowed"),
    (exp.Parameter, Rule.SESSION, "parameters and variables are not allowed: write the values"),
    (exp.Placeholder, Rule.SESSION, "parameters are not allowed: write the values"),
    (exp.SessionParameter, Rule.SESSION, "session variables are not allowed"),
    (exp.NextValueFor, Rule.WRITE, "sequences are not allowed"),
    (exp.CurrentUser, Rule.SESSION, "the current user is not shown"),
    (exp.SessionUser, Rule.SESSION, "the current user is not shown"),
    (exp.CurrentRole, Rule.SESSION, "the current role is not shown"),
    (exp.CurrentCatalog, Rule.SESSION, "the current database is not shown"),
    (exp.CurrentSchema, Rule.SESSION, "the current schema is not shown"),
    (exp.Hint, Rule.COMMENT, "hints to the database are not allowed"),
    (exp.Show, Rule.SYSTEM, "SHOW is not allowed"),
    (exp.Describe, Rule.SYSTEM, "DESCRIBE is not allowed"),
    (exp.Operator, Rule.FUNCTION, "OPERATOR(…) is not allowed"),
    (exp.ObjectIdentifier, Rule.SYSTEM, "types that read system tables are not allowed"),
)
# First words of other statements.
_STATEMENTS: tuple[tuple[frozenset[str], Rule], ...] = (
    (
        frozenset(listed("SET RESET BEGIN START COMMIT END ROLLBACK ABORT SAVEPOINT RELEASE USE KILL DISCARD PRAGMA")),
        Rule.SESSION,
    ),
    (frozenset({"SHOW", "DESCRIBE", "DESC"}), Rule.SYSTEM),
    (
        frozenset(
            listed(
                """INSERT UPDATE DELETE MERGE REPLACE UPSERT CREATE DROP ALTER TRUNCATE RENAME UNDROP EXCHANGE GRANT
                REVOKE COPY CALL DO EXEC EXECUTE PREPARE DEALLOCATE DECLARE FETCH EXPLAIN ANALYZE VACUUM REINDEX CLUSTER
                CHECKPOINT CHECKSUM ATTACH DETACH INSTALL UNINSTALL FORCE LOAD IMPORT EXPORT BACKUP RESTORE OPTIMIZE
                REPAIR SYSTEM SHUTDOWN HANDLER PURGE FLUSH LISTEN UNLISTEN NOTIFY REFRESH SECURITY COMMENT LOCK UNLOCK
                SUMMARIZE PIVOT UNPIVOT SIGNAL CHANGE STOP XA BINLOG CACHE"""
            )
        ),
        Rule.WRITE,
    ),
)
# Words that stand only where a query writes, and that sqlglot does not parse in every dialect.
_WRITING = {
    "OUTFILE": "INTO OUTFILE writes", "DUMPFILE": "INTO DUMPFILE writes", "INTO": "SELECT INTO writes",
    "PROCEDURE": "PROCEDURE is not allowed", "NEXT": "sequences are not allowed",
}  # fmt: skip
# The nodes that queries are made of, besides functions, whose names the generated text tells.
_KNOWN: tuple[type[exp.Expr], ...] = (
    *(exp.Select, exp.SetOperation, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join, exp.Where, exp.Group),
    *(
        exp.Having,
        exp.Qualify,
        exp.Order,
        exp.Ordered,
        exp.Limit,
        exp.Offset,
        exp.Fetch,
        exp.LimitOptions,
        exp.Distinct,
    ),
    *(exp.Table, exp.TableAlias, exp.TableSample, exp.Lateral, exp.Values, exp.Final, exp.PreWhere, exp.JoinHint),
    *(exp.Column, exp.Identifier, exp.Dot, exp.Star, exp.Alias, exp.Aliases, exp.PropertyEQ, exp.Literal, exp.Boolean),
    *(exp.Null, exp.Var, exp.Tuple, exp.Paren, exp.Bracket, exp.Slice, exp.Binary, exp.Unary, exp.Between, exp.In),
    *(exp.Predicate, exp.Case, exp.If, exp.DataType, exp.DataTypeParam, exp.Interval, exp.IntervalSpan),
    *(exp.Window, exp.WindowSpec, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls, exp.HavingMax),
    *(exp.Cube, exp.Rollup, exp.GroupingSets, exp.Pivot, exp.UnpivotColumns, exp.PivotAlias, exp.PivotAny),
    *(exp.JSONPath, exp.JSONPathPart, exp.JSONKeyValue, exp.JSONSchema, exp.JSONColumnDef, exp.FormatJson),
    *(exp.JSONValue, exp.JSONExtractQuote, exp.AtTimeZone, exp.Collate, exp.Escape, exp.Introducer, exp.WeekStart),
    *(exp.Lambda, exp.Kwarg, exp.Comprehension, exp.ByteString, exp.HexString, exp.BitString, exp.UnicodeString),
    *(exp.National, exp.RawString, exp.Heredoc, exp.Quantile, exp.ToChar, exp.WithTableHint, exp.ColumnDef, exp.Tag),
    exp.MatchAgainst,
)
# The clauses of a query and of a table that only choose and arrange rows: not SETTINGS or FORMAT. The last three are
# nodes of their own, refused as such.
_CLAUSES = frozenset(
    listed(
        """with_ expressions distinct from_ joins laterals where group having qualify windows order limit offset sample
        prewhere pivots this expression by_name on side kind alias exclude array_join locks into hint"""
    )
)
_TABLE_PARTS = frozenset(listed("this db catalog alias joins laterals sample pivots ordinality only rows_from final"))

_SYSTEM_SCHEMAS = frozenset(listed("pg_catalog information_schema pg_toast mysql performance_schema sys system"))
_SYSTEM_TABLES = {
    Dialect.SQLITE: r"pragma_|sqlite_|dbstat$|fts\w*_|bytecode$|tables_used$",
    Dialect.POSTGRESQL: r"pg_",
    Dialect.DUCKDB: r"duckdb_|pragma_|sqlite_master$|sqlite_schema$|sqlite_temp|pg_",
    Dialect.MONGODB: r"system\.",
}
# DuckDB opens a table whose name looks like a file or an address.
_FILE = re.compile(
    r"[/\\:*?]|\.(\w*sv|parquet|jsonl?|ndjson|geojson|xlsx?|db|duckdb|sqlite\d?|arrows?|gz|zst|txt)$", re.IGNORECASE
)
# Names that PostgreSQL answers without a parenthesis.
_SESSION_NAMES = frozenset(
    listed("user current_role current_user session_user system_user current_catalog current_schema")
)


def _rlike(generator: Any, node: exp.Expr) -> str:
    """MariaDB has no REGEXP_LIKE, which sqlglot writes for MySQL; both have RLIKE, which takes no flags."""
    if node.args.get("flag"):
        return str(generator.func("REGEXP_LIKE", node.this, node.expression, node.args["flag"]))
    return str(generator.binary(node, "RLIKE"))


class _MariaDbGenerator(MySQLGenerator):
    """Writes MySQL's dialect as MariaDB understands it too."""

    TRANSFORMS: ClassVar = {**MySQLGenerator.TRANSFORMS, exp.RegexpLike: _rlike}


@dataclass(frozen=True)
class Checked:
    """A statement that passed."""

    sql: str
    """The text to run, with a row limit."""
    dialect: Dialect


def check(
    sql: str, dialect: Dialect, max_rows: int, *, sizes: Mapping[str, int] | None = None, skip: int = 0
) -> Checked:
    """Checks a statement and bounds its rows.

    Args:
        sql: What someone wants to run.
        dialect: The database's dialect.
        max_rows: The result is limited to one more, so that a reader notices when it was cut off.
        sizes: About how many rows the database's tables have, by their names in lower case.
        skip: Rows at the beginning to leave out.

    Raises:
        SqlRejected: It is not exactly one reading statement, is too large, or uses something that is not allowed.
        InvalidArgument: Rows cannot be left out of it.
    """
    try:
        tree = _parse(sql, lexical.tokens_of(sql, dialect), dialect)
        _check_tree(tree, dialect)
        check_bounds(tree, dialect, sizes or {})
        text = _generated(_limited(_skipped(tree, skip), max_rows + 1), dialect)
        # What runs is this text: it has to mean to a parser what was checked.
        tokens = lexical.tokenized(text, dialect)
        lexical.check_characters(text, tokens)
        written = _parse(text, tokens, dialect)
        _check_tree(written, dialect)
        lexical.check_calls(tokens, written, dialect)
    except RecursionError:
        raise SqlRejected("it is nested too deeply.", Rule.SIZE) from None
    return Checked(text, dialect)


def _generated(tree: exp.Query, dialect: Dialect) -> str:
    """The text to run."""
    if dialect is Dialect.MYSQL:
        return str(_MariaDbGenerator(dialect=dialect.grammar, comments=False).generate(tree))
    return tree.sql(dialect.grammar, comments=False)


def _parse(sql: str, tokens: list[sqlglot.Token], dialect: Dialect) -> exp.Query:
    _check_start(tokens)
    try:
        grammar = sqlglot.Dialect.get_or_raise(dialect.grammar)
        # A lone `;` after the statement parses to nothing or to an empty Semicolon.
        statements = [
            tree
            for tree in grammar.parser().parse(tokens, sql)
            if tree is not None and not isinstance(tree, exp.Semicolon)
        ]
    except SqlglotError as error:
        raise _unparsed(tokens, dialect, error) from None
    if len(statements) != 1:
        raise SqlRejected(f"exactly one statement is allowed; this has {len(statements)}.", Rule.STACKED)
    tree = statements[0]
    if isinstance(tree, exp.Query) and isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
        return tree
    broken = _forbidden(type(tree))  # type: ignore[arg-type]  # classes are hashable; mypy looks at their instances
    if broken is not None:
        raise SqlRejected(f"only SELECT is allowed; this is {_kind(tree)}: {broken[1]}.", broken[0])
    raise SqlRejected(f"only SELECT is allowed; this is {_kind(tree)}.", Rule.WRITE)


def _check_start(tokens: list[sqlglot.Token]) -> None:
    """Refuses what begins with the name of another kind of statement, whether sqlglot could parse it or not."""
    first = tokens[0].text.upper() if tokens else ""
    for words, rule in _STATEMENTS:
        if first in words:
            raise SqlRejected(f"only SELECT is allowed; this is {first}.", rule)


def _unparsed(tokens: list[sqlglot.Token], dialect: Dialect, error: Exception) -> SqlRejected:
    """The error for a text that does not parse: what it tries to do, where words of it tell, else what is wrong."""
    if any(token.token_type is sqlglot.TokenType.SEMICOLON for token in tokens[:-1]):
        return SqlRejected("exactly one statement is allowed.", Rule.STACKED)
    words = {token.text.upper() for token in tokens if token.token_type not in lexical.TEXTS}
    for word, why in _WRITING.items():
        if word in words:
            return SqlRejected(f"{why}. Only a SELECT that reads is allowed.", Rule.WRITE)
    return SqlRejected(f"it is not valid {dialect.grammar}: {lexical.first_line(error)}")


def _kind(tree: exp.Expr) -> str:
    return str(tree.this).upper() if isinstance(tree, exp.Command) else tree.key.upper()


def _check_tree(tree: exp.Query, dialect: Dialect) -> None:
    for node in tree.walk():
        _check_node(node, dialect)


@cache
def _forbidden(kind: type[exp.Expr]) -> tuple[Rule, str] | None:
    """Which rule nodes of a kind break, and what they do; None where they break none."""
    return next(((rule, why) for forbidden, rule, why in _FORBIDDEN if issubclass(kind, forbidden)), None)


@cache
def _known(kind: type[exp.Expr]) -> bool:
    return issubclass(kind, (*_KNOWN, exp.Func))


def _check_node(node: exp.Expr, dialect: Dialect) -> None:
    broken = _forbidden(type(node))  # type: ignore[arg-type]  # classes are hashable; mypy looks at their instances
    if broken is not None:
        raise SqlRejected(f"{broken[1]}. Only a SELECT that reads is allowed.", broken[0])
    if isinstance(node, (exp.Select, exp.SetOperation, exp.Subquery)):
        _check_parts(node, _CLAUSES)
    elif isinstance(node, exp.Table):
        _check_table(node, dialect)
    elif isinstance(node, exp.DataType):
        _check_type(node)
    elif isinstance(node, exp.Column):
        _check_column(node, dialect)
    elif isinstance(node, exp.Identifier):
        if not node.quoted and node.name[:1] in "$@:?":
            raise SqlRejected(f"{node.name} is a parameter: write the values.", Rule.SESSION)
    elif isinstance(node, exp.PropertyEQ) and dialect is Dialect.MYSQL:
        raise SqlRejected("variables are not allowed. Only a SELECT that reads is allowed.", Rule.SESSION)
    elif not _known(type(node)):  # type: ignore[arg-type]  # classes are hashable; mypy looks at their instances
        raise SqlRejected(f"{node.key.upper()} is not allowed.", Rule.SYNTAX)


def _check_parts(node: exp.Expr, known: frozenset[str]) -> None:
    for name, value in node.args.items():
        if value and name not in known:
            rule = Rule.SESSION if name == "settings" else Rule.SYNTAX
            raise SqlRejected(f"the clause {name.rstrip('_').upper()} is not allowed.", rule)


def _check_table(node: exp.Table, dialect: Dialect) -> None:
    _check_parts(node, _TABLE_PARTS)
    if {node.db.lower(), node.catalog.lower()} & _SYSTEM_SCHEMAS:
        raise SqlRejected("system tables are not allowed.", Rule.SYSTEM)
    if not isinstance(node.this, exp.Identifier):
        return
    system = _SYSTEM_TABLES.get(dialect)
    if system and re.match(system, node.name, re.IGNORECASE):
        raise SqlRejected(f"the system table {node.name} is not allowed.", Rule.SYSTEM)
    if (
        dialect is Dialect.CLICKHOUSE
        and isinstance(node.args.get("alias"), exp.TableAlias)
        and node.args["alias"].columns
    ):
        raise SqlRejected(f"the function {node.name} is not allowed.", Rule.FUNCTION)
    path = ".".join(part for part in (node.catalog, node.db, node.name) if part)
    if dialect is Dialect.DUCKDB and _FILE.search(path):
        raise SqlRejected(f"reading {path} as a table is not allowed.", Rule.FILE)


def _check_type(node: exp.DataType) -> None:
    """Not the types that look up the database's own objects by name, as regclass does."""
    name = str(node.args.get("kind") or "").lower()
    if name.startswith("reg"):
        raise SqlRejected(f"the type {name} reads system tables.", Rule.SYSTEM)


def _check_column(node: exp.Column, dialect: Dialect) -> None:
    bare = isinstance(node.this, exp.Identifier) and not node.this.quoted and not node.table
    if bare and dialect is Dialect.POSTGRESQL and node.name.lower() in _SESSION_NAMES:
        raise SqlRejected(f"{node.name} tells of the session: quote it if it is a column.", Rule.SESSION)


def _skipped(tree: exp.Query, skip: int) -> exp.Query:
    """The tree without its first rows; raises InvalidArgument where its own limit is no plain number."""
    if not skip:
        return tree
    limit, offset = tree.args.get("limit"), tree.args.get("offset")
    numbers = [_count(limit), offset.expression if offset is not None else None]
    plain = not isinstance(tree, exp.Subquery) and all(
        item is None or (isinstance(item, exp.Literal) and item.is_int) for item in numbers
    )
    if not plain or (limit is not None and (limit.args.get("limit_options") or limit.expressions)):
        raise InvalidArgument("skip", "the statement's own LIMIT is not a plain number: leave it out, or page with it.")
    count, first = (None if item is None else int(item.name) for item in numbers)
    if count is not None:
        tree = tree.limit(max(0, count - skip))
    return tree.offset((first or 0) + skip)


def _count(limit: exp.Expr | None) -> exp.Expr | None:
    if limit is None:
        return None
    found = limit.expression if isinstance(limit, exp.Limit) else limit.args.get("count")
    return found if isinstance(found, exp.Expr) else exp.Null()


def _limited(tree: exp.Query, limit: int) -> exp.Query:
    """The tree with at most `limit` rows; one that is no plain number is left to the reader, who stops too."""
    current = tree.args.get("limit")
    if current is not None:
        count = _count(current)
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

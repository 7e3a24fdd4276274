"""A schema out of the statements that create it: CREATE TABLE and VIEW, ALTER TABLE, COMMENT, in any dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.mesh.errors import InvalidArgument
from services.sql.schema import Column, Dialect, ForeignKey, Kind, Schema, Table, kind_of
from services.sql.schemas.introspect import complete_keys

FIELD = "schema.ddl"
MAX_TABLES = 2000
# Statements of other kinds (SET, INSERT, GRANT …) say nothing about the schema: dumps are full of them.
_SAYING = ("create", "alter", "comment")


@dataclass
class _Draft:
    """A table that is being put together."""

    name: str
    columns: dict[str, Column] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    keys: list[ForeignKey] = field(default_factory=list)
    description: str = ""

    def table(self) -> Table:
        """The table."""
        return Table(
            self.name, tuple(self.columns.values()), self.primary_key, tuple(self.keys), description=self.description
        )


def parse(ddl: str, dialect: Dialect) -> Schema:
    """The schema that statements create, as it is after the last of them.

    Args:
        ddl: Statements, separated by semicolons.
        dialect: Theirs.

    Raises:
        InvalidArgument: A statement that creates, alters or comments cannot be read, or there is no table.
    """
    drafts: dict[str, _Draft] = {}
    for statement in _statements(ddl, dialect):
        _take(statement, drafts)
    if not drafts:
        raise InvalidArgument(FIELD, "it creates no table. Send CREATE TABLE statements in the dialect given.")
    if len(drafts) > MAX_TABLES:
        raise InvalidArgument(FIELD, f"it creates {len(drafts)} tables; at most {MAX_TABLES} are taken.")
    return Schema(dialect, complete_keys([draft.table() for draft in drafts.values()]))


def _statements(ddl: str, dialect: Dialect) -> Iterator[exp.Expr]:
    """The statements that say something, parsed one by one: one that is foreign does not take the others along."""
    try:
        tokens = sqlglot.tokenize(ddl, dialect.value)
    except SqlglotError as error:
        raise InvalidArgument(FIELD, f"it is no {dialect.value} SQL: {_said(error)}") from None
    groups: list[list[sqlglot.Token]] = [[]]
    for token in tokens:
        if token.token_type.name == "SEMICOLON":
            groups.append([])
        else:
            groups[-1].append(token)
    for group in groups:
        if not group or group[0].text.lower() not in _SAYING:
            continue
        text = ddl[group[0].start : group[-1].end + 1]
        try:
            yield sqlglot.parse_one(text, dialect=dialect.value)
        except (SqlglotError, RecursionError) as error:
            raise InvalidArgument(
                FIELD, f"the statement in line {group[0].line} cannot be read: {_said(error)}"
            ) from None


def _take(statement: exp.Expr, drafts: dict[str, _Draft]) -> None:
    if isinstance(statement, exp.Create) and statement.kind == "TABLE":
        _create(statement, drafts)
    elif isinstance(statement, exp.Create) and statement.kind == "VIEW":
        _view(statement, drafts)
    elif isinstance(statement, exp.Alter):
        draft = drafts.get(_key(statement.this))
        for action in statement.args.get("actions") or ():
            if draft is not None:
                _alter(draft, action)
    elif isinstance(statement, exp.Comment):
        _comment(statement, drafts)


def _create(statement: exp.Create, drafts: dict[str, _Draft]) -> None:
    target = statement.this
    table = target.this if isinstance(target, exp.Schema) else target
    draft = drafts[_key(table)] = _Draft(table.name)
    for item in target.expressions if isinstance(target, exp.Schema) else ():
        _part(draft, item)
    if isinstance(statement.expression, exp.Query):
        _selected(draft, statement.expression, drafts)
    comment = statement.find(exp.SchemaCommentProperty)
    if comment is not None:
        draft.description = comment.this.name


def _view(statement: exp.Create, drafts: dict[str, _Draft]) -> None:
    target = statement.this
    table = target.this if isinstance(target, exp.Schema) else target
    draft = drafts[_key(table)] = _Draft(table.name)
    if isinstance(statement.expression, exp.Query):
        _selected(draft, statement.expression, drafts)
    if isinstance(target, exp.Schema) and len(target.expressions) == len(draft.columns):
        named = zip(target.expressions, draft.columns.values(), strict=True)
        draft.columns = {item.name.lower(): replace(column, name=item.name) for item, column in named}


def _selected(draft: _Draft, query: exp.Query, drafts: dict[str, _Draft]) -> None:
    """The columns of a query; those that it takes as they are have their types from the tables before it."""
    known = [drafts[_key(table)] for table in query.find_all(exp.Table) if _key(table) in drafts]
    for item in query.selects:
        if item.is_star:
            for source in known:
                draft.columns.update(source.columns)
            continue
        name = item.alias_or_name
        inner = item.unalias()
        found = next(
            (source.columns[inner.name.lower()] for source in known if inner.name.lower() in source.columns), None
        )
        if name and isinstance(inner, exp.Column) and found is not None:
            draft.columns[name.lower()] = replace(found, name=name)
        elif name:
            kind = Kind.NUMBER if isinstance(inner, (exp.AggFunc, exp.Binary)) else Kind.TEXT
            draft.columns[name.lower()] = Column(name, "", kind)


def _alter(draft: _Draft, action: exp.Expr) -> None:
    for item in action.expressions if isinstance(action, exp.AddConstraint) else (action,):
        _part(draft, item)


def _part(draft: _Draft, item: exp.Expr) -> None:
    """A column or a constraint of a table."""
    if isinstance(item, exp.ColumnDef):
        _column(draft, item)
    elif isinstance(item, exp.PrimaryKey):
        draft.primary_key = tuple(_names(item.expressions))
    elif isinstance(item, exp.ForeignKey):
        reference = item.args.get("reference")
        if reference is not None:
            draft.keys.append(_reference(tuple(_names(item.expressions)), reference))
    elif isinstance(item, exp.Constraint):
        for inner in item.expressions:
            _part(draft, inner)


def _column(draft: _Draft, item: exp.ColumnDef) -> None:
    kind = item.kind
    written = kind.sql() if kind is not None else ""
    column = Column(item.name, written, kind_of(written) if written else Kind.TEXT)
    if isinstance(kind, exp.DataType) and kind.this.name.startswith("ENUM"):
        column = replace(column, kind=Kind.TEXT, values=tuple(value.name for value in kind.expressions))
    for constraint in item.constraints:
        rule = constraint.kind
        if isinstance(rule, exp.PrimaryKeyColumnConstraint):
            draft.primary_key = (item.name,)
            column = replace(column, nullable=False)
        elif isinstance(rule, exp.NotNullColumnConstraint):
            column = replace(column, nullable=bool(rule.args.get("allow_null")))
        elif isinstance(rule, exp.CommentColumnConstraint):
            column = replace(column, description=rule.this.name)
        elif isinstance(rule, exp.Reference):
            draft.keys.append(_reference((item.name,), rule))
    draft.columns[item.name.lower()] = column


def _reference(columns: tuple[str, ...], reference: exp.Expr) -> ForeignKey:
    target = reference.this
    table = target.this if isinstance(target, exp.Schema) else target
    return ForeignKey(columns, table.name, tuple(_names(target.expressions)) if isinstance(target, exp.Schema) else ())


def _comment(statement: exp.Comment, drafts: dict[str, _Draft]) -> None:
    text = statement.expression.name if statement.expression is not None else ""
    target = statement.this
    if isinstance(target, exp.Column):
        draft = drafts.get(target.table.lower())
        column = draft.columns.get(target.name.lower()) if draft is not None else None
        if draft is not None and column is not None:
            draft.columns[target.name.lower()] = replace(column, description=text)
    elif isinstance(target, exp.Table) and _key(target) in drafts:
        drafts[_key(target)].description = text


def _key(table: exp.Expr) -> str:
    return table.name.lower()


def _names(items: list[exp.Expr]) -> list[str]:
    return [item.this.name if isinstance(item, exp.Ordered) else item.name for item in items]


def _said(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__

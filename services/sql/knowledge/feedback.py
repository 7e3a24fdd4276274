"""Use cases about examples and verdicts: what people say about statements, and what the next question learns of it.

Each person has one verdict on a statement as the answer to a question: the last. A statement that more people call
right than wrong is an example (proposed); one that more call wrong is not given to that question again, and its example
is rejected; where they are as many, the last verdict decides. Who sets an example's state has the last word: verdicts
are counted from then on, but change it no more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from services.mesh import authority, paging
from services.mesh.errors import FieldViolation, InvalidArgument
from services.sql.databases import Databases
from services.sql.errors import SqlRejected
from services.sql.examples.examples import Example, State, fits
from services.sql.examples.sketch import parse
from services.sql.execution.execute import Slots
from services.sql.guard import guard
from services.sql.knowledge.history import History, caller
from services.sql.knowledge.knowledge import Knowledge, fingerprint, normal
from services.sql.knowledge.knowledge_store import KnowledgeStore, Stored
from services.sql.schema import Schema

MAX_QUESTION = 4000
MAX_SQL = 100_000
MAX_COMMENT = 4000
MAX_LINES = 20_000
MAX_ERRORS = 100
# How long a statement may work when it is tried, in seconds.
TRY_SECONDS = 10.0
_EXPORTED = 200


@dataclass(frozen=True)
class Given:
    """A verdict on a query."""

    query: str
    """Id of its entry in the history; empty where question and sql say what was judged."""
    question: str
    sql: str
    right: bool
    corrected_sql: str
    comment: str


@dataclass(frozen=True)
class Imported:
    """What became of a file of examples."""

    added: int
    unchanged: int
    errors: tuple[tuple[int, str], ...]
    """Line numbers, from 1, and what is wrong with them."""


class Feedback:
    """Examples and verdicts.

    Args:
        databases: The databases.
        store: Where examples and verdicts are kept.
        knowledge: Says which examples do not fit the schema any more.
        history: What was asked.
        slots: Runs statements that are tried.
    """

    def __init__(
        self, databases: Databases, store: KnowledgeStore, knowledge: Knowledge, history: History, slots: Slots
    ) -> None:
        self._databases = databases
        self._store = store
        self._knowledge = knowledge
        self._history = history
        self._slots = slots

    async def submit(self, database: str, given: Given) -> Stored | None:
        """Takes a verdict.

        Returns:
            The example that it made or changed; None where it made none.

        Raises:
            NotFound: There is no such database, or no such query of the caller.
            InvalidArgument: What was judged is missing, or a right statement is corrected.
            SqlRejected, SqlFailed, SqlTimeout: The statement that shall be right is refused or does not run.
            DatabaseUnavailable: It cannot be tried; nothing is kept.
        """
        schema, _read = await self._databases.schema(database)
        question, sql = given.question, given.sql
        if given.query:
            asked = await self._history.get(database, given.query)
            question, sql = asked.question, asked.sql
        if not normal(question):
            raise InvalidArgument("question", "say which question was answered, or name the query.")
        if given.right and given.corrected_sql:
            raise InvalidArgument("corrected_sql", "a right statement needs no correction; leave one of them out.")
        if not sql and not given.corrected_sql:
            raise InvalidArgument("sql", "say which statement was judged, or give the right one in corrected_sql.")
        right_sql = sql if given.right else given.corrected_sql
        if right_sql:
            field = "sql" if given.right else "corrected_sql"
            await self._try(database, right_sql, schema, field)
        made: Stored | None = None
        if sql and not given.right:
            made = await self._judge(database, question, sql, schema, given, right=False)
        if right_sql:
            made = await self._judge(database, question, right_sql, schema, given, right=True)
        if given.query:
            await self._history.judged(given.query, given.right)
        return made

    async def _judge(
        self, database: str, question: str, sql: str, schema: Schema, given: Given, *, right: bool
    ) -> Stored | None:
        """Counts a verdict and lets the example follow; one that is not known is made where it is right."""
        key = fingerprint(question, sql, schema)
        balance = await self._store.judge(database, key, caller(), right, given.comment)
        if balance > 0:
            made = _new(question, sql, schema, State.PROPOSED, given.comment)
            return (await self._store.add(database, made))[0]
        return await self._store.follow(database, key, State.REJECTED)

    async def create(self, database: str, question: str, sql: str, state: State | None, comment: str) -> Stored:
        """Adds an example. Raises what `submit` raises; a question with the same statement is changed instead."""
        schema, _read = await self._databases.schema(database)
        if not normal(question):
            raise InvalidArgument("example.question", "it is required.")
        if not sql.strip():
            raise InvalidArgument("example.sql", "it is required.")
        if state is not State.REJECTED:
            await self._try(database, sql, schema, "example.sql")
        made = _new(question, sql, schema, state or State.APPROVED, comment)
        return (await self._store.add(database, replace(made, reviewed=True)))[0]

    async def list(self, database: str, state: State | None, page_size: int, token: str) -> tuple[list[Stored], str]:
        """A page of examples, the newest first, and the next page's token; those that do not fit say so."""
        schema, _read = await self._databases.schema(database)
        size = paging.size(page_size)
        before = paging.key(token, paging.moment, str) if token else None
        found = await self._store.page(database, state, before, size + 1)
        last = found[size - 1] if len(found) > size else None
        following = paging.token(last.created, last.example.id) if last is not None else ""
        return [*await self._shown(database, schema, found[:size])], following

    async def _shown(self, database: str, schema: Schema, found: Sequence[Stored]) -> Sequence[Stored]:
        """What the caller may see of some examples; under a database role, approved ones about what it may read."""
        book = await self._knowledge.book(database, schema)
        if authority.current().persona(database):
            return [item for item in found if item.example.id in book.by_id]
        return [_marked(item, book.outdated) for item in found]

    async def update(
        self, database: str, identifier: str, question: str, sql: str, state: State | None, comment: str
    ) -> Stored:
        """Changes what is given; what is empty stays. Raises what `create` raises, AlreadyExists."""
        schema, _read = await self._databases.schema(database)
        before = await self._store.get(database, identifier)
        wanted = replace(
            before.example,
            question=question or before.example.question,
            sql=sql or before.example.sql,
            state=state or before.example.state,
        )
        if not normal(wanted.question):
            raise InvalidArgument("example.question", "it has no words.")
        revived = before.example.state is State.REJECTED and wanted.state is not State.REJECTED
        if sql or revived:
            await self._try(database, wanted.sql, schema, "example.sql")
        key = fingerprint(wanted.question, wanted.sql, schema)

        def edit(stored: Stored) -> Stored:
            return replace(
                stored,
                example=wanted,
                fingerprint=key,
                comment=comment or stored.comment,
                reviewed=stored.reviewed or state is not None,
            )

        return await self._store.change(database, identifier, edit)

    async def delete(self, database: str, identifier: str) -> None:
        """Forgets an example. Raises NotFound."""
        await self._databases.get(database)
        await self._store.remove(database, identifier)

    async def load(self, database: str, jsonl: str) -> Imported:
        """Adds examples from JSON lines: question, sql, and optionally state and comment.

        Statements must pass the guard and fit the schema; they are not run one by one. Raises InvalidArgument where
        there are too many lines.
        """
        schema, _read = await self._databases.schema(database)
        lines = jsonl.splitlines()
        if len(lines) > MAX_LINES:
            raise InvalidArgument("jsonl", f"it has more than {MAX_LINES} lines. Import it in parts.")
        made, errors = await asyncio.to_thread(_read_lines, lines, schema)
        stored = await self._store.add_all(database, made.values())
        added = sum(new for _item, new in stored)
        return Imported(added, len(stored) - added, tuple(errors[:MAX_ERRORS]))

    async def dump(self, database: str) -> AsyncGenerator[bytes, None]:
        """The examples as JSON lines, the newest first, in pieces."""
        await self._databases.get(database)
        before: tuple[datetime, str] | None = None
        while True:
            found = await self._store.page(database, None, before, _EXPORTED)
            shown = await self._exported(database, found)
            if shown:
                yield "".join(map(_line, shown)).encode()
            if len(found) < _EXPORTED:
                return
            before = found[-1].created, found[-1].example.id

    async def _exported(self, database: str, found: Sequence[Stored]) -> Sequence[Stored]:
        """Examples as they are stored; under a database role those of `_shown`."""
        if not found or not authority.current().persona(database):
            return found
        schema, _read = await self._databases.schema(database)
        return await self._shown(database, schema, found)

    async def _try(self, database: str, sql: str, schema: Schema, field: str) -> None:
        """Lets a statement run for a single row. Raises what running it raises."""
        try:
            checked = guard.check(sql, schema.dialect, 1, sizes=schema.sizes)
        except SqlRejected as error:
            raise _named(error, field) from None
        tree = parse(sql, schema)
        if tree is None or not fits(tree, schema):
            raise InvalidArgument(field, "it names a table or column that the database does not have.")
        target = await self._databases.target(database)
        async for _part in self._slots.run(target, checked, 1, TRY_SECONDS):
            pass


def _named(error: SqlRejected, field: str) -> SqlRejected:
    """The guard's refusal with the name of the request's field."""
    description = error.violations[0].description
    error.message = f"{field}: {description}"
    error.violations = (FieldViolation(field, description),)
    return error


def _new(question: str, sql: str, schema: Schema, state: State, comment: str) -> Stored:
    example = Example(uuid4().hex, question.strip(), sql.strip().rstrip(";"), state)
    return Stored(example, fingerprint(question, example.sql, schema), comment, False, datetime.now(UTC))


def _marked(item: Stored, outdated: frozenset[str]) -> Stored:
    """An example whose statement does not fit the schema says so in its comment."""
    if item.example.id not in outdated:
        return item
    note = "Not used: it names what the schema no longer has."
    return replace(item, comment=f"{note} {item.comment}".strip())


def _read_lines(lines: list[str], schema: Schema) -> tuple[dict[str, Stored], list[tuple[int, str]]]:
    """The examples of lines by their fingerprints, and what is wrong with the others."""
    made: dict[str, Stored] = {}
    errors: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = _read_line(line, schema)
            made.setdefault(item.fingerprint, item)
        except InvalidArgument as error:
            errors.append((number, error.message))
    return made, errors


def _read_line(line: str, schema: Schema) -> Stored:
    """The example of a line. Raises InvalidArgument."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidArgument("line", "it is not a JSON object.") from None
    if not isinstance(data, dict):
        raise InvalidArgument("line", "it is not a JSON object.")
    question = _text(data, "question", MAX_QUESTION)
    sql = _text(data, "sql", MAX_SQL)
    if not normal(question) or not sql.strip():
        raise InvalidArgument("question" if sql.strip() else "sql", "it is required.")
    name = _text(data, "state", 20).upper() or State.APPROVED.value
    if name not in State.__members__:
        raise InvalidArgument("state", "it must be one of proposed, approved and rejected.")
    guard.check(sql, schema.dialect, 1, sizes=schema.sizes)
    tree = parse(sql, schema)
    if tree is None or not fits(tree, schema):
        raise InvalidArgument("sql", "it names a table or column that the database does not have.")
    made = _new(question, sql, schema, State[name], _text(data, "comment", MAX_COMMENT))
    return replace(made, reviewed=State[name] is not State.PROPOSED)


def _text(data: Mapping[str, Any], field: str, longest: int) -> str:
    value = data.get(field, "")
    if not isinstance(value, str) or len(value) > longest:
        raise InvalidArgument(field, f"it must be a text of at most {longest} characters.")
    return value


def _line(item: Stored) -> str:
    example = item.example
    data = {"question": example.question, "sql": example.sql, "state": example.state.value.lower()}
    return json.dumps(data | ({"comment": item.comment} if item.comment else {}), ensure_ascii=False) + "\n"

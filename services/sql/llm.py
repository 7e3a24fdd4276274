"""The engine with a language model of a provider. Its SQL passes the same guard."""

from __future__ import annotations

import json
import re
from typing import Any

from services.mesh import telemetry
from services.mesh.provider_errors import UpstreamRejected
from services.mesh.providers import Providers, UpstreamRequest
from services.sql.errors import EngineFailed, QuestionNotUnderstood
from services.sql.joins import JoinGraph
from services.sql.linking import LinkIndex
from services.sql.marks import scan
from services.sql.query import Alternative, Failure, GeneratedQuery, Link
from services.sql.schema import Schema, Table
from services.sql.tokens import tokenize

log = telemetry.get_logger(__name__)

# Tables of a schema that go into the prompt when no word of the question names one.
MAX_TABLES = 30
MAX_COLUMNS = 60
_SAMPLES = 3

_SYSTEM = (
    "You write one {dialect} SELECT statement that answers the user's question about the database below. "
    "Use only these tables and columns. Answer with one JSON object and nothing else: "
    '{{"sql": "...", "explanation": "what it does, in the language of the question", "confidence": 0.0 to 1.0, '
    '"alternatives": [{{"sql": "...", "explanation": "...", "confidence": 0.0}}]}}. '
    'When the question cannot be answered from it: {{"sql": "", "explanation": "why"}}.\n\n{schema}'
)


class LlmEngine:
    """Asks a language model; implements services.sql.query.SqlEngine.

    Args:
        providers: All providers.
        model: The model's id, one that they offer.
    """

    def __init__(self, providers: Providers, model: str) -> None:
        self._providers = providers
        self._model = model

    async def generate(self, question: str, schema: Schema, failure: Failure | None = None) -> GeneratedQuery:
        """The query for a question; see SqlEngine."""
        links, tables = linked_part(question, schema)
        system = _SYSTEM.format(dialect=schema.dialect.name, schema="\n".join(map(_described, tables)))
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        if failure is not None:
            messages += [
                {"role": "assistant", "content": json.dumps({"sql": failure.sql})},
                {"role": "user", "content": f"That statement was refused: {failure.error} Write a better one."},
            ]
        found = parse(await self._complete(messages))
        sql = str(found.get("sql") or "").strip().rstrip(";")
        if not sql:
            why = str(found.get("explanation") or "the model wrote no statement")[:500]
            raise QuestionNotUnderstood(f"{why.rstrip('.')}.")
        return GeneratedQuery(
            sql,
            str(found.get("explanation") or "")[:2000],
            links,
            _confidence(found.get("confidence")),
            self._model,
            _alternatives(found.get("alternatives")),
        )

    async def _complete(self, messages: list[dict[str, str]]) -> str:
        """The model's text.

        Raises:
            UpstreamError: No provider answers.
            EngineFailed: A provider refuses the request: it is ours, so the caller's question is not to blame.
        """
        payload = {
            "model": self._model,
            "messages": messages,
            "temperature": 0,
            "response_format": {"type": "json_object"},
        }
        request = UpstreamRequest(self._model, payload, json.dumps(payload, ensure_ascii=False).encode())
        try:
            answer = await self._providers.complete(request)
        except UpstreamRejected as error:
            log.warning("language model refused", said=error.message)
            raise EngineFailed("The language model's provider rejected the request.", retry_after=None) from None
        try:
            return str(json.loads(answer)["choices"][0]["message"]["content"])
        except (LookupError, TypeError):
            raise EngineFailed(
                "The language model's provider answered with something that is not its protocol."
            ) from None


def linked_part(question: str, schema: Schema) -> tuple[tuple[Link, ...], list[Table]]:
    """What a question's words link to, and the tables to tell the model of: the linked ones and those that join them.

    A question that links to nothing gets the first tables of the schema: it may use words that only a model knows.
    """
    tokens = tokenize(question)
    links = []
    names: dict[str, None] = {}
    for mark in scan(tokens, LinkIndex(schema)):
        for item in mark.items[:3]:
            names[item.table] = None
        for item in mark.items[:1]:
            start, end = tokens[mark.start].start, tokens[mark.end - 1].end
            column = item.column if item.column in schema.by_name[item.table].by_name else ""
            links.append(Link(question[start:end], start, end, item.table, column, item.value or "", item.weight))
    if not names:
        return (), list(schema.tables[:MAX_TABLES])
    steps = JoinGraph(schema).connect(names) or []
    names |= {step.right: None for step in steps}
    return tuple(links), [schema.by_name[name] for name in names][:MAX_TABLES]


def _described(table: Table) -> str:
    """A table for the prompt: columns with types and a few values, keys."""
    columns = [
        f"  {column.name} {column.type}" + (f"  -- e.g. {', '.join(column.values[:_SAMPLES])}" if column.values else "")
        for column in table.columns[:MAX_COLUMNS]
    ]
    keys = [
        f"  FOREIGN KEY ({', '.join(key.columns)}) REFERENCES {key.referred_table} ({', '.join(key.referred_columns)})"
        for key in table.foreign_keys
    ]
    primary = [f"  PRIMARY KEY ({', '.join(table.primary_key)})"] if table.primary_key else []
    return "\n".join([f"TABLE {table.name}", *columns, *primary, *keys])


def parse(text: str) -> dict[str, Any]:
    """The JSON object in a model's text, whatever stands around it; a lone SQL block counts as its `sql`.

    Raises:
        EngineFailed: There is neither.
    """
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        try:
            found = json.loads(text[start : end + 1], strict=False)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
    block = re.search(r"```(?:sql)?\s*(.+?)```", text, re.DOTALL) or re.search(
        r"((?:SELECT|WITH)\b.+)", text, re.DOTALL
    )
    if block:
        return {"sql": block[1].strip()}
    raise EngineFailed("The language model answered without a statement.", retry_after=None)


def _confidence(value: object) -> float:
    return min(1.0, max(0.0, float(value))) if isinstance(value, (int, float)) else 0.5


def _alternatives(value: object) -> tuple[Alternative, ...]:
    entries = [item for item in value if isinstance(item, dict) and item.get("sql")] if isinstance(value, list) else []
    return tuple(
        Alternative(str(item["sql"]), str(item.get("explanation") or ""), _confidence(item.get("confidence")))
        for item in entries
    )

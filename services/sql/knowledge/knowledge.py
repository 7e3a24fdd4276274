"""The knowledge base of a database: its examples, what people said about statements, and answers after them."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.mesh import authority, telemetry, tenancy
from services.mesh.authority import Persona
from services.sql.examples.domains import Domains
from services.sql.examples.examples import MAX_EXAMPLES, Example, ExampleIndex, Prepared, State, prepare
from services.sql.examples.recall import Recall
from services.sql.examples.sketch import canonical, parse
from services.sql.knowledge.knowledge_store import KnowledgeStore, Stored, Version
from services.sql.schema import Schema

log = telemetry.get_logger(__name__)

CACHED_BOOKS = 16


def normal(question: str) -> str:
    """A question without what makes no difference: case, signs and spaces. Diacritics stay: they tell words apart."""
    text = unicodedata.normalize("NFC", question).casefold()
    return " ".join("".join(char if char.isalnum() else " " for char in text).split())


def fingerprint(question: str, sql: str, schema: Schema) -> str:
    """What is the same for the same question with the same statement, however both are written."""
    tree = parse(sql, schema)
    text = canonical(tree) if tree is not None else " ".join(sql.split())
    return hashlib.sha256(f"{normal(question)}\n{text}".encode()).hexdigest()


@dataclass(frozen=True)
class Book:
    """The examples of a database, ready to answer by."""

    recall: Recall | None
    """None where no example is in use."""
    taught: Mapping[str, Example]
    """The example for just this question, by its normal form: approved before proposed, newer before older."""
    by_id: Mapping[str, Example]
    blocked: frozenset[str]
    """Fingerprints of questions with statements that are wrong."""
    outdated: frozenset[str]
    """Ids of examples whose statements name what the schema does not have."""


@dataclass
class _Cached:
    version: Version
    schema: Schema
    book: Book
    prepared: dict[tuple[str, str, str], Prepared | None] = field(default_factory=dict)
    domains: Domains | None = None


class Knowledge:
    """Examples by database, prepared and kept as long as nothing changes.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store
        self._cache: OrderedDict[tuple[str, Persona], _Cached] = OrderedDict()
        self._building: dict[tuple[str, Persona], asyncio.Lock] = {}

    async def book(self, database: str, schema: Schema) -> Book:
        """The examples of a database as they are now. Raises StorageUnavailable.

        Under a database role only approved ones count: others may hold values of rows that the role does not see.

        Args:
            database: Its id.
            schema: Its schema; examples that do not fit it are left out.
        """
        persona = authority.current().persona(database)
        key = (tenancy.key(database), persona)
        async with self._building.setdefault(key, asyncio.Lock()):
            version = await self._store.version(database)
            known = self._cache.get(key)
            if known is None or known.version != version or known.schema is not schema:
                stored = await self._store.all(database, MAX_EXAMPLES)
                if persona:
                    stored = [item for item in stored if item.example.state is State.APPROVED]
                blocked = await self._store.blocked(database)
                known = await asyncio.to_thread(_built, version, schema, stored, blocked, known)
                self._cache[key] = known
                while len(self._cache) > CACHED_BOOKS:
                    gone, _ = self._cache.popitem(last=False)
                    self._building.pop(gone, None)
            self._cache.move_to_end(key)
            return known.book

    async def used(self, identifiers: Sequence[str]) -> None:
        """Counts that a query was written after these examples."""
        await self._store.used(identifiers)


def _built(
    version: Version, schema: Schema, stored: Sequence[Stored], blocked: frozenset[str], before: _Cached | None
) -> _Cached:
    """Prepares examples; those that were prepared for the same schema before are taken over."""
    same = before is not None and before.schema is schema
    old = before.prepared if before is not None and same else {}
    domains = before.domains if before is not None and same and before.domains is not None else Domains(schema)
    prepared: dict[tuple[str, str, str], Prepared | None] = {}
    kept: list[Prepared] = []
    outdated: set[str] = set()
    for item in stored:
        example = item.example
        if example.state is State.REJECTED:
            continue
        key = (example.id, example.question, example.sql)
        made = prepared[key] = old[key] if key in old else prepare(example, schema)
        if made is None:
            outdated.add(example.id)
            continue
        kept.append(made if made.example == example else replace(made, example=example))
    if outdated:
        log.info("examples do not fit the schema", count=len(outdated))
    book = bound(schema, kept, domains, blocked, frozenset(outdated))
    return _Cached(version, schema, book, prepared, domains)


def bound(
    schema: Schema,
    examples: Sequence[Prepared],
    domains: Domains,
    blocked: frozenset[str] = frozenset(),
    outdated: frozenset[str] = frozenset(),
) -> Book:
    """A book of prepared examples, the newest first."""
    taught: dict[str, Example] = {}
    for item in examples:
        example = item.example
        known = taught.get(normal(example.question))
        if known is None or (example.state is State.APPROVED and known.state is not State.APPROVED):
            taught[normal(example.question)] = example
    recall = Recall(ExampleIndex(schema, examples), domains) if examples else None
    return Book(recall, taught, {item.example.id: item.example for item in examples}, blocked, outdated)

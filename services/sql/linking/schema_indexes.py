"""Indexes of schemas, kept between questions: building one takes longer than a question."""

from __future__ import annotations

import threading
from collections import OrderedDict

from services.sql.linking.joins import JoinGraph
from services.sql.linking.linking import LinkIndex
from services.sql.schema import Schema

CACHED = 32


class SchemaIndexes:
    """The link index and the joins of each schema that was asked about lately; safe to use from several threads.

    Args:
        cached: How many schemas are kept.
    """

    def __init__(self, cached: int = CACHED) -> None:
        self._cached = cached
        self._entries: OrderedDict[int, tuple[Schema, LinkIndex, JoinGraph]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, schema: Schema) -> tuple[LinkIndex, JoinGraph]:
        """The schema's index and joins; built where they are not known."""
        key = id(schema)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                return entry[1:]
        # Not under the lock: a large schema would hold up questions about others. Two may build the same; no harm.
        made = (schema, LinkIndex(schema), JoinGraph(schema))
        with self._lock:
            # The entry keeps the schema alive, so that no other one gets its id.
            self._entries[key] = made
            while len(self._entries) > self._cached:
                self._entries.popitem(last=False)
        return made[1:]

"""A schema out of a dbt manifest: models, seeds, snapshots and sources, with what their tests say about them.

The format is dbt's own: schemas.getdbt.com, manifest version 7 (dbt 1.3) and later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.mesh.errors import InvalidArgument
from services.sql.schema import Column, Dialect, ForeignKey, Kind, Schema, Table, kind_of
from services.sql.schemas.introspect import complete_keys

FIELD = "schema.dbt_manifest"
OLDEST = 7
_TABLES = ("model", "seed", "snapshot")
# ref('model'), ref('package', 'model', v=2), source('source', 'table')
_REFERENCE = re.compile(r"(ref|source)\(\s*['\"]([^'\"]+)['\"](?:\s*,\s*['\"]([^'\"]+)['\"])?")


def parse(manifest: bytes, dialect: Dialect) -> Schema:
    """The schema that a manifest describes.

    Args:
        manifest: manifest.json.
        dialect: Of the database that dbt builds.

    Raises:
        InvalidArgument: It is no manifest, or one of an older version.
    """
    try:
        data = json.loads(manifest)
        version = int(re.search(r"/manifest/v(\d+)", data["metadata"]["dbt_schema_version"])[1])  # type: ignore[index]  # caught
        nodes, sources = dict(data["nodes"]), dict(data["sources"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidArgument(FIELD, "it is no dbt manifest. Send target/manifest.json.") from None
    if version < OLDEST:
        raise InvalidArgument(FIELD, f"it is of version {version}; dbt 1.3 and later write version {OLDEST} or later.")
    try:
        return _schema(nodes, sources, dialect)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(FIELD, f"it is not as dbt writes it: {type(error).__name__} {error}.") from None


def _schema(nodes: Mapping[str, Any], sources: Mapping[str, Any], dialect: Dialect) -> Schema:
    described = {
        **{key: node for key, node in nodes.items() if node["resource_type"] in _TABLES},
        **sources,
    }
    tables = {key: _table(node) for key, node in described.items()}
    for node in nodes.values():
        test = node.get("test_metadata") or {}
        owner = _owner(node, tables)
        if owner is not None and test:
            tables[owner] = _tested(tables[owner], test["name"], test.get("kwargs") or {}, tables, described)
    # Two models may build tables of one name in two schemas: the one that comes first is meant.
    by_name = {table.name: table for table in reversed(list(tables.values()))}
    if not by_name:
        raise InvalidArgument(FIELD, "it has no models, seeds or sources.")
    return Schema(dialect, complete_keys(list(by_name.values())))


def _table(node: Mapping[str, Any]) -> Table:
    columns = tuple(
        Column(
            str(column["name"]),
            str(column.get("data_type") or ""),
            kind_of(column["data_type"]) if column.get("data_type") else Kind.TEXT,
            description=str(column.get("description") or ""),
        )
        for column in (node.get("columns") or {}).values()
    )
    primary = tuple(
        str(column["name"])
        for column in (node.get("columns") or {}).values()
        if any(rule.get("type") == "primary_key" for rule in column.get("constraints") or ())
    )
    name = str(node.get("identifier") or node.get("alias") or node["name"])
    return Table(name, columns, primary, description=str(node.get("description") or ""))


def _owner(node: Mapping[str, Any], tables: Mapping[str, Table]) -> str | None:
    """The table that a test is about: it depends on that one last, and on the one referred to first."""
    attached = node.get("attached_node")
    if attached in tables:
        return str(attached)
    dependencies = [key for key in (node.get("depends_on") or {}).get("nodes") or () if key in tables]
    return dependencies[-1] if dependencies else None


def _tested(
    table: Table, test: str, given: Mapping[str, Any], tables: Mapping[str, Table], nodes: Mapping[str, Any]
) -> Table:
    """A table with what a test says about it."""
    # dbt 1.10 and later put the arguments one level deeper.
    given = {**given, **(given.get("arguments") or {})}
    name = str(given.get("column_name") or "").strip('"`')
    column = table.by_name.get(name)
    if column is None:
        return table
    if test == "relationships":
        referred = _referred(str(given.get("to") or ""), tables, nodes)
        field = str(given.get("field") or "").strip('"`')
        key = ForeignKey((name,), referred, (field,))
        return replace(table, foreign_keys=(*table.foreign_keys, key)) if referred and field else table
    if test == "unique" and not table.primary_key:
        return replace(table, primary_key=(name,))
    if test == "not_null":
        return _changed(table, replace(column, nullable=False))
    if test == "accepted_values":
        return _changed(table, replace(column, values=tuple(map(str, given.get("values") or ()))))
    return table


def _referred(reference: str, tables: Mapping[str, Table], nodes: Mapping[str, Any]) -> str:
    """The name of the table that `ref(…)` or `source(…)` means; empty where it is not there."""
    found = _REFERENCE.search(reference)
    if found is None:
        return ""
    kind, first, second = found.groups()
    for key, node in nodes.items():
        source = node["resource_type"] == "source"
        if kind == "source" and source and (node.get("source_name"), node["name"]) == (first, second):
            return tables[key].name
        if kind == "ref" and not source and node["name"] == (second or first):
            return tables[key].name
    return ""


def _changed(table: Table, column: Column) -> Table:
    return replace(table, columns=tuple(column if item.name == column.name else item for item in table.columns))

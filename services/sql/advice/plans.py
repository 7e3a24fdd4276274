"""Reads what databases print for EXPLAIN: what a statement costs, what it gives, which tables it reads in full.

PostgreSQL's cost is its own estimate, and so is MySQL's where it prints one. The others print none: there the cost is
how many rows their plans visit, by their own estimates or by the sizes of the tables.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.sql.schema import Dialect


@dataclass(frozen=True)
class Scan:
    """A table that is read from beginning to end."""

    table: str
    """Its name, or what the statement calls it where the plan says only that."""
    condition: str = ""
    """What is checked on each row, as the plan has it."""


@dataclass(frozen=True)
class Plan:
    """A database's plan for a statement."""

    text: str
    """As the database prints it."""
    cost: float = 0.0
    """In the database's own unit, or rows visited; 0 where neither is known."""
    rows: float = 0.0
    """How many rows it gives; 0 where the plan does not say."""
    scans: tuple[Scan, ...] = ()


def read(dialect: Dialect, text: str, sizes: Mapping[str, int]) -> Plan:
    """Reads a plan.

    Args:
        dialect: The database's.
        text: What it printed.
        sizes: Rows of its tables, by their names and by what the statement calls them, in lower case.
    """
    reader = _READERS.get(dialect)
    return reader(text, sizes) if reader is not None else Plan(text)


# PostgreSQL.

_NODE = re.compile(
    r"^\s*(?:->\s+)?(?P<kind>[A-Z][\w ]*?)(?: using \S+)?(?: on (?P<table>\"[^\"]+\"|\S+)(?: \S+)?)?"
    r"\s+\(cost=[\d.]+\.\.(?P<cost>[\d.]+) rows=(?P<rows>\d+)"
)


def _postgresql(text: str, sizes: Mapping[str, int]) -> Plan:
    cost = rows = 0.0
    scans: list[Scan] = []
    inside = False
    for number, line in enumerate(text.splitlines()):
        node = _NODE.match(line)
        if node and not number:
            cost, rows = float(node["cost"]), float(node["rows"])
        if node and node["kind"].endswith("Seq Scan"):
            scans.append(Scan(node["table"].strip('"')))
            inside = True
        elif node:
            inside = False
        elif line.strip().startswith("Filter: ") and scans and inside:
            scans[-1] = Scan(scans[-1].table, line.strip().removeprefix("Filter: "))
    return Plan(text, cost, rows, tuple(scans))


# SQLite.


def _sqlite(text: str, sizes: Mapping[str, int]) -> Plan:
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines() if line.strip()]
    scans = []
    for _depth, line in lines:
        whole = re.fullmatch(r"SCAN (\S+)", line)
        # An index that SQLite makes for the one statement: it reads the whole table for it.
        automatic = re.match(r"SEARCH (\S+) USING AUTOMATIC .*?\((.*)\)", line)
        if whole and whole[1].lower() in sizes:
            scans.append(Scan(whole[1]))
        elif automatic and automatic[1].lower() in sizes:
            scans.append(Scan(automatic[1], automatic[2]))
    return Plan(text, _visited(lines, sizes), 0.0, tuple(scans))


def _visited(lines: list[tuple[int, str]], sizes: Mapping[str, int]) -> float:
    """Rows that the steps visit: those beside one another are nested loops, those below one are its own."""
    visited, loops = 0.0, 1.0
    index = 0
    while index < len(lines):
        depth, line = lines[index]
        end = index + 1
        while end < len(lines) and lines[end][0] > depth:
            end += 1
        inner = _visited(lines[index + 1 : end], sizes)
        visited += inner * (loops if line.startswith("CORRELATED") else 1.0)
        step = re.match(r"(SCAN|SEARCH) (\S+)(.*)", line)
        if step:
            size = float(sizes.get(step[2].lower(), 1000))
            if step[1] == "SEARCH":
                if "AUTOMATIC" in line:
                    # It is built first, by reading all.
                    visited += size * math.log2(size + 2)
                unique = "rowid=?" in line or "PRIMARY KEY" in line
                size = 1.0 if unique else math.sqrt(size) if "<" in line or ">" in line else max(1.0, size / 100)
            loops *= max(1.0, size)
            visited += loops
        elif line.startswith("USE TEMP B-TREE"):
            visited += loops
        index = end
    return visited


# MySQL and MariaDB.


def _mysql(text: str, sizes: Mapping[str, int]) -> Plan:
    try:
        tree: dict[str, Any] = json.loads(text)
    except ValueError:
        # MariaDB writes names with quotes in them as they are.
        return Plan(text, 0.0, 0.0, ())
    scans: list[Scan] = []
    visited = _joined([tree], scans)
    block: dict[str, Any] = tree.get("query_block", {})
    known: Any = block.get("cost_info", {}).get("query_cost", block.get("cost"))
    return Plan(text, visited if known is None else float(str(known)), 0.0, tuple(scans))


def _joined(nodes: list[Any], scans: list[Scan]) -> float:
    """Rows visited by nested loops over these nodes, and by what lies inside them."""
    visited, loops = 0.0, 1.0
    for node in nodes:
        for name, value in node.items() if isinstance(node, dict) else ():
            if name == "table" and isinstance(value, dict) and "access_type" in value:
                rows = float(str(value.get("rows", value.get("rows_examined_per_scan", 1))))
                visited += loops * rows
                loops *= max(1.0, rows * float(value.get("filtered", 100)) / 100)
                if value["access_type"] == "ALL" and not str(value.get("table_name", "<")).startswith("<"):
                    scans.append(Scan(value["table_name"], str(value.get("attached_condition", ""))))
                visited += _joined([{key: item for key, item in value.items() if key != "table"}], scans)
            elif isinstance(value, list):
                visited += _joined(value, scans)
            elif isinstance(value, dict):
                visited += _joined([value], scans)
    return visited


# DuckDB.


def _duckdb(text: str, sizes: Mapping[str, int]) -> Plan:
    nodes = list(_operators(json.loads(text)))
    cards = [_cardinality(node) for node in nodes]
    scans = tuple(
        Scan(str(info["Table"]).rsplit(".", 1)[-1], "; ".join(_texts(info.get("Filters"))))
        for node in nodes
        if (info := node.get("extra_info") or {}) and node.get("name", "").strip() == "SEQ_SCAN" and "Table" in info
        if "Index" not in str(info.get("Type", ""))
    )
    # A scan visits its table whatever its filter leaves.
    visited = sum(cards) + sum(max(0, sizes.get(scan.table.lower(), 0)) for scan in scans if scan.condition)
    return Plan(text, float(visited), float(next((card for card in cards if card), 0)), scans)


def _operators(nodes: list[Any]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from _operators(node.get("children", []))


def _cardinality(node: Mapping[str, Any]) -> int:
    found = re.search(r"\d+", str((node.get("extra_info") or {}).get("Estimated Cardinality", "")))
    return int(found[0]) if found else 0


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []


# ClickHouse.


def _clickhouse(text: str, sizes: Mapping[str, int]) -> Plan:
    """Reads `EXPLAIN indexes = 1`: a table is read in parts where its keys leave out some of its granules."""
    visited = 0.0
    scans: list[Scan] = []
    for found in re.finditer(r"ReadFrom\w+ \(([^)]+)\)(.*?)(?=ReadFrom|\Z)", text, re.DOTALL):
        name, detail = found[1].rsplit(".", 1)[-1].strip("`"), found[2]
        if name.lower() not in sizes:
            continue
        granules = re.findall(r"Granules: (\d+)/(\d+)", detail)
        share = int(granules[-1][0]) / max(1, int(granules[0][1])) if granules else 1.0
        visited += sizes[name.lower()] * share
        if share == 1.0:
            condition = re.search(r"[Ff]ilter column: +(.+)", detail)
            scans.append(Scan(name, condition[1] if condition else ""))
    return Plan(text, visited, 0.0, tuple(scans))


_READERS: dict[Dialect, Callable[[str, Mapping[str, int]], Plan]] = {
    Dialect.POSTGRESQL: _postgresql,
    Dialect.SQLITE: _sqlite,
    Dialect.MYSQL: _mysql,
    Dialect.DUCKDB: _duckdb,
    Dialect.CLICKHOUSE: _clickhouse,
}

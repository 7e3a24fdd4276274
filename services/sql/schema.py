"""What a database looks like: tables, columns, keys and the values that questions may name."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any


class Dialect(enum.StrEnum):
    """SQL dialects that can be generated and run; the values are sqlglot's names."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgres"


class Kind(enum.StrEnum):
    """What a column holds, whatever the database calls its type."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    OTHER = "other"


_KINDS = (
    (("bool",), Kind.BOOLEAN),
    (("timestamp", "datetime"), Kind.TIMESTAMP),
    (("date",), Kind.DATE),
    (("interval", "point", "time"), Kind.OTHER),
    (("int", "serial"), Kind.INTEGER),
    (("real", "floa", "doub", "num", "dec", "money"), Kind.NUMBER),
    (("char", "text", "clob", "string", "enum", "uuid", "citext", "bpchar"), Kind.TEXT),
    (("bit",), Kind.BOOLEAN),
)


def kind_of(type_name: str) -> Kind:
    """The kind of a type as a database writes it, e.g. `VARCHAR(20)`, `numeric(10, 2)`."""
    lower = type_name.lower()
    for marks, kind in _KINDS:
        if any(mark in lower for mark in marks):
            return kind
    return Kind.OTHER


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    """Its type as the database writes it."""
    kind: Kind
    nullable: bool = True
    values: tuple[str, ...] = ()
    """Distinct values as text, for linking words to them; bounded, so not always all of them."""

    @property
    def numeric(self) -> bool:
        """Whether sums and averages make sense."""
        return self.kind in (Kind.INTEGER, Kind.NUMBER)

    @property
    def temporal(self) -> bool:
        """Whether it holds dates or times."""
        return self.kind in (Kind.DATE, Kind.TIMESTAMP)


@dataclass(frozen=True)
class ForeignKey:
    """A reference from one table to another."""

    columns: tuple[str, ...]
    referred_table: str
    referred_columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table or view."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    row_count: int = 0
    """About how many rows it has."""

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """Its columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def key_columns(self) -> frozenset[str]:
        """Columns of the primary key and of foreign keys: they identify, they do not measure."""
        return frozenset(self.primary_key) | {name for key in self.foreign_keys for name in key.columns}


@dataclass(frozen=True)
class Schema:
    """All tables of a database, ordered by name."""

    dialect: Dialect
    tables: tuple[Table, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Table]:
        """The tables by name."""
        return {table.name: table for table in self.tables}

    def column(self, table: str, column: str) -> Column:
        """The column of that name. Raises KeyError where there is none."""
        return self.by_name[table].by_name[column]

    def to_json(self) -> dict[str, Any]:
        """As plain data, for storage."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """The inverse of `to_json`."""
        return cls(Dialect(data["dialect"]), tuple(_table(table) for table in data["tables"]))


def _table(data: Mapping[str, Any]) -> Table:
    columns = tuple(
        Column(item["name"], item["type"], Kind(item["kind"]), item["nullable"], tuple(item["values"]))
        for item in data["columns"]
    )
    keys = tuple(
        ForeignKey(tuple(key["columns"]), key["referred_table"], tuple(key["referred_columns"]))
        for key in data["foreign_keys"]
    )
    return Table(data["name"], columns, tuple(data["primary_key"]), keys, data["row_count"])

"""What a database looks like: tables, columns, keys and the values that questions may name."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from services.sql import mongo_dialect as mongo_dialect  # sqlglot then knows the dialect `mongodb`


class Dialect(enum.StrEnum):
    """SQL dialects that can be generated and run; the values are sqlglot's names, except for MongoDB's."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgres"
    MYSQL = "mysql"
    DUCKDB = "duckdb"
    CLICKHOUSE = "clickhouse"
    MONGODB = "mongodb"

    @property
    def grammar(self) -> str:
        """Sqlglot's name of the grammar that statements are written in: MongoDB's subset is PostgreSQL's."""
        return Dialect.POSTGRESQL.value if self is Dialect.MONGODB else self.value


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
    (("range", "json", "blob", "binary", "bytea", "array", "struct", "map", "tuple", "vector"), Kind.OTHER),
    (("enum",), Kind.TEXT),
    (("bool",), Kind.BOOLEAN),
    (("timestamp", "datetime"), Kind.TIMESTAMP),
    (("date",), Kind.DATE),
    (("interval", "point", "time"), Kind.OTHER),
    (("int", "serial", "year"), Kind.INTEGER),
    (("real", "floa", "doub", "num", "dec", "money"), Kind.NUMBER),
    (("char", "text", "clob", "string", "uuid", "citext", "bpchar", "objectid"), Kind.TEXT),
    (("bit",), Kind.BOOLEAN),
)

# ClickHouse's types that say something about another one.
_WRAPPER = re.compile(r"(?:nullable|lowcardinality)\((.*)\)")


def kind_of(type_name: str) -> Kind:
    """The kind of a type as a database writes it, e.g. `VARCHAR(20)`, `numeric(10, 2)`, `Nullable(Int64)`."""
    lower = type_name.lower()
    if lower == "tinyint(1)":
        # MySQL's only boolean.
        return Kind.BOOLEAN
    while wrapped := _WRAPPER.fullmatch(lower):
        lower = wrapped[1]
    if lower.endswith("[]"):
        return Kind.OTHER
    # What stands in brackets are sizes, or labels of an enumeration that may be called anything.
    lower = lower.partition("(")[0]
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
    description: str = ""
    """What it holds, in words."""
    synonyms: tuple[str, ...] = ()
    """What people call it besides, from the semantic layer."""
    value_synonyms: tuple[tuple[str, str], ...] = ()
    """What people call its values: the word said, and the value."""

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
    inferred: bool = False
    """Whether nothing declares it: it follows from names and values."""


@dataclass(frozen=True)
class Table:
    """A table or view."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    row_count: int = 0
    """About how many rows it has."""
    description: str = ""
    """What it holds, in words."""
    synonyms: tuple[str, ...] = ()
    """What people call its rows besides, from the semantic layer."""

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """Its columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def key_columns(self) -> frozenset[str]:
        """Columns of the primary key and of foreign keys: they identify, they do not measure."""
        return frozenset(self.primary_key) | {name for key in self.foreign_keys for name in key.columns}


@dataclass(frozen=True)
class Metric:
    """A measure that the semantic layer defines."""

    name: str
    table: str
    expression: str
    """An aggregate of the table's columns, in the database's dialect: `sum(quantity * unit_price)`."""
    filter: str = ""
    """A condition on the rows that count."""
    synonyms: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Schema:
    """All tables of a database, ordered by name."""

    dialect: Dialect
    tables: tuple[Table, ...]
    metrics: tuple[Metric, ...] = ()
    """From the semantic layer."""

    @cached_property
    def by_name(self) -> Mapping[str, Table]:
        """The tables by name."""
        return {table.name: table for table in self.tables}

    @cached_property
    def metrics_by_name(self) -> Mapping[str, Metric]:
        """The metrics by name."""
        return {metric.name: metric for metric in self.metrics}

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """About how many rows the tables have, by their names in lower case."""
        return {table.name.lower(): table.row_count for table in self.tables}

    @cached_property
    def constants(self) -> Mapping[str, str]:
        """Texts that all rows of the columns which have them share: `usa` in a database of one country. In lower case.

        By each, the name of a column that has it.
        """
        single: dict[str, str] = {}
        several: set[str] = set()
        for table in self.tables:
            for column in table.columns:
                if column.kind in (Kind.TEXT, Kind.OTHER):
                    if len(column.values) == 1 and table.row_count > 1:
                        single.setdefault(column.values[0].lower(), column.name)
                    else:
                        several.update(value.lower() for value in column.values)
        return {value: name for value, name in single.items() if value not in several}

    def column(self, table: str, column: str) -> Column:
        """The column of that name. Raises KeyError where there is none."""
        return self.by_name[table].by_name[column]

    def to_json(self) -> dict[str, Any]:
        """As plain data, for storage: as the database has it, without what the semantic layer adds."""
        data = asdict(self)
        del data["metrics"]
        for table in data["tables"]:
            del table["synonyms"]
            for column in table["columns"]:
                del column["synonyms"], column["value_synonyms"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """The inverse of `to_json`."""
        return cls(Dialect(data["dialect"]), tuple(_table(table) for table in data["tables"]))


def _table(data: Mapping[str, Any]) -> Table:
    columns = tuple(
        Column(**{**item, "kind": Kind(item["kind"]), "values": tuple(item["values"])}) for item in data["columns"]
    )
    keys = tuple(
        ForeignKey(**{**key, "columns": tuple(key["columns"]), "referred_columns": tuple(key["referred_columns"])})
        for key in data["foreign_keys"]
    )
    lists = {"columns": columns, "foreign_keys": keys, "primary_key": tuple(data["primary_key"])}
    return Table(**{**data, **lists})

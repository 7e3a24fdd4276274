"""The semantic layer: what people call the parts of a database, its metrics and its joins, in a YAML file.

The file is made to be kept in git: read strictly, every fault named by its place and line. docs/sql.md describes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from services.mesh.errors import InvalidArgument

VERSION = 1
FIELD = "yaml"
MAX_ERRORS = 10
MAX_TEXT = 2000
MAX_SYNONYMS = 100


@dataclass(frozen=True)
class Place:
    """Where something stands in the file."""

    path: str
    """As in `tables.customers.columns.city`."""
    line: int
    """From 1."""

    def __str__(self) -> str:
        return f"{self.path or 'the file'} (line {self.line})"


@dataclass(frozen=True)
class ColumnMeaning:
    """What the file says about a column."""

    place: Place
    description: str = ""
    synonyms: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    """Words said, and the values that they mean."""


@dataclass(frozen=True)
class TableMeaning:
    """What the file says about a table."""

    place: Place
    description: str = ""
    synonyms: tuple[str, ...] = ()
    columns: tuple[tuple[str, ColumnMeaning], ...] = ()


@dataclass(frozen=True)
class MetricMeaning:
    """A measure that the file defines."""

    place: Place
    name: str
    table: str
    expression: str
    filter: str = ""
    synonyms: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class JoinMeaning:
    """Columns of one table that refer to those of another: `orders.customer_id` to `customers.id`."""

    place: Place
    table: str
    columns: tuple[str, ...]
    referred_table: str
    referred_columns: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """A semantic layer."""

    tables: tuple[tuple[str, TableMeaning], ...] = ()
    metrics: tuple[MetricMeaning, ...] = ()
    joins: tuple[JoinMeaning, ...] = ()


def refused(errors: list[str]) -> InvalidArgument:
    """The error for a file with these faults."""
    more = [f"and {len(errors) - MAX_ERRORS} more"] if len(errors) > MAX_ERRORS else []
    return InvalidArgument(FIELD, "; ".join([*errors[:MAX_ERRORS], *more]) + ".")


def parse(text: str) -> Layer:
    """The layer that a file describes; an empty file describes an empty one.

    Raises:
        InvalidArgument: It is no such file; the message names the places and lines of what is wrong.
    """
    try:
        if any(isinstance(token, (yaml.AnchorToken, yaml.AliasToken)) for token in yaml.scan(text)):
            raise refused(["anchors and aliases (& and *) are not allowed: write it out"])
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise refused([f"{line}it is not valid YAML: {error.problem or error.context or 'unreadable'}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise refused(["it is not valid YAML"]) from None
    if root is None:
        return Layer()
    reader = _Reader()
    layer = reader.layer(root)
    if reader.errors:
        raise refused(reader.errors)
    return layer


@dataclass
class _Reader:
    """Reads nodes; faults are gathered, so that a person sees them all at once."""

    errors: list[str] = field(default_factory=list)

    def layer(self, root: yaml.Node) -> Layer:
        parts = self._fields(root, "", ("version", "tables", "metrics", "joins"))
        version = parts.get("version")
        if version is None or version.value != str(VERSION):
            self._fault("version", version or root, f"must be {VERSION}")
        tables = [
            (name, self._table(node, f"tables.{name}")) for name, node in self._entries(parts.get("tables"), "tables")
        ]
        metrics = [self._metric(node, place) for node, place in self._items(parts.get("metrics"), "metrics")]
        joins = [self._join(node, place) for node, place in self._items(parts.get("joins"), "joins")]
        return Layer(
            tuple(tables),
            tuple(metric for metric in metrics if metric is not None),
            tuple(join for join in joins if join is not None),
        )

    def _table(self, node: yaml.Node, path: str) -> TableMeaning:
        parts = self._fields(node, path, ("description", "synonyms", "columns"))
        columns = [
            (name, self._column(item, f"{path}.columns.{name}"))
            for name, item in self._entries(parts.get("columns"), f"{path}.columns")
        ]
        return TableMeaning(
            _place(path, node),
            self._text(parts.get("description"), f"{path}.description"),
            self._texts(parts.get("synonyms"), f"{path}.synonyms"),
            tuple(columns),
        )

    def _column(self, node: yaml.Node, path: str) -> ColumnMeaning:
        parts = self._fields(node, path, ("description", "synonyms", "values"))
        values = [
            (said, value)
            for value, item in self._entries(parts.get("values"), f"{path}.values")
            for said in self._texts(item, f"{path}.values.{value}")
        ]
        return ColumnMeaning(
            _place(path, node),
            self._text(parts.get("description"), f"{path}.description"),
            self._texts(parts.get("synonyms"), f"{path}.synonyms"),
            tuple(values),
        )

    def _metric(self, node: yaml.Node, path: str) -> MetricMeaning | None:
        parts = self._fields(node, path, ("name", "table", "expression", "filter", "synonyms", "description"))
        needed = {name: self._needed(parts, name, node, path) for name in ("name", "table", "expression")}
        if not all(needed.values()):
            return None
        return MetricMeaning(
            _place(path, node),
            **needed,
            filter=self._text(parts.get("filter"), f"{path}.filter"),
            synonyms=self._texts(parts.get("synonyms"), f"{path}.synonyms"),
            description=self._text(parts.get("description"), f"{path}.description"),
        )

    def _join(self, node: yaml.Node, path: str) -> JoinMeaning | None:
        parts = self._fields(node, path, ("from", "to"))
        sides = [self._side(parts.get(name), f"{path}.{name}", node) for name in ("from", "to")]
        (table, columns), (other, referred) = sides
        if not columns or not referred:
            return None
        if len(columns) != len(referred):
            self._fault(path, node, "from and to must have as many columns")
            return None
        return JoinMeaning(_place(path, node), table, columns, other, referred)

    def _side(self, node: yaml.Node | None, path: str, beside: yaml.Node) -> tuple[str, tuple[str, ...]]:
        """`orders.customer_id`, or a list of such columns of one table."""
        if node is None:
            self._fault(path, beside, "is required")
            return "", ()
        texts = (self._text(node, path),) if isinstance(node, yaml.ScalarNode) else self._texts(node, path)
        pairs = [text.rpartition(".") for text in texts]
        if not pairs or not all(table and column for table, _dot, column in pairs):
            self._fault(path, node, "must be table.column, or a list of such")
            return "", ()
        if len({table for table, _dot, _column in pairs}) > 1:
            self._fault(path, node, "must name columns of one table")
            return "", ()
        return pairs[0][0], tuple(column for _table, _dot, column in pairs)

    # The parts of YAML.

    def _fields(self, node: yaml.Node, path: str, known: tuple[str, ...]) -> dict[str, yaml.Node]:
        found = dict(self._entries(node, path))
        for name, value in found.items():
            if name not in known:
                self._fault(f"{path}.{name}".lstrip("."), value, f"is not known; known are {', '.join(known)}")
        return found

    def _entries(self, node: yaml.Node | None, path: str) -> Iterator[tuple[str, yaml.Node]]:
        """The entries of a mapping; none of an empty value."""
        if node is None or _empty(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self._fault(path, node, "must be a mapping")
            return
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fault(path, key, "has a key that is no text")
                continue
            if key.value in seen:
                self._fault(f"{path}.{key.value}".lstrip("."), key, "stands there twice")
                continue
            seen.add(key.value)
            yield key.value, value

    def _items(self, node: yaml.Node | None, path: str) -> Iterator[tuple[yaml.Node, str]]:
        """The items of a list with their paths."""
        if node is None or _empty(node):
            return
        if not isinstance(node, yaml.SequenceNode):
            self._fault(path, node, "must be a list")
            return
        for number, item in enumerate(node.value):
            yield item, f"{path}[{number}]"

    def _texts(self, node: yaml.Node | None, path: str) -> tuple[str, ...]:
        found = [self._text(item, place) for item, place in self._items(node, path)]
        if node is not None and len(found) > MAX_SYNONYMS:
            self._fault(path, node, f"has more than {MAX_SYNONYMS} entries")
        return tuple(dict.fromkeys(text for text in found if text))

    def _text(self, node: yaml.Node | None, path: str) -> str:
        if node is None or _empty(node):
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self._fault(path, node, "must be text")
            return ""
        text = str(node.value).strip()
        if len(text) > MAX_TEXT or "\0" in text:
            self._fault(path, node, f"must be text of at most {MAX_TEXT} characters")
            return ""
        return text

    def _needed(self, parts: dict[str, yaml.Node], name: str, node: yaml.Node, path: str) -> str:
        text = self._text(parts.get(name), f"{path}.{name}")
        if not text:
            self._fault(f"{path}.{name}", parts.get(name, node), "is required")
        return text

    def _fault(self, path: str, node: yaml.Node, what: str) -> None:
        self.errors.append(f"{_place(path, node)} {what}")


def _place(path: str, node: yaml.Node) -> Place:
    return Place(path, node.start_mark.line + 1)


def _empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"

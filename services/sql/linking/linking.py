"""Links words of a question to tables, columns and values of a schema."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from services.sql.language.tokens import Token
from services.sql.language.words import fold, lemma, plain_words, split_name, stem
from services.sql.schema import Column, Kind, Schema, Table

MAX_SPAN = 7
# Words from this length on may be spelt out forms of shorter names: `latitude` of `lat`.
SPELT_OUT = 6
REVENUE = "revenue"
"""Name of the computed measure quantity × price."""
METRIC = "="
"""What the names of a semantic layer's metrics begin with where a column's name is expected: no column's does."""

# What people say for what designers write, by stems.
_SYNONYMS = {
    "price": ("cost", "fee", "charge"), "cost": ("price", "fee"), "salary": ("wage", "pay", "earning", "income"),
    "city": ("town",), "name": ("title",), "title": ("name", "job", "role"), "phone": ("telephone", "mobile"),
    "customer": ("client", "buyer", "shopper"), "employee": ("worker", "staff"), "product": ("item", "article",
    "goods"),
    "category": ("type", "kind"), "type": ("kind", "category"), "supplier": ("vendor", "provider"),
    "order": ("purchase", "sale"), "stock": ("inventory",), "sex": ("gender",), "gender": ("sex",),
    "nationality": ("country", "citizenship"), "country": ("nation",), "email": ("mail",), "year": ("time",),
    "people": ("person",), "person": ("people", "human"), "movie": ("film",), "film": ("movie",), "age": ("old",),
    "instructor": ("teacher", "professor"), "teacher": ("instructor",), "faculty": ("professor",), "area": ("size",),
    "capacity": ("seat",), "population": ("people", "inhabitant", "resident", "citizen"), "score": ("point",),
    "last": ("family",), "first": ("given",), "dept": ("department",),
    "department": ("dept",), "num": ("number",), "number": ("num", "no"), "desc": ("description",), "addr": ("address",
    ),
    "quantity": ("amount", "number"), "amount": ("quantity",), "location": ("place", "address"), "id": ("identifier",),
    "hire": ("hired", "employed"), "description": ("detail",), "rating": ("rate", "star"), "stuid": ("student",),
    "length": ("duration",), "duration": ("length",), "artist": ("singer", "musician"), "singer": ("artist",),
    "song": ("track",), "track": ("song",), "team": ("club",), "club": ("team",), "code": ("abbreviation",),
    "max": ("maximum", "highest"), "min": ("minimum", "lowest"), "mean": ("average",), "avg": ("average", "mean"),
    "average": ("mean",),
}  # fmt: skip
_SAID: dict[str, set[str]] = defaultdict(set)
for _written, _spoken in _SYNONYMS.items():
    for _word in _spoken:
        _SAID[stem(_word)].add(stem(_written))
_SEXES = {
    "f": ("female", "woman", "girl", "females", "women", "girls"), "m": ("male", "man", "boy", "males", "men", "boys"),
    "female": ("woman", "girl", "women", "girls"), "male": ("man", "boy", "men", "boys"),
    "nữ": ("female", "woman", "girl", "women", "girls"), "nam": ("male", "man", "boy", "men", "boys"),
}  # fmt: skip
"""What is said for the values of a column that is called sex or gender."""
PLACE_LEADS = frozenset(("in", "from", "at", "near"))
"""Words that a place follows."""
_MEASURES = frozenset(("mean", "average", "total", "max", "min", "maximum", "minimum", "first", "last"))
_GENERIC = frozenset(
    map(stem, ("name", "id", "code", "date", "number", "type", "title", "description", "detail", "of"))
)


@dataclass(frozen=True)
class Item:
    """Something that words may stand for."""

    table: str
    column: str = ""
    value: str | None = None
    weight: float = 1.0

    @property
    def ref(self) -> tuple[str, str]:
        """Its table and column."""
        return self.table, self.column


@dataclass(frozen=True)
class Mention:
    """Words of a question with what they may stand for, best first."""

    start: int
    """Index of the first token."""
    end: int
    """Index after the last token."""
    items: tuple[Item, ...]
    others: tuple[Item, ...] = ()
    """Less likely ones of the other kind: names where the words read like a value, and the other way round."""


class LinkIndex:
    """Finds the parts of one schema by the words that people use for them."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._names: dict[tuple[str, ...], dict[tuple[str, str], float]] = defaultdict(dict)
        self._whole: set[tuple[str, ...]] = set()
        """Names and values as their folded words, whole ones only."""
        self.words: set[str] = set()
        """Words of names, synonyms and values, folded."""
        self.value_words: set[str] = set()
        """Words of values."""
        self.pairs: set[tuple[str, str]] = set()
        """Neighbouring words of them."""
        self._values: dict[str, list[Item]] = defaultdict(list)
        self._lemmas: dict[str, list[Item]] = defaultdict(list)
        for table in schema.tables:
            words = tuple(map(stem, split_name(table.name)))
            self._add_name(words, table.name, "", 1.0)
            self._keep_whole(table.name)
            self._add_synonyms(table.synonyms, table.name, "")
            for column in table.columns:
                self._add_column(table, column, words)
        self._add_revenue()
        for metric in schema.metrics:
            self._add_synonyms((metric.name, *metric.synonyms), metric.table, METRIC + metric.name)
        self._ends: dict[str, dict[str, dict[tuple[str, str], float]]] = defaultdict(dict)
        """Names of one word by the last letters."""
        for part, refs in self._names.items():
            if len(part) == 1 and len(part[0]) > 5:
                self._ends[part[0][-4:]][part[0]] = refs
        self._short = {
            part[0]: refs for part, refs in self._names.items() if len(part) == 1 and 3 <= len(part[0]) <= SPELT_OUT
        }

    def _add_column(self, table: Table, column: Column, table_words: tuple[str, ...]) -> None:
        words = tuple(map(stem, split_name(column.name)))
        key_penalty = 0.15 if column.name in table.key_columns else 0.0
        self._add_name(words, table.name, column.name, 1.0 - key_penalty / 3)
        self._keep_whole(column.name)
        self._add_synonyms(column.synonyms, table.name, column.name)
        for said, value in column.value_synonyms:
            self._add_value(plain_words(said), Item(table.name, column.name, value))
        if len(words) > 1 and words[0] in table_words:
            self._add_name(words[1:], table.name, column.name, 0.97 - key_penalty)
        if column.kind in (Kind.TEXT, Kind.OTHER, Kind.DATE):
            coded = len(column.values) <= len(_SEXES) and bool({"sex", "gender"} & set(split_name(column.name)))
            for value in column.values:
                for word in _SEXES.get(value.lower(), ()) if coded else ():
                    self._values[word].append(Item(table.name, column.name, value))
                folded = " ".join(fold(value).replace("-", " ").split())
                if len(folded) > 1 and not folded.replace(".", "").isdigit():
                    self._add_value(tuple(folded.split()), Item(table.name, column.name, value))

    def _add_value(self, words: tuple[str, ...], item: Item) -> None:
        self._values[" ".join(words)].append(item)
        self._whole.add(words)
        self.value_words.update(words)
        self.words.update(words)
        self.pairs.update(itertools.pairwise(words))
        # A value may be said in the plural where it is one already: `sales clerks` of `Sales Clerk`.
        self._lemmas[" ".join(map(lemma, words))].append(item)

    def _add_synonyms(self, synonyms: Sequence[str], table: str, column: str) -> None:
        """Files what people call a part, in their words and, for Vietnamese ones, in those that they become."""
        for said in synonyms:
            words = plain_words(said)
            self._keep_whole(said)
            for form in {words, split_name(said)} - {()}:
                self._keep(tuple(map(stem, form)), table, column, 0.98)

    def _keep_whole(self, name: str) -> None:
        """A name whose words are rewritten into English ones is found by those."""
        words = plain_words(name)
        for part in (words, split_name(name)):
            self.words.update(part)
            self.pairs.update(itertools.pairwise(part))
        if split_name(name) == words:
            self._whole.add(words)

    def knows(self, words: tuple[str, ...]) -> bool:
        """Whether these folded words are a whole name, synonym or value: then they mean that, whatever else."""
        return words in self._whole

    def _add_name(self, words: tuple[str, ...], table: str, column: str, weight: float) -> None:
        """Files a name under its words, under each run of them with less weight, and under its words run together."""
        for size in range(1, len(words) + 1):
            for start in range(len(words) - size + 1):
                part = words[start : start + size]
                share = weight if size == len(words) else weight * (0.35 + 0.5 * size / len(words))
                if size < len(words) and all(word in _GENERIC for word in part):
                    share *= 0.75 if start + size == len(words) else 0.4
                self._keep(part, table, column, share)
        if len(words) > 1:
            self._keep((stem("".join(words)),), table, column, weight * 0.95)

    def _keep(self, part: tuple[str, ...], table: str, column: str, weight: float) -> None:
        found = self._names[part]
        found[table, column] = max(weight, found.get((table, column), 0.0))

    def _add_revenue(self) -> None:
        """A table with a quantity and a price has a revenue."""
        for table in self.schema.tables:
            if revenue_columns(table):
                for word in ("revenue", "turnover", "sales", "spend", "earning", "spending"):
                    self._names[(stem(word),)].setdefault((table.name, REVENUE), 0.9)

    def names(self, words: Sequence[str]) -> list[Item]:
        """Tables and columns that these stems may mean, best first."""
        found: dict[tuple[str, str], float] = dict(self._names.get(tuple(words), {}))
        for position, word in enumerate(words):
            for other in _SAID.get(word, ()):
                replaced = (*words[:position], other, *words[position + 1 :])
                for ref, weight in self._names.get(replaced, {}).items():
                    found[ref] = max(found.get(ref, 0.0), weight * 0.8)
        if not found and len(words) == 1 and len(words[0]) >= SPELT_OUT:
            for short, refs in self._short.items():
                if words[0].startswith(short) and len(words[0]) > len(short) + 1:
                    found |= {ref: weight * 0.65 for ref, weight in refs.items()}
        if not found and len(words) == 1 and len(words[0]) >= 4:
            # "room" of `classroom`.
            for known, refs in self._ends.get(words[0][-4:], {}).items():
                if known.endswith(words[0]):
                    found |= {ref: weight * 0.65 for ref, weight in refs.items()}
        items = [Item(table, column, None, weight) for (table, column), weight in found.items()]
        return sorted(items, key=lambda item: -item.weight)

    def values(self, text: str) -> list[Item]:
        """Values that read like this folded text."""
        base = " ".join(map(lemma, text.split()))
        # A single word in another form than the value's is more often a noun than the value.
        other = self._lemmas.get(base, []) if " " in base else []
        return self._values.get(text) or self._values.get(base) or other

    def link(self, tokens: Sequence[Token], stop: frozenset[str]) -> list[Mention]:
        """Non-overlapping mentions in the order of the question: the longest and surest first.

        Args:
            tokens: The question.
            stop: Words that alone never stand for anything.
        """
        found: list[tuple[float, Mention]] = []
        for start in range(len(tokens)):
            for end in range(start + 1, min(len(tokens), start + MAX_SPAN) + 1):
                scored = self._mention(tokens, start, end, stop)
                if scored:
                    found.append(scored)
        taken: set[int] = set()
        chosen = []
        for _score, mention in sorted(found, key=lambda item: -item[0]):
            span = set(range(mention.start, mention.end))
            if not span & taken:
                taken |= span
                chosen.append(mention)
        return sorted(chosen, key=lambda mention: mention.start)

    def _mention(
        self, tokens: Sequence[Token], start: int, end: int, stop: frozenset[str]
    ) -> tuple[float, Mention] | None:
        window = tokens[start:end]
        if window[0].quoted or (any(token.number is not None for token in window) and len(window) == 1):
            values = self.values(" ".join(window[0].word.replace("-", " ").split())) if window[0].quoted else []
            return (9.0, Mention(start, end, tuple(values))) if values and len(window) == 1 else None
        whole = len(window) > 1 and self.knows(tuple(token.word for token in window))
        if any(token.quoted for token in window) or (window[-1].word in stop and not whole):
            return None
        if window[0].word in stop:
            # Only a name may start with such a word: "The Phantom of the Opera", "Can Tho", "in can tho".
            named = all(token.text[:1].isupper() for token in window) or tokens[start - 1].word in PLACE_LEADS
            title = start > 0 and end - start > 1 and (named or (end - start > 2 and window[0].text[:1].isupper()))
            values = self.values(" ".join(token.word for token in window)) if title else []
            if window[0].word in _MEASURES and end - start > 1:
                # "mean humidity" where a column is called that.
                words = [stem(token.word) for token in window]
                # "minimum salary" is a measure of salaries where there is such a column, whatever else there is.
                measured = any(item.column and item.weight >= 0.95 for item in self.names(words[1:]))
                names = [
                    item
                    for item in self.names(words)
                    if item.weight >= 0.95 or (not measured and _begins(item.column, words))
                ]
                return (len(window) * 2 + 1.0, Mention(start, end, tuple(names))) if names else None
            return (len(window) * 2 + 1.5, Mention(start, end, tuple(values))) if values else None
        # Half of what people point at is written in a token of its own: `order_items`, `e-mail`.
        words = [stem(part) for token in window for part in (split_name(token.text) or (token.word,))]
        names = self.names(words)
        values = self.values(" ".join(token.word.replace("-", " ") for token in window))
        proper = any(token.text[:1].isupper() for token in window[0 if start else 1 :])
        length = len(window)
        if values and (length > 1 or proper or not names or names[0].weight < 0.6):
            return length * 2 + (1.5 if proper else 0.9), Mention(start, end, tuple(values), tuple(names[:4]))
        if names and names[0].weight >= 0.3:
            best = names[0].weight
            return length * 2 + best, Mention(
                start, end, tuple(i for i in names if i.weight >= best * 0.5), tuple(values[:4])
            )
        return None


def _begins(column: str, words: Sequence[str]) -> bool:
    """Whether a column's name begins with these stems: `maximum temperature` of `max_temperature_f`."""
    named = list(map(stem, split_name(column)))[: len(words)]
    return len(named) == len(words) and all(
        one == other or one in _SAID.get(other, ()) for one, other in zip(named, words, strict=True)
    )


def said_words() -> frozenset[str]:
    """The words that people say for what designers write."""
    return frozenset(word for words in _SYNONYMS.values() for word in words) | frozenset(_SYNONYMS)


def computed(column: str) -> bool:
    """Whether what stands in a column's place is no column: a measure that is computed, and sums up rows."""
    return column == REVENUE or column.startswith(METRIC)


def revenue_columns(table: Table) -> tuple[str, str] | None:
    """The quantity and the price of a table's rows; None where it has not both."""
    quantity = [c.name for c in table.columns if c.numeric and split_name(c.name)[-1:] in (("quantity",), ("qty",))]
    price = [c.name for c in table.columns if c.numeric and "price" in split_name(c.name)]
    return (quantity[0], price[0]) if quantity and price else None

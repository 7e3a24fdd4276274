"""Reads a question into a frame: walks its marks from left to right and decides what each reference is for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.sql.frame import Filter, Frame, Ref, Term
from services.sql.joins import JoinGraph
from services.sql.lexicon import LONGEST_SIGN, SIGNS, STOP, Sign
from services.sql.linking import PLACE_LEADS, REVENUE, Item, LinkIndex, Mention
from services.sql.query import Link
from services.sql.schema import Column, Kind, Schema, Table
from services.sql.tokens import Token
from services.sql.words import listed, split_name, stem

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sep sept", "october oct", "november nov", "december dec"), 1)
    for name in names.split()
}  # fmt: skip
_KEY_WORDS = frozenset(listed("id no num number code key"))
_NUMERIC = re.compile(r"-?\d+(\.\d+)?")
_PLACES = frozenset(listed("city state country region town location place district province address county nation"))
_SIZES = ("size", "area", "acreage", "population", "capacity")
_SIZE_WORDS = frozenset(listed("largest biggest greatest smallest"))
_RELATIVE = {("last", "year"), ("this", "year"), ("last", "month"), ("this", "month"), ("last", "week")}
_AGGREGATES = {"average": "AVG", "total": "SUM", "maximum": "MAX", "minimum": "MIN"}
"""How an aggregate that found no column is said."""
_GENERAL_SUPERS = frozenset(listed("highest largest biggest greatest lowest smallest most least best worst top"))


@dataclass(frozen=True)
class Mark:
    """A sign, a mention, a number, a quoted text or a period of the question."""

    kind: str
    """sign, mention, number, text, period."""
    start: int
    end: int
    sign: Sign | None = None
    items: tuple[Item, ...] = ()
    number: float = 0.0
    text: str = ""
    words: str = ""

    def is_sign(self, *kinds: str) -> bool:
        """Whether it is a sign of one of these kinds."""
        return self.sign is not None and self.sign.kind in kinds


def scan(tokens: Sequence[Token], index: LinkIndex) -> list[Mark]:
    """The marks of a question in order. Words inside a mention of several words are no signs."""
    mentions = {mention.start: mention for mention in index.link(tokens, STOP)}
    marks: list[Mark] = []
    position = 0
    while position < len(tokens):
        mark = _mark(tokens, position, mentions)
        if mark is None:
            position += 1
        else:
            marks.append(mark)
            position = mark.end
    return marks


def _mark(tokens: Sequence[Token], position: int, mentions: dict[int, Mention]) -> Mark | None:
    token = tokens[position]
    mention = mentions.get(position)
    if mention and mention.end - mention.start > 1:
        return _mention(mention, tokens)
    period = _period(tokens, position)
    if period:
        return period
    if not token.quoted:
        for length in range(min(LONGEST_SIGN, len(tokens) - position), 0, -1):
            window = tokens[position : position + length]
            sign = SIGNS.get(tuple(item.word for item in window))
            covered = any(start in mentions for start in range(position + 1, position + length))
            if sign and not (covered and sign.kind in ("aggregate", "compare", "like") and length > 2):
                if mention and sign.kind in ("order", "aggregate", "like", "compare") and length == 1:
                    break
                return Mark("sign", position, position + length, sign, words=" ".join(i.word for i in window))
    if mention:
        return _mention(mention, tokens)
    if token.number is not None:
        return Mark("number", position, position + 1, number=token.number, text=token.text)
    if token.quoted or re.fullmatch(r"\d{4}-\d{2}-\d{2}", token.text):
        return Mark("text", position, position + 1, text=token.text)
    return None


def _mention(mention: Mention, tokens: Sequence[Token]) -> Mark:
    words = " ".join(token.word for token in tokens[mention.start : mention.end])
    text = tokens[mention.start].text if mention.end - mention.start == 1 else words
    return Mark("mention", mention.start, mention.end, items=mention.items, text=text, words=words)


def _period(tokens: Sequence[Token], position: int) -> Mark | None:
    """`March 2025`, `month 3 year 2025`, `2025` after a preposition, `last month`."""
    words = [token.word for token in tokens[position : position + 4]]
    before = tokens[position - 1].word if position else ""
    if tuple(words[:2]) in _RELATIVE:
        return Mark("period", position, position + 2, text=" ".join(words[:2]))
    if words[0] == "month" and len(words) > 1 and tokens[position + 1].number is not None:
        month, end = int(tokens[position + 1].number or 0), position + 2
    elif words[0] in _MONTHS and (
        words[0] not in ("may", "march", "mar") or before in ("in", "of", "since", "after", "before", "during", "for")
    ):
        month, end = _MONTHS[words[0]], position + 1
    else:
        month, end = 0, position
    skip = 1 if month and end < len(tokens) and tokens[end].word in ("year", ",", "of") else 0
    year = tokens[end + skip].number if end + skip < len(tokens) else None
    if year is not None and year.is_integer() and 1900 <= year <= 2100 and (month or before in _YEAR_LEADS):
        return Mark("period", position, end + skip + 1, text=f"{int(year):04d}" + (f"-{month:02d}" if month else ""))
    return Mark("period", position, end, text=f"--{month:02d}") if 1 <= month <= 12 else None


_YEAR_LEADS = frozenset(listed("in since after before during year until from by"))


class Reader:
    """Reads one question.

    Args:
        schema: The database's.
        graph: Its joins.
        marks: What `scan` found.
        tokens: The question.
    """

    def __init__(self, schema: Schema, graph: JoinGraph, marks: Sequence[Mark], tokens: Sequence[Token]) -> None:
        self._schema = schema
        self._graph = graph
        self._marks = marks
        self._tokens = tokens
        self._mentioned = self._tables(marks)
        self.frame = Frame()
        self.links: list[Link] = []
        self.loose: list[str] = []
        """Words that steer a query or hold a value, and found nothing to act on: the reading is then likely wrong."""
        self._aggregate = ""
        self._super: Mark | None = None
        self._popular = ""
        self._order = self._group = self._negated = self._or = self._distinct = False
        self._compare: Mark | None = None
        self._compare_number: list[str | float] = []
        self._like = ""
        self._limit: int | None = None
        self._last: Ref | None = None
        self._in_where = False
        self._entity_before_super = False

    def read(self) -> Frame:
        """The frame of the question."""
        for position, mark in enumerate(self._marks):
            if mark.kind == "mention":
                self._read_mention(mark, position)
            elif mark.kind == "sign":
                self._read_sign(mark, position)
            elif mark.kind == "number":
                self._read_number(mark, position)
            elif mark.kind == "text":
                self._read_text(mark.text)
            else:
                self._read_period(mark)
        self._finish()
        return self.frame

    # What words stand for.

    def _tables(self, marks: Sequence[Mark]) -> dict[str, int]:
        """Tables that are mentioned by name, with the position of the mark; sure ones only."""
        found: dict[str, int] = {}
        for position, mark in enumerate(marks):
            if mark.items and mark.items[0].value is None:
                for item in mark.items:
                    if not item.column and item.weight >= mark.items[0].weight - 0.05 and item.weight >= 0.6:
                        found.setdefault(item.table, position)
        return found

    def _choose(self, mark: Mark, position: int) -> Item:
        """The most likely of a mention's meanings: by its weight, and by the tables that the question is about."""

        def score(item: Item) -> float:
            bonus = 0.0
            if item.column:
                if self._mentioned.get(item.table, position) != position:
                    near = abs(self._mentioned[item.table] - position)
                    bonus += 0.35 + 0.25 / (1 + near)
                if item.table in self.frame.tables:
                    bonus += 0.2
                if item.value is not None and self._after_place_word(mark) and _PLACES & set(split_name(item.column)):
                    bonus += 0.25
                if self._last and item.ref == self._last and item.value is not None:
                    bonus += 1.0
                table = self._schema.by_name[item.table]
                if item.column in {name for key in table.foreign_keys for name in key.columns}:
                    bonus -= 0.12
                if not self._mentioned and item.column in table.primary_key:
                    bonus += 0.05
                if self._mentioned and item.table not in self._mentioned:
                    distance = min(self._graph.distance(name, item.table) for name in self._mentioned)
                    bonus -= 0.05 * min(distance, 6)
            elif not self._order:
                bonus += 0.3 if self._group else 0.45
            return item.weight + bonus

        return self._entity(max(mark.items, key=score), mark)

    def _entity(self, item: Item, mark: Mark) -> Item:
        """A key that is meant as what it identifies: of `student_id`, "student" says the student, not the number."""
        words = split_name(item.column)
        if item.value is not None or len(words) < 2 or words[-1] not in _KEY_WORDS:
            return item
        if set(mark.words.split()) & {"id", "ids", "identifier", "code", "codes", "number", "numbers", words[-1]}:
            return item
        table = self._table(item.table)
        if (item.column,) == table.primary_key:
            return replace(item, column="")
        for key in table.foreign_keys:
            if key.columns == (item.column,):
                return replace(item, table=key.referred_table, column="")
        return item

    def _after_place_word(self, mark: Mark) -> bool:
        return mark.start > 0 and self._tokens[mark.start - 1].word in PLACE_LEADS

    def _table(self, name: str) -> Table:
        return self._schema.by_name[name]

    def _column(self, ref: Ref) -> Column | None:
        return self._table(ref[0]).by_name.get(ref[1])

    def _numeric(self, ref: Ref) -> bool:
        column = self._column(ref)
        if column is None:
            return ref[1] == REVENUE
        return column.numeric or (
            column.kind is Kind.TEXT
            and bool(column.values)
            and all(_NUMERIC.fullmatch(value) for value in column.values[:20])
        )

    def _note(self, mark: Mark, item: Item) -> None:
        start, end = self._tokens[mark.start].start, self._tokens[mark.end - 1].end
        column = "" if item.column == REVENUE else item.column
        self.links.append(Link(mark.text, start, end, item.table, column, item.value or "", min(1.0, item.weight)))

    def _touch(self, table: str) -> None:
        if table not in self.frame.tables:
            self.frame.tables.append(table)

    def _next(self, position: int) -> Mark | None:
        return self._marks[position + 1] if position + 1 < len(self._marks) else None

    # Mentions.

    def _read_mention(self, mark: Mark, position: int) -> None:
        item = self._choose(mark, position)
        self._note(mark, item)
        if item.value is not None:
            self._read_value(item, position)
        elif item.column:
            self._read_column(item, position)
        else:
            self._read_table(item.table)

    def _read_value(self, item: Item, position: int) -> None:
        self._touch(item.table)
        self._unselect(item.ref, position)
        previous = self.frame.filters[-1] if self.frame.filters else None
        either = self._or or bool(previous and previous.ref == item.ref and previous.op == "=" and not previous.negated)
        op = {"starts": "starts", "ends": "ends", "contains": "contains"}.get(self._like, "=")
        self.frame.filters.append(
            Filter(
                item.ref, op, [item.value or ""], negated=self._take_not(), joined_by_or=either and previous is not None
            )
        )
        self._or, self._like, self._last, self._compare = False, "", None, None

    def _unselect(self, ref: Ref, position: int) -> None:
        """`city Hanoi`, `whose city is Hanoi`: the column just selected was the condition's."""
        just_selected = bool(self.frame.select) and self.frame.select[-1] == Term(ref) and self._last == ref
        if just_selected and not self._marks[position - 1].is_sign("and", "group"):
            self.frame.select.pop()

    def _take_not(self) -> bool:
        negated, self._negated = self._negated, False
        return negated

    def _read_column(self, item: Item, position: int) -> None:
        ref = item.ref
        following = self._next(position)
        self._touch(ref[0])
        if self._compare_number and self._numeric(ref):
            self._add_compare(ref)
        elif self._conditioned(ref, following):
            self._last = ref
        elif self._super or self._popular:
            self._superlative(ref)
        elif self._order:
            self._set_order(Term(ref, self._aggregate))
            self._aggregate = ""
        elif self._group and not self._aggregate:
            self._add_group(Term(ref))
        elif self._aggregate:
            self._add_aggregate(ref)
        else:
            self._add_select(ref)
        self._last = ref

    def _conditioned(self, ref: Ref, following: Mark | None) -> bool:
        """Whether a condition follows: then the column is not asked for."""
        if following is None or self._group or self._order or self._super:
            return False
        if following.is_sign("compare", "like"):
            return not self._aggregate
        if following.kind in ("number", "text"):
            return not self._aggregate
        if following.is_sign("not"):
            return self._in_where
        return following.kind == "mention" and any(item.ref == ref and item.value for item in following.items)

    def _add_select(self, ref: Ref) -> None:
        term = Term(ref)
        last = self.frame.filters[-1] if self.frame.filters else None
        if last is not None and last.ref == ref and (self._last is None or last.average):
            # "from Duke college": the column names the value before it.
            return
        if term not in self.frame.select:
            self.frame.select.append(term)
        if self._distinct:
            self.frame.distinct, self._distinct = True, False

    def _add_aggregate(self, ref: Ref) -> None:
        aggregate = self._aggregate
        if aggregate in ("SUM", "AVG") and not self._numeric(ref):
            self._add_select(ref)
        elif aggregate == "COUNT":
            table = self._table(ref[0])
            column = self._column(ref)
            if column is not None and column.numeric and ref[1] not in table.key_columns and not self._distinct:
                # "the number of seats": a column that holds a number is the number.
                self._add_select(ref)
            else:
                self.frame.select.append(Term(ref, "COUNT", distinct=True))
        else:
            self.frame.select.append(Term(ref, aggregate))
        # "the average and maximum age" keeps the first until the column comes; "average price and stock" goes on.
        self._aggregate, self._distinct = "", False
        for earlier, term in enumerate(self.frame.select):
            if term.ref == ("", ""):
                self.frame.select[earlier] = Term(ref, term.aggregate)

    def _add_group(self, term: Term) -> None:
        self._group = False
        if term not in self.frame.groups:
            self.frame.groups.append(term)

    def _set_order(self, term: Term) -> None:
        self._order = False
        if self.frame.order is None:
            self.frame.order = term

    def _superlative(self, ref: Ref) -> None:
        """A superlative meets its column."""
        words = self._super.words if self._super else ""
        counts = words in ("most", "fewest", "least") or words.endswith("number of")
        if self._popular or (counts and not self._numeric(ref)):
            direction = self._popular or (self._super.sign.value if self._super and self._super.sign else "desc")
            self.frame.groups.append(Term(ref))
            self._add_select(ref)
            self._rank(Term((ref[0], "*"), "COUNT"), direction)
        elif self._super and self._super.sign:
            if self._super.sign.hints and not self._hint_fits(ref):
                self._add_select(ref)
                return
            self._rank(Term(ref, self._aggregate if self._aggregate in ("AVG", "SUM") else ""), self._super.sign.value)
        self._aggregate = ""

    def _hint_fits(self, ref: Ref) -> bool:
        """Whether an adjective is about this very column: `oldest age`."""
        sign = self._super.sign if self._super else None
        words = set(map(stem, split_name(ref[1])))
        return sign is not None and any(stem(hint.lstrip("-")) in words for hint in sign.hints)

    def _rank(self, term: Term, direction: str) -> None:
        self.frame.order = term
        self.frame.descending = direction == "desc"
        self.frame.limit = self._limit or 1
        self._limit = None
        self._super, self._popular = None, ""

    def _read_table(self, table: str) -> None:
        rows = (table, "*")
        if self._negated and self.frame.tables and table != self.frame.tables[0]:
            self._negated = False
            self.frame.without.append(table)
            self._last = None
            return
        self._touch(table)
        if self._compare_number and self.frame.tables[0] != table:
            op = self._compare.sign.value if self._compare and self._compare.sign else "="
            self.frame.having.append(Filter(rows, op, self._compare_number))
            self._compare, self._compare_number = None, []
        elif self._aggregate == "COUNT":
            if self._order:
                self._set_order(Term(rows, "COUNT"))
            elif Term(rows, "COUNT") not in self.frame.select:
                self.frame.select.append(Term(rows, "COUNT"))
            self._aggregate, self._distinct = "", False
        elif self._popular:
            self.frame.groups.append(Term(rows))
            self._rank(Term(("", "*"), "COUNT"), self._popular)
        elif self._super:
            self._super_table(table)
        elif self._group:
            self._add_group(Term(rows))
        elif not self._super:
            self._entity_before_super = True
        self._last = None

    def _super_table(self, table: str) -> None:
        """`the oldest customer`, `the most orders`."""
        mark = self._super
        assert mark is not None and mark.sign is not None
        sized = mark.words in _SIZE_WORDS and table == self.frame.tables[0]
        ref = self._hinted(table, _SIZES if sized else mark.sign.hints)
        if ref is not None and (ref[0] == table or not sized):
            descending = mark.sign.value == "desc"
            if ref[1].startswith("-"):
                ref, descending = (ref[0], ref[1][1:]), not descending
            self._rank(Term(ref), "desc" if descending else "asc")
        elif (
            not mark.sign.hints
            and mark.words not in ("top", "first", "last", "best", "worst")
            and self.frame.tables[0] != table
        ):
            self._rank(Term((table, "*"), "COUNT"), mark.sign.value)
        elif mark.words in ("most", "fewest", "least") and self.frame.select:
            # "which city has the most customers": their column counts them.
            self.frame.groups += [term for term in self.frame.select if not term.aggregate]
            self._rank(Term((table, "*"), "COUNT"), mark.sign.value)

    def _hinted(self, table: str, hints: Sequence[str]) -> Ref | None:
        """The column of a table, or of one beside it, that an adjective is about; `-` turns the order."""
        near = [table, *(other.name for other in self._schema.tables if self._graph.direct(table, other.name))]
        for hint in hints:
            for name in near if hint == hints[0] and hints is not _SIZES else near[:1]:
                for column in self._table(name).columns:
                    measures = (
                        column.numeric or column.kind in (Kind.DATE, Kind.TIMESTAMP) or "date" in column.name.lower()
                    )
                    if (
                        measures
                        and stem(hint.lstrip("-")) in map(stem, split_name(column.name))
                        and column.name not in self._table(name).key_columns
                    ):
                        return name, ("-" if hint.startswith("-") else "") + column.name
        return None

    # Signs.

    def _read_sign(self, mark: Mark, position: int) -> None:
        sign = mark.sign
        assert sign is not None
        following = self._next(position)
        if sign.kind == "aggregate":
            self._read_aggregate(sign, following)
        elif sign.kind == "compare":
            self._compare, self._compare_number = mark, []
        elif sign.kind == "super":
            self._super = mark
        elif sign.kind == "popular":
            self._popular = sign.value
        elif sign.kind == "order":
            # "Sort the names by age": the order comes later.
            self._order = mark.words != "sort" or bool(self.frame.select)
        elif sign.kind == "alphabet":
            self.frame.descending = False
            if self.frame.select and self.frame.order is None:
                self.frame.order = Term(self.frame.select[-1].ref)
            self._order = self.frame.order is None
        elif sign.kind == "direction":
            self.frame.descending = sign.value == "desc"
            self._order = self.frame.order is None
        elif sign.kind == "group":
            self._group = True
        elif sign.kind == "by":
            self._read_by(mark, following)
        elif sign.kind == "period":
            self._read_period_group(sign.value)
        elif sign.kind == "like":
            self._like = sign.value
        else:
            self._read_small_sign(sign)

    def _read_small_sign(self, sign: Sign) -> None:
        if sign.kind == "not":
            self._negated = True
        elif sign.kind == "distinct":
            self._distinct = True
        elif sign.kind == "both":
            self.frame.both = True
        elif sign.kind == "or":
            self._or = True
        elif sign.kind == "everything":
            self.frame.everything = True
        elif sign.kind == "where":
            self._in_where = True
        elif sign.kind == "and" and self._in_where and self._compare is None:
            self._last = None

    def _read_aggregate(self, sign: Sign, following: Mark | None) -> None:
        if self._compare and sign.value == "AVG" and self._last:
            self._add_filter(Filter(self._last, self._compare.sign.value if self._compare.sign else ">", average=True))
            return
        if self._compare_number or (self._aggregate not in ("", "COUNT") and sign.value == "COUNT"):
            # "more than 5 total horses", "the average number of horses": the word belongs to the column.
            return
        if self._aggregate and following is not None and self._aggregate != "COUNT":
            # "average and maximum age": the first waits for the same column.
            self.frame.select.append(Term(("", ""), self._aggregate))
        self._aggregate = sign.value

    def _read_by(self, mark: Mark, following: Mark | None) -> None:
        """`by` groups after an aggregate and sorts otherwise; after a participle (`written by`) it does neither."""
        before = self._tokens[mark.start - 1].word if mark.start else ""
        named = following is None or following.kind != "mention" or following.items[0].value is not None
        if named or before.endswith(("ed", "en", "ght", "made")):
            return
        if any(term.aggregate or term.ref[1] == REVENUE for term in self.frame.select):
            self._group = True
        elif not (self._super or self._aggregate):
            self._order = True
        if self._super and self._limit:
            self._group = False

    def _read_period_group(self, period: str) -> None:
        ref = self._temporal()
        if ref:
            self.frame.groups.append(Term(ref, period=period))

    # Numbers, texts, periods.

    def _read_number(self, mark: Mark, position: int) -> None:
        following = self._next(position)
        previous = self._marks[position - 1] if position else None
        sure = mark.number.is_integer() and 0 < mark.number < 1000
        if self._compare is not None:
            self._compare_with(mark.number, following)
        elif sure and (
            (previous and previous.is_sign("super", "popular")) or (following and following.is_sign("super", "popular"))
        ):
            self._limit = int(mark.number)
        elif previous and previous.is_sign("and", "or") and self._listed_number(mark.number, previous):
            return
        elif sure and following and any(not item.column for item in following.items) and not self.frame.tables:
            # "5 customers": so many of them.
            self._limit = int(mark.number)
        elif (self._last is not None and self._numeric(self._last)) or (
            self._last and previous and previous.kind == "mention"
        ):
            self._unselect_number(self._last)
            self._add_filter(Filter(self._last, "=", [mark.number]))
        else:
            self.loose.append(mark.text)

    def _listed_number(self, number: float, previous: Mark) -> bool:
        """`in 1999 or 2000`: one more value of the condition before."""
        last = self.frame.filters[-1] if self.frame.filters else None
        if last is None or last.op != "=" or not isinstance(last.values[0], float):
            return False
        either = previous.is_sign("or") or not self.frame.both
        self.frame.filters.append(Filter(last.ref, "=", [number], joined_by_or=either))
        self._or = False
        return True

    def _unselect_number(self, ref: Ref) -> None:
        if self.frame.select and self.frame.select[-1] == Term(ref):
            self.frame.select.pop()

    def _compare_with(self, number: float, following: Mark | None) -> None:
        compare = self._compare
        assert compare is not None and compare.sign is not None
        self._compare_number.append(number)
        op = compare.sign.value
        if following is not None and following.is_sign("compare") and following.words in ("or more", "or less"):
            op = following.sign.value if following.sign else op
            self._compare = replace(compare, sign=Sign("compare", op))
        if op == "between" and len(self._compare_number) < 2:
            return
        main = self.frame.tables[0] if self.frame.tables else None
        hinted = self._hinted(main, compare.sign.hints) if main and compare.sign.hints else None
        if hinted and not hinted[1].startswith("-"):
            self._add_compare(hinted)
        elif self._last is not None and (self._numeric(self._last) or not following or following.kind != "mention"):
            self._add_compare(self._last)

    def _add_compare(self, ref: Ref) -> None:
        op = self._compare.sign.value if self._compare and self._compare.sign else "="
        self._unselect_number(ref)
        aggregated = [term for term in self.frame.select if term.ref == ref and term.aggregate]
        if aggregated and self._in_where:
            self.frame.select.remove(aggregated[-1])
            self.frame.having.append(Filter(ref, f"{aggregated[-1].aggregate} {op}", self._compare_number))
        else:
            self._add_filter(Filter(ref, op, self._compare_number))
        self._compare, self._compare_number = None, []

    def _add_filter(self, found: Filter) -> None:
        self._touch(found.ref[0])
        found.negated = self._take_not()
        found.joined_by_or = self._or and bool(self.frame.filters)
        self._or = False
        self._compare = None
        self.frame.filters.append(found)

    def _read_text(self, text: str) -> None:
        """A quoted text that is no known value, or a date."""
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            ref = self._last if self._last and self._is_temporal(self._last) else self._temporal()
            if ref:
                self._add_filter(
                    Filter(ref, self._compare.sign.value if self._compare and self._compare.sign else "=", [text])
                )
            return
        ref = self._last or self._text_column()
        if ref is None:
            self.loose.append(text)
            return
        self._unselect_number(ref)
        self._add_filter(Filter(ref, self._like or "=", [text]))
        self._like = ""

    def _text_column(self) -> Ref | None:
        for table in self.frame.tables or list(self._mentioned):
            names = display_columns(self._table(table))
            if names:
                return table, names[0]
        return None

    def _is_temporal(self, ref: Ref) -> bool:
        column = self._column(ref)
        return column is not None and (column.temporal or "date" in split_name(column.name))

    def _temporal(self) -> Ref | None:
        """The date column that a period is about: of a mentioned table, or of one beside it."""
        near = [*self.frame.tables, *self._mentioned]
        beside = [other.name for name in near for other in self._schema.tables if self._graph.direct(name, other.name)]
        for names in (near[::-1], beside):
            for name in names:
                for column in self._table(name).columns:
                    if self._is_temporal((name, column.name)):
                        return name, column.name
        return None

    def _read_period(self, mark: Mark) -> None:
        op = self._compare.sign.value if self._compare and self._compare.sign else "="
        year = mark.text[:4]
        ref = self._temporal()
        if self._last and self._numeric(self._last) and (ref is None or "year" in split_name(self._last[1])):
            ref = self._last
        if ref is None or not self._is_temporal(ref):
            ref = ref or self._year_column()
            if ref is None or not year.isdigit():
                self.loose.append(mark.text)
                return
            self._unselect_number(ref)
            self._add_filter(Filter(ref, op, [float(year)]))
            return
        self._unselect_number(ref)
        self._add_filter(Filter(ref, f"period {op}", [mark.text]))

    def _year_column(self) -> Ref | None:
        near = [*self.frame.tables, *self._mentioned, *(table.name for table in self._schema.tables)]
        for name in dict.fromkeys(near):
            for column in self._table(name).columns:
                if "year" in split_name(column.name):
                    return name, column.name
        return None

    # The end.

    def _finish(self) -> None:
        """Decides what is still open."""
        frame = self.frame
        frame.select = [term for term in frame.select if term.ref != ("", "")]
        if self._super and self._super.sign and frame.order is None and frame.tables:
            self._late_superlative()
        if self._popular and frame.tables:
            target = frame.select[-1] if frame.select else Term((frame.tables[0], "*"))
            frame.groups.append(target)
            self._rank(Term((target.ref[0], "*"), "COUNT"), self._popular)
        if self._aggregate == "COUNT" and not frame.select and frame.tables:
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        if self._order and frame.order is None and not frame.select and frame.tables:
            names = display_columns(self._table(frame.tables[0]))
            frame.order = Term((frame.tables[0], names[0])) if names else None
        elif self._order and frame.order is None and frame.select:
            frame.order = Term(frame.select[0].ref, frame.select[0].aggregate)
        if self._limit and frame.limit is None:
            frame.limit = self._limit
        if self._aggregate == "COUNT" and frame.select and not any(t.aggregate for t in frame.select) and self._group:
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        if frame.groups and not frame.select and frame.order is None and not frame.having and frame.tables:
            # "orders per city": how many of them.
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        self._superlative_alone()
        self.loose += [word for word, value in _AGGREGATES.items() if value == self._aggregate]
        self.loose += [mark.words for mark in (self._super, self._compare) if mark is not None]
        self.loose += ["not"] * self._negated + [self._like] * bool(self._like)

    def _late_superlative(self) -> None:
        """A superlative whose column came first: `orders by price, highest`, `product with price highest`."""
        mark, frame = self._super, self.frame
        assert mark is not None and mark.sign is not None
        hinted = self._hinted(frame.tables[0], mark.sign.hints)
        if hinted:
            descending = (mark.sign.value == "desc") != hinted[1].startswith("-")
            self._rank(Term((hinted[0], hinted[1].lstrip("-"))), "desc" if descending else "asc")
        elif self._last and self._numeric(self._last):
            self._unselect_number(self._last)
            self._rank(Term(self._last), mark.sign.value)

    def _superlative_alone(self) -> None:
        """`what is the highest salary`: nothing else is asked for, so the value itself is."""
        frame = self.frame
        order = frame.order
        if (
            order is not None and not order.aggregate and frame.limit == 1 and not frame.select and not frame.groups
            and not self._entity_before_super and self._numeric(order.ref) and self._was_general()
        ):  # fmt: skip
            frame.select = [Term(order.ref, "MAX" if frame.descending else "MIN")]
            frame.order = frame.limit = None

    def _was_general(self) -> bool:
        return any(mark.is_sign("super") and mark.words in _GENERAL_SUPERS for mark in self._marks)


def display_columns(table: Table) -> list[str]:
    """The columns that name a row: name, title, or first and last name; none where nothing does."""
    named = {tuple(split_name(column.name)): column.name for column in table.columns if column.kind is not Kind.INTEGER}
    own = tuple(map(stem, split_name(table.name)))
    pair = [name for words, name in named.items() if words[:1] in (("first",), ("last",)) and words[-1:] == ("name",)]
    for words, name in named.items():
        if words in (("name",), ("title",)) or (
            words[-1:] == ("name",) and tuple(map(stem, words[:-1])) in (own, own[-1:])
        ):
            return [name]
    if len(pair) == 2:
        return pair
    for words, name in named.items():
        if words[-1:] in (("name",), ("title",), ("fullname",)) or (tuple(map(stem, words)) == own):
            return [name]
    return []

"""Questions that go on from earlier ones: “and in Hanoi?”, “chỉ 5 sản phẩm đắt nhất thôi”, “sort them by price”.

What is read of the new words is laid over the meaning of the question before: conditions on the same column are
replaced, others added; an order, a limit, a grouping or an aggregate takes the place of the old one. A question that
is complete in itself is never read so: it has a table of its own to ask about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from services.sql.language.words import fold
from services.sql.linking.joins import JoinGraph
from services.sql.meaning.frame import Filter, Frame, Term
from services.sql.meaning.marks import Mark
from services.sql.meaning.parts import Parts
from services.sql.meaning.understanding import Understanding
from services.sql.schema import Schema

_LEADS = (
    *("and what about", "and how about", "what about", "how about", "what if", "and", "but", "only", "just", "now"),
    *("then", "instead", "same for", "the same for", "same but", "sort", "order", "group", "show only", "show just"),
    *("con", "the con", "vay con", "vay", "the", "nhung", "chi", "chi lay", "chi can", "va", "sap xep", "xep"),
    *("tuong tu", "nhung chi", "gio"),
)  # fmt: skip
"""What a question begins with that goes on from the one before, folded."""
_POINTERS = re.compile(
    r"\b(them|those|these|they|their|its?|of which|among (?:them|those)|the same|chung|trong (?:so )?do|so do|cai do|ho"
    r"|nhung (?:nguoi|cai|san pham|don hang|khach hang|nhan vien)? ?(?:do|nay|ay))\b"
)
_TAILS = re.compile(r"\b(thi sao|the nao|thoi|instead|as well|only|too)\W*$")
_ASKING = re.compile(
    r"^(?:and |va |con )?(?:how many|how much|which|what (?:is|are|was|were)|who|list|show (?:all|me)|find|give"
    r"|bao nhieu|co (?:bao nhieu|may)|liet ke|cho (?:toi )?(?:biet|xem)|ai|dem|tim)\b"
)
# A fragment that begins no differently has no more words than this.
_FRAGMENT = 4


def follows(question: str, understood: Understanding) -> bool:
    """Whether a question needs the one before it.

    Args:
        question: As it was asked.
        understood: What the rules read of it.
    """
    text = " ".join(re.findall(r"[\w%]+", fold(question)))
    names = [mark for mark in understood.marks if mark.kind == "mention"]
    own = [mark for mark in names if not mark.items[0].column and mark.items[0].value is None]
    if _POINTERS.search(text):
        return not (own and _ASKING.search(text))
    if not names and not understood.unknown:
        # It has nothing of its own to ask about.
        return bool(understood.marks)
    tail = bool(_TAILS.search(text))
    if tail and not _ASKING.search(text):
        return True
    if own and _ASKING.search(text):
        return False
    led = any(text == lead or text.startswith(lead + " ") for lead in _LEADS)
    if led:
        return not _ASKING.search(text) or not own
    return not own and len(text.split()) <= _FRAGMENT and not _ASKING.search(text)


def merged(before: Frame, understood: Understanding, schema: Schema, graph: JoinGraph) -> Frame | None:
    """The earlier meaning with what the new words change; None where they change nothing that can be told.

    Args:
        before: The completed meaning of the question before.
        understood: The new words.
        schema: The database's.
        graph: Its joins.
    """
    fresh = understood.frame
    found = _conditions(before, understood, schema, graph)
    found = _counted(found, before, understood)
    found = _grouped(found, understood)
    found = _ranked(found, understood, schema)
    found = _shown(found, fresh, understood, schema)
    found = _asked_of(found, before, understood)
    return None if found.key == before.key else replace(found, tables=_tables(before, found))


def _signs(marks: Sequence[Mark], *kinds: str) -> list[Mark]:
    return [mark for mark in marks if mark.is_sign(*kinds)]


def _conditions(before: Frame, understood: Understanding, schema: Schema, graph: JoinGraph) -> Frame:
    """Conditions: one on the same column is replaced, unless both can hold of a number; a period replaces a period."""
    filters = list(before.filters)
    for fresh in _fresh_filters(before, understood, schema, graph):
        old = [item for item in filters if _same_subject(item, fresh)]
        if old:
            at = filters.index(old[0])
            filters[at] = replace(fresh, ref=old[0].ref, joined_by_or=fresh.joined_by_or and at > 0)
            filters = [item for item in filters if item not in old[1:]]
        else:
            filters.append(replace(fresh, joined_by_or=False))
    changed = replace(before, filters=filters)
    return changed if len(filters) > 1 or not before.sets else replace(changed, sets="")


def _fresh_filters(before: Frame, understood: Understanding, schema: Schema, graph: JoinGraph) -> list[Filter]:
    """The conditions in the new words; a value that several columns have is one of the question before, or nearest."""
    homes = {item.ref for item in before.filters}
    tables = before.tables
    found = [*_periods(before, understood, schema, graph), *_bounds(before, understood)]
    known = {value for item in found for value in item.values}
    for item in understood.frame.filters:
        if known & set(item.values):
            continue
        meanings = [
            meaning
            for mark in understood.marks
            if mark.kind == "mention"
            for meaning in (*mark.items, *mark.others)
            if meaning.value is not None and meaning.value in item.values
        ]
        if meanings:
            best = min(
                meanings,
                key=lambda meaning: (
                    meaning.ref not in homes,
                    meaning.table not in tables,
                    graph.distance(tables[0], meaning.table),
                ),
            )
            item = replace(item, ref=best.ref, values=(best.value or "",))
        found.append(item)
    return found


def _periods(before: Frame, understood: Understanding, schema: Schema, graph: JoinGraph) -> list[Filter]:
    """`what about last year?`: a period is about the date that the question before had one for, or could have."""
    old = next((item for item in before.filters if item.op.startswith("period")), None)
    measured = next((term.ref[0] for term in before.select if term.aggregate and term.ref[1] != "*"), "")
    ref = old.ref if old is not None else Parts(schema, graph).temporal(before.tables, measured)
    texts = [mark.text for mark in understood.marks if mark.kind == "period"]
    if old is not None:
        texts += [str(int(mark.number)) for mark in understood.marks if _is_year(mark)]
    signs = [mark.sign.value for mark in _signs(understood.marks, "compare") if mark.sign is not None]
    op = signs[0] if signs and signs[0] in ("<", ">", "<=", ">=") else "="
    return [Filter(ref, f"period {op}", (text,)) for text in texts[:1]] if ref is not None else []


def _is_year(mark: Mark) -> bool:
    return mark.kind == "number" and mark.number.is_integer() and 1900 <= mark.number <= 2100


def _bounds(before: Frame, understood: Understanding) -> list[Filter]:
    """`under 300`: a bound without a column is about the one that was compared before, or that rows are ordered by."""
    columns = [mark for mark in understood.marks if mark.kind == "mention"]
    signs = [mark.sign.value for mark in _signs(understood.marks, "compare") if mark.sign is not None]
    numbers = [mark.number for mark in understood.marks if mark.kind == "number"]
    compared = [item.ref for item in before.filters if item.op in ("<", ">", "<=", ">=", "between")]
    if before.order is not None and not before.order.aggregate:
        compared.append(before.order.ref)
    if columns or not signs or not numbers or not compared:
        return []
    if signs[0] == "between":
        return [Filter(compared[0], "between", tuple(numbers[:2]))] if len(numbers) > 1 else []
    return [Filter(compared[0], signs[0], (numbers[0],))]


def _same_subject(old: Filter, fresh: Filter) -> bool:
    if old.op.startswith("period") and fresh.op.startswith("period"):
        return True
    if old.ref != fresh.ref:
        return False
    bounds = {old.op[:1], fresh.op[:1]}
    # "over 10" and then "under 20": both hold.
    return bounds != {"<", ">"}


def _counted(found: Frame, before: Frame, understood: Understanding) -> Frame:
    """`how many are there?`, `what is their average price?`: another figure of the same rows."""
    figures = [term for term in understood.frame.select if term.aggregate]
    if not figures and any(mark.sign and mark.sign.value == "COUNT" for mark in _signs(understood.marks, "aggregate")):
        figures = [Term((before.tables[0], "*"), "COUNT")]
    if not figures:
        return found
    figures = [replace(term, ref=(before.tables[0], "*")) if term.ref[1] == "*" else term for term in figures]
    kept = [term for term in found.select if not term.aggregate] if found.groups else []
    return replace(found, select=[*kept, *figures], order=None, limit=None, distinct=False)


def _grouped(found: Frame, understood: Understanding) -> Frame:
    """`by city`: the same figure for each of them."""
    by = _signs(understood.marks, "group", "by", "period")
    groups = understood.frame.groups
    if not groups and by and not _signs(understood.marks, "order", "super"):
        groups = [
            Term(mark.items[0].ref)
            for mark in understood.marks
            if mark.kind == "mention" and mark.items[0].column and mark.items[0].value is None
        ][:1]
    if not groups or not by:
        return found
    figures = [term for term in found.select if term.aggregate] or [Term((found.tables[0], "*"), "COUNT")]
    return replace(
        found, groups=groups, select=[*groups, *figures], distinct=False, limit=None, order=None, having=[]
    )  # fmt: skip


def _ranked(found: Frame, understood: Understanding, schema: Schema) -> Frame:
    """`the five most expensive`, `top 3`, `sort them by price`: another order and limit of the same rows."""
    fresh, marks = understood.frame, understood.marks
    numbers = [int(mark.number) for mark in marks if mark.kind == "number" and mark.number.is_integer()]
    used = {value for item in (*fresh.filters, *fresh.having, *found.filters) for value in item.values}
    used |= {float(value) for value in used if isinstance(value, str) and value.isdigit()}
    limit = next((number for number in numbers if 0 < number <= 10_000 and float(number) not in used), None)
    ranks = _signs(marks, "super", "popular", "selling")
    order = fresh.order or (_hinted(found, ranks, schema) if ranks else None)
    if order is not None and (_signs(marks, "order", "direction", "alphabet") or ranks):
        descending = (
            fresh.descending if fresh.order is not None else bool(ranks[0].sign and ranks[0].sign.value == "desc")
        )
        kept = found.limit if not ranks and limit is None else limit or (1 if ranks else None)
        return replace(found, order=order, descending=descending, limit=kept)
    directions = _signs(marks, "direction")
    if directions and found.order is not None:
        sign = directions[-1].sign
        return replace(found, descending=sign is not None and sign.value == "desc", limit=limit or found.limit)
    if directions or _signs(marks, "order"):
        columns = [m.items[0].ref for m in marks if m.kind == "mention" and m.items[0].column and not m.items[0].value]
        if columns:
            own = next((ref for ref in columns if ref[0] in found.tables), columns[0])
            down = any(sign.sign is not None and sign.sign.value == "desc" for sign in directions)
            return replace(found, order=Term(own), descending=down, limit=limit or found.limit)
    return replace(found, limit=limit) if limit is not None else found


def _hinted(found: Frame, ranks: Sequence[Mark], schema: Schema) -> Term | None:
    """What a superlative without a table is about: a column of the rows asked about."""
    hints = ranks[0].sign.hints if ranks[0].sign is not None else ()
    for hint in hints:
        for name in found.tables:
            for column in schema.by_name[name].columns:
                if hint.lstrip("-") in fold(column.name) and (column.numeric or column.temporal):
                    return Term((name, column.name))
    return next((term for term in found.select if term.aggregate), found.order)


def _shown(found: Frame, fresh: Frame, understood: Understanding, schema: Schema) -> Frame:
    """`with their emails`, `show their phone numbers`: columns that are shown besides, or instead of the count."""
    if _signs(understood.marks, "order", "group", "by", "super", "direction", "compare", "aggregate", "period"):
        return found
    shown = [term for term in fresh.select if not term.aggregate and term.ref[1] not in ("*", "**")]
    named = {mark.items[0].ref for mark in understood.marks if mark.kind == "mention" and mark.items[0].value is None}
    shown = [term for term in shown if term.ref in named and term not in found.select]
    if not shown or found.groups:
        return found
    kept = [term for term in found.select if not term.aggregate]
    return replace(found, select=[*kept, *shown])


def _asked_of(found: Frame, before: Frame, understood: Understanding) -> Frame:
    """`what about suppliers?`: the same figure of another table's rows."""
    tables = [
        mark.items[0].table
        for mark in understood.marks
        if mark.kind == "mention" and not mark.items[0].column and mark.items[0].value is None
    ]
    other = next((name for name in tables if name not in before.tables), "")
    plain = not before.groups and len(before.tables) == 1 and not before.filters
    if not other or not plain or found.select != before.select:
        return found
    select = [replace(term, ref=(other, "*")) for term in before.select if term.ref[1] == "*"]
    return replace(found, select=select, tables=[other], order=None, limit=None) if select else found


def _tables(before: Frame, found: Frame) -> list[str]:
    """The tables that the merged meaning uses; those that only an old condition needed fall away."""
    used = [ref[0] for ref in found.refs if ref[0]]
    was = {ref[0] for ref in before.refs}
    kept = [name for name in found.tables if name not in was or name in used]
    main = found.tables[:1]
    return list(dict.fromkeys([*(name for name in main if name in used), *used, *kept]))


def full_question(before: str, question: str, old: Frame, new: Frame) -> str:
    """The question as it was understood: the one before with the new value in the old one's place, or both.

    Args:
        before: The full question before.
        question: The new words.
        old: What the first meant.
        new: What both mean together.
    """
    gone = [str(v) for item in old.filters for v in item.values if item not in new.filters]
    come = [str(v) for item in new.filters for v in item.values if item not in old.filters]
    rest_same = replace(old, filters=[], tables=[]).key == replace(new, filters=[], tables=[]).key
    relative = any(text.startswith(("last ", "this ", "--")) for text in (*gone, *come))
    if rest_same and len(gone) == len(come) == 1 and not relative:
        folded = fold(before)
        at = folded.find(fold(gone[0])) if len(folded) == len(before) else -1
        if at >= 0:
            return f"{before[:at]}{come[0]}{before[at + len(gone[0]) :]}"
    return f"{before.rstrip(' ?.!')}; {question.strip()}"

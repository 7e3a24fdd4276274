"""What a frame does and what words ask for, by the same names; and the parts that columns and tables play in it."""

from __future__ import annotations

from services.sql.language.words import split_name
from services.sql.meaning.frame import EVERYTHING, Frame, Ref
from services.sql.meaning.marks import Mark


def deeds(frame: Frame) -> list[str]:
    """What a frame does, as names."""
    plain = sum(not term.aggregate for term in frame.select)
    found = [f"plain{min(plain, 4)}", f"conditions{min(len(frame.filters), 3)}"]
    for term in frame.select:
        if term.aggregate:
            star = "*" if term.ref[1] == "*" else " distinct" if term.distinct else ""
            found.append(f"{term.aggregate}{star}{' for each' if frame.groups else ''}")
        elif term.ref[1] == EVERYTHING:
            found.append("everything")
    if frame.groups:
        found.append("groups")
    if frame.order is not None:
        limit = "" if frame.limit is None else " one" if frame.limit == 1 else " some"
        direction = "down" if frame.descending else "up"
        found += [f"order {direction}{limit}", f"order {frame.order.aggregate}{bool(limit)}"]
    for item in frame.having:
        found.append(f"having {item.aggregate} {item.op}")
    for item in frame.filters:
        found.append(f"where {item.op}{'!' if item.negated else ''}{item.against}")
    if any(item.joined_by_or for item in frame.filters) and not frame.sets:
        found.append("or")
    found += [name for name, on in (("distinct", frame.distinct), ("without", bool(frame.without))) if on]
    found.append(f"shape {_shape(frame, plain)}")
    return [*found, frame.sets] if frame.sets else found


def _shape(frame: Frame, plain: int) -> str:
    """The outline of a statement: what it shows, and its clauses."""
    shown = "".join(sorted({term.aggregate[:2].lower() or "-" for term in frame.select}))
    order = "" if frame.order is None else f"o{frame.order.aggregate[:2].lower()}{'l' if frame.limit else ''}"
    clauses = "".join(letter for letter, on in (("g", frame.groups), ("h", frame.having), ("x", frame.without)) if on)
    return f"{shown}{min(plain, 2)}{clauses}{order}{frame.sets[:1]}"


def does(frame: Frame) -> set[str]:
    """What a frame does that words may ask for."""
    terms = [*frame.select, *([frame.order] if frame.order else [])]
    found = {term.aggregate for term in terms if term.aggregate} | {item.aggregate or "" for item in frame.having}
    found |= {item.against for item in (*frame.filters, *frame.having)}
    conditions = [*frame.filters, *frame.having]
    found |= {f"compare {i.op}" for i in conditions if i.op not in ("=", "contains", "starts", "ends", "null")}
    found |= {f"like {item.op}" for item in conditions if item.op in ("contains", "starts", "ends")}
    if frame.order is not None:
        found.add("superlative" if frame.limit is not None else "order")
        found.add("order desc" if frame.descending else "order asc")
        if frame.order.ref[1] == "*":
            found.add("count of rows")
    if frame.distinct or any(term.distinct for term in frame.select):
        found.add("distinct")
    if frame.without or frame.sets == "EXCEPT" or any(i.negated or i.op in ("!=", "null") for i in conditions):
        found.add("negation")
    if frame.sets == "UNION" or any(item.joined_by_or for item in frame.filters):
        found.add("or")
    if frame.sets == "INTERSECT":
        found.add("sets")
    if frame.groups:
        found.add("groups")
    if any(term.ref[1] == EVERYTHING for term in frame.select):
        found.add("everything")
    for term in (*frame.select, *frame.groups):
        words = {term.period, *split_name(term.ref[1])}
        found |= {f"period {period}" for period in ("year", "month") if period in words}
    if frame.order is not None and frame.order.aggregate == "SUM":
        found.add(f"selling {'desc' if frame.descending else 'asc'}")
    return found - {""}


def asked(mark: Mark) -> list[str]:
    """What a sign asks for, as `does` calls it."""
    sign = mark.sign
    if sign is None:
        return []
    if sign.kind in ("super", "popular"):
        return ["superlative", f"order {sign.value}", *(["count of rows"] if sign.kind == "popular" else [])]
    if sign.kind in ("period", "selling"):
        return [f"{sign.kind} {sign.value}"]
    if sign.kind == "direction":
        return ["order", f"order {sign.value}"]
    same = {"order": "order", "alphabet": "order", "group": "groups", "not": "negation", "distinct": "distinct",
            "or": "or", "both": "sets", "everything": "everything"}  # fmt: skip
    if sign.kind in same:
        return [same[sign.kind]]
    if sign.kind == "aggregate":
        return [sign.value]
    if sign.kind == "like":
        return [f"like {sign.value}"]
    return [f"compare {sign.value}"] if sign.kind == "compare" else []


def roles(frame: Frame) -> tuple[dict[Ref, str], dict[str, str]]:
    """The parts that columns and tables play, as letters."""
    refs: dict[Ref, str] = {}

    def play(ref: Ref, letter: str) -> None:
        if letter not in refs.get(ref, ""):
            refs[ref] = refs.get(ref, "") + letter

    for term in frame.select:
        play(term.ref, {"": "s", "COUNT": "n", "SUM": "t", "AVG": "a", "MIN": "m", "MAX": "m"}[term.aggregate])
    for term in frame.groups:
        play(term.ref, "g")
    for item in frame.filters:
        play(item.ref, "w")
    for item in frame.having:
        play(item.ref, "h")
    if frame.order is not None:
        play(frame.order.ref, "o")
        for term, _descending in frame.then:
            play(term.ref, "o")
    tables: dict[str, str] = {}
    for (table, _column), letters in refs.items():
        known = tables.get(table, "")
        tables[table] = known + "".join(letter for letter in letters if letter not in known)
    for name in frame.tables:
        tables.setdefault(name, "j")
    for name in frame.without:
        tables[name] = "x"
    main = frame.tables[0] if frame.tables else ""
    return refs, {name: ("1" if name == main else "") + "".join(sorted(letters)) for name, letters in tables.items()}


def number_role(mark: Mark, frame: Frame) -> str:
    """The part that a number, a text or a period plays, as a letter: in a condition, a limit, or none."""
    wanted: set[str | float] = {mark.number} if mark.kind == "number" else {mark.text}
    wanted.update(year(mark) if mark.kind == "period" else ())
    for item in frame.filters:
        if wanted & set(item.values):
            return f"w{item.op}"
    for item in frame.having:
        if wanted & set(item.values):
            return f"h{item.op}"
    return "l" if frame.limit is not None and frame.limit in wanted else "-"


def year(mark: Mark) -> list[float]:
    """The year that a period is; empty where it is none."""
    return [float(mark.text)] if mark.text.isdigit() else []

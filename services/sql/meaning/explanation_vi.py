"""Says in Vietnamese what a frame asks; explanation.py says it in English."""

from __future__ import annotations

from services.sql.language.spoken_names import vietnamese_name
from services.sql.language.words import spoken_name
from services.sql.linking.linking import METRIC
from services.sql.meaning.frame import EVERYTHING, Filter, Frame, Term

_MEASURES = {"COUNT": "số lượng", "SUM": "tổng", "AVG": "trung bình của", "MIN": "giá trị thấp nhất của",
             "MAX": "giá trị cao nhất của"}  # fmt: skip
_OPS = {"=": "là", "!=": "khác", ">": "lớn hơn", ">=": "từ", "<": "nhỏ hơn", "<=": "đến", "between": "trong khoảng",
        "contains": "có chứa", "starts": "bắt đầu bằng", "ends": "kết thúc bằng", "null": "bị thiếu",
        "period =": "trong", "period >=": "từ", "period >": "sau", "period <": "trước", "period <=": "đến"}  # fmt: skip


def explain(frame: Frame) -> str:
    """What the query does, in words."""
    shown = [_said(term) for term in frame.select] or [_table(frame.tables[0])]
    text = "Hiển thị " + ", ".join(dict.fromkeys(shown))
    if frame.filters:
        conditions = [_condition(item) for item in frame.filters]
        joints = [" hoặc " if item.joined_by_or else " và " for item in frame.filters]
        text += " với " + "".join(joint + said for joint, said in zip(["", *joints[1:]], conditions, strict=True))
    if frame.groups:
        text += " theo từng " + ", ".join(_said(term) for term in frame.groups)
    for item in frame.having:
        text += f", khi {_condition(item)}"
    for table in frame.without:
        text += f", không có {_table(table)} nào"
    if frame.order is not None:
        text += f", {_said(frame.order)} {'cao' if frame.descending else 'thấp'} nhất trước"
        text += "".join(f", rồi theo {_said(term)}" for term, _down in frame.then)
    if frame.limit is not None:
        text += f", chỉ {frame.limit} dòng đầu"
    return text + "."


def _table(name: str) -> str:
    return vietnamese_name(spoken_name(name))


def _said(term: Term) -> str:
    table, column = term.ref
    if column == "*":
        return f"số {_table(table)}" if table else "số lần"
    if column == EVERYTHING:
        return f"mọi thông tin của {_table(table)}"
    name = f"{vietnamese_name(spoken_name(column.removeprefix(METRIC)))} của {_table(table)}"
    if term.period:
        return f"{'năm' if term.period == 'year' else 'tháng'} của {name}"
    return f"{_MEASURES[term.aggregate]} {name}" if term.aggregate and not column.startswith(METRIC) else name


def _condition(item: Filter) -> str:
    values = " và ".join(f"{value:g}" if isinstance(value, float) else value for value in item.values)
    compared = f"{_MEASURES[item.against]} cả bảng" if item.against else values
    left = _said(Term(item.ref, item.aggregate))
    return " ".join(
        part for part in (left, "không" if item.negated else "", _OPS.get(item.op, item.op), compared) if part
    )

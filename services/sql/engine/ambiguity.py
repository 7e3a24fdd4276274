"""Other readings of a question, and the question back where two of them are about as likely."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from services.sql.engine.ranking import Ranked
from services.sql.language.tokens import is_vietnamese
from services.sql.meaning import explanation_vi
from services.sql.meaning.explanation import explain
from services.sql.meaning.frame import Frame
from services.sql.query import MAX_ALTERNATIVES, Alternative, GeneratedQuery

# Readings that are less likely than the best one by more than this factor are none.
WORTH_SAYING = 0.016
# A reading is in the way of an answer from this part of the answer's confidence on.
IN_THE_WAY = 0.5


@dataclass(frozen=True)
class QuestionBack:
    """What to ask before answering."""

    text: str
    choices: tuple[Alternative, ...]
    """The likeliest first; the answer itself is the first of them."""


def alternatives(ranked: Sequence[Ranked], sure: float, vietnamese: bool = False) -> tuple[Alternative, ...]:
    """What else may have been meant, with the probability that it was.

    Args:
        ranked: The meanings, best first.
        sure: The probability that the first one is right; the others share what is left of it.
        vietnamese: Whether they are said in Vietnamese.
    """
    said = explanation_vi.explain if vietnamese else explain
    best = ranked[0]
    left = max(1.0 - best.agreement, 1e-9)
    found: list[Alternative] = []
    known = {_gist(best.frame)}
    for item in ranked[1:]:
        if len(found) == MAX_ALTERNATIVES or item.agreement < WORTH_SAYING * best.agreement:
            break
        if item.agreement != best.agreement and _gist(item.frame) not in known:
            known.add(_gist(item.frame))
            # It was not chosen: it is less likely, if only a little.
            likely = min((1.0 - sure) * item.agreement / left, 0.99 * sure)
            found.append(Alternative(item.sql, said(item.frame), round(likely, 3)))
    return tuple(found)


def _gist(frame: Frame) -> Hashable:
    """The same for meanings that are about the same: which of a row's columns are shown is no matter to ask about."""
    return frozenset(frame.tables), frozenset(item.ref for item in frame.filters), bool(frame.groups)


def ambiguity(
    query: GeneratedQuery, question: str, min_confidence: float, in_the_way: float = IN_THE_WAY
) -> QuestionBack | None:
    """The question back to ask instead of answering; None where the answer may be given.

    Args:
        query: What the engine made of the question.
        question: As it was asked: the question back is in its language.
        min_confidence: From this confidence on an answer is given in any case.
        in_the_way: The part of the answer's confidence that another reading has to have.
    """
    rivals = [other for other in query.alternatives if other.confidence >= in_the_way * query.confidence]
    if query.confidence >= min_confidence or not rivals:
        return None
    text = "Bạn muốn hỏi điều nào?" if is_vietnamese(question) else "Which of these do you mean?"
    return QuestionBack(text, (Alternative(query.sql, query.explanation, query.confidence), *rivals))

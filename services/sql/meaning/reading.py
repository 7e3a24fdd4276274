"""Reads a question into a frame: walks its marks from left to right and decides what each reference is for."""

from __future__ import annotations

from services.sql.meaning.amounts import Amounts
from services.sql.meaning.choice import Chooser
from services.sql.meaning.closing import Closing
from services.sql.meaning.draft import Draft
from services.sql.meaning.frame import Frame
from services.sql.meaning.marks import Mark
from services.sql.meaning.mentions import Mentions
from services.sql.meaning.signs import Signs


def read(chooser: Chooser) -> tuple[Frame, list[Mark]]:
    """The frame of a question, and its words that steer a query or hold a value but found nothing to act on.

    Args:
        chooser: Chooses what the question's mentions stand for; it holds the question.
    """
    draft = Draft(chooser)
    mentions, signs, amounts = Mentions(draft), Signs(draft), Amounts(draft)
    for position, mark in enumerate(draft.marks):
        if mark.kind == "mention":
            mentions.read(mark, position)
        elif mark.kind == "sign":
            signs.read(mark, position)
        else:
            amounts.read(mark, position)
    Closing(draft).finish()
    return draft.frame, draft.loose

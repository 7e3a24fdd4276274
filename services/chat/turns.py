"""What was asked of databases earlier in a conversation, so that the next question may go on from it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.chat.conversation import Message
from services.chat.language import fold
from services.chat.models import PromptMessage, Role
from services.chat.tools import ASK, Table, Turn

# As many as sql.ask takes.
MAX_TURNS = 20
MAX_QUESTION = 4000
_LISTED = re.compile(r"^1\. ", re.MULTILINE)
_ORDINALS = {
    **dict.fromkeys(("first", "dau tien", "nhat", "mot"), 1), **dict.fromkeys(("second", "hai", "nhi"), 2),
    **dict.fromkeys(("third", "ba"), 3), **dict.fromkeys(("fourth", "tu", "bon"), 4),
}  # fmt: skip
_PICK = re.compile(
    r"(?:i mean |toi muon noi |y toi la )?(?:the |option |choice |number |so |cau |cai |y |lua chon |phuong an |thu )*"
    r"(\d{1,2}|" + "|".join(_ORDINALS) + r")(?: one| option| choice)?"
)


def of_messages(history: Sequence[Message]) -> tuple[Turn, ...]:
    """The questions of stored messages, with the statements that answered them; those that failed are left out."""
    found: list[Turn] = []
    for message in history:
        results = {result.call_id: result for result in message.results}
        for call in message.calls:
            result = results.get(call.id)
            question = str(call.arguments.get("question", ""))[:MAX_QUESTION]
            if call.tool != ASK or result is None or result.error is not None or not question.strip():
                continue
            if isinstance(result.output, Table):
                found.append(Turn(question, result.output.sql))
            elif isinstance(result.output, str):
                found.append(Turn(question, asked_back=True))
    return tuple(found[-MAX_TURNS:])


def of_prompts(messages: Sequence[PromptMessage]) -> tuple[Turn, ...]:
    """The questions of a conversation of which only the texts are known; the last message is the new question."""
    found: list[Turn] = []
    for number, message in enumerate(messages[:-1]):
        if message.role is Role.USER and message.text.strip():
            answer = messages[number + 1]
            back = answer.role is Role.ASSISTANT and bool(_LISTED.search(answer.text))
            found.append(Turn(message.text[:MAX_QUESTION], asked_back=back))
    return tuple(found[-MAX_TURNS:])


def picked(text: str, choices: Sequence[str]) -> int | None:
    """Which of some choices a person means, from 0: by its number or its words; None where it is none of them."""
    said = fold(text)
    for number, choice in enumerate(choices):
        if said == fold(choice):
            return number
    found = _PICK.fullmatch(said)
    if found is None:
        return None
    number = int(found[1]) if found[1].isdigit() else _ORDINALS[found[1]]
    return number - 1 if 1 <= number <= len(choices) else None

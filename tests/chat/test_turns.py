"""Questions that go on from earlier ones, and questions back, through a conversation."""

from __future__ import annotations

import pytest

from parley.sql.v1 import sql_pb2
from services.chat import turns
from services.chat.models import PromptMessage, Role
from tests.chat.conftest import Chat
from tests.chat.test_chat_service import create, text

BACK = sql_pb2.Clarification(
    text="Which of these do you mean?",
    choices=[
        sql_pb2.Choice(text="Shows the name of customers.", sql="SELECT 1"),
        sql_pb2.Choice(text="Shows the city of customers.", sql="SELECT 12345"),
    ],
)
CHOICES = ["Shows the name of customers.", "Shows the city of customers."]


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("2", 1), ("the second one", 1), ("câu 1", 0), ("Lựa chọn 2", 1), ("Option 1.", 0), ("thứ hai", 1),
        ("shows the city of customers", 1), ("3", None), ("how many orders are there", None), ("", None),
    ],
)  # fmt: skip
def test_a_choice_is_picked_by_number_or_words(words: str, number: int | None) -> None:
    assert turns.picked(words, CHOICES) == number


def test_texts_alone_tell_what_was_asked_before() -> None:
    said = [
        PromptMessage(Role.USER, "show the customers"),
        PromptMessage(Role.ASSISTANT, "Which of these do you mean?\n1. One\n2. Two"),
        PromptMessage(Role.USER, "2"),
    ]
    (turn,) = turns.of_prompts(said)
    assert (turn.question, turn.asked_back) == ("show the customers", True)


async def test_a_conversation_hands_its_earlier_questions_on(chat: Chat) -> None:
    name = await create(chat, database="databases/shop")
    await chat.ask("How many customers are in Hue?", name)
    await chat.ask("and in Hanoi?", name)
    asked = chat.sql.asked[-1]
    assert asked.question == "and in Hanoi?"
    assert [turn.question for turn in asked.history] == ["How many customers are in Hue?"]
    assert asked.history[0].sql.startswith("SELECT city")


async def test_a_question_back_is_shown_with_its_choices_and_the_next_message_picks_one(chat: Chat) -> None:
    name = await create(chat, database="databases/shop")
    chat.sql.back = BACK
    said = text(await chat.ask("show the customers", name))
    assert said == f"Which of these do you mean?\n1. {CHOICES[0]}\n2. {CHOICES[1]}"
    said = text(await chat.ask("the second one", name))
    assert said == f"Shows the city of customers: {len('SELECT 12345')}."


async def test_another_question_than_a_choice_is_asked_as_it_is(chat: Chat) -> None:
    name = await create(chat, database="databases/shop")
    chat.sql.back = BACK
    await chat.ask("show the customers", name)
    chat.sql.back = None
    assert text(await chat.ask("How many customers are in each city?", name)) == "There are 2 cities."
    assert list(chat.sql.asked[-1].history) == []

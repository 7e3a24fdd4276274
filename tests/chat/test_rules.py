"""How the embedded model decides, and what it says: no server needed."""

from __future__ import annotations

from typing import Any

import pytest

from services.chat import client_tools, phrasing
from services.chat.embedded import EmbeddedModel
from services.chat.language import Language, detect, fold
from services.chat.models import Choice, Finished, ModelRequest, PromptMessage, Role, TextDelta, ToolCalled, ToolChoice
from services.chat.rules import Intent, classify
from services.chat.tools import ASK, Column, Table, ToolCall, ToolSpec

EN, VI = Language.ENGLISH, Language.VIETNAMESE


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("", Intent.NOTHING),
        ("?!", Intent.NOTHING),
        ("Hello!", Intent.GREETING),
        ("good morning, Parley", Intent.GREETING),
        ("Xin chào bạn", Intent.GREETING),
        ("xin chao", Intent.GREETING),
        ("Thank you very much!", Intent.THANKS),
        ("Cảm ơn bạn nhiều", Intent.THANKS),
        ("Are you an LLM?", Intent.IDENTITY),
        ("So tell me, are you really a large language model?", Intent.IDENTITY),
        ("Who are you?", Intent.IDENTITY),
        ("Bạn là ai?", Intent.IDENTITY),
        ("Bạn có phải là một mô hình ngôn ngữ lớn không?", Intent.IDENTITY),
        ("What can you do?", Intent.ABILITIES),
        ("help", Intent.ABILITIES),
        ("Bạn có thể làm được gì?", Intent.ABILITIES),
        ("Which databases are there?", Intent.LIST_DATABASES),
        ("Có những cơ sở dữ liệu nào?", Intent.LIST_DATABASES),
        ("Please transcribe this recording", Intent.TRANSCRIBE),
        ("What does he say?", Intent.TRANSCRIBE),
        ("Hãy ghi lại", Intent.TRANSCRIBE),
        ("Write me a poem about the sea", Intent.INVENT),
        ("Could you translate this?", Intent.INVENT),
        ("Tell me a joke", Intent.INVENT),
        ("Viết một bài thơ", Intent.INVENT),
        ("How many customers are there?", Intent.QUESTION),
        ("Which customers wrote a review?", Intent.QUESTION),
        ("Who are the ten best customers?", Intent.QUESTION),
        ("What is the name of the oldest product?", Intent.QUESTION),
        ("Are you selling products in Hanoi?", Intent.QUESTION),
        ("Thanks to which customers did sales rise?", Intent.QUESTION),
        ("Hi, how many orders were there?", Intent.QUESTION),
        ("customers in Huế", Intent.QUESTION),
        ("Có bao nhiêu khách hàng?", Intent.QUESTION),
        ("Khách hàng nào mua nhiều nhất?", Intent.QUESTION),
    ],
)
def test_what_a_person_wants(text: str, intent: Intent) -> None:
    assert classify(text) is intent


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How many customers are there?", EN),
        ("", EN),
        ("Show orders of Café Zoë", EN),
        ("Có bao nhiêu khách hàng?", VI),
        ("co bao nhieu khach hang", VI),
        ("Đơn hàng tháng này", VI),
    ],
)
def test_the_language_of_a_text(text: str, language: Language) -> None:
    assert detect(text) is language


def test_folding_takes_marks_case_and_punctuation_away() -> None:
    assert fold("Bạn LÀ ai, Đặng?") == fold("ba\u0323n la ai dang") == "ban la ai dang"


async def turn(text: str, **more: Any) -> tuple[str, ToolCall | None]:
    """What the model says or calls."""
    request = ModelRequest((PromptMessage(Role.USER, text),), **more)
    said, call = "", None
    async for event in EmbeddedModel().generate(request):
        if isinstance(event, TextDelta):
            said += event.text
        elif isinstance(event, ToolCalled):
            call = event.call
        last = event
    assert isinstance(last, Finished)
    return said, call


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Are you an LLM?", "I am not a large language model"),
        ("Bạn là ai?", "Tôi không phải là mô hình ngôn ngữ lớn"),
        ("Write a poem", "I cannot do that"),
        ("What can you do?", "registered databases"),
        ("Bạn làm được gì?", "cơ sở dữ liệu"),
    ],
)
async def test_it_is_honest_about_itself(text: str, part: str) -> None:
    said, call = await turn(text)
    assert part in said
    assert call is None


async def test_a_question_goes_to_the_database() -> None:
    _said, call = await turn("How many?", tools=(ToolSpec(ASK, "", {}),))
    assert call == ToolCall("call_1", ASK, {"question": "How many?"})


async def test_without_tools_it_says_what_it_can_do() -> None:
    assert (await turn("How many?"))[1] is None


def tool(name: str, description: str = "", required: list[str] | None = None, **properties: Any) -> ToolSpec:
    names = list(properties) if required is None else required
    return ToolSpec(name, description, {"type": "object", "properties": properties, "required": names})


STRING = {"type": "string"}
WEATHER = tool(
    "get_current_weather",
    "Get the current weather in a given location",
    ["location"],
    location=STRING,
    unit={"type": "string", "enum": ["celsius", "fahrenheit"]},
)
MAIL = tool("sendMail", "Sends an e-mail", to=STRING, subject=STRING)
ADD = tool("add", "Adds two numbers", a={"type": "number"}, b={"type": "integer"})
SEARCH = tool("web_search", "Searches the web", query=STRING)
BOOK = tool("book_room", "Books a room", day={"type": "string", "format": "date"}, guests={"type": "integer"})


@pytest.mark.parametrize(
    ("question", "tools", "name", "arguments"),
    [
        ("What's the weather in New York?", [WEATHER, ADD], "get_current_weather", {"location": "New York"}),
        (
            "Weather in Hà Nội in celsius please",
            [ADD, WEATHER],
            "get_current_weather",
            {"unit": "celsius", "location": "Hà Nội"},
        ),
        ('Send a mail to "Ann" about "Lunch today"', [MAIL], "sendMail", {"to": "Ann", "subject": "Lunch today"}),
        ("add 2.5 and 40", [ADD, WEATHER], "add", {"a": 2.5, "b": 40}),
        ("search the web for cheap flights", [SEARCH], "web_search", {"query": "search the web for cheap flights"}),
        ("book a room on 2026-05-01 for 3", [BOOK], "book_room", {"day": "2026-05-01", "guests": 3}),
    ],
)
def test_a_clients_tool_that_clearly_fits_is_called(
    question: str, tools: list[ToolSpec], name: str, arguments: dict[str, Any]
) -> None:
    chosen = client_tools.choose(question, tools, ToolChoice())
    assert chosen is not None
    assert (chosen[0].name, chosen[1]) == (name, arguments)


@pytest.mark.parametrize(
    ("question", "tools", "choice"),
    [
        ("How many customers are there?", [WEATHER, MAIL, ADD, SEARCH], ToolChoice()),
        ("What is the weather in Hanoi?", [WEATHER], ToolChoice(Choice.NONE)),
        ("What is the weather in Hanoi?", [], ToolChoice()),
        ("weather in Hanoi", [WEATHER, tool("weather_report", place=STRING)], ToolChoice()),
        ("send mail", [MAIL], ToolChoice()),
        ("add one", [ADD], ToolChoice()),
        ("book a room", [tool("book_room", rooms={"type": "array"})], ToolChoice()),
    ],
)
def test_no_tool_is_called_without_a_clear_match_and_all_arguments(
    question: str, tools: list[ToolSpec], choice: ToolChoice
) -> None:
    assert client_tools.choose(question, tools, choice) is None


def test_a_forced_tool_counts_as_a_match() -> None:
    chosen = client_tools.choose("cheap flights", [WEATHER, SEARCH], ToolChoice(Choice.REQUIRED, "web_search"))
    assert chosen == (SEARCH, {"query": "cheap flights"})
    chosen = client_tools.choose("5 and 6", [ADD], ToolChoice(Choice.REQUIRED))
    assert chosen == (ADD, {"a": 5, "b": 6})


async def test_a_forced_tool_without_arguments_is_said_to_lack_them() -> None:
    said, call = await turn("hello", client_tools=(ADD,), choice=ToolChoice(Choice.REQUIRED, "add"))
    assert call is None
    assert "required arguments of the tool add" in said


def test_a_table_in_markdown() -> None:
    table = Table("", "", (Column("a|b", "TEXT"), Column("n", "NUMBER")), (("x\ny", 2.0), (None, 0.1)), truncated=True)
    lines = phrasing.markdown(table, EN).splitlines()
    assert lines == ["| a\\|b | n |", "|---|---|", "| x y | 2 |", "|  | 0.1 |", "", "(the first 2 rows)"]


def test_a_single_value_needs_no_table() -> None:
    table = Table("", "", (Column("n", "INTEGER"),), ((7.0,),), answer="There are 7.")
    assert phrasing.phrase(table, EN, tables=True) == "There are 7."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "The tool t answered nothing."),
        ("31 degrees", "The tool t answered: 31 degrees"),
        ('{"a": 1, "b": null}', "The tool t answered: a: 1; b: "),
        ('{"a": [1]}', 'The tool t answered: {"a": [1]}'),
    ],
)
def test_a_clients_answer_is_reported_as_it_is(content: str, said: str) -> None:
    assert phrasing.client_result("t", content, EN).startswith(said.rstrip())


def test_the_pieces_of_a_text_are_the_text() -> None:
    text = "One. Two!\n\n| a |\nThree?"
    assert "".join(phrasing.pieces(text)) == text
    assert len(phrasing.pieces(text)) == 5

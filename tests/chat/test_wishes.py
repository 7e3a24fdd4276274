"""What is taken for a wish to have something drawn, and what is not: no server needed."""

from __future__ import annotations

import pytest

from services.chat.language import Language
from services.chat.wishes import Earlier, Kind, wish

EN, VI = Language.ENGLISH, Language.VIETNAMESE


@pytest.mark.parametrize(
    ("text", "language", "prompt", "count"),
    [
        ("draw a red circle left of a blue square", EN, "a red circle left of a blue square", 1),
        ("Could you please draw me a Ferris wheel?", EN, "a Ferris wheel", 1),
        ("Draw two pictures of a cat, please!", EN, "a cat", 2),
        ("draw two cats", EN, "two cats", 1),
        ("draw something blue", EN, "something blue", 1),
        ("draw that cat of yours", EN, "that cat of yours", 1),
        ("paint a sunset 3 times", EN, "a sunset", 3),
        ("generate an image of a star.", EN, "a star", 1),
        ("make 12 images showing a dog", EN, "a dog", 12),
        ("show me a picture of a boat", EN, "a boat", 1),
        ("a drawing of “the sea”", EN, "the sea", 1),
        ('draw "a red circle"', EN, "a red circle", 1),
        ("draw a heart and a star 😀", EN, "a heart and a star 😀", 1),
        (
            "draw <lora:pixel:0.8> a cat, masterpiece (best quality:1.2)",
            EN,
            "<lora:pixel:0.8> a cat, masterpiece (best quality:1.2)",
            1,
        ),
        ("draw a picture of a bar chart", EN, "a bar chart", 1),
        ("Vẽ một con mèo", VI, "một con mèo", 1),
        ("vẽ cho tôi hình tròn đỏ bên trái hình vuông xanh", VI, "hình tròn đỏ bên trái hình vuông xanh", 1),
        ("ve cho toi hinh tron do", VI, "hinh tron do", 1),
        ("vẽ 3 ảnh con voi", VI, "con voi", 3),
        ("ve 3 buc anh con meo", VI, "con meo", 3),
        ("vẽ 3 hình tròn đỏ", VI, "3 hình tròn đỏ", 1),
        ("Hãy vẽ hai bức tranh về Hà Nội nhé!", VI, "Hà Nội", 2),
        ("vẽ anh công an", VI, "anh công an", 1),
        ("tạo ảnh con chó", VI, "con chó", 1),
        ("Tạo 2 hình ảnh trái tim hồng", VI, "trái tim hồng", 2),
        ("Ve\u0303 mo\u0323\u0302t ngo\u0302i sao", VI, "một ngôi sao", 1),
    ],
)
def test_a_picture_is_wanted(text: str, language: Language, prompt: str, count: int) -> None:
    found = wish(text)
    assert found is not None
    assert (found.kind, found.language, found.what, found.count) == (Kind.PICTURE, language, prompt, count)


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("draw a chart of revenue by month", "revenue by month"),
        ("Plot the number of orders per city", "the number of orders per city"),
        ("show me a bar chart of orders per city", "orders per city"),
        ("draw revenue by month", "revenue by month"),
        ("draw a list of customers", "a list of customers"),
        ("vẽ biểu đồ doanh thu theo tháng", "doanh thu theo tháng"),
        ("ve bieu do cot so don hang theo thanh pho", "so don hang theo thanh pho"),
        ("vẽ doanh thu theo quý", "doanh thu theo quý"),
    ],
)
def test_a_chart_is_a_question_about_data(text: str, figures: str) -> None:
    found = wish(text)
    assert found is not None
    assert (found.kind, found.what) == (Kind.CHART, figures)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How many customers are there?",
        "Which customers drew attention?",
        "draw conclusions from the orders",
        "Draw up a list of customers",
        "show me images of products",
        "về doanh thu thì sao",
        "ve khach hang nao mua nhieu nhat",
        "vé máy bay bao nhiêu tiền",
        "make it blue",
        "another one",
        "again",
    ],
)
def test_other_questions_are_left_alone(text: str) -> None:
    assert wish(text) is None


@pytest.mark.parametrize(
    "text", ["draw", "Can you draw?", "draw it again", "draw it in blue", "draw something", "vẽ", "vẽ lại", "vẽ đi"]
)
def test_a_picture_of_nothing_is_asked_back(text: str) -> None:
    found = wish(text)
    assert found is not None
    assert found.kind is Kind.NOTHING


CIRCLE = Earlier("a red circle on a white background", 7)
PAIR = Earlier("a red circle left of a green square", 7)
HEART = Earlier("một trái tim màu đỏ trên nền trắng", 7)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("another one", 1),
        ("Draw it again!", 1),
        ("two more, please", 2),
        ("draw another picture", 1),
        ("vẽ lại đi", 1),
        ("vẽ thêm 2 tấm nữa", 2),
        ("một cái khác", 1),
        ("lần nữa", 1),
    ],
)
def test_another_one_is_drawn_anew(text: str, count: int) -> None:
    found = wish(text, CIRCLE)
    assert found is not None
    assert (found.kind, found.what, found.count, found.seed) == (Kind.PICTURE, CIRCLE.prompt, count, None)


@pytest.mark.parametrize(
    ("earlier", "text", "prompt"),
    [
        (CIRCLE, "make it blue", "a blue circle on a white background"),
        (CIRCLE, "in violet please", "a purple circle on a white background"),
        (CIRCLE, "make the background black", "a red circle on a black background"),
        (PAIR, "make the square blue", "a red circle left of a blue square"),
        (HEART, "đổi sang màu tím đi", "một trái tim màu tím trên nền trắng"),
        (HEART, "đổi nền sang màu đen", "một trái tim màu đỏ trên nền đen"),
        (HEART, "make it blue", "một trái tim màu xanh dương trên nền trắng"),
        (Earlier("trai tim mau do", 7), "make it blue", "trai tim mau xanh dương"),
    ],
)
def test_another_colour_keeps_the_seed(earlier: Earlier, text: str, prompt: str) -> None:
    found = wish(text, earlier)
    assert found is not None
    assert (found.kind, found.what, found.seed) == (Kind.PICTURE, prompt, 7)


@pytest.mark.parametrize(
    ("earlier", "text"),
    [
        (PAIR, "make it blue"),
        (PAIR, "make the star blue"),
        (Earlier("a cat"), "make it blue"),
        (HEART, "đổi mèo sang đen"),
    ],
)
def test_a_colour_whose_place_is_not_clear_is_asked_back(earlier: Earlier, text: str) -> None:
    found = wish(text, earlier)
    assert found is not None
    assert found.kind is Kind.UNCLEAR


def test_a_question_after_a_picture_is_still_a_question() -> None:
    assert wish("How many orders were red?", CIRCLE) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("draw " + "a" * 100_000, Kind.PICTURE),
        ("draw " * 20_000, Kind.PICTURE),
        ("vẽ " * 30_000 + "!", Kind.PICTURE),
        ("please " * 15_000, None),
        ("." * 100_000, None),
    ],
    ids=["a word", "draw", "ve", "please", "dots"],
)
def test_a_hostile_text_is_read_too(text: str, kind: Kind | None) -> None:
    """Patterns that backtrack would not come back from these."""
    found = wish(text, CIRCLE)
    assert (found.kind if found else None) is kind

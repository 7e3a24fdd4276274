"""The words of captions in English and Vietnamese: every list follows the order of the names in scenes.py."""

from __future__ import annotations

from dataclasses import dataclass

Choices = tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """The words of one language; of each meaning, the ways to say it."""

    shapes: tuple[Choices, ...]
    """One thing of each shape."""
    plurals: tuple[Choices, ...]
    """Several things of each shape."""
    colours: tuple[Choices, ...]
    backgrounds: tuple[Choices, ...]
    """The colours of backgrounds."""
    sizes: tuple[Choices, ...]
    places: tuple[Choices, ...]
    relations: tuple[Choices, ...]
    """Words between the first thing and the second."""
    sides: tuple[tuple[str, str], ...]
    """Of each relation: where the first thing is, where the second is."""
    numbers: tuple[Choices, ...]
    """Two, three, four."""
    grounds: Choices
    """Ways to name a background, with {} for its colour."""
    openings: Choices
    joint: str
    """Between two things of which no relation is said."""


ENGLISH = Language(
    shapes=(
        ("circle", "disc"),
        ("square",),
        ("triangle",),
        ("star",),
        ("heart",),
        ("diamond", "rhombus"),
        ("ring",),
        ("cross", "plus"),
    ),
    plurals=(
        ("circles", "discs"),
        ("squares",),
        ("triangles",),
        ("stars",),
        ("hearts",),
        ("diamonds", "rhombuses"),
        ("rings",),
        ("crosses",),
    ),
    colours=(
        ("red",),
        ("green",),
        ("blue",),
        ("yellow",),
        ("orange",),
        ("purple", "violet"),
        ("pink",),
        ("brown",),
        ("cyan", "turquoise"),
    ),
    backgrounds=(
        ("white",),
        ("black",),
        ("grey", "gray"),
        ("cream", "beige"),
        ("navy", "dark blue"),
        ("mint", "light green"),
    ),
    sizes=(("small", "little", "tiny"), ("medium",), ("large", "big", "huge")),
    places=(
        ("at the top left", "in the top left corner", "in the upper left"),
        ("at the top",),
        ("at the top right", "in the top right corner", "in the upper right"),
        ("on the left", "at the left"),
        ("in the centre", "in the center", "in the middle"),
        ("on the right", "at the right"),
        ("at the bottom left", "in the bottom left corner", "in the lower left"),
        ("at the bottom",),
        ("at the bottom right", "in the bottom right corner", "in the lower right"),
    ),
    relations=(
        ("left of", "to the left of", "on the left of", "is left of"),
        ("right of", "to the right of", "on the right of", "is right of"),
        ("above", "over", "on top of", "is above"),
        ("below", "under", "beneath", "is below"),
    ),
    sides=(
        ("on the left", "on the right"),
        ("on the right", "on the left"),
        ("at the top", "at the bottom"),
        ("at the bottom", "at the top"),
    ),
    numbers=(("two", "2"), ("three", "3"), ("four", "4")),
    grounds=("on a {} background", "on {}", "{} background", "against a {} background"),
    openings=("a picture of", "an image of", "draw", "picture of", "drawing of"),
    joint="and",
)
VIETNAMESE = Language(
    shapes=(
        ("hình tròn",),
        ("hình vuông",),
        ("hình tam giác", "tam giác"),
        ("ngôi sao",),
        ("trái tim", "hình trái tim"),
        ("hình thoi",),
        ("chiếc nhẫn", "chiếc vòng"),
        ("dấu cộng", "hình chữ thập"),
    ),
    plurals=(
        ("hình tròn",),
        ("hình vuông",),
        ("hình tam giác", "tam giác"),
        ("ngôi sao",),
        ("trái tim", "hình trái tim"),
        ("hình thoi",),
        ("chiếc nhẫn", "chiếc vòng"),
        ("dấu cộng", "hình chữ thập"),
    ),
    colours=(
        ("đỏ",),
        ("xanh lá", "xanh lục", "xanh lá cây"),
        ("xanh dương", "xanh lam"),
        ("vàng",),
        ("cam",),
        ("tím",),
        ("hồng",),
        ("nâu",),
        ("xanh ngọc", "xanh lơ"),
    ),
    backgrounds=(("trắng",), ("đen",), ("xám",), ("kem",), ("xanh than", "xanh đậm"), ("bạc hà", "xanh bạc hà")),
    sizes=(("nhỏ", "bé"), ("vừa", "cỡ vừa"), ("to", "lớn")),
    places=(
        ("ở góc trên bên trái", "ở trên bên trái"),
        ("ở phía trên", "ở trên cùng"),
        ("ở góc trên bên phải", "ở trên bên phải"),
        ("ở bên trái", "bên trái"),
        ("ở giữa", "ở chính giữa"),
        ("ở bên phải", "bên phải"),
        ("ở góc dưới bên trái", "ở dưới bên trái"),
        ("ở phía dưới", "ở dưới cùng"),
        ("ở góc dưới bên phải", "ở dưới bên phải"),
    ),
    relations=(
        ("bên trái", "ở bên trái", "nằm bên trái"),
        ("bên phải", "ở bên phải", "nằm bên phải"),
        ("phía trên", "ở trên", "ở phía trên", "nằm trên"),
        ("phía dưới", "ở dưới", "ở phía dưới", "nằm dưới"),
    ),
    sides=(
        ("ở bên trái", "ở bên phải"),
        ("ở bên phải", "ở bên trái"),
        ("ở phía trên", "ở phía dưới"),
        ("ở phía dưới", "ở phía trên"),
    ),
    numbers=(("hai", "2"), ("ba", "3"), ("bốn", "4")),
    grounds=("trên nền {}", "nền {}", "trên nền màu {}"),
    openings=("vẽ", "bức tranh", "hình ảnh", "vẽ cho tôi"),
    joint="và",
)

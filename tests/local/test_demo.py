"""What the demo takes for a right answer, and what not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy.local import demo_picture, demo_talk, sample_shop
from deploy.local.demo import PARAPHRASED, TAUGHT
from deploy.local.demo_check import DemoFailedError, Shop
from parley.asr.v1 import asr_pb2
from triton_models.training.pictures import draw
from triton_models.training.scenes import Scene, Thing


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    path = tmp_path_factory.mktemp("shop") / "shop.db"
    sample_shop.build(path)
    return Shop(path)


def segments(*turns: tuple[str, str]) -> list[asr_pb2.Segment]:
    return [asr_pb2.Segment(speaker=speaker, text=text) for speaker, text in turns]


def test_a_turn_may_come_in_several_segments_and_lack_a_word() -> None:
    (anna, first), *others = demo_talk.TURNS
    cut = first.split()
    heard = segments((anna, " ".join(cut[:3])), (anna, " ".join(cut[3:-1])), *others)
    assert demo_talk.check(heard) == "4 turns, each by who spoke it; 35 of 36 words as they were spoken"


def test_turns_of_the_wrong_person_or_with_other_words_fail_it() -> None:
    swapped = [("Ben" if name == "Anna" else "Anna", text) for name, text in demo_talk.TURNS]
    with pytest.raises(DemoFailedError, match="said to be by Ben, Anna"):
        demo_talk.check(segments(*swapped))
    with pytest.raises(DemoFailedError, match="words that were spoken"):
        demo_talk.check(segments(*((name, "mumble") for name, _ in demo_talk.TURNS)))
    with pytest.raises(DemoFailedError):
        demo_talk.check([])


def test_rows_are_the_same_in_any_order_and_notation(shop: Shop) -> None:
    rows = [[name, f"{spent:.9f}"] for name, spent in reversed(shop.rows(TAUGHT.sql))]
    assert shop.check({"rows": rows}, TAUGHT).startswith("5 rows")
    with pytest.raises(DemoFailedError, match="the rows differ"):
        shop.check({"rows": rows}, PARAPHRASED)
    rows[0][1] = "1.00"
    with pytest.raises(DemoFailedError, match="the rows differ"):
        shop.check({"rows": rows}, TAUGHT)


def test_the_voices_are_recorded(tmp_path: Path) -> None:
    talk = demo_talk.record(tmp_path)
    request = demo_talk.request(talk)
    assert [known.name for known in request.config.diarization.known_speakers] == ["Anna", "Ben"]
    assert request.audio[:4] == b"RIFF"


CIRCLE, SQUARE = 0, 1
RED, BLUE = 0, 2


def drawn(*things: Thing, background: int = 0) -> bytes:
    """A PNG file of some things."""
    file = io.BytesIO()
    Image.fromarray(draw(Scene("pair", background, things))).save(file, "PNG")
    return file.getvalue()


def test_what_is_to_be_seen_in_the_picture_is_said() -> None:
    circle, square = Thing(CIRCLE, RED, 1, 16, 32, 10), Thing(SQUARE, BLUE, 1, 46, 32, 10)
    seen = demo_picture.check(drawn(circle, square))
    assert seen == ("a medium red circle left of a medium blue square on white", True)
    seen = demo_picture.check(drawn(Thing(CIRCLE, RED, 1, 46, 32, 10), Thing(SQUARE, BLUE, 1, 16, 32, 10)))
    assert seen == ("a medium blue square left of a medium red circle on white", False)
    seen = demo_picture.check(drawn(Thing(CIRCLE, RED, 1, 16, 32, 10), background=1))
    assert seen == ("a medium red circle at the left on black", False)


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        (b"no picture", "is no picture"),
        (np.zeros((64, 64, 3), np.uint8), "is empty: .*(0, 0, 0)"),
        (np.full((64, 64, 3), 250, np.uint8), "is empty"),
        (np.zeros((32, 64, 3), np.uint8), "is 64 × 32"),
    ],
    ids=["bytes", "black", "white", "size"],
)
def test_an_empty_picture_fails_it(picture: bytes | np.ndarray[Any, Any], fault: str) -> None:
    content = picture
    if not isinstance(content, bytes):
        file = io.BytesIO()
        Image.fromarray(content).save(file, "PNG")
        content = file.getvalue()
    with pytest.raises(DemoFailedError, match=fault):
        demo_picture.check(content)

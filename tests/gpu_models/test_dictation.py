"""From what a model heard to the answer: what it made up is left out, and times follow the audio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from triton_models.shared import dictation
from triton_models.shared.dictation import Heard, Stretch, Word
from triton_models.shared.errors import CancelledError, InputError
from triton_models.shared.worker_process import Answer, Request

RATE = 16000


def request(seconds: float = 2.0, *, gone: bool = False, **inputs: Any) -> Request:
    samples = np.full(int(seconds * RATE), 1000, np.int16)
    return Request({"samples": samples, **inputs}, lambda: gone)


def answers(*requests: Request, heard: Heard | None = None, together: int = 4) -> list[Answer]:
    """The answers of a model that hears the same in every stretch."""

    def hear(stretches: Sequence[Stretch]) -> list[Heard]:
        assert 0 < len(stretches) <= together
        return [heard or Heard(one.manner.language or "en", 0.5, [Word(" hi", 0.5, 1.0, 0.9)]) for one in stretches]

    return dictation.answers(requests, hear, together, ["en", "vi"])


def one(answer: Answer) -> dict[str, Any]:
    assert not isinstance(answer, Exception)
    return dict(answer)


def text(answer: Answer) -> str:
    return bytes(one(answer)["text"][0]).decode()


def test_each_request_gets_its_own_answer_however_they_are_cut_and_gathered() -> None:
    found = answers(request(95), request(1), request(1, language=[b"xx"]), request(40, gone=True), request(31))
    assert text(found[0]).split() == ["hi"] * 4
    assert text(found[1]) == "hi"
    assert isinstance(found[2], InputError)
    assert isinstance(found[3], CancelledError)
    assert text(found[4]) == "hi hi"


def test_times_count_from_the_requests_first_sample() -> None:
    (found,) = answers(request(95))
    starts = one(found)["times"][:, 0]
    assert starts[0] == 0.5
    assert np.all(np.diff(starts) > 15)


def test_times_that_run_backwards_or_beyond_the_audio_are_put_right() -> None:
    words = [Word(" a", 1.0, 1.5, 1), Word(" b", 0.2, 0.4, 1), Word(" c", 5.0, 9.0, 1)]
    (found,) = answers(request(2), heard=Heard("en", 1.0, words))
    assert one(found)["times"].tolist() == [[1.0, 1.5], [1.5, 1.5], [2.0, 2.0]]


def test_loops_are_said_once() -> None:
    words = [Word(f" {word}", n * 0.1, n * 0.1, 0.5) for n, word in enumerate(["so", "thank", "you", "thank", "you"])]
    loop = [*words, *[Word(f" {word}", 1, 1, 0.5) for word in ["thank", "you"] * 20]]
    (found,) = answers(request(), heard=Heard("en", 1.0, loop))
    assert text(found) == "so thank you"
    assert len(one(found)["words"]) == 3


def test_a_text_that_is_nothing_but_repetition_is_dropped() -> None:
    chorus = [f" tra{number % 3} la{number % 2}" for number in range(200)]
    broken = [Word(word if number % 7 else " x", 1, 1, 0.5) for number, word in enumerate(chorus)]
    (found,) = answers(request(), heard=Heard("en", 1.0, broken))
    assert text(found) == ""
    assert one(found)["times"].shape == (0, 2)


def test_in_silence_the_model_is_not_even_asked() -> None:
    silent = Request({"samples": np.zeros(RATE * 70, np.int16)}, lambda: False)
    assert text(answers(silent)[0]) == ""


def test_alternatives_of_several_stretches_are_joined_by_rank() -> None:
    heard = Heard("en", 1.0, [Word(" a", 0, 1, 0.9)], [("a", 0.8), ("b", 0.4)])
    (found,) = answers(request(31, alternatives=np.array([2], np.int32)), heard=heard)
    assert [json.loads(alternative) for alternative in one(found)["alternatives"]] == [
        {"text": "a a", "confidence": 0.8},
        {"text": "b b", "confidence": 0.4},
    ]


def test_the_language_is_that_of_the_stretch_in_which_most_was_said() -> None:
    said = iter([Heard("vi", 0.9, [Word(" a", 0, 1, 1)]), Heard("en", 0.7, [Word(" b", 0, 1, 1), Word(" c", 1, 2, 1)])])
    (found,) = dictation.answers([request(31)], lambda stretches: [next(said) for _ in stretches], 4, ["en", "vi"])
    assert bytes(one(found)["language"][0]) == b"en"
    assert np.isclose(one(found)["language_probability"], 0.7)

"""Captions: what they say is so in the scene, in both languages, and what they leave out is left out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from triton_models.training.captions import UNSAID, Caption, all_words, plain, write_caption
from triton_models.training.scenes import Scene, training_scene
from triton_models.training.words import ENGLISH, VIETNAMESE, Language

SEEDS = range(400)


def captions(language: str | None = None, full: bool = False) -> list[tuple[Scene, Caption]]:
    scenes = [training_scene(seed) for seed in SEEDS]
    return [(s, write_caption(s, np.random.default_rng(n), language, full)) for n, s in enumerate(scenes)]


def test_what_a_caption_says_is_so_in_the_scene() -> None:
    for scene, caption in captions():
        looks = {(thing.shape, thing.colour, thing.size) for thing in scene.things}
        for said in caption.things:
            assert any(
                said.shape == shape and said.colour in (colour, UNSAID) and said.size in (size, UNSAID)
                for shape, colour, size in looks
            )
        assert caption.count == len(scene.things)
        assert caption.place in (scene.place, UNSAID)
        assert caption.background in (scene.background, UNSAID)


def test_a_relation_is_of_the_thing_that_is_named_first() -> None:
    for scene, caption in captions(full=True):
        if scene.kind != "pair":
            continue
        named = caption.things[0]
        turned = (named.shape, named.colour) != (scene.things[0].shape, scene.things[0].colour)
        assert caption.relation == ({0: 1, 1: 0, 2: 3, 3: 2}[scene.relation] if turned else scene.relation)


@pytest.mark.parametrize(("language", "words"), [("en", ENGLISH), ("vi", VIETNAMESE)])
def test_the_words_stand_in_the_text_where_the_caption_says(language: str, words: Language) -> None:
    for _, caption in captions(language, full=True):
        text = caption.text.split()
        start = 0
        for said in caption.things:
            phrase = " ".join(text[start : said.last + 1])
            several = caption.count > len(caption.things)
            nouns = (words.plurals if several else words.shapes)[said.shape]
            assert any(noun in phrase for noun in nouns)
            assert any(colour in phrase for colour in words.colours[said.colour])
            start = said.last + 1
        if caption.background != UNSAID:
            assert any(colour in caption.text for colour in words.backgrounds[caption.background])
        if caption.place != UNSAID:
            assert any(place in caption.text for place in words.places[caption.place])


def test_captions_vary_and_leave_things_out() -> None:
    scene = training_scene(3)
    found = [write_caption(scene, np.random.default_rng(seed)) for seed in range(200)]
    assert len({caption.text for caption in found}) > 60
    assert {caption.background == UNSAID for caption in found} == {True, False}
    assert {caption.things[0].colour == UNSAID for caption in found} == {True, False}
    assert {caption.things[0].size == UNSAID for caption in found} == {True, False}


def test_the_same_randomness_writes_the_same_caption() -> None:
    scene = training_scene(5)
    assert write_caption(scene, np.random.default_rng(1)) == write_caption(scene, np.random.default_rng(1))


def test_every_word_of_a_caption_is_known_to_the_tokenizer() -> None:
    known = set(all_words())
    assert {word for _, caption in captions() for word in caption.text.split()} <= known


def test_vietnamese_is_also_written_without_diacritics() -> None:
    assert plain("một hình tròn màu đỏ ở giữa") == "mot hinh tron mau do o giua"
    texts = [caption.text for _, caption in captions("vi")]
    bare = [text for text in texts if text == plain(text)]
    assert 0.1 < len(bare) / len(texts) < 0.35


def test_an_article_fits_its_word() -> None:
    for _, caption in captions("en"):
        words = caption.text.split()
        for article, word in pairwise(words):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou"), caption.text

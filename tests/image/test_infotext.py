"""Infotexts: as A1111 writes them, and read back, ours and others'."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.image.drawing import SecondPass, Settings
from services.image.infotext import Making, apart, fields_of, settings_of, together, written

# Lines as people write them: no line of a prompt begins like a field of its own, and none has spaces around it.
LINE = (
    st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"], blacklist_characters="\x85"), max_size=60)
    .map(str.strip)
    .filter(lambda line: not line.startswith("Negative prompt:"))
)
PROMPT = st.lists(LINE, max_size=4).map("\n".join).map(str.strip)
NAME = st.text(string.ascii_letters + string.digits + "-_.,: /\"'\\ü", min_size=1, max_size=30).map(str.strip)


@given(
    prompt=PROMPT,
    negative=PROMPT,
    steps=st.integers(1, 150),
    sampler=st.sampled_from(["Euler", "Euler a", "DPM++ 2M Karras", "DPM++ SDE", "UniPC", "DDIM"]),
    guidance=st.floats(0, 30),
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(8, 256).map(lambda cells: cells * 8),
    model=NAME.filter(bool),
    clip_skip=st.integers(2, 12),
    second=st.none() | st.builds(SecondPass, st.floats(1, 4), st.just("R-ESRGAN 4x+"), st.integers(1, 150)),
)
def test_what_is_written_is_read_back(
    prompt: str, negative: str, steps: int, sampler: str, guidance: float, seed: int, width: int, model: str,
    clip_skip: int, second: SecondPass | None,
) -> None:  # fmt: skip
    making = Making(
        prompt=prompt, negative_prompt=negative, steps=steps, sampler=sampler, guidance_scale=guidance, seed=seed,
        width=width, height=64, model=model, model_sha256="a" * 64, clip_skip=clip_skip, second_pass=second,
        strength=second.strength if second else None, lora_hashes=(("sketch", "b" * 64),),
    )  # fmt: skip
    settings, strength = settings_of(written(making))
    assert strength is None
    assert settings == Settings(
        prompt=prompt, negative_prompt=negative, model=model, width=width, height=64, steps=steps,
        guidance_scale=guidance, seed=seed, sampler=sampler, clip_skip=clip_skip, second_pass=second,
    )  # fmt: skip


def test_a1111s_own_text_is_understood() -> None:
    # As `create_infotext` of AUTOMATIC1111 1.10 writes it.
    text = (
        "masterpiece, a cat <lora:style:0.7>\nsitting\nNegative prompt: bad anatomy,\nworst quality\n"
        "Steps: 25, Sampler: DPM++ 2M SDE, Schedule type: Exponential, CFG scale: 7.5, Seed: 1234567, Size: 512x768, "
        "Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Denoising strength: 0.35, Clip skip: 2, "
        "Hires upscale: 2, Hires steps: 10, Hires upscaler: R-ESRGAN 4x+, "
        'Lora hashes: "style: 5d1fcb8fb8c8, other: 0a1b2c3d4e5f", Version: v1.10.1'
    )
    fields = fields_of(text)
    assert fields["Lora hashes"] == "style: 5d1fcb8fb8c8, other: 0a1b2c3d4e5f"
    assert (fields["Size-1"], fields["Size-2"], fields["Version"]) == ("512", "768", "v1.10.1")
    settings, strength = settings_of(text)
    assert settings == Settings(
        prompt="masterpiece, a cat <lora:style:0.7>\nsitting", negative_prompt="bad anatomy,\nworst quality",
        model="v1-5-pruned-emaonly", width=512, height=768, steps=25, guidance_scale=7.5, seed=1234567,
        sampler="DPM++ 2M SDE Exponential", clip_skip=2, second_pass=SecondPass(2.0, "R-ESRGAN 4x+", 10, 0.35),
    )  # fmt: skip
    assert strength is None


@pytest.mark.parametrize(
    "text",
    ["", "just words", "Steps: many, Sampler: , CFG scale: x, Seed: -1, Size: 0", 'a\nModel: "broken, b: c, d: e'],
)
def test_texts_of_others_do_no_harm(text: str) -> None:
    settings, _strength = settings_of(text)
    assert settings.steps == 0
    assert settings.seed is None


def test_a_schedule_is_part_of_a_samplers_name() -> None:
    assert apart("DPM++ 2M Karras") == ("DPM++ 2M", "Karras")
    assert apart("Euler a") == ("Euler a", "Automatic")
    assert together("DPM++ 2M", "Karras") == "DPM++ 2M Karras"
    assert together("Euler a", "Automatic") == "Euler a"

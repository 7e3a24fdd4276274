"""The diffusion model draws: from text, pictures, masks and edges, alone and together."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.triton import Triton
from tests.diffusion.draw import Picture, apart, draw, events

TOGETHER = 2  # of 255 levels: what another order of floating-point sums does to a picture


def photo(seed: int = 0) -> Picture:
    """A picture with something everywhere."""
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def square() -> Picture:
    """The edges of a square, as a control picture."""
    found = np.zeros((1, 64, 64, 3), np.uint8)
    found[0, 16:48, 16:48] = 255
    found[0, 18:46, 18:46] = 0
    return found


async def test_a_picture_comes_after_its_progress(client: Triton) -> None:
    found = [event async for event in events(client, steps=6, preview_interval=2, seeds=[7, 8])]
    kinds = [event.said["event"] for event in found]
    assert kinds[-1] == "images"
    steps = [event.said["step"] for event in found if event.said["event"] == "progress"]
    assert steps[0] == 1
    assert steps[-1] == 6
    assert steps == sorted(set(steps))
    assert all(event.said["steps"] == 6 for event in found[:-1])
    previews = [event for event in found if event.said["event"] == "preview"]
    assert [event.said["step"] for event in previews] == [2, 4]
    assert all(event.images is not None and event.images.shape == (2, 64, 64, 3) for event in previews)
    said, images = found[-1]
    assert images is not None
    assert images.shape == (2, 64, 64, 3)
    assert apart(images[0], images[1]) > TOGETHER
    wanted = {"seeds": [7, 8], "model": "small", "width": 64, "height": 64, "steps": 6, "sampler": "Euler"}
    assert said.items() >= wanted.items()
    assert said["guidance_scale"] == 7.5
    assert len(said["model_sha256"]) == 64
    assert not said["truncated"]


async def test_the_same_request_gives_the_same_picture_to_the_last_bit(client: Triton) -> None:
    one, again = await draw(client, sampler="Euler a"), await draw(client, sampler="Euler a")
    other = await draw(client, sampler="Euler a", seeds=[2])
    assert np.array_equal(one, again)
    assert apart(one, other) > TOGETHER


async def test_pictures_that_wait_are_drawn_together_and_each_is_what_it_would_be_alone(client: Triton) -> None:
    alone = [await draw(client, seeds=[seed], prompt=f"number {seed}") for seed in range(3)]
    busy = asyncio.create_task(draw(client, steps=40, seeds=[9]))
    await asyncio.sleep(0.1)
    together = await asyncio.gather(*(draw(client, seeds=[seed], prompt=f"number {seed}") for seed in range(3)))
    await busy
    assert all(apart(one, other) <= TOGETHER for one, other in zip(alone, together, strict=True))


async def test_who_gives_up_stops_and_the_others_get_their_pictures(client: Triton) -> None:
    alone = await draw(client, steps=30, seeds=[5], sampler="DPM++ 2M")
    busy = asyncio.create_task(draw(client, steps=10))
    await asyncio.sleep(0.1)
    given_up, kept = (asyncio.create_task(draw(client, steps=30, seeds=[seed], sampler="DPM++ 2M")) for seed in (4, 5))
    await busy
    await asyncio.sleep(0.2)
    given_up.cancel()
    assert apart(await kept, alone) <= TOGETHER


async def test_a_long_drawing_whose_caller_is_gone_makes_room_at_once(client: Triton) -> None:
    stream = events(client, steps=150, seeds=list(range(16)), width=128, height=128)
    async for _event in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, declared as the iterator that it is
    first = await anext(events(client, steps=2, seeds=[1]))
    assert first.said["event"] == "progress"


async def test_a_picture_is_drawn_anew_as_much_as_is_asked_for(client: Triton) -> None:
    given = photo()
    little, much = [await draw(client, image=given, strength=s, steps=10) for s in (0.1, 0.9)]
    assert little.shape == much.shape == (1, 64, 64, 3)
    assert apart(little, much) > TOGETHER
    found = [event.said async for event in events(client, image=given, strength=0.5, steps=10)]
    assert {event["steps"] for event in found[:-1]} == {5}
    assert found[-1]["steps"] == 10


@pytest.mark.parametrize("model", ["small", "inpainting"])
async def test_what_the_mask_does_not_cover_stays_to_the_last_bit(client: Triton, model: str) -> None:
    given, mask = photo(), np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    (drawn,) = await draw(client, model=model, image=given, mask=mask)
    assert np.array_equal(drawn[:, :32], given[:, :32])
    assert apart(drawn[:, 32:], given[:, 32:]) > TOGETHER


async def test_a_soft_mask_blends(client: Triton) -> None:
    given, soft = photo(), np.full((64, 64), 128, np.uint8)
    (drawn,) = await draw(client, image=given, mask=soft)
    assert apart(drawn, given) > TOGETHER
    assert np.abs(drawn.astype(int) - given).mean() < np.abs((await draw(client))[0].astype(int) - given).mean()


async def test_controlnets_lead_add_up_and_end(client: Triton) -> None:
    without = await draw(client)
    one = await draw(client, controls=[{"name": "edges"}], control_images=square())
    both = await draw(
        client, controls=[{"name": "edges"}, {"name": "depth", "weight": 0.5}], control_images=square().repeat(2, 0)
    )
    never = await draw(client, controls=[{"name": "edges", "start": 1.0}], control_images=square())
    assert apart(one, without) > TOGETHER
    assert apart(both, one) > TOGETHER
    assert np.array_equal(never, without)


@pytest.mark.parametrize("name", ["style", "kohya"])
async def test_a_lora_changes_the_picture_and_leaves_nothing_behind(client: Triton, name: str) -> None:
    before = await draw(client)
    light, strong = [await draw(client, loras=[{"name": name, "weight": weight}]) for weight in (0.3, 1.0)]
    assert apart(before, light) > TOGETHER
    assert apart(light, strong) > TOGETHER
    assert np.array_equal(await draw(client), before)


async def test_sdxl_takes_the_same_requests(client: Triton) -> None:
    (drawn,) = await draw(client, model="xl", width=128)
    assert drawn.shape == (64, 128, 3)
    mask = np.zeros((64, 64), np.uint8)
    mask[32:] = 255
    given = photo()
    (drawn,) = await draw(
        client,
        model="xl",
        image=given,
        mask=mask,
        controls=[{"name": "xl-edges"}],
        control_images=square(),
        loras=[{"name": "xl-style"}],
    )
    assert np.array_equal(drawn[:32], given[:32])


async def test_a_single_file_draws_what_the_directory_that_it_was_made_of_draws(client: Triton) -> None:
    assert apart(await draw(client, model="single"), await draw(client)) <= TOGETHER


@pytest.mark.parametrize("name", ["Euler a", "ddim", "DPM++ 2M Karras", "dpm++ sde", "UniPC", "LMS", "Heun", "PLMS"])
async def test_samplers_are_known_by_their_usual_names(client: Triton, name: str) -> None:
    found = [event async for event in events(client, sampler=name, steps=3)]
    assert [event.said["step"] for event in found if event.said["event"] == "progress"][-1] == 3
    assert found[-1].images is not None
    assert found[-1].images.std() > 1


async def test_what_the_model_prefers_is_taken_where_nothing_is_said(client: Triton) -> None:
    (*_, last) = [event.said async for event in events(client, model="xl", sampler="", steps=0)]
    assert (last["sampler"], last["steps"], last["width"], last["guidance_scale"]) == ("Euler", 20, 64, 5.0)


async def test_guidance_and_layers_left_out_change_the_picture(client: Triton) -> None:
    plain = await draw(client)
    assert apart(await draw(client, guidance_scale=1), plain) > TOGETHER
    assert apart(await draw(client, clip_skip=2), plain) > 0
    assert np.array_equal(await draw(client, clip_skip=1), plain)
    assert apart(await draw(client, negative_prompt="a square"), plain) > 0


async def test_a_prompt_longer_than_the_encoder_reads_is_cut_and_that_is_said(client: Triton) -> None:
    for prompt in ("x " * 5000, "🟥🔵" * 100):
        (*_, last) = [event async for event in events(client, prompt=prompt)]
        assert last.said["truncated"]
        assert last.images is not None


NOISE = photo()


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"width": 63}, "width"),
        ({"height": 100}, "height"),
        ({"width": 100_000}, "width"),
        ({"width": 2048, "height": 2048, "seeds": [1, 2]}, "seeds"),
        ({"width": -8}, "width"),
        ({"steps": 10_000}, "steps"),
        ({"steps": "many"}, "steps"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [-1]}, "seeds[0]"),
        ({"seeds": [2**32]}, "seeds[0]"),
        ({"seeds": [1] * 17}, "seeds"),
        ({"prompt": "x" * 10_001}, "prompt"),
        ({"guidance_scale": 1e9}, "guidance_scale"),
        ({"sampler": "magic"}, "sampler"),
        ({"model": "nobody"}, "model"),
        ({"model": "../small"}, "model"),
        ({"loras": [{"name": "nobody"}]}, "loras[0].name"),
        ({"loras": [{"name": "xl-style"}]}, "loras[0].name"),
        ({"loras": [{"name": "style", "weight": 99}]}, "loras[0].weight"),
        ({"controls": [{"name": "edges"}]}, "control_images"),
        ({"controls": [{"name": "nobody"}], "control_images": square()}, "controls[0].name"),
        ({"controls": [{"name": "xl-edges"}], "control_images": square()}, "controls[0].name"),
        ({"mask": NOISE[..., 0]}, "mask"),
        ({"image": NOISE, "mask": NOISE[:32, :, 0]}, "mask"),
        ({"image": NOISE, "width": 128}, "image"),
        ({"image": NOISE[:33]}, "height"),
        ({"image": NOISE, "strength": 0}, "strength"),
        ({"task": "paint"}, "task"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(client: Triton, asked: dict[str, object], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await draw(client, **asked)
    assert caught.value.violations[0].field == field

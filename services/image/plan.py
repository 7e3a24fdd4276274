"""What a request comes to: settings checked, defaults filled in, pictures parted into those that are drawn together.

Two steps, because the first needs nothing but the request: `check` holds it to the limits of this deployment, `planned`
to what there is to draw with. Errors name every field that is wrong, with what would be right.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.image import prompt
from services.image.catalog import Catalog, Model
from services.image.drawing import SEEDS, ControlUse, LoraUse, SecondPass, Settings
from services.image.errors import ModelBroken, ModelNotFound, listed
from services.image.preprocess import PREPROCESSORS
from services.mesh.errors import FieldViolation, InvalidRequest, Unavailable

GRID = 8
"""Sides are multiples of it: what a latent's cell covers."""
SHORTEST_SIDE = 64
MAX_PROMPT = 10_000
MAX_STEPS = 150
MAX_GUIDANCE = 30
MAX_COUNT = 16
MAX_LORAS = 8
MAX_CONTROLS = 4
MAX_CLIP_SKIP = 12
MAX_SECOND_SCALE = 4
Violations = Iterator[FieldViolation]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a deployment draws at most."""

    side: int = 2048
    """Longest side of a picture."""
    pixels: int = 2048 * 2048
    """Of a picture, after its second pass."""
    job_pixels: int = 16 * 1024 * 1024
    """Of all pictures of a job together, after their second passes."""
    batch_pixels: int = 2 * 1024 * 1024
    """Of the pictures that are drawn together."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings with nothing left open."""

    settings: Settings
    """As asked, with the model, size, steps, guidance and sampler that were chosen, and all LoRAs."""
    model: Model
    words: str
    """The prompt without tags."""
    guidance_scale: float
    seeds: tuple[int, ...]
    """One for each picture."""
    batches: tuple[range, ...]
    """The numbers of the pictures that are drawn together, in order."""
    lora_hashes: tuple[tuple[str, str], ...] = ()
    """Name and SHA-256 of each LoRA whose digest is known."""

    @property
    def passes(self) -> int:
        """Runs of the model that it takes."""
        again = len(self.seeds) if self.settings.second_pass is not None else 0
        return len(self.batches) + again


def check(settings: Settings, limits: Limits) -> None:
    """Raises InvalidRequest for settings that are outside of the limits, whatever there is to draw with."""
    violations = [
        *_texts(settings),
        *_sizes(settings, limits),
        *_numbers(settings),
        *_parts(settings),
        *_second_pass(settings.second_pass),
    ]
    if violations:
        raise InvalidRequest(violations)


def planned(settings: Settings, catalog: Catalog, limits: Limits, own: tuple[int, int] | None = None) -> Plan:
    """The plan for settings that `check` let pass.

    Args:
        settings: How to draw.
        catalog: What there is to draw with.
        limits: What is drawn at most.
        own: Width and height of the picture that is edited; None where none is.

    Raises:
        Unavailable: There is no model at all.
        ModelNotFound, ModelBroken: There is no such model, or it cannot be used.
        NotGranted: It is not open to the caller.
        InvalidRequest: Other settings that cannot be met.
    """
    model = _model(settings.model, catalog)
    words, tagged = prompt.split(settings.prompt)
    loras = tuple({lora.name: lora for lora in (*tagged, *settings.loras)}.values())
    width, height = _size(settings, model, own)
    sampler = catalog.sampler(settings.sampler or model.default_sampler)
    violations = [
        *_known_loras(settings, tagged, catalog),
        *_known_controls(settings.controls, catalog),
        *_known_sampler(settings, sampler is not None, catalog),
        *_known_upscaler(settings.second_pass, catalog),
        *_extent(settings, width, height, limits, edit=own is not None),
    ]
    if violations:
        raise InvalidRequest(violations)
    guidance = model.default_guidance_scale if settings.guidance_scale is None else settings.guidance_scale
    seed = secrets.randbelow(SEEDS) if settings.seed is None else settings.seed
    chosen = Settings(
        prompt=prompt.joined(settings.prompt, tuple(lora for lora in loras if lora not in tagged)),
        negative_prompt=settings.negative_prompt,
        model=model.id,
        width=width,
        height=height,
        steps=settings.steps or model.default_steps,
        guidance_scale=guidance,
        seed=seed,
        sampler=sampler.name if sampler is not None else model.default_sampler,
        count=settings.count,
        loras=loras,
        controls=settings.controls,
        clip_skip=settings.clip_skip,
        second_pass=settings.second_pass,
    )
    together = max(1, limits.batch_pixels // (width * height))
    numbers = range(settings.count)
    return Plan(
        settings=chosen,
        model=model,
        words=words,
        guidance_scale=guidance,
        seeds=tuple((seed + number) % SEEDS for number in numbers),
        batches=tuple(numbers[start : start + together] for start in range(0, settings.count, together)),
        lora_hashes=tuple(
            (use.name, lora.sha256) for use in loras for lora in catalog.loras if lora.id == use.name and lora.sha256
        ),
    )


def larger(side: int, scale: float) -> int:
    """A side of the second pass: a multiple of GRID."""
    return max(GRID, round(side * scale / GRID) * GRID)


def _model(name: str, catalog: Catalog) -> Model:
    if not catalog.models and not catalog.closed:
        raise Unavailable(
            "No model that draws is installed: put one into the model directory, diffusion/checkpoints/; docs/image.md "
            "says more.",
            retry_after=None,
        )
    found = catalog.model(name)
    if found is None:
        raise ModelNotFound(name, [model.id for model in catalog.models])
    if found.fault:
        raise ModelBroken(found.id, found.fault)
    return found


def _size(settings: Settings, model: Model, own: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height: as asked, else the edited picture's, rounded down, else the model's."""
    width, height = (model.default_size, model.default_size) if own is None else (s // GRID * GRID for s in own)
    return settings.width or width, settings.height or height


def _within(field: str, value: float, least: float, most: float) -> Violations:
    """What is wrong with a number; not a number is outside of every range."""
    if not least <= value <= most:
        yield FieldViolation(f"settings.{field}", f"must be from {least:g} to {most:g}")


def _texts(settings: Settings) -> Violations:
    for field in ("prompt", "negative_prompt"):
        text: str = getattr(settings, field)
        if len(text) > MAX_PROMPT:
            yield FieldViolation(f"settings.{field}", f"must not be longer than {MAX_PROMPT:,} characters")
        elif any("\ud800" <= letter <= "\udfff" for letter in text):
            yield FieldViolation(f"settings.{field}", "must be Unicode: it has half a surrogate pair")
    try:
        _words, tagged = prompt.split(settings.prompt[:MAX_PROMPT])
    except ValueError as error:
        yield FieldViolation("settings.prompt", f"the weight in {error} must be a number, as in <lora:name:0.8>")
    else:
        if len(tagged) + len(settings.loras) > MAX_LORAS:
            yield FieldViolation("settings.loras", f"must not be more than {MAX_LORAS}, with those in the prompt")
        for lora in tagged:
            if not -4 <= lora.weight <= 4:
                yield FieldViolation("settings.prompt", f"the weight of <lora:{lora.name}> must be from -4 to 4")


def _sizes(settings: Settings, limits: Limits) -> Violations:
    for field in ("width", "height"):
        side = getattr(settings, field)
        if side and not (SHORTEST_SIDE <= side <= limits.side and side % GRID == 0):
            right = f"must be a multiple of {GRID} from {SHORTEST_SIDE} to {limits.side}, or 0 for the model's own"
            yield FieldViolation(f"settings.{field}", right)


def _numbers(settings: Settings) -> Violations:
    yield from _within("steps", settings.steps, 0, MAX_STEPS)
    if settings.guidance_scale is not None:
        yield from _within("guidance_scale", settings.guidance_scale, 0, MAX_GUIDANCE)
    if settings.seed is not None:
        yield from _within("seed", settings.seed, 0, SEEDS - 1)
    yield from _within("count", settings.count, 1, MAX_COUNT)
    yield from _within("clip_skip", settings.clip_skip, 0, MAX_CLIP_SKIP)


def _parts(settings: Settings) -> Violations:
    for number, lora in enumerate(settings.loras):
        yield from _within(f"loras[{number}].weight", lora.weight, -4, 4)
    if len(settings.controls) > MAX_CONTROLS:
        yield FieldViolation("settings.controls", f"must not be more than {MAX_CONTROLS}")
    for number, control in enumerate(settings.controls):
        at = f"controls[{number}]"
        yield from _within(f"{at}.weight", control.weight, 0, 4)
        yield from _within(f"{at}.start", control.start, 0, 1)
        yield from _within(f"{at}.end", control.end, 0, 1)
        if control.start >= control.end:
            yield FieldViolation(f"settings.{at}.end", "must be greater than start")
        if control.preprocessor and control.preprocessor not in PREPROCESSORS:
            known = f"must be empty or one of: {listed(list(PREPROCESSORS))}"
            yield FieldViolation(f"settings.{at}.preprocessor", known)


def _second_pass(second: SecondPass | None) -> Violations:
    if second is not None:
        yield from _within("second_pass.scale", second.scale, 1, MAX_SECOND_SCALE)
        yield from _within("second_pass.steps", second.steps, 0, MAX_STEPS)
        yield from _within("second_pass.strength", second.strength, 0, 1)


def _named(field: str, kind: str, name: str, faults: dict[str, str]) -> Violations:
    """What is wrong with a name, where `faults` has those that there are, each with why it cannot be used."""
    if name not in faults:
        yield FieldViolation(field, f"there is no {kind} {name!r}; there are: {listed(list(faults))}")
    elif faults[name]:
        yield FieldViolation(field, f"the {kind} {name!r} cannot be used: {faults[name]}")


def _known_loras(settings: Settings, tagged: Sequence[LoraUse], catalog: Catalog) -> Violations:
    faults = {lora.id: lora.fault for lora in catalog.loras}
    for lora in tagged:
        yield from _named("settings.prompt", "LoRA", lora.name, faults)
    for number, lora in enumerate(settings.loras):
        yield from _named(f"settings.loras[{number}].lora", "LoRA", lora.name, faults)


def _known_controls(controls: Sequence[ControlUse], catalog: Catalog) -> Violations:
    faults = {net.id: net.fault for net in catalog.control_nets}
    for number, control in enumerate(controls):
        yield from _named(f"settings.controls[{number}].control_net", "ControlNet", control.name, faults)


def _known_sampler(settings: Settings, found: bool, catalog: Catalog) -> Violations:
    if settings.sampler and not found:
        yield from _named("settings.sampler", "sampler", settings.sampler, {s.name: "" for s in catalog.samplers})


def _known_upscaler(second: SecondPass | None, catalog: Catalog) -> Violations:
    if second is not None and second.upscaler:
        faults = {upscaler.name: "" for upscaler in catalog.upscalers}
        yield from _named("settings.second_pass.upscaler", "upscaler", second.upscaler, faults)


def _extent(settings: Settings, width: int, height: int, limits: Limits, *, edit: bool) -> Violations:
    """What is wrong with how large the pictures become."""
    if edit and settings.second_pass is not None:
        yield FieldViolation("settings.second_pass", "is not for edits: ask for a larger width and height")
        return
    if min(width, height) < SHORTEST_SIDE or max(width, height) > limits.side:
        right = f"both sides must be from {SHORTEST_SIDE} to {limits.side} pixels; set width and height"
        yield FieldViolation("settings.width", f"the picture would be {width}x{height}: {right}")
        return
    scale = settings.second_pass.scale if settings.second_pass is not None else 1.0
    final = larger(width, scale) * larger(height, scale)
    if final > limits.pixels:
        text = f"{width}x{height}" + (f" times {scale:g}" if scale != 1 else "")
        yield FieldViolation("settings.width", f"{text} is more than {limits.pixels:,} pixels; ask for less")
    elif final * settings.count > limits.job_pixels:
        most = math.floor(limits.job_pixels / final)
        yield FieldViolation("settings.count", f"must not be more than {most} for pictures of this size")

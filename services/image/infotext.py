"""How a picture was drawn, as text: written and read exactly as A1111's web UI does.

    a red circle <lora:sketch:0.8>
    Negative prompt: blue
    Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 64x64, Model: shapes

Source: `create_infotext` in modules/processing.py and `parse_generation_parameters` in modules/infotext_utils.py of
AUTOMATIC1111/stable-diffusion-webui 1.10. As there, a prompt with a line that begins with `Negative prompt:` is not
read back as it was written, and lines lose the spaces around them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from services.image.drawing import SEEDS, ControlUse, SecondPass, Settings

VERSION = "Parley"
SCHEDULES = ("Karras", "Exponential", "SGM Uniform", "Uniform", "Simple", "Normal", "DDIM", "Beta", "Turbo")
"""What the name of a sampler may end with, that A1111 keeps in a field of its own."""
AUTOMATIC = "Automatic"
FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
SIZE = re.compile(r"(\d+)x(\d+)")
NEGATIVE = "Negative prompt:"
FEWEST = 3
"""A last line with fewer fields is part of the prompt."""


@dataclass(frozen=True, slots=True)
class Making:
    """How a picture was drawn; what is None or empty is not told."""

    prompt: str
    """With the tags of its LoRAs."""
    negative_prompt: str
    steps: int
    sampler: str
    guidance_scale: float
    seed: int
    width: int
    height: int
    """Of the first pass, as the width."""
    model: str
    model_sha256: str = ""
    strength: float | None = None
    """Of an edit, or of the second pass."""
    clip_skip: int = 0
    mask_blur: int = 0
    controls: tuple[ControlUse, ...] = ()
    second_pass: SecondPass | None = None
    lora_hashes: tuple[tuple[str, str], ...] = ()
    """Name and SHA-256 of each, where it is known."""


def written(making: Making) -> str:
    """The text of a picture's making."""
    sampler, schedule = apart(making.sampler)
    second = making.second_pass
    fields: dict[str, object] = {
        "Steps": making.steps,
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": _number(making.guidance_scale),
        "Seed": making.seed,
        "Size": f"{making.width}x{making.height}",
        "Model hash": making.model_sha256[:10] or None,
        "Model": making.model,
        "Denoising strength": None if making.strength is None else _number(making.strength),
        "Clip skip": making.clip_skip if making.clip_skip > 1 else None,
        "Mask blur": making.mask_blur or None,
    }
    for number, control in enumerate(making.controls):
        fields[f"ControlNet {number}"] = _control(control)
    if second is not None:
        fields["Hires upscale"] = _number(second.scale)
        fields["Hires steps"] = second.steps or None
        fields["Hires upscaler"] = second.upscaler or "Lanczos"
    fields["Lora hashes"] = ", ".join(f"{name}: {digest[:12]}" for name, digest in making.lora_hashes) or None
    fields["Version"] = VERSION
    last = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in fields.items() if value is not None)
    negative = f"\n{NEGATIVE} {making.negative_prompt}" if making.negative_prompt else ""
    # PostgreSQL keeps no NUL in a text, and nobody draws one.
    return f"{making.prompt}{negative}\n{last}".replace("\0", "").strip()


def fields_of(text: str) -> dict[str, str]:
    """The fields of a text, `Prompt` and `Negative prompt` among them, and `Size` as `Size-1` and `Size-2` besides."""
    *lines, last = text.strip().split("\n")
    if len(FIELD.findall(last)) < FEWEST:
        lines, last = [*lines, last], ""
    prompt: list[str] = []
    negative: list[str] = []
    current = prompt
    for line in map(str.strip, lines):
        if line.startswith(NEGATIVE):
            current = negative
        current.append(line.removeprefix(NEGATIVE).strip())
    found = {"Prompt": "\n".join(prompt), "Negative prompt": "\n".join(negative)}
    for name, value in FIELD.findall(last):
        found[name] = _unquoted(value)
        if size := SIZE.fullmatch(found[name]):
            found[f"{name}-1"], found[f"{name}-2"] = size.groups()
    return found


def settings_of(text: str) -> tuple[Settings, float | None]:
    """The settings that draw a picture again, and the strength of its edit, None where it was none.

    What cannot be read is left out: the texts of other programs differ. Pictures that a text names (what was edited,
    what a ControlNet followed) are not in it.
    """
    fields = fields_of(text)
    strength = _float(fields.get("Denoising strength"))
    second = _second_pass(fields, strength)
    seed = _int(fields.get("Seed"))
    settings = Settings(
        prompt=fields["Prompt"],
        negative_prompt=fields["Negative prompt"],
        model=fields.get("Model", ""),
        width=_int(fields.get("Size-1")) or 0,
        height=_int(fields.get("Size-2")) or 0,
        steps=_int(fields.get("Steps")) or 0,
        guidance_scale=_float(fields.get("CFG scale")),
        seed=seed if seed is not None and 0 <= seed < SEEDS else None,
        sampler=together(fields.get("Sampler", ""), fields.get("Schedule type", "")),
        clip_skip=_int(fields.get("Clip skip")) or 0,
        second_pass=second,
    )
    return settings, None if second else strength


def apart(sampler: str) -> tuple[str, str]:
    """The sampler and the schedule that a name stands for: `DPM++ 2M Karras` is DPM++ 2M with Karras."""
    for schedule in SCHEDULES:
        if sampler.endswith(" " + schedule):
            return sampler.removesuffix(" " + schedule), schedule
    return sampler, AUTOMATIC


def together(sampler: str, schedule: str) -> str:
    """The name that `apart` took apart."""
    return f"{sampler} {schedule}" if sampler and schedule not in ("", AUTOMATIC) else sampler


def _control(control: ControlUse) -> str:
    parts = {
        "Module": control.preprocessor or "none",
        "Model": control.name,
        "Weight": _number(control.weight),
        "Guidance Start": _number(control.start),
        "Guidance End": _number(control.end),
    }
    return ", ".join(f"{name}: {value}" for name, value in parts.items())


def _second_pass(fields: dict[str, str], strength: float | None) -> SecondPass | None:
    scale = _float(fields.get("Hires upscale"))
    if scale is None:
        return None
    steps = _int(fields.get("Hires steps")) or 0
    chosen = {} if strength is None else {"strength": strength}
    return SecondPass(scale, fields.get("Hires upscaler", ""), steps, **chosen)


def _number(value: float) -> str:
    """A number in as many digits as it takes, and no more."""
    return str(int(value)) if value == int(value) else repr(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if any(sign in text for sign in ",\n:") else text


def _unquoted(text: str) -> str:
    if not (text.startswith('"') and text.endswith('"') and len(text) > 1):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def _int(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _float(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None

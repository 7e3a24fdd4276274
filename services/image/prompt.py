"""LoRAs that a prompt names: `<lora:style>`, `<lora:style:0.8>`, as A1111 writes them."""

from __future__ import annotations

import re

from services.image.drawing import LoraUse

TAG = re.compile(r"<lora:([^:<>]{1,200})(?::([^:<>]*))?(?::[^<>]*)?>")
GAPS = re.compile(r"[ \t]{2,}")


def split(prompt: str) -> tuple[str, tuple[LoraUse, ...]]:
    """The prompt without its tags, and the LoRAs that they name, each with a weight of 1 where none is given.

    Raises:
        ValueError: A weight is no number; the text is the tag.
    """
    loras = []
    for tag in TAG.finditer(prompt):
        try:
            loras.append(LoraUse(tag[1].strip(), float(tag[2]) if tag[2] else 1.0))
        except ValueError:
            raise ValueError(tag[0]) from None
    return (GAPS.sub(" ", TAG.sub("", prompt)).strip() if loras else prompt), tuple(loras)


def joined(prompt: str, loras: tuple[LoraUse, ...]) -> str:
    """The prompt with tags for LoRAs that it does not name: what `split` takes apart."""
    return " ".join([prompt, *(f"<lora:{lora.name}:{lora.weight:g}>" for lora in loras)]).strip()

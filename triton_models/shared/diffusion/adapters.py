"""LoRAs in a checkpoint's networks: put in for those who ask for them, taken out for those who do not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch

from triton_models.shared.diffusion.request import Lora
from triton_models.shared.diffusion.shelf import Addition
from triton_models.shared.errors import InputError

LAYERS = ("unet", "text_encoder", "text_encoder_2")


class Adapters:
    """Those of one pipeline of diffusers; what the last request wanted stays until the next wants something else.

    Args:
        pipeline: The pipeline.
        model: The checkpoint's name, for errors.
    """

    def __init__(self, pipeline: Any, model: str) -> None:
        self._pipeline, self._model = pipeline, model
        self._inside: tuple[Lora, ...] = ()

    def use(self, wanted: Sequence[Lora], known: Mapping[str, Addition]) -> None:
        """Has these in, with their weights, and no others.

        Args:
            wanted: Which.
            known: What is on the shelf.

        Raises:
            InputError: one of them is unknown, broken, or made for another kind of checkpoint; none is in then.
        """
        if tuple(wanted) == self._inside:
            return
        self._remove()
        try:
            for number, lora in enumerate(wanted):
                self._load(f"loras[{number}]", lora, known)
            if wanted:
                names = [_name(lora) for lora in wanted]
                self._pipeline.set_adapters(names, [lora.weight for lora in wanted])
        except BaseException:
            self._remove()
            raise
        self._inside = tuple(wanted)

    def _load(self, path: str, lora: Lora, known: Mapping[str, Addition]) -> None:
        found = known.get(lora.name)
        if found is None:
            raise InputError(f"{path}.name: there is no LoRA {lora.name!r}; there are {', '.join(known) or 'none'}")
        if found.fault:
            raise InputError(f"{path}.name: {lora.name!r} cannot be used: {found.fault}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tensors = safetensors.torch.load_file(found.path)
                self._pipeline.load_lora_weights(tensors, adapter_name=_name(lora))
        except Exception as error:
            # What does not fit says so in many ways: missing modules, other shapes, unknown formats.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{path}.name: {lora.name!r} does not fit the model {self._model!r}: {reason}") from error
        if _name(lora) not in self._active():
            raise InputError(f"{path}.name: {lora.name!r} does not fit the model {self._model!r}: no layer is its own")

    def _active(self) -> set[str]:
        return {name for names in self._pipeline.get_list_adapters().values() for name in names}

    def _remove(self) -> None:
        """Takes all of them out; the networks are then what they were, to the last bit."""
        self._inside = ()
        self._pipeline.unload_lora_weights()


def _name(lora: Lora) -> str:
    """A name that peft can give to a module."""
    return "lora_" + lora.name.encode().hex()

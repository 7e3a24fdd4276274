"""What is loaded of what is on the shelf: checkpoints and ControlNets, within the memory that they may take."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from diffusers import ControlNetModel

from triton_models.shared.diffusion import configuration
from triton_models.shared.diffusion.adapters import Adapters
from triton_models.shared.diffusion.painter import Painter, digest
from triton_models.shared.diffusion.pool import BudgetError, Pool
from triton_models.shared.diffusion.request import Control, Draw
from triton_models.shared.diffusion.shelf import Addition, Checkpoint, Shelf
from triton_models.shared.errors import InputError, UnsupportedError

BUILT_ALIKE = ("cross_attention_dim", "block_out_channels", "layers_per_block", "addition_embed_type")


class Loaded(NamedTuple):
    """A checkpoint, ready to draw."""

    painter: Painter
    adapters: Adapters
    sha256: str


class Library:
    """Finds and loads.

    Args:
        shelf: What is on disk.
        default: The checkpoint that is meant where none is named; empty: the first sound one.
        budget: Bytes that weights may take. What was not used for longest makes room.
        device: Where they compute.
        dtype: In which numbers.
    """

    def __init__(self, shelf: Shelf, default: str, budget: int, device: torch.device, dtype: torch.dtype) -> None:
        self.shelf, self._default, self._device, self._dtype = shelf, default, device, dtype
        self._pool: Pool[Any] = Pool(budget, self._freed)
        self._modified: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        """Why something did not load, by `checkpoints/<name>` or `controlnets/<name>`."""
        self.digests: dict[str, str] = {}
        """SHA-256 of each checkpoint that was ever loaded, by its name."""

    @property
    def loaded(self) -> list[str]:
        """What is loaded, as `checkpoints/<name>` and `controlnets/<name>`; what was used last comes last."""
        return list(self._pool)

    def find(self, name: str) -> Checkpoint:
        """The checkpoint of that name, or the default for an empty one.

        Raises:
            InputError: there is none of that name, or it has a fault.
            UnsupportedError: there is none at all.
        """
        known = self.shelf.checkpoints()
        if not known:
            raise UnsupportedError("no model is here that draws: put a diffusers directory into diffusion/checkpoints/")
        name = name or self._default or configuration.default(known)
        found = known.get(name)
        if found is None:
            raise InputError(f"model: there is no {name!r}; there are {', '.join(known)}")
        if found.fault:
            raise InputError(f"model: {name!r} cannot be used: {found.fault}")
        return found

    def load(self, checkpoint: Checkpoint) -> Loaded:
        """A checkpoint, as it is on disk now. Raises InputError where its files do not load, or it is too large."""

        def load() -> Loaded:
            painter = Painter(checkpoint, self._device, self._dtype)
            adapters = Adapters(painter.pipeline, checkpoint.name)
            return Loaded(painter, adapters, digest(checkpoint.path))

        if self._modified.get(checkpoint.name) != checkpoint.modified:
            self.unload(checkpoint.name)
        name = f"checkpoints/{checkpoint.name}"
        found: Loaded = self._held("model", name, checkpoint.parameters, load)
        self._modified[checkpoint.name] = checkpoint.modified
        self.digests[checkpoint.name] = found.sha256
        return found

    def controlnets(self, asked: Draw, painter: Painter) -> list[tuple[Control, Any]]:
        """The ControlNets of a request, beside its checkpoint: networks of diffusers.

        Raises:
            InputError: one is unknown, has a fault, is made for another kind of checkpoint, or does not fit beside it.
        """
        known = self.shelf.controlnets() if asked.controls else {}
        keep = frozenset([f"checkpoints/{asked.model}", *(f"controlnets/{one.name}" for one in asked.controls)])
        found = []
        for number, control in enumerate(asked.controls):
            field, addition = f"controls[{number}].name", known.get(control.name)
            if addition is None:
                raise InputError(f"{field}: there is no {control.name!r}; there are {', '.join(known) or 'none'}")
            if addition.fault:
                raise InputError(f"{field}: {control.name!r} cannot be used: {addition.fault}")
            network = self._controlnet(field, addition, keep)
            if not _alike(network.config, painter.unet.config):
                raise InputError(f"{field}: {control.name!r} is made for another kind of model than {asked.model!r}")
            found.append((control, network))
        return found

    def unload(self, name: str) -> None:
        """Lets a checkpoint go; nothing happens where it is not loaded."""
        self._pool.drop(f"checkpoints/{name}")

    def _controlnet(self, field: str, addition: Addition, keep: frozenset[str]) -> Any:
        def load() -> Any:
            network = ControlNetModel.from_pretrained(
                addition.path, dtype=self._dtype, local_files_only=True, use_safetensors=True
            )
            return network.to(self._device)

        return self._held(field, f"controlnets/{addition.name}", addition.parameters, load, keep)

    def _held(
        self, field: str, name: str, parameters: int, load: Callable[[], Any], keep: frozenset[str] = frozenset()
    ) -> Any:
        try:
            found = self._pool.get(name, parameters * self._dtype.itemsize, load, keep)
        except BudgetError as error:
            raise InputError(f"{field}: {name} does not fit into the models' memory: {error}") from None
        except Exception as error:
            # Whatever a library raises for files that do not fit together: these cannot be used, the others can.
            traceback.print_exc()
            self.faults[name] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            raise InputError(f"{field}: {name} cannot be loaded: {self.faults[name]}") from error
        self.faults.pop(name, None)
        return found

    def _freed(self) -> None:
        """Gives memory back that was let go."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _alike(control: Any, unet: Any) -> bool:
    """Whether a ControlNet's layers are those of a U-Net, by their configurations."""
    pairs = [(control.get(name), unet.get(name)) for name in BUILT_ALIKE]
    return all(list(one) == list(other) if isinstance(one, list | tuple) else one == other for one, other in pairs)

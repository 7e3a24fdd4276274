"""What there is to draw with, as the stub tells it: from the disk, and from what the worker last said about itself.

The stub answers this by itself, so that nobody who only looks has to wait for a drawing, or for torch to be imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from triton_models.shared.diffusion import configuration, memory, request, samplers
from triton_models.shared.diffusion.shelf import Addition, Checkpoint
from triton_models.shared.wire import Outcome, Tensors, strings


def answerer(parameters: Mapping[str, str]) -> Callable[[Tensors, Mapping[str, Any]], Outcome | None]:
    """What a stub answers at once: requests for the catalog. Takes a request and the worker's state.

    Args:
        parameters: As in config.pbtxt, with `name`.
    """

    def answer(inputs: Tensors, state: Mapping[str, Any]) -> Outcome | None:
        if request.task(inputs) != "catalog":
            return None
        return {"event": strings([json.dumps(catalog(parameters, state))])}

    return answer


def catalog(parameters: Mapping[str, str], state: Mapping[str, Any]) -> dict[str, Any]:
    """The event `catalog`: see triton_models/README.md.

    Args:
        parameters: As in config.pbtxt, with `name`.
        state: What the worker last said; empty where none runs.
    """
    shelf = configuration.shelf(parameters)
    checkpoints = shelf.checkpoints()
    meant = parameters.get("default_model") or (configuration.default(checkpoints) if checkpoints else "")
    return {
        "event": "catalog",
        "default_model": meant,
        "models": [_checkpoint(one, state) for one in checkpoints.values()],
        "loras": [_addition(one, "") | {"size": one.size} for one in shelf.loras().values()],
        "controlnets": [_addition(one, _fault(state, "controlnets", one.name)) for one in shelf.controlnets().values()],
        "samplers": [{"name": one.name, "aliases": one.aliases} for one in samplers.SAMPLERS],
        "memory": {"ram": memory.ram().told(), "cuda": state.get("cuda")},
    }


def _checkpoint(one: Checkpoint, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": one.name,
        "title": one.title or one.name,
        "description": one.description,
        "architecture": one.architecture,
        "default_size": one.size,
        "default_steps": one.steps,
        "default_guidance_scale": one.guidance_scale,
        "default_sampler": one.sampler,
        "loaded": f"checkpoints/{one.name}" in state.get("loaded", ()),
        "fault": one.fault or _fault(state, "checkpoints", one.name),
        "sha256": state.get("sha256", {}).get(one.name, ""),
    }


def _addition(one: Addition, fault: str) -> dict[str, Any]:
    return {"id": one.name, "title": one.name, "fault": one.fault or fault}


def _fault(state: Mapping[str, Any], kind: str, name: str) -> str:
    return str(state.get("faults", {}).get(f"{kind}/{name}", ""))

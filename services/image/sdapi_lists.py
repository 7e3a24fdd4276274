"""What the web UI's API lists: models and all that goes with them, in its words, without paths of the machine."""

from __future__ import annotations

from typing import Any

from services.image import infotext
from services.image.catalog import Catalog, Memory
from services.image.options import title
from services.image.preprocess import PREPROCESSORS

Listed = list[dict[str, Any]]
# By the second of these webuiapi recognises the ControlNet extension; without it, it would send the units of one
# request again with the next.
CONTROLNET_SCRIPTS = ("controlnet", "controlnet m2m")
LATENT_MODES = ("Latent",)
"""What clients send by habit: the picture is enlarged, and goes back through the encoder."""
SCHEDULES = {"Karras": 7.0}
"""Those that samplers may have, with their default rho; -1: they have none."""


def samplers(catalog: Catalog) -> Listed:
    """GET /sdapi/v1/samplers."""
    return [{"name": one.name, "aliases": list(one.aliases), "options": {}} for one in catalog.samplers]


def schedulers(catalog: Catalog) -> Listed:
    """GET /sdapi/v1/schedulers: those that some sampler has."""
    found = dict.fromkeys(infotext.apart(one.name)[1] for one in catalog.samplers)
    labels = [infotext.AUTOMATIC, *(label for label in found if label != infotext.AUTOMATIC)]
    return [
        {
            "name": label.lower().replace(" ", "_"),
            "label": label,
            "aliases": None,
            "default_rho": SCHEDULES.get(label, -1.0),
            "need_inner_model": False,
        }
        for label in labels
    ]


def upscalers(catalog: Catalog) -> Listed:
    """GET /sdapi/v1/upscalers."""
    return [
        {"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": scale}
        for name, scale in (("None", 1.0), *((one.name, one.scale or 4.0) for one in catalog.upscalers))
    ]


def latent_upscale_modes(_catalog: Catalog) -> Listed:
    """GET /sdapi/v1/latent-upscale-modes."""
    return [{"name": name} for name in LATENT_MODES]


def models(catalog: Catalog) -> Listed:
    """GET /sdapi/v1/sd-models: those that can be used."""
    return [
        {
            "title": title(model),
            "model_name": model.id,
            "hash": model.sha256[:10] or None,
            "sha256": model.sha256 or None,
            "filename": f"checkpoints/{model.id}",
            "config": None,
        }
        for model in catalog.models
        if not model.fault
    ]


def loras(catalog: Catalog) -> Listed:
    """GET /sdapi/v1/loras: those that can be used."""
    return [
        {"name": lora.id, "alias": lora.id, "path": f"loras/{lora.id}", "metadata": {}}
        for lora in catalog.loras
        if not lora.fault
    ]


def none(_catalog: Catalog) -> Listed:
    """What there is none of: decoders by themselves, hypernetworks, styles, extensions."""
    return []


def embeddings(_catalog: Catalog) -> dict[str, Any]:
    """GET /sdapi/v1/embeddings: none."""
    return {"loaded": {}, "skipped": {}}


def face_restorers(catalog: Catalog) -> Listed:
    """GET /sdapi/v1/face-restorers."""
    return [{"name": name, "cmd_dir": None} for name in catalog.face_restorers]


def realesrgan_models(catalog: Catalog) -> Listed:
    """GET /sdapi/v1/realesrgan-models: the upscalers that have weights."""
    return [
        {"name": one.name, "path": f"upscalers/{one.name}", "scale": round(one.scale)}
        for one in catalog.upscalers
        if one.scale
    ]


def memory(catalog: Catalog) -> dict[str, Any]:
    """GET /sdapi/v1/memory: of the model server, in bytes."""
    cuda = {"system": _memory(catalog.cuda)} if catalog.cuda is not None else {"error": "unavailable"}
    return {"ram": _memory(catalog.ram), "cuda": cuda}


def _memory(memory: Memory) -> dict[str, int]:
    return {"free": memory.free, "used": memory.used, "total": memory.total}


def scripts(_catalog: Catalog) -> dict[str, list[str]]:
    """GET /sdapi/v1/scripts."""
    return {"txt2img": list(CONTROLNET_SCRIPTS), "img2img": list(CONTROLNET_SCRIPTS)}


def script_info(_catalog: Catalog) -> Listed:
    """GET /sdapi/v1/script-info."""
    return [{"name": "controlnet", "is_alwayson": True, "is_img2img": edits, "args": []} for edits in (False, True)]


def command_flags(_catalog: Catalog) -> dict[str, bool]:
    """GET /sdapi/v1/cmd-flags: what a web UI that serves this would have been started with."""
    return {"api": True, "nowebui": True, "api_server_stop": False}


def control_models(catalog: Catalog) -> dict[str, list[str]]:
    """GET /controlnet/model_list: those that can be used."""
    return {"model_list": [net.id for net in catalog.control_nets if not net.fault]}


def control_modules(_catalog: Catalog) -> dict[str, Any]:
    """GET /controlnet/module_list."""
    names = ["none", *PREPROCESSORS]
    return {"module_list": names, "module_detail": {name: {"model_free": False, "sliders": []} for name in names}}


def control_types(catalog: Catalog) -> dict[str, Any]:
    """GET /controlnet/control_types: all, and by what prepares the picture."""
    found = control_models(catalog)["model_list"]
    kinds = {"All": ["none", *PREPROCESSORS], **{name.title(): ["none", name] for name in PREPROCESSORS}}
    return {
        "control_types": {
            kind: {
                "module_list": modules,
                "model_list": ["None", *found],
                "default_option": modules[-1] if kind != "All" else "none",
                "default_model": found[0] if found and kind != "All" else "None",
            }
            for kind, modules in kinds.items()
        }
    }

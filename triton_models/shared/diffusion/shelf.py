"""What can be drawn with: the checkpoints, LoRAs and ControlNets on disk, and what is wrong with unsound ones.

    <folder>/checkpoints/<name>/            a directory of diffusers, with an optional parley.json
    <folder>/checkpoints/<name>.safetensors a single file of Stable Diffusion 1.x or SDXL, with an optional <name>.json
    <folder>/configs/<sd|sdxl>/             what single files lack: a directory of diffusers without its weights
    <folder>/loras/<name>.safetensors
    <folder>/controlnets/<name>/            a directory of diffusers

Nothing is loaded here: the shapes of tensors stand in the first bytes of a safetensors file. So the stub, which has no
torch, can say what there is while the worker draws.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from triton_models.shared.diffusion import samplers

EMBEDDED = Path(__file__).resolve().parents[2] / "diffusion" / "embedded"
"""What comes with the project."""
PIPELINES = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionInpaintPipeline": "sd",
    "StableDiffusionImg2ImgPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLInpaintPipeline": "sdxl",
    "StableDiffusionXLImg2ImgPipeline": "sdxl",
}
PARTS = {
    "sd": ("unet", "vae", "text_encoder"),
    "sdxl": ("unet", "vae", "text_encoder", "text_encoder_2"),
}
SIZES = {"sd": 512, "sdxl": 1024}
STEPS, GUIDANCE = 20, {"sd": 7.5, "sdxl": 5.0}
U_NET_INPUTS = (4, 9)  # channels: plain, inpainting
HEADER = 100_000_000  # bytes that the description of a file's tensors may have, as in the safetensors library
# A tensor that only the architecture has, as the original code names it.
SIGNS = {
    "sdxl": "conditioner.embedders.1.model.ln_final.weight",
    "sd": "cond_stage_model.transformer.text_model.final_layer_norm.weight",
}
LORA_SIGNS = ("lora", "lokr", "hada")
Shapes = Mapping[str, tuple[int, ...]]


class Summary(NamedTuple):
    """What the names and shapes of a file's tensors tell."""

    parameters: int
    """How many numbers they are."""
    architecture: str
    """Of a single file: sd or sdxl; empty for any other file."""
    lora: bool
    """Whether they are a LoRA's."""


class FaultError(ValueError):
    """Something on the shelf cannot be used; the message says why and what would help."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A model that draws."""

    name: str
    path: Path
    """A directory, or a single file."""
    architecture: str = ""
    """sd or sdxl; empty where it could not be told."""
    title: str = ""
    description: str = ""
    size: int = 0
    """Width and height that it was trained for, in pixels."""
    steps: int = STEPS
    guidance_scale: float = 7.5
    sampler: str = samplers.SAMPLERS[0].name
    parameters: int = 0
    """Numbers in its weights."""
    modified: int = 0
    """Changes when its weights do."""
    variant: str = ""
    """`fp16` where its weights come in half precision only, as diffusers names files."""
    configuration: Path | None = None
    """For a single file: the directory that says how it is built."""
    fault: str = ""
    """Why it cannot be used; empty where it can, as far as one sees without loading it."""


@dataclasses.dataclass(frozen=True)
class Addition:
    """A LoRA or a ControlNet."""

    name: str
    path: Path
    size: int = 0
    """Bytes on disk."""
    parameters: int = 0
    fault: str = ""


class Shelf:
    """What lies in the embedded folder and in the model directory; a name in the latter hides one in the former.

    Every question reads the disk anew, which is cheap: what is put there while the model runs is found.

    Args:
        folders: They are looked through in this order; those that are missing hold nothing.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    def checkpoints(self) -> dict[str, Checkpoint]:
        """The models that draw, by name."""
        found = {}
        for folder in self._folders:
            for path in _entries(folder / "checkpoints"):
                if path.is_dir():
                    found[path.name] = _directory(path)
                elif path.suffix == ".safetensors":
                    found[path.stem] = self._single(path)
        return found

    def loras(self) -> dict[str, Addition]:
        """The LoRAs, by name."""
        files = [path for folder in self._folders for path in _entries(folder / "loras")]
        return {path.stem: _lora(path) for path in files if path.suffix == ".safetensors"}

    def controlnets(self) -> dict[str, Addition]:
        """The ControlNets, by name."""
        paths = [path for folder in self._folders for path in _entries(folder / "controlnets")]
        return {path.name: _controlnet(path) for path in paths if path.is_dir()}

    def _single(self, path: Path) -> Checkpoint:
        """A single file: the original code's tensors, without tokenizer and configuration."""
        try:
            parameters, architecture, _lora = summary(path)
            if not architecture:
                raise FaultError("neither Stable Diffusion 1.x nor SDXL, by the names of its tensors")
            configuration = self._configuration(architecture)
            found = _described(path, path.with_suffix(".json"), architecture, configuration, parameters)
            return dataclasses.replace(found, configuration=configuration, modified=path.stat().st_mtime_ns)
        except (FaultError, OSError, ValueError, KeyError, TypeError) as error:
            return Checkpoint(path.stem, path, fault=_reason(error))

    def _configuration(self, architecture: str) -> Path:
        for folder in self._folders:
            if (path := folder / "configs" / architecture / "model_index.json").is_file():
                return path.parent
        raise FaultError(
            f"a single file has no tokenizer and no configuration: put those of a diffusers directory of the same kind "
            f"(its .json and .txt files, without weights) into diffusion/configs/{architecture}"
        )


def summary(file: Path) -> Summary:
    """What a safetensors file's description of its tensors tells. Raises FaultError: it is none, or not complete."""
    status = file.stat()
    return _summary(file, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _summary(file: Path, size: int, modified: int) -> Summary:
    """Read once for each state of a file: large ones describe thousands of tensors."""
    del modified
    shapes = _header(file, size)
    return Summary(
        parameters=sum(map(math.prod, shapes.values())),
        architecture=next((name for name, sign in SIGNS.items() if sign in shapes), ""),
        lora=any(sign in name.lower() for name in shapes for sign in LORA_SIGNS),
    )


def _header(file: Path, size: int) -> Shapes:
    """The shapes of a safetensors file's tensors, by name.

    The format: eight bytes with the length of a JSON object, then the object, then the numbers
    (https://github.com/huggingface/safetensors, "Format").

    Args:
        file: The file.
        size: How many bytes it has.

    Raises:
        FaultError: it is no such file, or some of it is missing.
    """
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= HEADER:
            raise FaultError(f"{file.name} is no safetensors file")
        try:
            described = json.loads(opened.read(length))
            tensors = {name: value for name, value in described.items() if name != "__metadata__"}
            shapes = {name: tuple(map(int, value["shape"])) for name, value in tensors.items()}
            end = max((int(value["data_offsets"][1]) for value in tensors.values()), default=0)
        except (ValueError, AttributeError, KeyError, TypeError, IndexError):
            raise FaultError(f"{file.name} is no safetensors file") from None
    if size != 8 + length + end:
        raise FaultError(f"{file.name} is not complete; copy it again")
    return shapes


def _directory(path: Path) -> Checkpoint:
    """A directory in the format of diffusers."""
    try:
        index = _object(path / "model_index.json")
        architecture = PIPELINES.get(str(index.get("_class_name")), "")
        if not architecture:
            raise FaultError(f"a {index.get('_class_name')}; there is code for Stable Diffusion 1.x, 2.x and SDXL")
        counts, variants = zip(*(_weights(path / part) for part in PARTS[architecture]), strict=True)
        found = _described(path, path / "parley.json", architecture, path, sum(counts))
        modified = max(file.stat().st_mtime_ns for file in path.rglob("*.safetensors"))
        return dataclasses.replace(found, modified=modified, variant="fp16" if "fp16" in variants else "")
    except (FaultError, OSError, ValueError, KeyError, TypeError) as error:
        return Checkpoint(path.name, path, fault=_reason(error))


def _described(path: Path, preferences: Path, architecture: str, configuration: Path, parameters: int) -> Checkpoint:
    """A checkpoint with its defaults: what its makers say, else what suits the architecture.

    Args:
        path: Where it is.
        preferences: An optional JSON file: title, description, size, steps, guidance_scale, sampler.
        architecture: Which.
        configuration: The directory with the configurations of its parts.
        parameters: Numbers in its weights.

    Raises:
        FaultError, OSError, ValueError, KeyError, TypeError: it cannot be used.
    """
    unet = _object(configuration / "unet" / "config.json")
    if unet["in_channels"] not in U_NET_INPUTS:
        raise FaultError(f"its U-Net takes {unet['in_channels']} channels; there is code for 4, and 9 (inpainting)")
    channels = _object(configuration / "vae" / "config.json").get("block_out_channels") or [0] * 4
    size = int(unet.get("sample_size") or 0) * 2 ** (len(channels) - 1) or SIZES[architecture]
    said = _object(preferences) if preferences.is_file() else {}
    scheduler = _object(configuration / "scheduler" / "scheduler_config.json")
    name = path.name if path.is_dir() else path.stem
    sampler = samplers.find(str(said["sampler"])) if said.get("sampler") else samplers.of_scheduler(scheduler)
    if sampler is None:
        raise FaultError(f"{preferences.name}: there is no sampler {said['sampler']!r}")
    return Checkpoint(
        name,
        path,
        architecture,
        title=str(said.get("title") or name),
        description=str(said.get("description") or ""),
        size=int(said.get("size") or size),
        steps=int(said.get("steps") or STEPS),
        guidance_scale=float(said.get("guidance_scale") or GUIDANCE[architecture]),
        sampler=sampler.name,
        parameters=parameters,
    )


def _weights(part: Path) -> tuple[int, str]:
    """How many numbers a part of a checkpoint has, and in which variant its files come. Raises FaultError."""
    files = sorted(part.glob("*.safetensors"))
    for variant in ("", "fp16"):
        ending = f".{variant}.safetensors" if variant else ".safetensors"
        chosen = [file for file in files if file.name.endswith(ending) and (variant or ".fp16." not in file.name)]
        chosen = [file for file in chosen if ".non_ema." not in file.name]
        if chosen:
            _object(part / "config.json")
            return sum(summary(file).parameters for file in chosen), variant
    pickles = list(part.glob("*.bin"))
    remedy = "; its .bin files are pickles, which may run code: convert them" if pickles else ""
    raise FaultError(f"{part.name} has no .safetensors file{remedy}")


def _lora(path: Path) -> Addition:
    try:
        found = summary(path)
        if not found.lora:
            raise FaultError("no LoRA, by the names of its tensors")
        return Addition(path.stem, path, path.stat().st_size, found.parameters)
    except (FaultError, OSError) as error:
        return Addition(path.stem, path, fault=_reason(error))


def _controlnet(path: Path) -> Addition:
    try:
        kind = _object(path / "config.json").get("_class_name")
        if kind != "ControlNetModel":
            raise FaultError(f"a {kind}, not a ControlNetModel")
        parameters, _variant = _weights(path)
        size = sum(file.stat().st_size for file in path.glob("*.safetensors"))
        return Addition(path.name, path, size, parameters)
    except (FaultError, OSError, ValueError) as error:
        return Addition(path.name, path, fault=_reason(error))


def _entries(folder: Path) -> Iterator[Path]:
    """What lies in a folder, by name; hidden things are not meant."""
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _object(file: Path) -> dict[str, Any]:
    """A JSON object. Raises FaultError."""
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        raise FaultError(f"{file.parent.name}/{file.name} is missing") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FaultError(f"{file.parent.name}/{file.name} holds no JSON object")
    return found


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, FaultError) else f"{type(error).__name__}: {error}"

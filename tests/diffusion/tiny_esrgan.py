"""Writes tiny, randomly initialised checkpoints of the ESRGAN family, under the names that people share them with.

Runs in the environment of the torch models: python -m tests.diffusion.tiny_esrgan FOLDER
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from triton_models.shared.upscaling.rrdbnet import RRDBNet, Shape

BLOCKS = 2
PAPER = {
    "body.": "RRDB_trunk.",
    "conv_body.": "trunk_conv.",
    "conv_up": "upconv",
    "conv_hr.": "HRconv.",
    ".rdb": ".RDB",
}
FIRST = {
    "conv_first": "0",
    "trunk_conv": f"1.sub.{BLOCKS}",
    "upconv1": "3",
    "upconv2": "6",
    "HRconv": "8",
    "conv_last": "10",
}


class Code:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("this must not run",)


def tensors(channels: int, doublings: int) -> dict[str, torch.Tensor]:
    """Those of a network, with BasicSR's names."""
    torch.manual_seed(doublings)
    network = RRDBNet(Shape(channels, features=8, growth=4, blocks=BLOCKS, doublings=doublings))
    with torch.no_grad():
        network.conv_last.bias.fill_(0.5)
    return {name: value.clone() for name, value in network.state_dict().items()}


def paper(name: str) -> str:
    """The name in the code of the paper."""
    for new, old in PAPER.items():
        name = name.replace(new, old) if not name.startswith("conv_body") or new == "conv_body." else name
    return name


def first(name: str) -> str:
    """The name in the first code."""
    top, _, kind = paper(name).rpartition(".")
    if top in FIRST:
        return f"model.{FIRST[top]}.{kind}"
    return "model.1.sub." + top.removeprefix("RRDB_trunk.") + f".0.{kind}"


def main(folder: Path) -> None:
    """Writes them."""
    folder.mkdir(parents=True)
    new = tensors(3, 2)
    safetensors.torch.save_file(new, folder / "4x-new.safetensors")
    torch.save({"params_ema": {paper(name): value for name, value in new.items()}}, folder / "4x-paper.pth")
    torch.save({first(name): value for name, value in new.items()}, folder / "4x-first.pth")
    torch.save({"params": tensors(12, 2)}, folder / "2x-folded.pth")
    safetensors.torch.save_file({"weight": torch.zeros(3)}, folder / "other.safetensors")
    with (folder / "code.pth").open("wb") as file:
        pickle.dump({"weight": Code()}, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

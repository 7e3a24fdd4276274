"""ESRGAN's network: residual-in-residual dense blocks, then upsampling by two as often as it takes.

X. Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", 2018; also that
of "Real-ESRGAN", 2021. People share checkpoints under three sets of names: those of the first code
(`model.1.sub.0.RDB1.conv1.0.weight`), of the paper's (`RRDB_trunk.0.RDB1.conv1.weight`) and of BasicSR
(`body.0.rdb1.conv1.weight`). All are read; BasicSR's are used here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

DENSE = 5  # convolutions of a dense block
SHARE = 0.2  # of what a block adds to its input; also the slope of its rectifiers
RENAMED = {
    "RRDB_trunk.": "body.",
    "trunk_conv.": "conv_body.",
    "upconv": "conv_up",
    "HRconv.": "conv_hr.",
    ".RDB": ".rdb",
}


class CheckpointError(ValueError):
    """The tensors are not those of this network; the message says why."""


class Shape(NamedTuple):
    """How a checkpoint's network is built."""

    channels: int
    """Of its input: 3, or 12 and 48 where pixels are folded into channels first."""
    features: int
    growth: int
    blocks: int
    doublings: int

    @property
    def folded(self) -> int:
        """The side of the squares of pixels that become channels."""
        return {3: 1, 12: 2, 48: 4}[self.channels]

    @property
    def scale(self) -> float:
        """How much larger a picture becomes."""
        return float(2**self.doublings / self.folded)


class Dense(nn.Module):  # type: ignore[misc]  # torch is not seen by the type checker
    """Five convolutions, each of which sees what all before it gave."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for number in range(DENSE):
            out = growth if number < DENSE - 1 else features
            self.add_module(f"conv{number + 1}", nn.Conv2d(features + number * growth, out, 3, padding=1))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """[rows, features, height, width] to the same."""
        seen = [given]
        for convolution in list(self.children())[:-1]:
            seen.append(functional.leaky_relu(convolution(torch.cat(seen, 1)), SHARE))
        return given + SHARE * list(self.children())[-1](torch.cat(seen, 1))


class Residual(nn.Module):  # type: ignore[misc]  # torch is not seen by the type checker
    """Three dense blocks."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (Dense(features, growth) for _ in range(3))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """[rows, features, height, width] to the same."""
        return given + SHARE * self.rdb3(self.rdb2(self.rdb1(given)))


class RRDBNet(nn.Module):  # type: ignore[misc]  # torch is not seen by the type checker
    """The whole network.

    Args:
        shape: How it is built.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        features = shape.features
        self.conv_first = nn.Conv2d(shape.channels, features, 3, padding=1)
        self.body = nn.Sequential(*(Residual(features, shape.growth) for _ in range(shape.blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        for number in range(shape.doublings):
            self.add_module(f"conv_up{number + 1}", nn.Conv2d(features, features, 3, padding=1))
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [rows, 3, height, width], 0 to 1, larger; sides are multiples of `shape.folded`."""
        folded = functional.pixel_unshuffle(pictures, self.shape.folded) if self.shape.folded > 1 else pictures
        found = self.conv_first(folded)
        found = found + self.conv_body(self.body(found))
        for number in range(self.shape.doublings):
            wider = functional.interpolate(found, scale_factor=2, mode="nearest")
            found = functional.leaky_relu(self.get_submodule(f"conv_up{number + 1}")(wider), SHARE)
        return self.conv_last(functional.leaky_relu(self.conv_hr(found), SHARE))


def build(tensors: Mapping[str, torch.Tensor]) -> RRDBNet:
    """The network of a checkpoint's tensors, whichever names they have. Raises CheckpointError."""
    for wrapper in ("params_ema", "params", "state_dict"):
        if isinstance(inner := tensors.get(wrapper), Mapping):
            tensors = inner
    named = {_renamed(name): value for name, value in _numbered(tensors).items()}
    try:
        network = RRDBNet(_shape(named))
        network.load_state_dict(named)
        network.eval()
    except (KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"not the tensors of an ESRGAN network (RRDBNet): {reason}") from None
    return network


def _shape(named: Mapping[str, torch.Tensor]) -> Shape:
    features, channels = named["conv_first.weight"].shape[:2]
    blocks = {int(found.group(1)) for name in named if (found := re.match(r"body\.(\d+)\.rdb1\.", name))}
    doublings = sum(bool(re.fullmatch(r"conv_up\d+\.weight", name)) for name in named)
    return Shape(channels, features, named["body.0.rdb1.conv1.weight"].shape[0], len(blocks), doublings)


def _renamed(name: str) -> str:
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


def _numbered(tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """The first code's names, which are places in a list, as the paper's; others as they are."""
    if "model.0.weight" not in tensors:
        return tensors
    places = sorted({int(name.split(".")[1]) for name in tensors} - {0, 1})
    names = [*(f"upconv{number + 1}" for number in range(len(places) - 2)), "HRconv", "conv_last"]
    tops = {f"model.{place}": name for place, name in zip(places, names, strict=True)} | {"model.0": "conv_first"}
    blocks = [int(found.group(1)) for name in tensors if (found := re.match(r"model\.1\.sub\.(\d+)\.", name))]
    renamed = {}
    for name, value in tensors.items():
        if name.startswith("model.1."):
            inner = name.removeprefix("model.1.sub.")
            trunk = inner.replace(f"{max(blocks)}.", "trunk_conv.", 1) if inner.startswith(f"{max(blocks)}.") else ""
            renamed[trunk or "RRDB_trunk." + inner.replace(".0.weight", ".weight").replace(".0.bias", ".bias")] = value
        else:
            top, _, kind = name.rpartition(".")
            renamed[f"{tops[top]}.{kind}"] = value
    return renamed

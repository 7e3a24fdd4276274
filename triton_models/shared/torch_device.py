"""Where torch computes, and with which numbers."""

from __future__ import annotations

import torch


def choose(device: str) -> tuple[torch.device, torch.dtype]:
    """The device for a `device` parameter (cpu, cuda or auto, which an empty one is), and the numbers that suit it."""
    if device in ("", "auto"):
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    return chosen, torch.float16 if chosen.type == "cuda" else torch.float32

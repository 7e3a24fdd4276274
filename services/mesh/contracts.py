"""All services of the contracts, for reflection: the gateway asks one service about the whole mesh."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import parley
from parley.options.v1 import options_pb2

ACCESS: Any = options_pb2.access
"""The option of a method that says who may call it. The stubs type it for one implementation of descriptors of two."""


def service_names() -> list[str]:
    """Full names of every service that protos/ defines, sorted. Loads all contracts into the descriptor pool."""
    names: set[str] = set()
    for root in map(Path, parley.__path__):
        for path in root.rglob("*_pb2.py"):
            module = ".".join(("parley", *path.relative_to(root).with_suffix("").parts))
            names |= {s.full_name for s in importlib.import_module(module).DESCRIPTOR.services_by_name.values()}
    return sorted(names)

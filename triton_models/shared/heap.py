"""The C library's heap, which keeps what was freed in case it is wanted again."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Returns free memory to the system: for a process that has loaded a model, and will not need as much again.

    glibc's malloc_trim(3); a C library that has none keeps what it likes.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""No model's process outlives its Triton: a stub that is busy, or owes answers, does not notice that it was killed."""

from __future__ import annotations

import os
import threading
import time

LOOK = 0.5  # seconds between two looks at whether Triton is still there


def end_with_triton() -> None:
    """Has this process end when its parent, Triton, is gone; every model calls it first in `initialize`.

    Looking it is: the kernel's own signal for it comes when the *thread* ends that started this process.
    """
    threading.Thread(target=_watch, args=[os.getppid()], daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)

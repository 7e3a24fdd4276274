"""The loop that every stage runs: learning rate, averaged weights, a log, and a state on disk to resume from.

A step draws its randomness from generators that are seeded by the schedule's seed and the step's number, so that a run
which was interrupted goes on exactly as it would have gone. Several workers (processes of one thread each, which wait
for each other once in a step and not in every operation) share a batch; each holds the same weights.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

from triton_models.training.recipe import Schedule

SECONDS_BETWEEN_STATES = 240.0
STEPS_BETWEEN_LINES = 50


class Chance:
    """The randomness of one batch, for numpy and for torch; `number` counts the batches of all workers."""

    def __init__(self, seed: int, number: int) -> None:
        self.number = number
        self.numpy = np.random.default_rng([seed, number])
        self.torch = torch.Generator().manual_seed(seed * 1_000_003 + number)


def workers() -> tuple[int, int]:
    """Which worker this is, and of how many."""
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def rate_at(schedule: Schedule, step: int) -> float:
    """The learning rate of a step: in every cycle linear up, flat, half a cosine down."""
    steps = schedule.steps / schedule.cycles
    step_of_cycle = step % steps
    falls_from = steps * (1 - schedule.cooldown)
    if step_of_cycle < schedule.warmup:
        return schedule.rate * (step_of_cycle + 1) / schedule.warmup
    if step_of_cycle < falls_from:
        return schedule.rate
    share = (step_of_cycle - falls_from) / max(steps - falls_from, 1)
    return schedule.rate * (0.5 + 0.5 * math.cos(math.pi * min(share, 1.0)))


class Loop:
    """Learns until the schedule's last step; its state lies in `folder/state.pt`."""

    def __init__(self, folder: Path, module: Any, schedule: Schedule, decay: float = 0.01) -> None:
        self.folder, self.schedule, self.module = folder, schedule, module
        folder.mkdir(parents=True, exist_ok=True)
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(learning, betas=(0.9, 0.99), weight_decay=decay, fused=True)
        self._learning = learning
        self._worker, self._workers = workers()
        self.leads = self._worker == 0
        """Whether this worker writes what was learned."""
        self.averaged = copy.deepcopy(module).eval() if schedule.average else module
        self.step = 0
        self.losses: list[float] = []
        self._resume()

    def run(self, loss_of: Callable[[Chance], Any], on_state: Callable[[int], None] | None = None) -> list[float]:
        """Take the steps that are left; `on_state` is called whenever the state was written. Returns all losses."""
        written = time.monotonic()
        self.module.train()
        while self.step < self.schedule.steps:
            self._take(loss_of)
            if not self.leads:
                continue
            if self.step % STEPS_BETWEEN_LINES == 0:
                self._say()
            if time.monotonic() - written > SECONDS_BETWEEN_STATES:
                self._write()
                if on_state:
                    on_state(self.step)
                    self.module.train()
                written = time.monotonic()
        if self.leads:
            self._write()
        self.module.eval()
        return self.losses

    def _take(self, loss_of: Callable[[Chance], Any]) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate_at(self.schedule, self.step)
        loss = loss_of(Chance(self.schedule.seed, self.step * self._workers + self._worker))
        loss.backward()
        if self._workers > 1:
            self._share_gradients()
        torch.nn.utils.clip_grad_norm_(self._learning, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.losses.append(float(loss.detach()))
        self.step += 1
        if self.averaged is not self.module:
            self._average()

    def _share_gradients(self) -> None:
        """Make every worker's gradients the mean of all."""
        gradients = [parameter.grad for parameter in self._learning if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        together /= self._workers
        parts = together.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view(g.shape) for part, g in zip(parts, gradients, strict=True)])

    def share(self, batch: int) -> int:
        """How many of a batch are this worker's."""
        return batch // self._workers

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch has no types where mypy runs
    def _average(self) -> None:
        # Early weights are forgotten early: the decay grows to its final value.
        keep = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        mine, theirs = list(self.averaged.parameters()), list(self.module.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - keep)

    def _say(self) -> None:
        recent = self.losses[-STEPS_BETWEEN_LINES:]
        line = f"{time.strftime('%H:%M:%S')} step {self.step}/{self.schedule.steps} loss {np.mean(recent):.5f}"
        print(line, flush=True)

    def _write(self) -> None:
        state = {
            "step": self.step,
            "module": self.module.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "losses": self.losses,
        }
        torch.save(state, self.folder / "state.new")
        (self.folder / "state.new").replace(self.folder / "state.pt")

    def _resume(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses = state["step"], state["losses"]

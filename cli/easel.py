"""How a drawing is shown: a progress bar with what the picture looks like so far, then the picture and its path."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cli import blocks, output
from cli.gateway import Json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress, TaskID

# Of a preview, in pixels: bar and picture have to fit into a small window.
PREVIEW_SIDE = 32


class Easel:
    """Shows a drawing; a context manager. Paths go to standard output, all else to standard error.

    Args:
        prompt: What is drawn.
        shown: Whether pictures are shown, where the terminal can.
        quiet: Whether nothing at all is printed.
    """

    def __init__(self, prompt: str, *, shown: bool, quiet: bool) -> None:
        self._prompt = " ".join(output.safe(prompt).split())
        self._quiet = quiet
        self._console: Console = output.error_console()
        self.looks = shown and blocks.can_show(self._console)
        """Whether previews are of use."""
        self._live: Live | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        """Begins the bar, where there is a terminal; until then, and between two pictures, there is none."""
        if self._live is not None or self._quiet or not sys.stderr.isatty():
            return
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[step]}", markup=False),
            console=self._console,
        )
        name = self._prompt if len(self._prompt) <= 40 else self._prompt[:39] + "…"
        self._task = self._bar.add_task(name, total=1.0, step="")
        self._live = Live(
            self._bar,
            console=self._console,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def close(self) -> None:
        """Takes the bar away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def wait(self, before: int) -> None:
        """It waits; so many jobs are before it."""
        jobs = f"{before} job{'' if before == 1 else 's'} before it" if before else ""
        self._step(0.0, f"waiting {jobs}".rstrip())

    def progress(self, progress: Json) -> None:
        """It went a step further: a Progress in JSON."""
        left = output.seconds(progress.get("remaining"))
        step = f"step {progress.get('step', 0)}/{progress.get('steps', 0)}"
        self._step(float(progress.get("progress", 0)), f"{step}, {left:.0f} s left" if left else step)

    def _step(self, share: float, text: str) -> None:
        self._open()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=share, step=text)

    def look(self, content: bytes) -> None:
        """What it looks like so far."""
        from rich.console import Group

        shown = blocks.half_blocks(content, PREVIEW_SIDE) if self.looks else None
        if shown is not None and self._live is not None and self._bar is not None:
            self._live.update(Group(self._bar, shown))

    def done(self, content: bytes, file: Path, image: Json) -> None:
        """A picture is saved: shows it, what it was drawn with, and prints its path."""
        self.close()
        if self._quiet:
            return
        shown = blocks.half_blocks(content) if self.looks else None
        if shown is not None:
            self._console.print(shown)
        output.note(
            f"{image.get('width', 0)} × {image.get('height', 0)}, {image.get('model', '')}, seed {image.get('seed', 0)}"
        )
        output.write(f"{file}\n")

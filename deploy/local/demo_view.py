"""How the demo looks: headings, streamed answers, tables, and the way that a request took as a tree with times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from cli.blocks import can_show, half_blocks
from cli.output import result_grid, safe
from deploy.local.tracing import Hop

BARS = 20
SHOWN_ROWS = 15
TRITON = "Triton"
MINIMUM_MS = 0.05
# What steps within a service are called, where their own names say little to a newcomer.
STEPS = {"database.transaction": "its own database", "database.execute": "your database"}
COLOURS = {
    "client": "white",
    "gateway": "blue",
    "identity": "red",
    "chat": "green",
    "sql": "magenta",
    "asr": "yellow",
    "image": "cyan",
}
NEXT = (
    ("make demo AUDIO=question.wav", "your own voice"),
    (". .venv/bin/activate && parley up --detach", "the stack, on port 8080"),
    ("python -m deploy.local.sample_shop .parley/databases/shop.db", "the sample shop"),
    ("parley sql add shop .parley/databases/shop.db", "register it"),
    ('parley ask "Which products cost more than 500?"', "ask"),
    ('parley ask --audio meeting.m4a "Who spoke?"', "ask about a recording"),
    ('parley draw "two green stars on a black background"', "a picture"),
    ("parley transcribe meeting.m4a --speakers 3 --format srt", "subtitles, with who said what"),
)


class Row(NamedTuple):
    """A line of the tree of hops."""

    guide: str
    label: str
    service: str
    start: int
    """Nanoseconds since 1970."""
    milliseconds: float
    remark: str


class View:
    """Prints the demo.

    Args:
        console: Where to; it knows whether that is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._explained = False

    def heading(self, number: int, title: str) -> None:
        """Begins an exchange."""
        self.console.print()
        self.console.print(Rule(Text.assemble((f" {number} ", "reverse bold"), (f" {title} ", "bold")), align="left"))

    def note(self, text: str) -> None:
        """A remark."""
        self.console.print(Text(safe(text), style="dim"))

    def person(self, text: str) -> None:
        """What the person says."""
        self.console.print(Text.assemble(("you     ", "bold cyan"), safe(text)))

    def heard(self, text: str) -> None:
        """What was understood of a recording."""
        self.console.print(Text.assemble(("heard   ", "bold yellow"), f"“{safe(text)}”"))

    def turn(self, speaker: str, start: float, text: str) -> None:
        """What somebody said in a conversation; the start in seconds."""
        self.console.print(
            Text.assemble(
                (f"{int(start) // 60}:{int(start) % 60:02}    ", "dim"),
                (f"{safe(speaker):<6}", "bold yellow"),
                safe(text),
            )
        )

    def statement(self, sql: str) -> None:
        """The statement that was run."""
        self.console.print(Text.assemble(("sql     ", "bold magenta"), (safe(sql), "magenta")))

    def code(self, source: str, language: str) -> None:
        """What a person would write to do the same."""
        self.console.print(
            Padding(Syntax(source, language, theme="ansi_dark", background_color="default", word_wrap=True), (0, 2))
        )

    def table(self, columns: Sequence[dict[str, Any]], rows: Sequence[Sequence[Any]]) -> None:
        """Rows of a result."""
        self.console.print(Padding(result_grid(columns, rows[:SHOWN_ROWS]), (0, 0, 0, 8)))
        if len(rows) > SHOWN_ROWS:
            self.note(f"        … and {len(rows) - SHOWN_ROWS} more rows")

    @contextmanager
    def steps(self) -> Iterator[Callable[[int], None]]:
        """The steps of a picture that is being drawn, each with a mark; yields what is told of them."""
        shown = 0

        def step(number: int) -> None:
            nonlocal shown
            self.console.print(Text("▪" * (number - shown), style="cyan"), end="", soft_wrap=True)
            shown = max(shown, number)

        self.console.print(Text("parley  ", style="bold green"), end="")
        try:
            yield step
        finally:
            self.console.print(Text(f" {shown} steps", style="dim"))

    def picture(self, content: bytes, about: str) -> None:
        """A picture, where the terminal has the colours for it, and what is to be said of it."""
        shown = half_blocks(content) if can_show(self.console) else None
        if shown is not None:
            self.console.print(Padding(shown, (1, 0, 1, 8)))
        self.console.print(Text(safe(about)), soft_wrap=True)

    def answer_begins(self) -> None:
        """Goes before the parts of an answer."""
        self.console.print(Text("parley  ", style="bold green"), end="")

    def part(self, text: str) -> None:
        """A part of an answer, as it arrives."""
        self.console.print(Text(safe(text)), end="", soft_wrap=True)

    def line(self, text: str) -> None:
        """A line of output as it came."""
        self.console.print(Text(safe(text), style="dim"), soft_wrap=True)

    def event(self, kind: str, component: str, seconds: float) -> None:
        """Something that happened to the stack while it starts."""
        if kind == "ready":
            self.console.print(Text.assemble(("✓ ", "green"), f"{component:<8}", (f"{seconds:5.1f} s", "dim")))
        elif kind == "up":
            self.console.print(Text.assemble(("The stack is up", "bold"), (f" after {seconds:.1f} s.", "dim")))

    def failed(self, why: str, code: int = 1) -> int:
        """Says why the demo failed; returns the exit code."""
        self.console.print()
        self.console.print(Text.assemble(("✗ The demo failed: ", "bold red"), safe(why)))
        self.note("Its folder under .parley/ is kept: logs/ has what each part wrote.")
        return code

    def next_steps(self) -> None:
        """What a person may try now."""
        self.console.print()
        self.console.print(Rule(Text(" Now you ", style="reverse bold"), align="left"))
        for command, what in NEXT:
            self.console.print(Text.assemble((f"  {command:<64}", "bold"), (what, "dim")), soft_wrap=True)

    def checked(self, text: str) -> None:
        """A check that held."""
        self.console.print(Text.assemble(("✓ ", "bold green"), (text, "dim")))

    def hops(self, client: str, start: int, end: int, below: Sequence[Hop]) -> None:
        """The way of a request: each hop with its milliseconds, and when it worked.

        Args:
            client: What the client is.
            start: When it sent the request, in nanoseconds since 1970.
            end: When it had read the last byte of the answer.
            below: The hops that it led to.
        """
        total = (end - start) / 1e6
        rows = list(_rows(client, start, total, below))
        width = max(len(row.guide + row.label) for row in rows)
        self.console.print()
        for row in rows:
            name = Text.assemble((row.guide, "dim"), (row.label, COLOURS.get(row.service, "")))
            name.pad_right(width - len(row.guide + row.label))
            bar = _bar((row.start - start) / 1e6, row.milliseconds, total)
            took = f"{row.milliseconds:10,.1f} ms"
            colour = COLOURS.get(row.service, "")
            self.console.print(
                Text.assemble("  ", name, took, "  ", (bar, colour), "  ", (row.remark, "dim")), soft_wrap=True
            )
        if not self._explained:
            self.note("  ¹ the caller's time for the call less that of the called service")
            self._explained = True


def _rows(client: str, start: int, total: float, below: Sequence[Hop]) -> Iterator[Row]:
    """The lines of the tree: the client, then what it led to."""
    yield Row("", f"client  {client}", "client", start, total, "")
    yield from _below(below, "")


def _below(found: Sequence[Hop], indent: str) -> Iterator[Row]:
    shown = _merged([hop for hop in found if hop.span.milliseconds >= MINIMUM_MS])
    for index, (hop, count, milliseconds) in enumerate(shown):
        last = index == len(shown) - 1
        remark = "" if hop.wire is None else f"+{hop.wire:,.1f} ms gRPC¹"
        label = label_of(hop) + (f" ×{count}" if count > 1 else "")
        yield Row(indent + ("└─ " if last else "├─ "), label, hop.span.service, hop.span.start, milliseconds, remark)
        # The call to Triton lies below the step that names the model: the same hop.
        if not label.startswith(TRITON):
            yield from _below(hop.below, indent + ("   " if last else "│  "))


def _merged(found: Sequence[Hop]) -> list[tuple[Hop, int, float]]:
    """Steps that repeat (a transaction for each event) as one line: the first, how many, their time together."""
    kept: dict[tuple[str, str], list[Hop]] = {}
    for hop in found:
        label = label_of(hop)
        key = (hop.span.span_id, "") if hop.below and not label.startswith(TRITON) else (hop.span.kind, label)
        kept.setdefault(key, []).append(hop)
    return [(same[0], len(same), sum(hop.span.milliseconds for hop in same)) for same in kept.values()]


def label_of(hop: Hop) -> str:
    """What a hop is called: service and method of an RPC, the step's own name within one."""
    span = hop.span
    method = span.name.rpartition("/")[2]
    model = span.attributes.get("model") or span.attributes.get("triton.model") or ""
    if span.service == "gateway":
        return "Envoy"
    if span.kind == "server":
        return f"{span.service}  {method}"
    if "inference" in span.name.lower() or span.name.startswith("triton"):
        return f"{TRITON}  {model or method}"
    return " ".join(part for part in (STEPS.get(method, method), model) if part)


def _bar(offset: float, length: float, total: float) -> str:
    """When a hop worked, out of the whole time, drawn on BARS cells."""
    begin = min(BARS - 1, max(0, int(offset / total * BARS)))
    cells = max(1, min(BARS - begin, round(length / total * BARS)))
    return "·" * begin + "█" * cells + "·" * (BARS - begin - cells)

"""`parley up`, `down`, `status` and `logs`: the whole stack on this machine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from cli import output
from cli.errors import INTERRUPTED, UNREACHABLE, CommandError, UsageError
from cli.output import JsonOption

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from deploy.local.stack import ComponentStatus, StackStatus
    from deploy.local.supervisor import Event

StateOption = Annotated[
    Path,
    typer.Option("--state", envvar="PARLEY_STATE", help="Folder that the stack keeps its files in.", file_okay=False),
]
STATE = Path(".parley")
Port = Annotated[int, typer.Option(help="Port of the gateway.", min=1, max=65535)]
COLOURS = ("cyan", "magenta", "yellow", "green", "blue")


def up(
    port: Port = 8080,
    host: Annotated[str, typer.Option(help="Address that the gateway listens on.")] = "127.0.0.1",
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is up; `parley down` stops it.")
    ] = False,
    profile: Annotated[str, typer.Option(help="Which models Triton loads.")] = "embedded",
    model_directory: Annotated[
        Path | None,
        typer.Option(
            envvar="PARLEY_MODEL_DIRECTORY",
            help="Folder with weights that you bring, a folder in it for each model: diffusion/, whisper/ …",
            exists=True,
            file_okay=False,
            resolve_path=True,
        ),
    ] = None,
    sqlite_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder whose SQLite files may be registered; without it, databases/ in the state folder.",
            exists=True,
            file_okay=False,
            resolve_path=True,
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(help="The gateway's certificate, PEM: its port then speaks TLS alone.", resolve_path=True),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="The private key of that certificate, PEM.", resolve_path=True)
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="An origin whose pages may call the gateway; may be repeated.")
    ] = None,
    otlp_endpoint: Annotated[str, typer.Option(help="OTLP/gRPC collector that traces go to.")] = "",
    otlp_http_endpoint: Annotated[
        str, typer.Option(help="OTLP/HTTP collector that Triton's traces go to: http://…:4318/v1/traces.")
    ] = "",
    admin_port: Annotated[
        int, typer.Option(help="Port of Envoy's admin interface, on loopback.", min=1, max=65535)
    ] = 9901,
    state: StateOption = STATE,
) -> None:
    """Start everything: Triton, the services and Envoy. Ctrl-C stops it again.

    The first start makes an administrator's API key, which the other commands use by themselves: `key` in the state
    folder. The services and the gateway read the rest of their settings from the environment: PARLEY_CHAT_…,
    PARLEY_SQL_…, PARLEY_ASR_…, PARLEY_GATEWAY_….
    """
    from deploy.local import stack
    from deploy.local.settings import StackSettings

    settings = StackSettings(
        state=state,
        host=host,
        port=port,
        admin_port=admin_port,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        cors_origins=tuple(cors_origin or ()),
        profile=profile,
        model_parameters={"model_directory": str(model_directory)} if model_directory else {},
        sqlite_root=sqlite_root,
        otlp_endpoint=otlp_endpoint,
        otlp_http_endpoint=otlp_http_endpoint,
    )
    with _failures(), Display(detach, state / settings.key_file.name) as display:
        if not detach:
            stack.up(settings, display.show)
            return
        try:
            stack.detach(settings, display.show)
        except KeyboardInterrupt:
            # It runs in a session of its own, which Ctrl-C does not reach.
            stack.down(state)
            raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _failures() -> Iterator[None]:
    """What keeps a stack from starting, as CommandError: one line."""
    from deploy.local.certificates import CertificatesError
    from deploy.local.ports import PortTakenError
    from deploy.local.state import AlreadyRunningError
    from deploy.local.supervisor import StartError
    from gateway.config import EnvoyMissingError
    from gateway.settings import SettingsError

    expected = PortTakenError, AlreadyRunningError, StartError, CertificatesError, EnvoyMissingError, SettingsError
    try:
        yield
    except expected as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(
            f"{error.filename or 'the stack'}: {error.strerror}. Choose another folder with --state."
        ) from None


class Display:
    """What happens to a stack: a live list on a terminal until it is up, lines otherwise and afterwards.

    Args:
        detached: Whether the stack will go on by itself.
        key_file: Where the administrator's API key is.
    """

    def __init__(self, detached: bool, key_file: Path) -> None:
        self._detached = detached
        self._key_file = key_file
        self._ready: dict[str, float | None] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=output.error_console(), get_renderable=self._list, refresh_per_second=10)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_live()

    def show(self, event: Event) -> None:
        """Shows an event."""
        if event.kind == "starting":
            self._ready.setdefault(event.component, None)
        elif event.kind == "ready":
            self._ready[event.component] = event.seconds
        if event.kind == "up":
            self._up(event)
        elif self._live is None:
            output.note(" ".join(filter(None, (event.component, event.kind, f"({event.seconds:.1f} s)", event.detail))))
        elif event.kind in {"exited", "restarting", "stopping"}:
            # What ends while others still start is told by the one error line that follows.
            self._end_live()

    def _up(self, event: Event) -> None:
        self._end_live()
        how = "`parley down` stops it" if self._detached else "Ctrl-C stops it"
        output.note(f"Parley is up at {event.detail} after {event.seconds:.1f} s; {how}.")
        key = f'curl -H "Authorization: Bearer $(cat {shlex.quote(str(self._key_file))})" {event.detail}/v1/models'
        output.note(f"`parley` sends your API key by itself; other clients need it, too: {key}")

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.refresh()
            self._live.stop()
            self._live = None

    def _list(self) -> Group:
        """The components: done, with their seconds, or under way."""
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.text import Text

        lines: list[Text | Spinner] = []
        for name, seconds in self._ready.items():
            if seconds is None:
                lines.append(Spinner("dots", text=Text(f" {name}")))
            else:
                lines.append(Text.assemble(("✓ ", "green"), f" {name:<8}", (f"{seconds:5.1f} s", "dim")))
        return Group(*lines)


def down(state: StateOption = STATE) -> None:
    """Stop everything.

    That includes what a `parley up` that was killed has left behind.
    """
    from deploy.local import stack

    output.note("Stopped." if stack.down(state) else f"Nothing is running in {state}.")


def status(state: StateOption = STATE, as_json: JsonOption = False) -> None:
    """Say what runs, how long and with how much memory.

    Exits with 0 when all of it is ready, 1 when a part is not, 3 when nothing runs.
    """
    from deploy.local import stack

    found = stack.status(state)
    if as_json:
        output.document({**found._asdict(), "components": [component._asdict() for component in found.components]})
    else:
        _show_status(found, state)
    if not found.running:
        raise typer.Exit(UNREACHABLE)
    if not all(component.ready for component in found.components):
        raise typer.Exit(1)


def _show_status(found: StackStatus, state: Path) -> None:
    if not found.running:
        left = any(component.running for component in found.components)
        output.note(
            f"Nothing is running in {state}."
            + (" A killed one left processes: `parley down` ends them." if left else "")
        )
        return
    output.listing(("part", "state", "pid", "port", "up", "memory", "restarts"), map(_status_row, found.components), "")
    output.note(f"{found.url}, {_mebibytes(found.memory)} in all")


def _status_row(component: ComponentStatus) -> tuple[str, ...]:
    state = "ready" if component.ready else "starting" if component.running else "down"
    return (
        component.name,
        state,
        str(component.pid or ""),
        str(component.port),
        f"{component.uptime:,.0f} s",
        _mebibytes(component.memory),
        str(component.restarts),
    )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def logs(
    service: Annotated[
        str | None, typer.Argument(help="One part only: triton, identity, chat, sql, asr, image, envoy, supervisor.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines of each.", min=0)] = 50,
    state: StateOption = STATE,
) -> None:
    """Print what the parts of the stack have logged."""
    from deploy.local import stack

    try:
        found = stack.log_lines(state, service, lines=lines, follow=follow)
    except stack.UnknownComponentError as error:
        raise UsageError(str(error)) from None
    # Ctrl-C is how one stops following: no failure.
    with suppress(KeyboardInterrupt):
        for line in found:
            _log_line(line.component, line.text, alone=service is not None)


def _log_line(component: str, text: str, *, alone: bool) -> None:
    """Prints a line with its component before it, coloured by component on a terminal."""
    if alone:
        output.write(text + "\n")
    elif output.on_terminal():
        from rich.text import Text

        colour = COLOURS[sum(component.encode()) % len(COLOURS)]
        output.console().print(Text.assemble((f"{component:<10} ", colour), output.safe(text)), soft_wrap=True)
    else:
        output.write(f"{component}\t{text}\n")

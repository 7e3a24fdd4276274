"""The `parley` command, assembled."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import (
    ask,
    audit,
    backup,
    conversations,
    draw,
    keys,
    knowledge,
    listen,
    login,
    models,
    output,
    sql,
    stack,
    transcribe,
    usage,
    users,
)
from cli.errors import CommandError


class Commands(TyperGroup):
    """The commands: what they raise as CommandError becomes one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            output.failure(str(error))
            raise typer.Exit(error.exit_code) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Boxes are for terminals: piped help and usage errors are plain lines.
    rich_markup_mode="rich" if output.on_terminal() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the server said no, 2 wrong usage, 3 no gateway answers, 130 interrupted.",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"parley {version('parley')}")
        raise typer.Exit


@app.callback()
def parley(
    _version_flag: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A self-hosted AI assistant: chat, questions to databases, speech, pictures.

    `parley up` starts everything on this machine; the other commands are clients of its gateway.
    """


STACK, CLIENT, ACCESS = "The stack on this machine", "Clients of the gateway", "Who may use it"

app.command(rich_help_panel=STACK)(stack.up)
app.command(rich_help_panel=STACK)(stack.down)
app.command(rich_help_panel=STACK)(stack.status)
app.command(rich_help_panel=STACK)(stack.logs)
app.command(rich_help_panel=STACK)(backup.backup)
app.command(rich_help_panel=STACK)(backup.restore)
app.command(rich_help_panel=CLIENT)(ask.ask)
app.command(rich_help_panel=CLIENT)(draw.draw)
app.command(rich_help_panel=CLIENT)(transcribe.transcribe)
app.command(rich_help_panel=CLIENT)(listen.listen)
knowledge.register(sql.app)
app.add_typer(sql.app, name="sql", rich_help_panel=CLIENT)
app.add_typer(conversations.app, name="conversations", rich_help_panel=CLIENT)
app.command(rich_help_panel=CLIENT)(models.models)
app.command(rich_help_panel=ACCESS)(login.login)
app.command(rich_help_panel=ACCESS)(login.logout)
app.add_typer(keys.app, name="keys", rich_help_panel=ACCESS)
app.add_typer(users.app, name="users", rich_help_panel=ACCESS)
app.command(rich_help_panel=ACCESS)(usage.usage)
app.command(rich_help_panel=ACCESS)(audit.audit)

"""`parley backup` and `parley restore`: the stack on this machine, in one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.errors import CommandError
from cli.output import JsonOption
from cli.stack import STATE, StateOption


def backup(
    file: Annotated[
        Path | None, typer.Argument(help="The file to write; parley-<time>.backup without one.", dir_okay=False)
    ] = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            "-r",
            help="Encrypt it (age) to age1…, to an SSH public key, or to those in a file, e.g. ~/.ssh/id_ed25519.pub.",
        ),
    ] = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Back up everything: conversations, databases, recordings, pictures, users and keys. The stack may run.

    Without --recipient the file is not encrypted, and holds the keys to all of it: only its owner may read it.
    """
    from deploy.backup import laptop

    with _failures():
        done = laptop.back_up(state, file or laptop.free_name(Path.cwd()), recipient or ())
    if as_json:
        output.document({"file": str(done.file), "size": done.size, "files": len(done.manifest.members)})
        return
    output.write(f"{done.file}\n")
    output.note(f"{len(done.manifest.members)} files, {done.size / 2**20:,.1f} MiB.")
    if not recipient:
        output.note("It is not encrypted, and holds the keys to everything: keep it safe, or name a --recipient.")


def restore(
    file: Annotated[Path, typer.Argument(help="The file that `parley backup` wrote.", dir_okay=False)],
    identity: Annotated[
        Path | None,
        typer.Option("--identity", "-i", help="File with the key, where it is encrypted.", dir_okay=False),
    ] = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the place of what is here, which is kept beside it. The stack must not run.

    Everything is checked first: a file that is damaged or of a newer version changes nothing.
    """
    from deploy.backup import laptop

    with _failures():
        done = laptop.restore(file, state, identity)
    before = str(done.before) if done.before is not None else None
    if as_json:
        output.document({"created": done.manifest.created, "files": len(done.manifest.members), "before": before})
        return
    output.note(f"Restored {len(done.manifest.members)} files as of {done.manifest.created} into {state}.")
    if before is not None:
        output.note(f"What was there is in {before}: delete it when all is well.")
    output.note("`parley up` starts it.")


@contextmanager
def _failures() -> Iterator[None]:
    """What goes wrong, as CommandError: one line."""
    from deploy.backup.errors import BackupError
    from deploy.local.state import AlreadyRunningError

    try:
        yield
    except (BackupError, AlreadyRunningError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or 'the backup'}: {error.strerror}.") from None

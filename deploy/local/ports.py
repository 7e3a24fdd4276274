"""TCP ports: free ones for inside, and who holds one that is taken."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

LISTEN = "0A"


class PortTakenError(RuntimeError):
    """A port that the stack needs is in use; the message names it, its holder where known, and the remedy."""


def free(count: int) -> list[int]:
    """So many different ports on loopback that are free now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def require(host: str, port: int, option: str) -> None:
    """Returns if nobody listens on the port.

    Args:
        host: Address to listen on.
        port: The port.
        option: The command line option that chooses another one.

    Raises:
        PortTakenError: Somebody does, or this user may not listen there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return
        except PermissionError:
            reason = f"Port {port} is only for root."
        except OSError as error:
            who = holder(port)
            taken = f"is taken{f' by {who}' if who else ''}."
            reason = (
                f"Port {port} {taken}" if who or "in use" in str(error) else f"Cannot listen on {host}:{port}: {error}."
            )
    raise PortTakenError(f"{reason} Choose another one with {option}, e.g. {option} {free(1)[0]}.")


def holder(port: int) -> str:
    """The process that listens on a port, as `name (pid 42)`; empty when that cannot be known."""
    inodes = _listening(port)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (entry / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f"{(entry / 'comm').read_text().strip()} (pid {entry.name})"
        except OSError:
            # Another user's process, or one that has just ended.
            continue
    return ""


def _listening(port: int) -> set[str]:
    """The sockets that listen on a port, as /proc/<pid>/fd names them."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found

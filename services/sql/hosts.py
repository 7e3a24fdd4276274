"""Which hosts databases may be at, and at which of their addresses: asked before every connection that is opened.

What is judged is where a connection goes, not what a URL says: names are resolved here, and drivers connect to the
addresses that passed. A name that leads elsewhere a moment later (DNS rebinding) leads nobody anywhere.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.mesh import hosts
from services.mesh.hosts import Address, HostList
from services.sql.errors import DatabaseUnreachable, HostRefused

T = TypeVar("T")

# A name may have any number of addresses; so many are tried at most, each for as long as a connection may take.
_TRIED = 4
NO_ADDRESS = "The database's host has no address."


class Hosts:
    """Hosts that databases may be at.

    Args:
        allowed: As services.mesh.hosts.HostList has them; special addresses (loopback and the like) as such.
        closed: What no database is at unless `allowed` names exactly that host and port: this deployment itself.
        resolve: Gives a name's addresses.
        kept_seconds: How long an answer about a name of `closed` is believed, in seconds.

    Raises:
        ValueError: An entry is no host.
    """

    def __init__(
        self,
        allowed: Sequence[str] = ("*",),
        closed: Sequence[str] = (),
        resolve: Callable[[str, int], list[str]] = hosts.resolved,
        kept_seconds: float = 30.0,
    ) -> None:
        self._allowed = HostList(allowed)
        self._closed = HostList(closed)
        self._resolve = resolve
        self._kept_seconds = kept_seconds
        self._own: dict[str, frozenset[Address]] = {name: frozenset() for name, _port in self._closed.hosts}
        self._until = 0.0
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, or of an address, that a connection may go to now; at least one.

        Raises:
            HostRefused: It may go to none of them, or there is no such host and it is not listed by its name.
            DatabaseUnreachable: The name has no address.
        """
        try:
            name = hosts.normal(host)
        except ValueError:
            raise HostRefused from None
        named = self._allowed.names(name, port)
        try:
            found = self._resolve(name, port)
        except OSError:
            # Nobody learns which names there are inside.
            raise (DatabaseUnreachable(NO_ADDRESS) if named else HostRefused()) from None
        good = [address for address in found if self._open(name, address, port, named)]
        if not good:
            raise HostRefused
        return good[:_TRIED]

    def places(self, several: Iterable[tuple[str, int]]) -> list[tuple[str, str]]:
        """Several hosts, with ports, that one database is at: each as often as it has addresses, with these.

        Raises:
            HostRefused: A connection may not go to one of them.
            DatabaseUnreachable: None of them has an address.
        """
        found = list[tuple[str, str]]()
        for host, port in several:
            with contextlib.suppress(DatabaseUnreachable):
                found += [(hosts.normal(host), address) for address in self.addresses(host, port)]
        if not found:
            raise DatabaseUnreachable(NO_ADDRESS)
        return found

    def _open(self, name: str, text: str, port: int, named: bool) -> bool:
        """Whether a connection may go to one of a host's addresses; `named`: the list has the host by its name."""
        address = _plain(text)
        held = self._allowed.holds(address, port)
        if not held and (hosts.special(address) or not named):
            return False
        return not self._is_closed(name, address, port) or self._allowed.singles_out(name, address, port)

    def _is_closed(self, name: str, address: Address, port: int) -> bool:
        """Whether something of this deployment itself is there."""
        if self._closed.names(name, port) or self._closed.holds(address, port):
            return True
        self._renew()
        return any(address in self._own[own] for own, at in self._closed.hosts if at in (None, port))

    def _renew(self) -> None:
        """Looks the deployment's own names up where that was long ago: all at once, as each may take its time."""
        with self._lock:
            if time.monotonic() < self._until or not self._own:
                return
            with ThreadPoolExecutor(len(self._own), thread_name_prefix="own-hosts") as workers:
                self._own = dict(zip(self._own, workers.map(self._now, self._own), strict=True))
            self._until = time.monotonic() + self._kept_seconds

    def _now(self, own: str) -> frozenset[Address]:
        """The addresses of one of the deployment's own names; the last known ones where it cannot be looked up."""
        try:
            return frozenset(map(_plain, self._resolve(own, 0)))
        except OSError:
            return self._own[own]


def first_of(addresses: Sequence[str], connect: Callable[[str], T], *faults: type[Exception]) -> tuple[str, T]:
    """The first of some addresses that answers, and what `connect` made there. Raises what the last one raises.

    Args:
        addresses: At least one.
        connect: Connects to one of them.
        faults: What it raises where another one may be tried.
    """
    for address in addresses[:-1]:
        with contextlib.suppress(*faults):
            return address, connect(address)
    return addresses[-1], connect(addresses[-1])


def _plain(text: str) -> Address:
    """An address of the resolver's, without its zone, as where it leads."""
    return hosts.reached(ipaddress.ip_address(text.partition("%")[0]))


DEFAULT = Hosts()
"""What holds where nothing is set."""

"""Hosts, as operators list them and as attackers write them: which of them a connection may go to.

A service that connects where its callers say can be made to connect to what only it can reach (server-side request
forgery, OWASP API7:2023). So hosts are told apart by what they are, in whatever spelling, and what was checked is the
address that is connected to.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
# Not `10.*`, which is also 10.example.com: that is what networks are for.
_PATTERN = re.compile(r"\*|(?=.*[a-z])[a-z0-9_*?.-]{1,253}")
# An IPv6 address or network, in brackets where a port follows; else a host or an IPv4 network.
_ENTRY = re.compile(
    r"\[(?P<bracketed>[^\[\]]+)\](?::(?P<behind>\d{1,5}))?|(?P<plain>[^\[\]]*:[^\[\]]*:[^\[\]]*)"
    r"|(?P<host>[^\[\]:]+)(?::(?P<port>\d{1,5}))?"
)
_LOOPBACK = ("127.0.0.0/8", "::1/128")
# This machine, this link, nobody in particular, and everybody at once (RFC 6890). 0.0.0.0 leads to this machine.
_CLOSE_BY = (
    *_LOOPBACK, "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/96", "fe80::/10", "ff00::/8",
)  # fmt: skip
# Where clouds answer machines about themselves, keys included, on other addresses than 169.254.169.254: Azure, Oracle,
# Alibaba, Amazon, Google.
_METADATA = ("168.63.129.16/32", "192.0.0.192/32", "100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::254/128")
_SPECIAL = tuple(ipaddress.ip_network(text) for text in (*_CLOSE_BY, *_METADATA))
# Translators of addresses, whose last 32 bits are the IPv4 address that is reached (RFC 6052, RFC 8215).
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


def address_of(host: str) -> Address | None:
    """The IP address that a host is, also where it is written as only the oldest programs do; None where it is a name.

    `127.1`, `0177.0.0.1`, `0x7f000001` and `2130706433` are 127.0.0.1 to the C library, and so they are here.
    """
    with contextlib.suppress(ValueError):
        # Not one with a zone (`fe80::1%eth0`): behind the % may stand anything.
        return None if "%" in host else ipaddress.ip_address(host)
    if re.fullmatch(r"[0-9][0-9a-fx.]*", host, re.IGNORECASE):
        with contextlib.suppress(OSError):
            return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


def normal(host: str) -> str:
    """A host in the one spelling that it is judged and connected by: an address, or an ASCII name in lower case.

    Raises:
        ValueError: It is neither: a path, several hosts, user and host, characters that no host has.
    """
    with contextlib.suppress(UnicodeError):
        # Also maps what looks like digits and dots, as the resolver does (IDNA).
        name = host if ":" in host else host.encode("idna").decode().lower().removesuffix(".")
        found = address_of(name)
        if found is not None:
            return str(found)
        if _NAME.fullmatch(name) and ".." not in name:
            return name
    raise ValueError("it is neither the name nor the address of a host")


def reached(address: Address) -> Address:
    """Where packets to an address end: IPv6 addresses that hold an IPv4 one lead there."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and any(address in network for network in _TRANSLATED):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


def place(host: str, port: int) -> str:
    """A host with a port as lists have them: IPv6 addresses in brackets. `host:port` keeps its own port."""
    if host.count(":") == 1:
        return host
    return f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"


def special(address: Address) -> bool:
    """Whether an address is loopback, link-local, unspecified, multicast, reserved, or a cloud's metadata service."""
    end = reached(address)
    return any(end in network for network in _SPECIAL)


def resolved(name: str, port: int) -> list[str]:
    """The addresses of a name, or of an address, now; in the resolver's order. Raises OSError where there are none."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _all_special(network: Network) -> bool:
    """Whether a network holds special addresses only."""
    return any(network.version == some.version and network.subnet_of(some) for some in _SPECIAL)  # type: ignore[arg-type]  # of one version


@dataclass(frozen=True)
class _Entry:
    """What one entry of a list stands for."""

    pattern: str
    """Of names; empty for addresses alone."""
    networks: tuple[Network, ...]
    port: int | None
    """None: any."""

    @property
    def single(self) -> bool:
        """Whether it is one host and one port."""
        one = all(network.num_addresses == 1 for network in self.networks)
        return self.port is not None and one and not self.wild

    @property
    def wild(self) -> bool:
        """Whether it is a pattern of names."""
        return not {"*", "?"}.isdisjoint(self.pattern)


class HostList:
    """Hosts as operators list them: `db.example.com`, `*.example.com`, `192.0.2.7`, `10.0.0.0/8`, `[fd00::/8]:5432`.

    Each may have a port. `*` is every name and address; `localhost` is every loopback address too.

    Args:
        entries: The list.
        port: The only port of entries that name none. None: they stand for any.

    Raises:
        ValueError: An entry is none of these.
    """

    def __init__(self, entries: Iterable[str], *, port: int | None = None) -> None:
        self._entries = tuple(_entry(text, port) for text in entries)

    def names(self, host: str, port: int) -> bool:
        """Whether an entry is a host, as `normal` writes it, or a pattern of it."""
        return any(fnmatchcase(host, entry.pattern) for entry in self._for(port))

    def holds(self, address: Address, port: int) -> bool:
        """Whether an entry is the address, or a network that it lies in; patterns are not.

        Special addresses are held by what names nothing else: `169.254.0.0/16`, and not `0.0.0.0/0`.
        """
        end = reached(address)
        networks = [network for entry in self._for(port) for network in entry.networks if end in network]
        return any(map(_all_special, networks)) if special(end) else bool(networks)

    def singles_out(self, host: str, address: Address, port: int) -> bool:
        """Whether an entry is this host or this address with this port, and stands for nothing else."""
        end = reached(address)
        return any(
            entry.single and (host == entry.pattern or any(end in network for network in entry.networks))
            for entry in self._for(port)
        )

    @property
    def hosts(self) -> list[tuple[str, int | None]]:
        """The single names in it with their ports, None for any: those that can be looked up."""
        return [(entry.pattern, entry.port) for entry in self._entries if not entry.networks and not entry.wild]

    def _for(self, port: int) -> list[_Entry]:
        return [entry for entry in self._entries if entry.port in (None, port)]


def _entry(text: str, port: int | None) -> _Entry:
    """An entry of a list. Raises ValueError."""
    wrong = ValueError(
        f"{text!r} is no host: write a name, *.example.com, an address or a network such as 10.0.0.0/8, each with or "
        "without :port"
    )
    found = _ENTRY.fullmatch(text.strip())
    if found is None:
        raise wrong
    host = found["bracketed"] or found["plain"] or found["host"]
    given = found["behind"] or found["port"]
    own = int(given) if given else port
    if own is not None and not 0 < own < 65536:
        raise wrong
    try:
        return _Entry("", (_network(host),), own)
    except ValueError:
        if found["host"] is None or "/" in host:
            raise wrong from None
    try:
        pattern = host.encode("idna").decode().lower().removesuffix(".")
    except UnicodeError:
        raise wrong from None
    if not _PATTERN.fullmatch(pattern):
        raise wrong
    return _Entry(pattern, tuple(map(ipaddress.ip_network, _LOOPBACK)) if pattern == "localhost" else (), own)


def _network(text: str) -> Network:
    """An address or a network. Raises ValueError."""
    single = address_of(text)
    return ipaddress.ip_network(text if single is None else reached(single))

"""Where MongoDB's driver may connect to: a URL names hosts, DNS more, and so does every server of a replica set."""

from __future__ import annotations

from typing import Any

from pymongo.errors import AutoReconnect
from pymongo.pool_options import PoolOptions
from pymongo.synchronous.pool import Connection, Pool
from pymongo.uri_parser import parse_uri

from services.mesh.errors import InvalidArgument
from services.mesh.hosts import normal
from services.sql.hosts import Hosts, first_of
from services.sql.language.words import listed
from services.sql.target import CONNECT_SECONDS, FIELD

# What a URL may say besides hosts, user and name. Not: files of this machine, and credentials that the driver fetches
# from a cloud, or from a file, and then shows to whatever server the URL names (MONGODB-OIDC, MONGODB-AWS).
_OPTIONS = frozenset(
    listed(
        """appname authmechanism authsource compressors connecttimeoutms directconnection heartbeatfrequencyms journal
        loadbalanced localthresholdms maxconnecting maxidletimems maxpoolsize maxstalenessseconds minpoolsize
        readconcernlevel readpreference readpreferencetags replicaset retryreads retrywrites
        serverselectiontimeoutms sockettimeoutms srvmaxhosts srvservicename ssl timeoutms tls
        tlsallowinvalidcertificates tlsallowinvalidhostnames tlsdisableocspendpointcheck tlsinsecure
        uuidrepresentation w waitqueuetimeoutms wtimeoutms zlibcompressionlevel"""
    )
)
_MECHANISMS = frozenset({"DEFAULT", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"})


def check(url: str, hosts: Hosts) -> None:
    """Whether a URL names only hosts that databases may be at, after DNS where it says `mongodb+srv`.

    The connections themselves are checked by CheckedPool; this is for a clear answer at once.

    Raises:
        HostRefused: One of them is another.
        InvalidArgument: It has an option that would read files of this machine, or fetch credentials.
        PyMongoError: It is no such URL, or DNS does not answer.
    """
    parsed: dict[str, Any] = parse_uri(url, validate=False, warn=False, connect_timeout=CONNECT_SECONDS)
    options = {str(key).lower(): value for key, value in parsed["options"].items()}
    for name in sorted(options.keys() - _OPTIONS):
        raise InvalidArgument(FIELD, f"the option {name} is not taken. Leave it out.")
    if str(options.get("authmechanism", "DEFAULT")).upper() not in _MECHANISMS:
        raise InvalidArgument(FIELD, f"authMechanism must be one of {', '.join(sorted(_MECHANISMS))}.")
    hosts.places((name, int(port or 27017)) for name, port in parsed["nodelist"])


class CheckedPool(Pool):
    """The driver's connections to one server, whoever named it, at addresses that databases may be at.

    The driver has no setting for that: it takes the class of its pools as an argument that its own tests use. A pool's
    address is set to what was checked while it connects, and TLS told the name; a server is known by its name before
    and after.

    Args:
        hosts: Where databases may be.
        place: Host and port, as the URL, DNS or another server has them.
        options: The driver's.
        more: The driver's.
    """

    def __init__(self, hosts: Hosts, place: tuple[str, int], options: PoolOptions, *more: Any, **named: Any) -> None:
        super().__init__(place, options, *more, **named)
        self._hosts = hosts
        self._place = place
        self.opts = _Options(options, place[0])  # type: ignore[assignment]  # stands for the driver's options

    def connect(self, handler: Any = None) -> Connection:
        """A new connection. Raises HostRefused, DatabaseUnreachable, PyMongoError."""
        name, port = self._place
        addresses = self._hosts.addresses(name, port)
        return first_of(addresses, lambda address: self._at(address, handler), AutoReconnect)[1]

    def _at(self, address: str, handler: Any) -> Connection:
        """A connection to an address. Another thread may set another one at the same time: that was checked too."""
        self.address = (address, self._place[1])
        connection = super().connect(handler)
        connection.address = self._place
        return connection


class _Options:
    """The driver's options, whose TLS context asks for a server's name instead of its address.

    Args:
        options: The driver's.
        name: The server's name.
    """

    def __init__(self, options: PoolOptions, name: str) -> None:
        self._options = options
        context = options._ssl_context
        self._ssl_context = None if context is None else _Named(context, name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._options, attribute)


class _Named:
    """A TLS context that asks every server for one name.

    Args:
        context: The driver's.
        name: The name.
    """

    def __init__(self, context: Any, name: str) -> None:
        self._context = context
        self._name = normal(name)

    def wrap_socket(self, sock: Any, **named: Any) -> Any:
        """TLS over a connection, in which the server has to show a certificate for the name."""
        return self._context.wrap_socket(sock, **{**named, "server_hostname": self._name})

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._context, attribute)

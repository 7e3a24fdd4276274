"""The gateway's configuration in a cluster, tried with the real Envoy, and how its calls end."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from gateway import config, security
from gateway.settings import GatewaySettings
from tests.conftest import ROOT, free_port, missing
from tests.deploy.rendering import CASES, CHART, Values, one, pod, rendered

CLUSTERS = config.SERVICES


def data(values: Values) -> dict[str, str]:
    """The gateway's ConfigMap."""
    found: dict[str, str] = one(rendered(values), "ConfigMap", "parley-gateway")["data"]
    return found


def load(text: str) -> Any:
    """What a file of Envoy's says, by libyaml, since it is long."""
    return yaml.load(text, yaml.CSafeLoader)


def clusters(values: Values) -> dict[str, dict[str, Any]]:
    """Envoy's clusters by name."""
    items = {item["name"]: item for item in load(data(values)["clusters.yaml"])["resources"]}
    # Envoy's own way to itself: the same everywhere. The collector: tests/deploy/test_monitoring_traces.py.
    del items["jwks"], items["tracing"]
    return items


def folder(path: Path, values: Values, replace: Callable[[str], str] = lambda text: text) -> Path:
    """A folder as Envoy finds it in its container: the image's files, the ConfigMap in a folder of its own."""
    shutil.copytree(ROOT / "gateway", path, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for name, text in data(values).items():
        (path / "cluster").mkdir(exist_ok=True)
        (path / "cluster" / name).write_text(replace(text.replace("/etc/parley/cluster", str(path / "cluster"))))
    return path


def envoy() -> str:
    """Envoy's executable."""
    try:
        return str(config.executable())
    except config.EnvoyMissingError as error:
        missing(str(error))
        raise


@pytest.mark.parametrize("case", ["default", "dev", "image-volume", "everything"])
def test_envoy_takes_the_configuration(case: str, tmp_path: Path) -> None:
    """`validate` reads what the bootstrap holds; the clusters are put in there, since they would be fetched later."""
    place = folder(tmp_path / "envoy", CASES[case])
    bootstrap = load((place / "cluster" / "bootstrap.yaml").read_text())
    listener = load((place / "listener.yaml").read_text())["resources"]
    for item in (*clusters(CASES[case]).values(), *listener):
        del item["@type"]
    found = load((place / "cluster" / "clusters.yaml").read_text())["resources"]
    for item in found:
        del item["@type"]
        # Certificates that a secret's file names are read at once.
        item.pop("transport_socket", None)
    bootstrap["static_resources"]["clusters"] += found
    bootstrap["static_resources"]["listeners"] += listener
    del bootstrap["dynamic_resources"]
    (place / "whole.yaml").write_text(yaml.safe_dump(bootstrap))
    done = subprocess.run(
        [envoy(), "--mode", "validate", "--config-path", "whole.yaml"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_only_addresses_differ_from_a_laptops_clusters() -> None:
    """Timeouts, limits, health checks: what the gateway's own file says holds here too."""
    original = {
        item["name"]: item
        for item in load((ROOT / "gateway" / "clusters.yaml").read_text())["resources"]
        if item["name"] in CLUSTERS
    }
    ours = clusters({})
    assert set(ours) == set(original)
    for name, cluster in ours.items():
        for key in ("type", "dns_refresh_rate", "respect_dns_ttl", "load_assignment"):
            cluster.pop(key)
        for key in ("type", "eds_cluster_config"):
            original[name].pop(key)
        assert cluster == original[name]


@pytest.mark.parametrize("name", CLUSTERS)
def test_clusters_are_the_services_pods_by_name(name: str) -> None:
    cluster = clusters({})[name]
    assert cluster["type"] == "STRICT_DNS"
    (member,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = member["endpoint"]["address"]["socket_address"]
    assert address == {"address": f"parley-{name}-headless", "port_value": 50051}


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_service_that_is_left_out_is_a_cluster_without_members(name: str) -> None:
    """The listener's routes name it: without the cluster Envoy would take none of them."""
    cluster = clusters({"services": {name: {"enabled": False}}})[name]
    assert cluster["type"] == "STATIC"
    assert cluster["load_assignment"] == {"cluster_name": name}


def test_no_address_file_is_left() -> None:
    assert "EDS" not in data({})["clusters.yaml"].replace("(EDS)", "")
    assert "path_config_source: { path: ./eds" not in data({})["clusters.yaml"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_with_tls_the_gateway_shows_a_certificate_and_checks_the_name(name: str) -> None:
    cluster = clusters({"mtls": {"enabled": True}})[name]
    tls = cluster["transport_socket"]["typed_config"]
    host = f"parley-{name}-headless"
    assert tls["sni"] == host
    common = tls["common_tls_context"]
    matchers = common["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
    assert matchers == [{"san_type": "DNS", "matcher": {"exact": host}}]
    assert common["tls_certificate_sds_secret_configs"][0]["name"] == "client"
    for file, kind in (("client", "tls_certificate"), ("authority", "validation_context")):
        (secret,) = load(data({"mtls": {"enabled": True}})[f"{file}.yaml"])["resources"]
        assert secret["name"] == file
        assert secret[kind]["watched_directory"] == {"path": "/run/tls"}


def test_the_edge_is_what_a_laptops_settings_would_make_it() -> None:
    edge = {
        "tls": {"existingSecret": "certificate", "hstsSeconds": 60},
        "corsOrigins": ["https://chat.example.com"],
        "requestsPerSecond": 50,
        "maxConnections": 500,
        "trustedHops": 2,
        "issuer": "https://parley.example.com",
    }
    found = data({"gateway": {"edge": edge}})
    (secret,) = load(found["edge.yaml"])["resources"]
    assert secret["tls_certificate"]["watched_directory"] == {"path": "/run/edge"}
    settings = GatewaySettings(
        cors_origins=("https://chat.example.com",),
        requests_per_second=50,
        max_connections=500,
        trusted_hops=2,
        issuer="https://parley.example.com",
        hsts_seconds=60,
    )
    # Of a laptop's settings only the place of the certificate differs, which there has to be a file.
    object.__setattr__(settings, "tls_certificate_file", Path("cert.pem"))
    expected = config.configured((ROOT / "gateway" / "listener.yaml").read_text(), security.listener(settings))
    assert load(found["listener.yaml"]) == load(expected.replace("./edge.yaml", "/etc/parley/cluster/edge.yaml"))
    assert "path: /etc/parley/cluster/listener.yaml" in found["bootstrap.yaml"]
    assert "max_active_downstream_connections: 500" in found["bootstrap.yaml"]
    mounts = pod(one(rendered({"gateway": {"edge": edge}}), "Deployment", "parley-gateway"))
    assert {"name": "edge", "secret": {"secretName": "certificate", "defaultMode": 0o440}} in mounts["volumes"]


@pytest.mark.parametrize(("hops", "given", "most"), [(0, 1000, "1000"), (0, 7, "7"), (0, 0, "0"), (1, 1000, "0")])
def test_connections_are_counted_by_address_but_behind_a_proxy(hops: int, given: int, most: str) -> None:
    # An issuer has the listener written into the chart's ConfigMap in every case.
    edge = {"trustedHops": hops, "maxConnectionsPerAddress": given, "issuer": "https://parley.example.com"}
    (listener, _jwks) = load(data({"gateway": {"edge": edge}})["listener.yaml"])["resources"]
    counting = listener["filter_chains"][0]["filters"][0]["typed_config"]["config"]
    assert counting["configuration"]["value"] == most


def test_without_values_for_it_the_images_listener_is_used() -> None:
    assert "listener.yaml" not in data({})
    assert "path: ./listener.yaml" in data({})["bootstrap.yaml"]


def test_the_admin_interface_stays_on_loopback() -> None:
    bootstrap = load(data({})["bootstrap.yaml"])
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    (listener,) = bootstrap["static_resources"]["listeners"]
    (filter_,) = listener["filter_chains"][0]["filters"]
    (host,) = filter_["typed_config"]["route_config"]["virtual_hosts"]
    assert {route["match"]["path"] for route in host["routes"]} == {"/live", "/ready", "/stats/prometheus"}


def test_envoys_heap_fits_its_memory() -> None:
    bootstrap = load(data({})["bootstrap.yaml"])
    (heap,) = [m for m in bootstrap["overload_manager"]["resource_monitors"] if m["name"].endswith("fixed_heap")]
    limit = pod(one(rendered(), "Deployment", "parley-gateway"))["containers"][0]["resources"]["limits"]["memory"]
    assert limit == "1536Mi"
    assert heap["typed_config"]["max_heap_size_bytes"] < 1536 * 2**20


class Slow(BaseHTTPRequestHandler):
    """A client's call that takes two seconds, behind Envoy."""

    def do_GET(self) -> None:
        """Answers slowly."""
        time.sleep(2)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that http.server gives it
        """Says nothing."""


class Running:
    """The real Envoy with the chart's bootstrap, and one route to a slow server."""

    def __init__(self, place: Path) -> None:
        self.upstream = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        threading.Thread(target=self.upstream.serve_forever, daemon=True).start()
        self.admin, self.operations, self.http = (free_port() for _ in range(3))

        def local(text: str) -> str:
            for before, after in ((9901, self.admin), (9902, self.operations)):
                text = text.replace(f"port_value: {before}", f"port_value: {after}")
            return text.replace("0.0.0.0", "127.0.0.1")

        folder(place, {}, local)
        (place / "cluster" / "clusters.yaml").write_text(yaml.safe_dump({"resources": [self._cluster()]}))
        (place / "listener.yaml").write_text(yaml.safe_dump({"resources": [self._listener()]}))
        command = [
            envoy(),
            "--config-path",
            "cluster/bootstrap.yaml",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "--concurrency",
            "1",
        ]
        self.process = subprocess.Popen(command, cwd=place, stderr=subprocess.DEVNULL)
        self.script = place / "cluster" / "drain.sh"

    def _cluster(self) -> dict[str, Any]:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": self.upstream.server_address[1]}}
        member = {"lb_endpoints": [{"endpoint": {"address": address}}]}
        return {
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "slow",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "slow", "endpoints": [member]},
        }

    def _listener(self) -> dict[str, Any]:
        manager = (
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        )
        router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
        route = {"match": {"prefix": "/"}, "route": {"cluster": "slow"}}
        return {
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": "parley",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.http}},
            "filter_chains": [
                {
                    "filters": [
                        {
                            "name": "http",
                            "typed_config": {
                                "@type": manager,
                                "stat_prefix": "parley",
                                "http_filters": [{"name": "router", "typed_config": router}],
                                "route_config": {
                                    "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
                                },
                            },
                        }
                    ]
                }
            ],
        }

    def ask(self, port: int, path: str) -> int:
        """The status of GET; 0 where nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def drain(self, before: int, grace: int) -> float:
        """Runs the preStop hook; how long it took, in seconds."""
        begun = time.monotonic()
        done = subprocess.run(["bash", str(self.script), str(before), str(grace), str(self.admin)], check=False)
        assert done.returncode == 0
        return time.monotonic() - begun

    def close(self) -> None:
        """Ends both."""
        self.process.terminate()
        self.process.wait()
        self.upstream.shutdown()
        self.upstream.server_close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Envoy, ready."""
    made = Running(tmp_path / "envoy")
    try:
        for _attempt in range(600):
            if made.ask(made.operations, "/ready") == 200:
                break
            assert made.process.poll() is None, "Envoy ended"
            time.sleep(0.1)
        yield made
    finally:
        made.close()


def test_the_probes_and_metrics_are_answered_and_nothing_else(running: Running) -> None:
    assert running.ask(running.operations, "/live") == 200
    assert running.ask(running.operations, "/ready") == 200
    assert running.ask(running.operations, "/stats/prometheus") == 200
    assert running.ask(running.operations, "/quitquitquit") == 404
    assert running.ask(running.operations, "/config_dump") == 404


def test_a_call_in_flight_ends_before_the_hook_returns(running: Running) -> None:
    answers: list[int] = []
    call = threading.Thread(target=lambda: answers.append(running.ask(running.http, "/")))
    call.start()
    time.sleep(0.5)
    running.drain(0, 30)
    assert running.ask(running.operations, "/ready") == 503, "it is taken out of the Service"
    assert running.ask(running.operations, "/live") == 200, "and not restarted"
    call.join()
    assert answers == [200]


def test_the_hook_gives_up_after_the_grace_period(running: Running) -> None:
    call = threading.Thread(target=lambda: running.ask(running.http, "/"))
    call.start()
    time.sleep(0.3)
    running.drain(0, 1)
    assert call.is_alive()
    call.join()


def test_the_hook_does_nothing_where_envoy_is_gone() -> None:
    done = subprocess.run(
        ["bash", str(CHART / "files" / "drain.sh"), "30", "30", str(free_port())], capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder as cert-manager's Secret is mounted: tls.crt, tls.key, ca.crt."""
    authority = trustme.CA()
    own = authority.issue_cert("parley-gateway")
    place = tmp_path / "tls"
    place.mkdir()
    own.cert_chain_pems[0].write_to_path(place / "tls.crt")
    own.private_key_pem.write_to_path(place / "tls.key")
    authority.cert_pem.write_to_path(place / "ca.crt")
    return place


def test_envoy_takes_the_certificates(certificates: Path, tmp_path: Path) -> None:
    """The real Envoy starts with the whole configuration, and reads the secrets' file."""
    admin = free_port()

    def local(text: str) -> str:
        for before, after in ((9901, admin), (9902, free_port())):
            text = text.replace(f"port_value: {before}", f"port_value: {after}")
        return text.replace("0.0.0.0", "127.0.0.1").replace("/run/tls", str(certificates))

    place = folder(tmp_path / "envoy", {"mtls": {"enabled": True}}, local)
    listener = (place / "listener.yaml").read_text()
    (place / "listener.yaml").write_text(config.bind(listener, config.Endpoint("127.0.0.1", free_port())))
    command = [envoy(), "--config-path", "cluster/bootstrap.yaml", "--disable-hot-restart", "--log-level", "warning"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, "--concurrency", "1"], cwd=place, stderr=log)
    try:
        dump = ""
        for _attempt in range(600):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{admin}/config_dump") as answer,
            ):
                dump = answer.read().decode()
            if dump.count('"certificate_chain"') and dump.count('"trusted_ca"'):
                break
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        assert "parley-chat-headless" in dump
        assert "rejected" not in (tmp_path / "log").read_text().lower()
    finally:
        process.terminate()
        process.wait()

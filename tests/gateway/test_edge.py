"""The gateway towards the internet: TLS, origins, floods; and towards the services, with certificates."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
import trustme

from gateway.settings import GatewaySettings
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from tests.conftest import free_port
from tests.gateway.conftest import Gateway, Identity, envoy, identity_service, scripted, wait_for

ORIGIN = "https://chat.example.com"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, x-stainless-lang",
}


class Authority:
    """Signs certificates into a folder, as whoever renews them does: each file in one step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        folder.mkdir()
        self.ca.cert_pem.write_to_path(folder / "ca.pem")

    def issue(self, *names: str) -> tuple[Path, Path, Path]:
        """Replaces certificate and key; the files."""
        made = self.ca.issue_cert(*names)
        for name, text in (("cert", made.cert_chain_pems[0].bytes()), ("key", made.private_key_pem.bytes())):
            draft = self.folder / f".{name}"
            draft.write_bytes(text)
            draft.replace(self.folder / f"{name}.pem")
        return self.folder / "cert.pem", self.folder / "key.pem", self.folder / "ca.pem"

    def context(self) -> ssl.SSLContext:
        """What a client trusts."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


def presented(gateway: Gateway, context: ssl.SSLContext) -> tuple[str, str | None, str | None]:
    """The serial number of the certificate that clients see, the version of TLS, and the protocol agreed on."""
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, _, port = gateway.address.partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        seen = secure.getpeercert()
        assert seen
        return str(seen["serialNumber"]), secure.version(), secure.selected_alpn_protocol()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, identity: Identity) -> Iterator[tuple[Gateway, Authority]]:
    """A gateway that speaks TLS, with its services up; who signed its certificate."""
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    authority = Authority(folder / "certificates")
    cert, key, _ = authority.issue("localhost")
    settings = GatewaySettings(tls_certificate_file=cert, tls_key_file=key)
    with (
        scripted(port, folder / "services.log"),
        envoy(folder, port, identity, settings) as running,
    ):
        yield running, authority


def test_with_a_certificate_the_port_speaks_tls_alone(secure: tuple[Gateway, Authority]) -> None:
    gateway, authority = secure
    with httpx.Client(
        base_url=f"https://localhost:{gateway.address.partition(':')[2]}", verify=authority.context()
    ) as http:
        for path, status in (("/", 200), ("/api/v1/models", 401), ("/nothing", 401), ("/healthz/chat", None)):
            answer = http.get(path)
            assert status in (None, answer.status_code)
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
        wait_for(lambda: http.get("/healthz/chat").status_code == 200, 20, "chat")
        assert http.get("/api/v1/models", headers=gateway.bearer).status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://{gateway.address}/healthz")
    credentials = grpc.ssl_channel_credentials(authority.ca.cert_pem.bytes())
    with grpc.secure_channel(f"localhost:{gateway.address.partition(':')[2]}", credentials) as channel:
        models = chat_pb2_grpc.ChatServiceStub(channel).ListModels(
            chat_pb2.ListModelsRequest(), metadata=(("authorization", f"Bearer {gateway.key}"),)
        )
    assert models.models == []


def test_old_versions_of_tls_are_refused(secure: tuple[Gateway, Authority]) -> None:
    gateway, authority = secure
    _serial, version, protocol = presented(gateway, authority.context())
    assert (version, protocol) == ("TLSv1.3", "h2")
    old = authority.context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = old.minimum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        presented(gateway, old)


def test_a_certificate_that_was_renewed_is_shown(secure: tuple[Gateway, Authority]) -> None:
    gateway, authority = secure
    before = presented(gateway, authority.context())[0]
    authority.issue("localhost")
    wait_for(lambda: presented(gateway, authority.context())[0] != before, 10, "the new certificate")


def test_without_a_setting_no_page_elsewhere_may_call(gateway: Gateway, client: httpx.Client) -> None:
    assert httpx.options(f"{gateway.url}/v1/models", headers=PREFLIGHT).status_code == 401
    answer = client.get("/api/v1/models", headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "strict-transport-security" not in answer.headers


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, identity: Identity) -> Iterator[Gateway]:
    """A gateway behind one proxy, with origins and narrow limits, before no service but identity."""
    folder = tmp_path_factory.mktemp("guarded")
    settings = GatewaySettings(
        cors_origins=(ORIGIN, "http://localhost:3000"), requests_per_second=20, trusted_hops=1, max_connections=20
    )
    with envoy(folder, free_port(), identity, settings) as running:
        yield running


def asked_from(gateway: Gateway, address: str) -> httpx.Client:
    """A client whose address is this one, as a proxy says."""
    return httpx.Client(base_url=gateway.url, headers={"x-forwarded-for": f"198.51.100.99, {address}"})


def test_a_page_of_a_known_origin_may_call(guarded: Gateway) -> None:
    with asked_from(guarded, "192.0.2.1") as http:
        preflight = http.options("/v1/chat/completions", headers=PREFLIGHT)
        assert preflight.status_code == 200, "nobody sends a credential with a preflight"
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers
        refused = http.get("/api/v1/models", headers={"origin": ORIGIN})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == ORIGIN, "the page may read why"
        assert refused.headers["access-control-expose-headers"] == "*"
        for other in ("https://evil.example", "https://chat.example.com.evil.example", "null"):
            assert http.options("/v1/models", headers=PREFLIGHT | {"origin": other}).status_code == 401
            assert "access-control-allow-origin" not in http.get("/", headers={"origin": other}).headers


def flood(http: httpx.Client, path: str) -> httpx.Response:
    """The first answer to a flood of requests that is 429."""
    for _ in range(200):
        answer = http.get(path)
        if answer.status_code == 429:
            return answer
    raise AssertionError("the flood went through")


def test_a_flood_from_one_address_ends_there(guarded: Gateway) -> None:
    with asked_from(guarded, "192.0.2.2") as http:
        native = flood(http, "/api/v1/models")
        assert native.headers["retry-after"] == "1"
        assert native.json()["code"] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert "ERROR_REASON_RESOURCE_EXHAUSTED" in json.dumps(native.json()["details"])
        facade = flood(http, "/v1/models")
        assert facade.json()["error"]["type"] == "rate_limit_error"
        assert flood(http, "/sdapi/v1/progress").json()["error"] == "HTTP 429"
        assert flood(http, "/").status_code == 429, "what is public is not free"
        with grpc.insecure_channel(guarded.address) as channel:
            stub = chat_pb2_grpc.ChatServiceStub(channel)
            codes = set()
            for _ in range(60):
                with contextlib.suppress(grpc.RpcError):
                    flood(http, "/")
                try:
                    stub.ListModels(chat_pb2.ListModelsRequest(), metadata=(("x-forwarded-for", "192.0.2.2"),))
                except grpc.RpcError as error:
                    codes.add(error.code())
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes
    with asked_from(guarded, "192.0.2.3") as other:
        assert other.get("/").status_code == 200, "others are not concerned"


def test_what_one_address_may_send_is_not_everybodys_together(gateway: Gateway) -> None:
    """Within the limit of an address (5,000 a second, 10,000 at once) nothing is refused."""

    def many(_number: int) -> set[int]:
        connection = http.client.HTTPConnection(gateway.address, timeout=60)
        codes = set()
        for _ in range(500):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            codes.add(answer.status)
        connection.close()
        return codes

    with ThreadPoolExecutor(8) as threads:
        assert set().union(*threads.map(many, range(8))) == {200}


def test_a_network_of_ipv6_is_one_address(guarded: Gateway) -> None:
    with asked_from(guarded, "2001:db8:1:1::1") as http:
        flood(http, "/")
    with asked_from(guarded, "2001:db8:1:1:ffff::2") as same, asked_from(guarded, "2001:db8:1:2::1") as other:
        assert 429 in {same.get("/").status_code for _ in range(5)}
        assert other.get("/").status_code == 200


def test_connections_have_a_limit(guarded: Gateway) -> None:
    host, _, port = guarded.address.partition(":")
    with contextlib.ExitStack() as stack:
        closed = 0
        for _ in range(40):
            opened = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            opened.settimeout(0.2)
            try:
                closed += opened.recv(1) == b""
            except TimeoutError:
                pass
            except ConnectionResetError:
                closed += 1
        assert closed >= 20
        # The admin interface is not shut out.
        assert httpx.get(f"http://{guarded.admin}/ready").status_code == 200
    wait_for(lambda: httpx_status(guarded) == 200, 10, "room")


def proxied(listener: str) -> str:
    """A listener that believes the PROXY protocol, by which a test has any address that it likes."""
    filters = "listener_filters: [{ name: envoy.filters.listener.proxy_protocol, typed_config: { "
    filters += '"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol } }]'
    return listener.replace("    filter_chains:\n", f"    {filters}\n    filter_chains:\n", 1)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory, identity: Identity) -> Iterator[Gateway]:
    """A gateway that takes three connections of an address."""
    settings = GatewaySettings(max_connections_per_address=3)
    with envoy(tmp_path_factory.mktemp("counting"), free_port(), identity, settings, edited=proxied) as running:
        yield running


class Crowd(contextlib.ExitStack):
    """Connections to a gateway, from where they say that they come; open until this is closed."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        host, _, port = gateway.address.partition(":")
        self.target = host, int(port)

    def served(self, address: str) -> bool:
        """Opens one more. Whether it is served; one that is not was closed."""
        family = "TCP6" if ":" in address else "TCP4"
        ours = "::1" if ":" in address else "127.0.0.1"
        connection = self.enter_context(socket.create_connection(self.target, timeout=10))
        try:
            connection.sendall(f"PROXY {family} {address} {ours} 4711 8080\r\n".encode())
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: parley\r\n\r\n")
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False


def test_an_address_has_so_many_connections_and_others_have_theirs(counting: Gateway) -> None:
    with Crowd(counting) as crowd:
        assert [crowd.served("192.0.2.1") for _ in range(6)] == [True] * 3 + [False] * 3
        assert all(crowd.served(f"192.0.2.{host}") for host in range(2, 60))
        # Bits that addresses have in common share nothing: 192.0.2.1 is full, these are not.
        assert all(crowd.served(address) for address in ("192.0.2.10", "192.0.2.11", "92.0.2.1", "2.1.192.0"))
        assert not crowd.served("192.0.2.1")
        stats = httpx.get(f"http://{counting.admin}/stats").text
        assert "wasmcustom.parley.connections_over_address_limit: 4" in stats
    wait_for(lambda: all_served(counting, "192.0.2.1", 3), 10, "room for those that closed")


def all_served(gateway: Gateway, address: str, count: int) -> bool:
    """Whether an address gets so many connections at once."""
    with Crowd(gateway) as crowd:
        return [crowd.served(address) for _ in range(count)] == [True] * count


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (["2001:db8:1:1::1", "2001:db8:1:1:ffff:ffff:ffff:ffff", "2001:db8:1:1:0:5::"], "2001:db8:1:2::1"),
        (["2001:db8::1", "2001:db8:0:0:1::", "2001:db8::8:0:0:1"], "2001:db8:0:1::1"),
        (["::2", "::1:2:3:4", "0:0:0:0:9::"], "1::"),
        (["fe80::1", "fe80::2:0:0:1", "fe80:0:0:0:1:2:3:4"], "fe80:1::1"),
    ],
)
def test_a_network_of_ipv6_has_the_connections_of_one_address(counting: Gateway, same: list[str], other: str) -> None:
    with Crowd(counting) as crowd:
        assert [crowd.served(address) for address in same] == [True] * 3
        assert not any(crowd.served(address) for address in same)
        assert crowd.served(other)


def test_addresses_of_ipv4_are_told_apart_on_a_socket_of_ipv6(counting: Gateway) -> None:
    with Crowd(counting) as crowd:
        assert all(crowd.served(f"::ffff:198.51.100.{host}") for host in range(1, 20))
        assert [crowd.served("::ffff:198.51.100.1") for _ in range(3)] == [True, True, False]


def test_connections_that_come_and_go_are_not_held_against_an_address(counting: Gateway) -> None:
    """From several at once, to both of Envoy's workers: no count gets lost, or stays."""

    def come_and_go(number: int) -> None:
        for _ in range(300):
            with Crowd(counting) as crowd:
                crowd.served(f"203.0.113.{number % 4}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(come_and_go, range(8)))
    for host in range(4):
        wait_for(lambda: all_served(counting, f"203.0.113.{host}", 3), 10, "all of an address's connections")  # noqa: B023 — called at once
        with Crowd(counting) as crowd:
            assert [crowd.served(f"203.0.113.{host}") for _ in range(4)][3] is False


def test_behind_a_proxy_all_clients_are_not_one_address(guarded: Gateway) -> None:
    configuration = httpx.get(f"http://{guarded.admin}/config_dump?resource=dynamic_listeners").text
    assert '"value": "0"' in configuration


def httpx_status(gateway: Gateway) -> int:
    """The status of the page; 0 where no connection is taken."""
    try:
        return httpx.get(f"{gateway.url}/", headers={"x-forwarded-for": "192.0.2.9"}).status_code
    except httpx.TransportError:
        return 0


def test_services_have_to_show_their_own_certificates(tmp_path: Path) -> None:
    port = free_port()
    authority = Authority(tmp_path / "certificates")
    files = authority.issue("gateway", "chat", "sql", "asr", "image", "identity")
    tls = dict(zip(("tls_certificate_file", "tls_key_file", "tls_ca_file"), map(str, files), strict=True))
    settings = GatewaySettings(mesh_certificate_file=files[0], mesh_key_file=files[1], mesh_ca_file=files[2])
    (tmp_path / "identity").mkdir()
    with identity_service(tmp_path / "identity", more=tls) as identity:
        with (
            scripted(port, tmp_path / "services.log", *files),
            envoy(tmp_path / "envoy", port, identity, settings) as running,
            httpx.Client(base_url=running.url, headers=running.bearer) as http,
        ):
            wait_for(lambda: http.get("/api/v1/models").status_code == 200, 20, "the services over TLS")
            for service in ("chat", "identity"):
                wait_for(lambda: http.get(f"/healthz/{service}").status_code == 200, 20, service)  # noqa: B023 — at once
        # A certificate of the same authority for another name.
        shutil.copytree(authority.folder, tmp_path / "impostor")
        impostor = Authority.__new__(Authority)
        impostor.folder, impostor.ca = tmp_path / "impostor", authority.ca
        with (
            scripted(port, tmp_path / "services.log", *impostor.issue("sql", "identity", "localhost")),
            envoy(tmp_path / "envoy", port, identity, settings) as running,
            httpx.Client(base_url=running.url, headers=running.bearer) as http,
        ):
            wait_for(lambda: http.get("/api/v1/databases/shop").status_code == 200, 20, "sql")
            assert http.get("/api/v1/models").status_code == 503
            assert http.get("/healthz/chat").status_code == 503

"""Where databases may be: what a URL can lead to, however it is spelled, and whatever DNS says a moment later."""

from __future__ import annotations

import http.server
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import grpc
import pytest
import trustme
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from parley.sql.v1 import sql_pb2
from services.mesh.settings import load
from services.sql.drivers import driver
from services.sql.drivers.clickhouse import PinnedManager
from services.sql.hosts import Hosts
from services.sql.settings import SqlSettings
from services.sql.target import parse
from tests.sql import mongo_server
from tests.sql.test_service import collect, execute, refused, values

Serve = Callable[..., AbstractAsyncContextManager[Any]]
Names = dict[str, Iterator[str]]
DEFAULT = ("*",)
# Another address of loopback, where nothing of ours listens.
ELSEWHERE = "127.0.0.3"
SCHEMES = ("postgresql", "mysql", "clickhouse", "mongodb")


async def register(stub: Any, url: str, identifier: str = "x") -> sql_pb2.Database:
    request = sql_pb2.CreateDatabaseRequest(database_id=identifier, database=sql_pb2.Database(url=url))
    return (await stub.CreateDatabase(request)).database  # type: ignore[no-any-return]  # the stub is typed loosely here


async def update(stub: Any, **fields: Any) -> sql_pb2.Database:
    request = sql_pb2.UpdateDatabaseRequest(database=sql_pb2.Database(name="databases/x", **fields))
    return (await stub.UpdateDatabase(request)).database  # type: ignore[no-any-return]  # as above


async def forbidden(stub: Any, url: str) -> None:
    """Registering a URL is refused for its host, with the field and who can help."""
    code, info, message = await refused(register(stub, url, "refused"))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"), url
    assert message.startswith("database.url: ")
    assert "PARLEY_SQL_HOSTS" in message, url


@contextmanager
def forbidden_place(address: str, port: int = 0) -> Iterator[int]:
    """A port of an address that nobody may come to; who does is hung up on."""
    visitors: list[Any] = []
    with socket.create_server((address, port)) as listening:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    connection, visitor = listening.accept()
                    connection.close()
                    visitors.append(visitor)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert not visitors


@pytest.fixture
def trap() -> Iterator[int]:
    """A port of every IPv4 address of this machine that nobody may come to."""
    with forbidden_place("0.0.0.0") as port:
        yield port


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What DNS says of names, a new answer every time it is asked; of others what it does say."""
    known: Names = {}
    real = socket.getaddrinfo

    def answer(host: Any, *rest: Any, **named: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        return real(next(known[text]) if text in known else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


@contextmanager
def web(handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A web server on a free port of 127.0.0.1, for a block."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def answering(asked: list[str], status: int, **headers: str) -> type[http.server.BaseHTTPRequestHandler]:
    """What answers everybody the same, and notes who was meant."""

    class Answer(http.server.BaseHTTPRequestHandler):
        """It."""

        def do_GET(self) -> None:
            asked.append(self.headers["Host"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class calls it so
            """Nothing."""

    return Answer


def port_of(url: str) -> int:
    return make_url(url).port or 0


# The default: everything but what is near.

NEAR = (
    "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0",
    "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "１２７.0.0.1", "127。0。0。1", "ⓛocalhost",
)  # fmt: skip
FAR = ("169.254.169.254", "0xa9fea9fe", "[fe80::1]", "224.0.0.1", "[fd00:ec2::254]", "100.100.100.200")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_nothing_near_is_reached_however_it_is_spelled(serve: Serve, trap: int, scheme: str) -> None:
    async with serve(hosts=DEFAULT) as stub:
        for host in (*NEAR, *FAR):
            await forbidden(stub, f"{scheme}://someone:secret@{host}:{trap}/shop")
        assert not (await stub.ListDatabases(sql_pb2.ListDatabasesRequest())).databases


async def test_no_other_part_of_a_url_leads_anywhere(serve: Serve, trap: int) -> None:
    async with serve(hosts=("db.example.com",)) as stub:
        for url in (
            f"postgresql://db.example.com@127.0.0.1:{trap}/x",
            f"postgresql://a:b@db.example.com@127.0.0.1:{trap}/x",
            f"postgresql://db.example.com,127.0.0.1:{trap}/x",
            f"postgresql://127.0.0.1,db.example.com:{trap}/x",
            f"postgresql://localhost:{trap}/x?host=db.example.com",
            f"mysql://db.example.com%40@127.0.0.1:{trap}/x",
            f"mysql://localhost:{trap}/x?unix_socket=/run/mysqld/mysqld.sock",
            f"mongodb://127.0.0.1:{trap},db.example.com/x",
            f"mongodb://db.example.com,127.0.0.1:{trap}/x",
            f"mongodb://db.example.com@127.0.0.1:{trap}/x",
            "mongodb://%2Ftmp%2Fmongodb-27017.sock/x",
        ):
            code, _, message = await refused(register(stub, url))
            assert code is grpc.StatusCode.INVALID_ARGUMENT, url
            assert message.startswith("database.url: "), url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///x?host=127.0.0.1", "postgresql:///x?hostaddr=127.0.0.1", "postgresql://%2Fvar%2Frun/x",
        "postgresql://a b/x", "postgresql://a,/x", "postgresql://[::1%25lo]/x",
        "postgresql://127.0.0.1:1,127.0.0.1:2/x", "mysql://a,b/x", "mysql:///x?unix_socket=/run/mysqld.sock",
        "clickhouse://a%00b/x", "mongodb://a b/x",
    ],
)  # fmt: skip
async def test_what_is_no_host_is_said(serve: Serve, url: str) -> None:
    async with serve() as stub:
        code, _, message = await refused(register(stub, url))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("database.url: ")


async def test_a_private_network_is_open_and_says_that_nothing_answers(serve: Serve, names: Names) -> None:
    """In a cluster databases are in private networks."""
    names["db.internal.example"] = itertools.repeat("10.255.255.1")
    found = Hosts()
    assert found.addresses("db.internal.example", 5432) == ["10.255.255.1"]
    async with serve(hosts=DEFAULT) as stub:
        code, _, message = await refused(register(stub, "postgresql://no-such-host.invalid/x"))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "no address" in message


# The list.


async def test_a_server_here_is_refused_until_it_is_listed(serve: Serve, postgres: str) -> None:
    url, port = postgres, port_of(postgres)
    async with serve(hosts=DEFAULT) as stub:
        await forbidden(stub, url)
    for hosts in (
        (f"*:{port}",), ("*", f"127.0.0.1:{port + 1}"), ("0.0.0.0/0",), ("10.0.0.0/8", "*.example.com"), ("127.0.0.2",),
    ):  # fmt: skip
        async with serve(hosts=hosts) as stub:
            await forbidden(stub, url)
    for number, hosts in enumerate([("localhost",), ("127.0.0.0/8",), (f"127.0.0.1:{port}",)]):
        async with serve(hosts=hosts) as stub:
            assert (await register(stub, url, f"x{number}")).state == sql_pb2.DATABASE_STATE_ACTIVE


async def test_several_hosts_are_tried_where_all_are_listed(serve: Serve, postgres: str) -> None:
    several = postgres.replace("@127.0.0.1:", "@127.0.0.2,127.0.0.1:")
    async with serve(hosts=("127.0.0.1",)) as stub:
        await forbidden(stub, several)
    async with serve(hosts=("localhost",)) as stub:
        await register(stub, several)
        assert values(await collect(execute(stub, "SELECT 1 AS one", "x"))) == [[1.0]]


async def test_a_list_from_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PARLEY_SQL_HOSTS", "*.example.com, 10.0.0.0/8:5432, [fd00::/8]:5432,")
    assert load(SqlSettings, []).hosts == ("*.example.com", "10.0.0.0/8:5432", "[fd00::/8]:5432")
    monkeypatch.setenv("PARLEY_SQL_HOSTS", '["*.example.com", "localhost"]')
    assert load(SqlSettings, []).hosts == ("*.example.com", "localhost")
    monkeypatch.setenv("PARLEY_SQL_HOSTS", "db.example.com,http://db")
    with pytest.raises(SystemExit, match="2"):
        load(SqlSettings, [])
    assert "PARLEY_SQL_HOSTS: Value error, 'http://db' is no host: write a name" in capsys.readouterr().err


async def test_a_registered_database_that_is_listed_no_longer(serve: Serve, postgres: str) -> None:
    settings = {"encryption_key": Fernet.generate_key().decode(), "check_seconds": 0}
    async with serve(**settings) as stub:
        await register(stub, postgres)
    async with serve(**settings, hosts=("db.example.com",)) as stub:
        code, info, message = await refused(collect(execute(stub, "SELECT 1", "x")))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert "PARLEY_SQL_HOSTS" in message
        assert "127.0.0.1" not in message
        found = (await stub.GetDatabase(sql_pb2.GetDatabaseRequest(name="databases/x"))).database
        assert found.state == sql_pb2.DATABASE_STATE_REFUSED
        assert "PARLEY_SQL_HOSTS" in found.state_message
        listed = (await stub.ListDatabases(sql_pb2.ListDatabasesRequest())).databases
        assert [item.state for item in listed] == [sql_pb2.DATABASE_STATE_REFUSED]
        assert (await update(stub, display_name="Kept")).display_name == "Kept"
        code, _, message = await refused(update(stub, url=postgres))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert message.startswith("database.url: ")
    async with serve(**settings) as stub:
        assert values(await collect(execute(stub, "SELECT 1 AS one", "x"))) == [[1.0]]


# This deployment itself.


async def test_the_services_own_database_is_closed_unless_it_is_singled_out(
    serve: Serve, make_postgres: Callable[[], str]
) -> None:
    own, port = make_postgres(), port_of(make_postgres())
    for hosts in (("*", "localhost"), ("127.0.0.1",), (f"127.0.0.0/8:{port}",)):
        async with serve(database_url=own, hosts=hosts) as stub:
            await forbidden(stub, own)
            await forbidden(stub, make_postgres())
    async with serve(database_url=own, hosts=(f"127.0.0.1:{port}",)) as stub:
        await register(stub, make_postgres())


async def test_what_the_deployment_consists_of_is_closed_by_every_name(
    serve: Serve, postgres: str, names: Names
) -> None:
    names["parley-redis"] = itertools.repeat("127.0.0.1")
    names["parley-gateway"] = itertools.repeat("127.0.0.9")
    names["harmless.example.com"] = itertools.repeat("127.0.0.1")
    port = port_of(postgres)
    async with serve(closed_hosts=("parley-redis", "parley-gateway")) as stub:
        for host in ("parley-redis", "127.0.0.1", "2130706433", "harmless.example.com", "parley-gateway"):
            await forbidden(stub, postgres.replace("127.0.0.1", host))
    async with serve(identity_target=f"identity@127.0.0.1:{port}") as stub:
        await forbidden(stub, postgres)
    async with serve(closed_hosts=(f"parley-redis:{port + 1}",)) as stub:
        await register(stub, postgres)


def test_what_was_known_of_an_own_name_stays_known_while_dns_is_away() -> None:
    answers = iter([["10.0.0.9"]])

    def resolve(name: str, _port: int) -> list[str]:
        if name != "parley-redis":
            return [name]
        found = next(answers, None)
        if found is None:
            raise OSError("no answer")
        return found

    hosts = Hosts(closed=["parley-redis"], resolve=resolve, kept_seconds=0)
    assert not reachable(hosts, "10.0.0.9")
    assert not reachable(hosts, "10.0.0.9")
    assert reachable(hosts, "10.0.0.8")


def reachable(hosts: Hosts, host: str) -> bool:
    with suppress(Exception):
        return bool(hosts.addresses(host, 5432))
    return False


# Names that lead elsewhere.


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
async def test_a_name_is_judged_by_where_it_leads(
    serve: Serve, request: pytest.FixtureRequest, names: Names, kind: str
) -> None:
    url: str = request.getfixturevalue(kind)
    names["db.example.com"] = itertools.repeat("127.0.0.1")
    named = url.replace("127.0.0.1", "DB.example.com.")
    async with serve(hosts=("db.example.com",)) as stub:
        await forbidden(stub, named)
    async with serve(hosts=("127.0.0.1",)) as stub:
        await register(stub, named)
        assert values(await collect(execute(stub, "SELECT 1 AS one", "x"))) == [[1.0]]


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
async def test_an_answer_that_changes_after_it_was_checked_leads_nowhere(
    serve: Serve, request: pytest.FixtureRequest, names: Names, kind: str
) -> None:
    url: str = request.getfixturevalue(kind)
    with forbidden_place(ELSEWHERE, port_of(url)):
        names["db.example.com"] = itertools.chain(["127.0.0.1"], itertools.repeat(ELSEWHERE))
        named = url.replace("127.0.0.1", "db.example.com")
        async with serve(hosts=("127.0.0.1",), idle_seconds=600) as stub:
            await register(stub, named)
            await forbidden(stub, named.replace("://", "://other", 1))


async def test_the_same_of_clickhouse(serve: Serve, names: Names) -> None:
    asked: list[str] = []

    with web(answering(asked, 503)) as port, forbidden_place(ELSEWHERE, port):
        names["db.example.com"] = itertools.chain(["127.0.0.1"], itertools.repeat(ELSEWHERE))
        async with serve(hosts=("127.0.0.1",)) as stub:
            code, _, _ = await refused(register(stub, f"clickhouse://u:p@db.example.com:{port}/x"))
            assert code is grpc.StatusCode.UNAVAILABLE
            await forbidden(stub, f"clickhouse://u:p@db.example.com:{port}/x")
    assert set(asked) == {"db.example.com"}


async def test_the_same_of_mongodb(serve: Serve, names: Names) -> None:
    """Its driver asks for addresses again and again: every answer is checked, whatever comes of the registration."""
    with mongo_server.running() as server:
        port = port_of(server.url)
        with forbidden_place(ELSEWHERE, port):
            names["db.example.com"] = itertools.cycle(["127.0.0.1", ELSEWHERE])
            async with serve(hosts=("127.0.0.1",)) as stub:
                for number in range(3):
                    with suppress(grpc.aio.AioRpcError):
                        await register(stub, f"mongodb://db.example.com:{port}/shop", f"x{number}")
        assert server.commands


async def test_a_redirect_is_not_followed(serve: Serve) -> None:
    asked: list[str] = []
    with web(answering(asked, 200)) as elsewhere:
        place = f"http://127.0.0.1:{elsewhere}/latest/meta-data"
        with web(answering([], 307, Location=place)) as port:
            async with serve(hosts=(f"localhost:{port}",)) as stub:
                code, _, _ = await refused(register(stub, f"clickhouse://u:p@127.0.0.1:{port}/x"))
            assert code is grpc.StatusCode.UNAVAILABLE
            # As the driver asks whether a connection that was idle still lives.
            answer = PinnedManager([], "127.0.0.1").request("GET", f"http://127.0.0.1:{port}/ping")
            assert answer.status == 307
    assert not asked


async def test_a_server_does_not_send_us_to_others(serve: Serve) -> None:
    """A replica set names its members; whoever runs the first could name anything."""
    with mongo_server.running() as server, forbidden_place(ELSEWHERE) as elsewhere:
        server.client["shop"]["lions"].insert_one({"name": "Leo"})
        port = port_of(server.url)
        server.members = [f"127.0.0.1:{port}", f"{ELSEWHERE}:{elsewhere}"]
        async with serve(hosts=("127.0.0.1",)) as stub:
            await register(stub, f"{server.url}?replicaSet=shops")
            assert values(await collect(execute(stub, "SELECT name FROM lions", "x"))) == [["Leo"]]


@pytest.mark.parametrize(
    "options",
    [
        "authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:azure,TOKEN_RESOURCE:x",
        "authMechanism=MONGODB-OIDC",
        "authMechanism=MONGODB-AWS",
        "authMechanism=GSSAPI",
        "tls=true&tlsCAFile=/etc/passwd",
        "tls=true;tlsCertificateKeyFile=/etc/passwd",
        "proxyHost=169.254.169.254",
    ],
)
async def test_no_option_has_the_driver_read_files_or_fetch_credentials(serve: Serve, trap: int, options: str) -> None:
    url = f"mongodb://u:p@127.0.0.1:{trap}/x?{options}"
    async with serve() as stub:
        code, _, message = await refused(register(stub, url))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("database.url: ")


@pytest.mark.parametrize("kind", ["postgres", "mariadb", "mongodb"])
def test_the_first_address_that_answers_is_taken(request: pytest.FixtureRequest, kind: str) -> None:
    def resolve(name: str, _port: int) -> list[str]:
        return [ELSEWHERE, "127.0.0.1"] if name == "two.example.com" else [name]

    hosts = Hosts(["localhost"], resolve=resolve)
    with mongo_server.running() as server:
        url = server.url if kind == "mongodb" else request.getfixturevalue(kind)
        session = driver.connect(parse(url.replace("127.0.0.1", "two.example.com"), None), hosts)
        try:
            assert session.fingerprint()
        finally:
            session.close()


def test_of_many_addresses_few_are_tried() -> None:
    """Each may take as long as a connection may."""
    hosts = Hosts(resolve=lambda _name, _port: [f"10.0.0.{number}" for number in range(1, 200)])
    assert len(hosts.addresses("many.example.com", 5432)) == 4


# Certificates are still those of names.


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """An authority that this process trusts."""
    found = trustme.CA()
    found.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return found


def context_for(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize(("name", "trusted"), [("db.example.com", True), ("127.0.0.1", False)])
async def test_clickhouse_shows_a_certificate_for_its_name(
    serve: Serve, names: Names, authority: trustme.CA, name: str, trusted: bool
) -> None:
    asked: list[str] = []

    names["db.example.com"] = itertools.repeat("127.0.0.1")
    with web(answering(asked, 503), context_for(authority, name)) as port:
        async with serve() as stub:
            await refused(register(stub, f"clickhouse://u:p@db.example.com:{port}/x?secure=true"))
    assert bool(asked) is trusted


@pytest.mark.parametrize(("name", "trusted"), [("db.example.com", True), ("127.0.0.1", False)])
async def test_mongodb_shows_a_certificate_for_its_name(
    serve: Serve, names: Names, authority: trustme.CA, name: str, trusted: bool
) -> None:
    names["db.example.com"] = itertools.repeat("127.0.0.1")
    with mongo_server.running() as server:
        server.client["shop"]["lions"].insert_one({"name": "Leo"})
        server.socket = context_for(authority, name).wrap_socket(server.socket, server_side=True)
        url = f"mongodb://db.example.com:{port_of(server.url)}/shop?tls=true"
        async with serve() as stub:
            if trusted:
                await register(stub, url)
                assert values(await collect(execute(stub, "SELECT name FROM lions", "x"))) == [["Leo"]]
            else:
                code, _, _ = await refused(register(stub, url))
                assert code is grpc.StatusCode.UNAVAILABLE


# What statements could reach by themselves.


async def test_a_view_in_a_file_reaches_nothing_outside(serve: Serve, tmp_path: Path) -> None:
    """The guard sees the view's name only; the connection has no way out."""
    (tmp_path / "outside.csv").write_text("secret\n42\n")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(f"CREATE VIEW peek AS SELECT * FROM read_csv('{tmp_path / 'outside.csv'}')")
        connection.execute("CREATE TABLE lions (name TEXT)")
    async with serve() as stub:
        await register(stub, "duckdb:///shop.duckdb")
        code, _, message = await refused(collect(execute(stub, "SELECT * FROM peek", "x")))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "42" not in message

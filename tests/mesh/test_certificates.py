"""Mutual TLS between real servers and channels: who has no certificate of the mesh does not even get to ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from services.mesh import channels
from services.mesh.certificates import CHECK_SECONDS, CertificateError, Certificates, Renewed
from services.mesh.context import SUBJECT, owner
from services.mesh.server import Bound, running
from services.mesh.settings import ServiceSettings, load
from tests.conftest import free_port

Issue = Callable[[str], Certificates]


class Chat(chat_pb2_grpc.ChatServiceServicer):
    """Says who it thinks is calling."""

    async def GetConversation(self, request, context):  # type: ignore[no-untyped-def]
        return chat_pb2.GetConversationResponse(conversation=chat_pb2.Conversation(name=f"conversations/{owner()}"))

    async def SendMessage(self, request, context):  # type: ignore[no-untyped-def]
        yield chat_pb2.SendMessageResponse(sequence=1)
        await asyncio.sleep(1.5 * CHECK_SECONDS)
        yield chat_pb2.SendMessageResponse(sequence=2)


BOUND = [
    Bound(chat_pb2_grpc.add_ChatServiceServicer_to_server, Chat(), chat_pb2.DESCRIPTOR.services_by_name["ChatService"])
]
ASKED = chat_pb2.GetConversationRequest(name="conversations/1")


def write(folder: Path, authority: trustme.CA, name: str) -> Certificates:
    """Puts a certificate for a name into a folder; one that is there is replaced."""
    folder.mkdir(exist_ok=True)
    files = Certificates(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    own = authority.issue_cert(name)
    own.cert_chain_pems[0].write_to_path(files.certificate)
    own.private_key_pem.write_to_path(files.key)
    authority.cert_pem.write_to_path(files.authority)
    return files


@pytest.fixture
def issue(tmp_path: Path) -> Issue:
    """Issues certificates of one authority, the mesh's."""
    authority = trustme.CA()
    return lambda name: write(tmp_path / name, authority, name)


def settings(certificates: Certificates, **more: str) -> ServiceSettings:
    """Settings of a server with these certificates."""
    return ServiceSettings(
        tls_certificate_file=certificates.certificate,
        tls_key_file=certificates.key,
        tls_ca_file=certificates.authority,
        **more,  # type: ignore[arg-type]  # texts, as from the environment
    )


@pytest.fixture
async def address(issue: Issue) -> AsyncIterator[str]:
    """A server with the certificate of `chat`."""
    async with running(settings(issue("chat")), BOUND) as where:
        yield where


async def ask(channel: grpc.aio.Channel) -> str:
    """Whom the server takes the caller for."""
    stub = chat_pb2_grpc.ChatServiceStub(channel)
    answer = await stub.GetConversation(ASKED, timeout=5, metadata=((SUBJECT, "default/admin"),))
    return answer.conversation.name.removeprefix("conversations/")


async def refusal(channel: grpc.aio.Channel) -> grpc.StatusCode:
    """How a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel)
    return caught.value.code()


async def test_a_component_of_the_mesh_is_believed(address: str, issue: Issue) -> None:
    async with channels.channel(f"chat@{address}", issue("sql")) as channel:
        assert await ask(channel) == "default/admin"


async def test_nobody_else_gets_through_the_handshake(address: str, issue: Issue, tmp_path: Path) -> None:
    ours, stranger = issue("sql"), write(tmp_path / "stranger", trustme.CA(), "sql")
    forged = stranger._replace(authority=ours.authority)
    without = grpc.ssl_channel_credentials(ours.authority.read_bytes())
    named = [("grpc.ssl_target_name_override", "chat")]
    async with (
        channels.channel(address) as plaintext,
        channels.channel(f"chat@{address}", forged) as of_another_authority,
        grpc.aio.secure_channel(address, without, options=named) as without_certificate,
    ):
        for channel in (plaintext, of_another_authority, without_certificate):
            assert await refusal(channel) is grpc.StatusCode.UNAVAILABLE


async def test_a_server_has_to_be_who_it_is_taken_for(address: str, issue: Issue, tmp_path: Path) -> None:
    impostor = write(tmp_path / "impostor", trustme.CA(), "chat")
    async with running(settings(impostor), BOUND) as elsewhere:
        for target in (f"asr@{address}", address, f"chat@{elsewhere}"):
            async with channels.channel(target, issue("sql")) as channel:
                assert await refusal(channel) is grpc.StatusCode.UNAVAILABLE


async def test_health_has_a_plaintext_port_that_answers_nothing_else(issue: Issue) -> None:
    health_address = f"127.0.0.1:{free_port()}"
    name = "parley.chat.v1.ChatService"
    async with (
        running(settings(issue("chat"), health_listen=health_address), BOUND) as address,
        grpc.aio.insecure_channel(health_address) as channel,
        channels.channel(f"chat@{address}", issue("gateway")) as secure,
    ):
        for reached in (channel, secure):
            health = health_pb2_grpc.HealthStub(reached)
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name), wait_for_ready=True, timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await refusal(channel) is grpc.StatusCode.UNIMPLEMENTED
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(()))
        assert await reflection.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_certificates_are_renewed_while_calls_go_on(tmp_path: Path) -> None:
    """The whole mesh gets a new authority: what is connected stays, and what connects from now on uses the new one."""
    first, second = trustme.CA(), trustme.CA()
    server, client = write(tmp_path / "chat", first, "chat"), write(tmp_path / "sql", first, "sql")
    old = write(tmp_path / "old", first, "sql")
    async with running(settings(server), BOUND) as address, channels.channel(f"chat@{address}", client) as channel:
        stub = chat_pb2_grpc.ChatServiceStub(channel)
        stream = stub.SendMessage(chat_pb2.SendMessageRequest(conversation="conversations/1", text="x"))
        events = (part.sequence async for part in stream)
        assert await anext(events) == 1
        write(server.certificate.parent, second, "chat")
        write(client.certificate.parent, second, "sql")
        await asyncio.sleep(1.1 * CHECK_SECONDS)
        assert await ask(channel) == "default/admin"
        assert [event async for event in events] == [2]
        async with channels.channel(f"chat@{address}", old) as late:
            assert await refusal(late) is grpc.StatusCode.UNAVAILABLE


async def test_files_that_cannot_be_used_leave_the_old_ones_standing(
    issue: Issue, capsys: pytest.CaptureFixture[str]
) -> None:
    files = issue("chat")
    async with running(settings(files), BOUND) as address:
        files.key.write_text("nonsense")
        await asyncio.sleep(1.1 * CHECK_SECONDS)
        async with channels.channel(f"chat@{address}", issue("sql")) as channel:
            assert await ask(channel) == "default/admin"
    said = capsys.readouterr()
    assert "the old ones are" in said.out + said.err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda files, _: files.key.unlink(), "key.pem: No such file"),
        (lambda files, other: files.key.write_bytes(other.key.read_bytes()), "key.pem do not fit together"),
        (lambda files, _: files.certificate.write_text("x"), "cert.pem and .*key.pem do not fit together"),
        (lambda files, _: files.authority.write_text("x"), "ca.pem holds no certificate"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    issue: Issue, damage: Callable[[Certificates, Certificates], object], said: str
) -> None:
    files = issue("chat")
    damage(files, issue("sql"))
    with pytest.raises(CertificateError, match=said):
        Renewed(files, bytes.join)  # type: ignore[arg-type]  # is not called


async def test_clients_are_asked_to_connect_anew(issue: Issue) -> None:
    """A call that is under way at that moment ends as if nothing had happened."""
    aged = settings(issue("chat"), max_connection_age_seconds="0.3")
    async with running(aged, BOUND) as address, channels.channel(f"chat@{address}", issue("sql")) as channel:
        stub = chat_pb2_grpc.ChatServiceStub(channel)
        stream = stub.SendMessage(chat_pb2.SendMessageRequest(conversation="conversations/1", text="x"))
        assert [part.sequence async for part in stream] == [1, 2]
        assert await ask(channel) == "default/admin"


class Stern(ServiceSettings):
    """A service's settings."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_STERN_")


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.8.8:1", "[::1]:50051", "localhost:50051"])
def test_plaintext_is_for_the_loopback(address: str) -> None:
    assert Stern(listen=address).certificates is None


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "chat:50051", "localhost.evil:1"])
def test_plaintext_for_others_has_to_be_asked_for(address: str) -> None:
    with pytest.raises(ValidationError, match=r"PARLEY_STERN_TLS_CERTIFICATE_FILE.*PARLEY_STERN_ALLOW_PLAINTEXT=true"):
        Stern(listen=address)
    assert Stern(listen=address, allow_plaintext=True).listen == address


def test_half_a_certificate_is_none() -> None:
    with pytest.raises(ValidationError, match="PARLEY_STERN_TLS_KEY_FILE and PARLEY_STERN_TLS_CA_FILE must be set too"):
        Stern(tls_certificate_file=Path("cert.pem"))


def test_a_certificate_that_cannot_be_used_ends_the_start_with_one_line(
    issue: Issue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = issue("stern")
    files.key.unlink()
    for name, file in zip(("CERTIFICATE", "KEY", "CA"), files, strict=True):
        monkeypatch.setenv(f"PARLEY_STERN_TLS_{name}_FILE", str(file))
    with pytest.raises(SystemExit) as ended:
        load(Stern, [])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"PARLEY_STERN_TLS_CERTIFICATE_FILE: {files.key}: No such file or directory"

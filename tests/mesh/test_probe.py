"""The command that asks a server on this machine how it is."""

from __future__ import annotations

import asyncio
import sys

from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from services.mesh import server
from services.mesh.server import Bound
from services.mesh.settings import ServiceSettings
from tests.conftest import free_port

BOUND = [
    Bound(
        chat_pb2_grpc.add_ChatServiceServicer_to_server,
        chat_pb2_grpc.ChatServiceServicer(),
        chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
    )
]


async def probe(*arguments: str) -> tuple[int | None, str]:
    """The command's status, and what it says on standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.mesh.probe", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_a_server_that_serves_is_well() -> None:
    async with server.running(ServiceSettings(), BOUND) as address:
        assert await probe(address) == (0, "")
        assert await probe(address, "parley.chat.v1.ChatService") == (0, "")


async def test_a_service_that_it_does_not_have_is_not() -> None:
    async with server.running(ServiceSettings(), BOUND) as address:
        status, message = await probe(address, "parley.none.v1.None")
        assert status == 1
        assert "NOT_FOUND" in message


async def test_nor_is_a_server_that_is_not_there() -> None:
    status, message = await probe(f"127.0.0.1:{free_port()}")
    assert status == 1
    assert "UNAVAILABLE" in message

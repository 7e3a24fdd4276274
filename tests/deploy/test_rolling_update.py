"""A rolling update with real processes: the old version and the new one serve side by side while the schema grows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from services.mesh import channels
from tests.conftest import ROOT, free_port

REVISION = '''"""A column that the version before need not know of."""
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{before}"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("colour", sa.String(20), server_default="blue", nullable=False))
'''


class Pod:
    """A process of the chat service.

    Args:
        root: Where its code is.
        database: The URL of its database.
    """

    def __init__(self, root: Path, database: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{root}:{ROOT / 'gen'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PARLEY_CHAT_LISTEN": self.address,
            "PARLEY_CHAT_DATABASE_URL": database,
            "PARLEY_CHAT_DRAIN_SECONDS": "5",
        }
        self._root = root
        self.conversations: list[str] = []
        """Those that were made through it."""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The process, ready; told to end afterwards, as Kubernetes does."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "services.chat", cwd=self._root, env=self._environment
        )
        try:
            await self._ready()
            yield
        finally:
            process.terminate()
            status = await process.wait()
        assert status == 0

    async def _ready(self) -> None:
        async with channels.channel(self.address) as channel, asyncio.timeout(60):
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="parley.chat.v1.ChatService")
            await stub.Check(request, wait_for_ready=True)
            async for answer in stub.Watch(request):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return

    async def work(self, until: asyncio.Event) -> None:
        """Makes conversations, one after the other."""
        async with channels.channel(self.address) as channel:
            stub = chat_pb2_grpc.ChatServiceStub(channel)
            while not until.is_set():
                answer = await stub.CreateConversation(chat_pb2.CreateConversationRequest())
                self.conversations.append(answer.conversation.name)
                await asyncio.sleep(0.02)

    async def listed(self) -> set[str]:
        """The conversations that there are."""
        async with channels.channel(self.address) as channel:
            stub = chat_pb2_grpc.ChatServiceStub(channel)
            found: set[str] = set()
            request = chat_pb2.ListConversationsRequest()
            while True:
                page = await stub.ListConversations(request)
                found |= {one.name for one in page.conversations}
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token


@pytest.fixture
def tomorrow(tmp_path: Path) -> Path:
    """The next version: today's with one more revision."""
    root = tmp_path / "tomorrow"
    for part in ("mesh", "chat"):
        shutil.copytree(
            ROOT / "services" / part, root / "services" / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copyfile(ROOT / "services" / "__init__.py", root / "services" / "__init__.py")
    versions = root / "services" / "chat" / "migrations" / "versions"
    before = max(path.name.partition("_")[0] for path in versions.glob("[0-9]*.py"))
    (versions / "9999_colours.py").write_text(REVISION.format(before=before))
    return root


async def test_both_versions_serve_while_the_schema_grows(tomorrow: Path, make_postgres: Callable[[], str]) -> None:
    url, done = make_postgres(), asyncio.Event()
    old, restarted, new = Pod(ROOT, url), Pod(ROOT, url), Pod(tomorrow, url)
    async with old.serving(), asyncio.TaskGroup() as calls:
        calls.create_task(old.work(done))
        # It migrates while the old one is asked all the time; then an old one starts anew on the larger schema.
        async with new.serving(), restarted.serving():
            calls.create_task(new.work(done))
            calls.create_task(restarted.work(done))
            await asyncio.sleep(1)
            done.set()
            made = {name for pod in (old, new, restarted) for name in pod.conversations}
            assert all(pod.conversations for pod in (old, new, restarted))
            for pod in (old, new, restarted):
                assert made <= await pod.listed()

"""What it costs that calls are reported: calls that use something, audited and not, with a reporter and without.

    python -m bench.reporting [--calls 1000] [--rounds 9]

Two servers that differ in nothing else answer the same calls, which count tokens, over gRPC on loopback. The rounds
alternate between them; printed is the median over the rounds of the processor time of this process for a call, client
and identity service included, and what one `usage.add` costs within a call.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import statistics
import time
from contextlib import AsyncExitStack
from typing import Any

import grpc

from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.identity.v1 import audit_pb2, audit_pb2_grpc, usage_pb2, usage_pb2_grpc
from services.mesh import context, server, usage
from services.mesh.server import Bound
from services.mesh.settings import ReportingSettings, ServiceSettings
from services.mesh.usage import Payer, Unit

CALLER = (
    (context.SUBJECT, "default/ann"),
    (context.KEY, "k1"),
    (context.GRANTS, '{"databases":{"*":{}},"models":["*"]}'),
)


class Chat(chat_pb2_grpc.ChatServiceServicer):
    """Does nothing but use tokens, in a method that is audited and in one that is not."""

    async def GetConversation(self, request: Any, context: Any) -> chat_pb2.GetConversationResponse:
        """Uses some."""
        usage.add(Unit.TOKENS, 5, "m")
        return chat_pb2.GetConversationResponse()

    async def DeleteConversation(self, request: Any, context: Any) -> chat_pb2.DeleteConversationResponse:
        """Uses some."""
        usage.add(Unit.TOKENS, 5, "m")
        return chat_pb2.DeleteConversationResponse()


class Identity(usage_pb2_grpc.UsageServiceServicer, audit_pb2_grpc.AuditServiceServicer):
    """Takes what is reported."""

    async def RecordUsage(self, request: Any, context: Any) -> usage_pb2.RecordUsageResponse:
        """Forgets it."""
        return usage_pb2.RecordUsageResponse()

    async def RecordActs(self, request: Any, context: Any) -> audit_pb2.RecordActsResponse:
        """Forgets it."""
        return audit_pb2.RecordActsResponse()


class Nowhere:
    """A meter that keeps nothing."""

    def used(self, payer: Payer, unit: Unit, amount: float, model: str) -> None:
        """Forgets it."""


CHAT = [
    Bound(
        chat_pb2_grpc.add_ChatServiceServicer_to_server,
        Chat(),  # type: ignore[abstract]  # two of its methods are called
        chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
    )
]
IDENTITY = [
    Bound(add, Identity(), descriptor)  # type: ignore[abstract]  # likewise
    for add, descriptor in (
        (usage_pb2_grpc.add_UsageServiceServicer_to_server, usage_pb2.DESCRIPTOR.services_by_name["UsageService"]),
        (audit_pb2_grpc.add_AuditServiceServicer_to_server, audit_pb2.DESCRIPTOR.services_by_name["AuditService"]),
    )
]


METHODS = {
    "audited": ("DeleteConversation", chat_pb2.DeleteConversationRequest(name="conversations/1")),
    "not audited": ("GetConversation", chat_pb2.GetConversationRequest(name="conversations/1")),
}


async def spent(stub: Any, kind: str, calls: int) -> float:
    """Microseconds of processor time for a call."""
    method, request = METHODS[kind]
    started = time.process_time()
    for _call in range(calls):
        await getattr(stub, method)(request, metadata=CALLER)
    return (time.process_time() - started) / calls * 1e6


async def compare(calls: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Medians without and with a reporter, in microseconds for a call, by the kind of the call."""
    async with AsyncExitStack() as stack:
        identity = await stack.enter_async_context(server.running(ServiceSettings(drain_seconds=0), IDENTITY))
        stubs = []
        for target in ("", identity):
            settings = ReportingSettings(drain_seconds=0, identity_target=target)
            address = await stack.enter_async_context(server.running(settings, CHAT))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            stubs.append(chat_pb2_grpc.ChatServiceStub(channel))
        found: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in METHODS}
        for number in range(rounds + 1):
            for kind, times in found.items():
                for stub, list_of in zip(stubs, times, strict=True):
                    taken = await spent(stub, kind, calls)
                    # The first round warms up.
                    list_of += [taken] if number else []
    return {kind: (statistics.median(a), statistics.median(b)) for kind, (a, b) in found.items()}


def adding(count: int = 100_000) -> float:
    """Microseconds of one `usage.add` within a call."""

    def served() -> float:
        context.enter(context.inbound("/a.B/C", CALLER, None))
        usage.enter(Nowhere())
        started = time.process_time()
        for _ in range(count):
            usage.add(Unit.TOKENS, 1, "m")
        return (time.process_time() - started) / count * 1e6

    return contextvars.copy_context().run(served)


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000, help="calls in a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each")
    given = parser.parse_args()
    print(f"{'call':<12} {'without':>9} {'with':>9} {'ratio':>7}")
    for kind, (without, with_it) in asyncio.run(compare(given.calls, given.rounds)).items():
        print(f"{kind:<12} {without:>6.1f} µs {with_it:>6.1f} µs {with_it / without:>7.3f}")
    print(f"usage.add within a call: {adding():.2f} µs")


if __name__ == "__main__":
    main()

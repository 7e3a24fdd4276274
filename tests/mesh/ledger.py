"""A stand-in for the identity service as other services see it: keeps what they report, and fails when told to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from parley.identity.v1 import audit_pb2, audit_pb2_grpc, usage_pb2, usage_pb2_grpc
from services.mesh import reporter, server
from services.mesh.context import IDENTITY_PREFIX
from services.mesh.errors import ParleyError
from services.mesh.server import Bound
from services.mesh.settings import ServiceSettings

SUBJECT = "default/ann"
KEY = "k1"
CALLER = tuple(
    (IDENTITY_PREFIX + name, value)
    for name, value in (
        ("organisation", "default"),
        ("subject", SUBJECT),
        ("key", KEY),
        ("address", "192.0.2.7"),
    )
)
"""The metadata of a call that the gateway let through."""


@dataclass
class Ledger(usage_pb2_grpc.UsageServiceServicer, audit_pb2_grpc.AuditServiceServicer):
    """What was reported. A batch that came before is not counted again, as in the identity service."""

    target: str = ""
    amounts: defaultdict[tuple[str, str, str, str, str], float] = field(default_factory=lambda: defaultdict(float))
    """By subject, key, service, model and unit."""
    acts: list[audit_pb2.Act] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    """Their ids, as they came."""
    faults: list[ParleyError] = field(default_factory=list)
    """What the next calls fail with, before anything is kept."""
    forgets: int = 0
    """How many answers get lost after all was kept."""

    async def RecordUsage(self, request: usage_pb2.RecordUsageRequest, context: Any) -> usage_pb2.RecordUsageResponse:
        """Keeps usage."""
        for record in request.records if self._new(request.batch_id) else ():
            unit = usage_pb2.UsageUnit.Name(record.unit).removeprefix("USAGE_UNIT_").lower()
            key = (record.subject, record.api_key, record.service, record.model, unit)
            self.amounts[key] += record.amount
        await self._answer(context)
        return usage_pb2.RecordUsageResponse()

    async def RecordActs(self, request: audit_pb2.RecordActsRequest, context: Any) -> audit_pb2.RecordActsResponse:
        """Keeps acts."""
        self.acts += request.acts if self._new(request.batch_id) else ()
        await self._answer(context)
        return audit_pb2.RecordActsResponse()

    def _new(self, batch: str) -> bool:
        if self.faults:
            raise self.faults.pop(0)
        known = batch in self.batches
        self.batches.append(batch)
        return not known

    async def _answer(self, context: Any) -> None:
        if self.forgets:
            self.forgets -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "lost on the way")

    def of(self, unit: str, service: str = "") -> dict[str, float]:
        """What SUBJECT used with KEY, by model."""
        return {
            model: amount
            for (subject, key, by, model, what), amount in self.amounts.items()
            if (subject, key, what) == (SUBJECT, KEY, unit) and by == (service or by)
        }

    async def until(self, holds: Callable[[Ledger], object]) -> None:
        """Waits until something holds."""
        for _attempt in range(200):
            if holds(self):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not reported: {dict(self.amounts)} {self.acts}")


@asynccontextmanager
async def ledger(listen: str = "127.0.0.1:0") -> AsyncIterator[Ledger]:
    """A running ledger; services report to its `target`."""
    kept = Ledger()
    bound = [
        Bound(
            usage_pb2_grpc.add_UsageServiceServicer_to_server,
            kept,
            usage_pb2.DESCRIPTOR.services_by_name["UsageService"],
        ),
        Bound(
            audit_pb2_grpc.add_AuditServiceServicer_to_server,
            kept,
            audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
        ),
    ]
    before, reporter.SECONDS = reporter.SECONDS, 0.05
    try:
        async with server.running(ServiceSettings(listen=listen, drain_seconds=0), bound) as address:
            kept.target = address
            yield kept
    finally:
        reporter.SECONDS = before

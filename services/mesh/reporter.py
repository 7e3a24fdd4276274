"""Tells the identity service what callers used and did: in batches, beside the calls, and never in their way.

Usage of the same kind is summed up, so that what waits grows with the number of callers and not of calls. A batch that
identity did not answer is sent again under the same id, by which identity knows it. What waits is bounded: beyond that,
and where identity refuses a batch, it is dropped, counted in a metric, and said in the log. On a clean shutdown
everything is sent first.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import NamedTuple

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import Counter

from parley.identity.v1 import audit_pb2, audit_pb2_grpc, usage_pb2, usage_pb2_grpc
from services.mesh import telemetry
from services.mesh.acts import Act
from services.mesh.channels import channel
from services.mesh.settings import ReportingSettings, ServiceSettings
from services.mesh.usage import Payer, Unit

log = telemetry.get_logger(__name__)

SECONDS = 1.0
"""How often is sent what waits."""
MOST = 20_000
"""Records and acts that wait, at most."""
LARGEST = 1000
"""Records or acts of a batch."""
CALL_SECONDS = 5.0
LAST_SECONDS = 5.0
"""How long is tried to send the rest when the service stops."""
RETRY_SECONDS = 0.1
"""How long is waited between two such tries."""
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
"""What identity did not answer: it is sent again. Anything else is an answer."""
_UNITS = {unit.value: usage_pb2.UsageUnit.Value(f"USAGE_UNIT_{unit.name}") for unit in Unit}

DROPPED = Counter(
    "parley_reports_dropped",
    "Usage records and audited acts that the identity service never got.",
    ["kind"],
)


class _Kind(NamedTuple):
    """What is summed up: all but the amount. The day stays as it was, however long identity is away.

    A tuple of plain values: it is made and looked up in every call.
    """

    subject: str
    key_id: str
    unit: str
    model: str
    day: date


@dataclass(slots=True)
class _Batch:
    """What is sent at once; exactly one of the two is filled."""

    records: Sequence[usage_pb2.UsageRecord] = ()
    acts: Sequence[audit_pb2.Act] = ()
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def size(self) -> int:
        """How much it holds."""
        return len(self.records) + len(self.acts)


class Reporter:
    """Takes what is used and done in a service, and sends it on; implements usage.Meter and acts.Log.

    Args:
        service: Its name: chat, sql, asr, image …
        settings: Where identity is, and the certificates.
    """

    def __init__(self, service: str, settings: ReportingSettings) -> None:
        self._service = service
        self._channel = channel(settings.identity_target, settings.certificates)
        self._usage = usage_pb2_grpc.UsageServiceStub(self._channel)
        self._audit = audit_pb2_grpc.AuditServiceStub(self._channel)
        self._sums: dict[_Kind, float] = {}
        self._acts: list[Act] = []
        self._batches: deque[_Batch] = deque()
        self._waiting = 0
        """Records and acts in batches."""
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to send."""
        self._task = asyncio.create_task(self._send_often())

    def used(self, payer: Payer, unit: Unit, amount: float, model: str) -> None:
        """Adds to what a caller used."""
        kind = _Kind(payer.subject, payer.key_id, unit.value, model[:200], datetime.now(UTC).date())
        if kind in self._sums or self._room("usage"):
            self._sums[kind] = self._sums.get(kind, 0.0) + amount

    def acted(self, act: Act) -> None:
        """Adds an entry for the audit log."""
        if self._room("act"):
            self._acts.append(act)

    async def flush(self) -> bool:
        """Sends what waits; says whether nothing waits any more."""
        async with self._sending:
            self._pack()
            while self._batches:
                if not await self._sent(self._batches[0]):
                    return False
                self._waiting -= self._batches.popleft().size
        return not (self._sums or self._acts)

    async def close(self) -> None:
        """Sends the rest, for LAST_SECONDS at most, and closes the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                while True:
                    if await self.flush():
                        break
                    await asyncio.sleep(RETRY_SECONDS)
        self._pack()
        for batch in self._batches:
            self._drop(batch, "the service stops and identity does not answer")
        await self._channel.close()

    def _room(self, kind: str) -> bool:
        """Whether one more may wait; counts it as lost otherwise."""
        free = self._waiting + len(self._sums) + len(self._acts) < MOST
        if not free:
            DROPPED.labels(kind).inc()
        return free

    def _pack(self) -> None:
        """Makes batches of what came in."""
        records = [self._record(kind, amount) for kind, amount in self._sums.items()]
        acts = [_act(act) for act in self._acts]
        self._sums, self._acts = {}, []
        made = [_Batch(records=records[start : start + LARGEST]) for start in range(0, len(records), LARGEST)]
        made += [_Batch(acts=acts[start : start + LARGEST]) for start in range(0, len(acts), LARGEST)]
        self._batches.extend(made)
        self._waiting += sum(batch.size for batch in made)

    async def _sent(self, batch: _Batch) -> bool:
        """Whether a batch need not be sent again: identity has it, or will never take it."""
        try:
            if batch.records:
                request = usage_pb2.RecordUsageRequest(records=batch.records, batch_id=batch.id)
                await self._usage.RecordUsage(request, timeout=CALL_SECONDS)
            else:
                acts = audit_pb2.RecordActsRequest(acts=batch.acts, batch_id=batch.id)
                await self._audit.RecordActs(acts, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() in AWAY:
                return False
            self._drop(batch, f"identity refuses it: {error.code().name}")
        return True

    def _drop(self, batch: _Batch, why: str) -> None:
        DROPPED.labels("usage" if batch.records else "act").inc(batch.size)
        log.error("reports are lost", why=why, records=len(batch.records), acts=len(batch.acts))

    async def _send_often(self) -> None:
        away = False
        while True:
            await asyncio.sleep(SECONDS)
            try:
                done = await self.flush()
            except Exception as error:
                # Whatever it is, usage goes on being counted.
                log.error("unexpected error", work="reports", exc_info=error)
                continue
            if not done and not away:
                log.warning("identity is away: usage and audit entries wait", waiting=self._waiting)
            away = not done

    def _record(self, kind: _Kind, amount: float) -> usage_pb2.UsageRecord:
        return usage_pb2.UsageRecord(
            subject=kind.subject,
            api_key=kind.key_id,
            service=self._service,
            model=kind.model,
            unit=_UNITS[kind.unit],  # type: ignore[arg-type]  # the enum's numbers
            amount=amount,
            time=_timestamp(datetime(kind.day.year, kind.day.month, kind.day.day, 12, tzinfo=UTC)),
        )


def _act(act: Act) -> audit_pb2.Act:
    return audit_pb2.Act(
        subject=act.who.subject,
        api_key=act.who.key_id,
        method=act.method,
        resource=act.resource,
        code=act.code,
        address=act.address[:64],
        request_id=act.request_id[:128],
        time=_timestamp(act.time),
    )


def _timestamp(time: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(time)
    return made


def reporter(service: str, settings: ServiceSettings) -> Reporter | None:
    """A service's reporter; None where its settings name no identity service.

    Args:
        service: Its name.
        settings: What it was told.
    """
    if isinstance(settings, ReportingSettings) and settings.identity_target:
        return Reporter(service, settings)
    return None

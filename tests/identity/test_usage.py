"""Usage and limits: what is counted, for whom, and what happens where Redis is away."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2

from parley.identity.v1 import identity_pb2, usage_pb2
from services.identity.errors import LimitReached
from services.identity.limits import Counters, Limits
from tests.identity.conftest import Identity, Start, bearer, refused

TOKENS, ROWS = usage_pb2.USAGE_UNIT_TOKENS, usage_pb2.USAGE_UNIT_ROWS
TODAY = datetime.now(UTC).date()


def record(amount: float, unit: usage_pb2.UsageUnit = TOKENS, **more: Any) -> usage_pb2.UsageRecord:
    """Something that the administrator used of the chat service."""
    given: dict[str, Any] = {
        "subject": "default/admin",
        "service": "chat",
        "model": "m",
        "unit": unit,
        "amount": amount,
    } | more
    return usage_pb2.UsageRecord(**given)


async def send(identity: Identity, batch: str, *records: usage_pb2.UsageRecord) -> None:
    """Sends a batch, as a service does."""
    await identity.usage.RecordUsage(usage_pb2.RecordUsageRequest(records=records, batch_id=batch.ljust(16, "-")))


async def sums(identity: Identity, metadata: object = None, **wanted: object) -> list[usage_pb2.UsageSum]:
    """What was used."""
    request = usage_pb2.QueryUsageRequest(**wanted)  # type: ignore[arg-type]  # by name
    answer = await identity.usage.QueryUsage(request, metadata=metadata or identity.admin)
    return list(answer.sums)


async def test_usage_is_summed_up_by_what_is_asked_for(stored: Identity) -> None:
    yesterday = timestamp_pb2.Timestamp()
    yesterday.FromDatetime(datetime.now(UTC) - timedelta(days=1))
    await send(stored, "one", record(10), record(5.5), record(7, api_key="k1"), record(3, ROWS, service="sql"))
    await send(stored, "two", record(2), record(100, time=yesterday), record(1, subject="default/lan"))
    (all_tokens, rows) = await sums(stored, group_by=[usage_pb2.USAGE_DIMENSION_SERVICE])
    assert (all_tokens.service, all_tokens.unit, all_tokens.amount) == ("chat", TOKENS, 125.5)
    assert (rows.service, rows.unit, rows.amount) == ("sql", ROWS, 3)
    by_user = await sums(stored, group_by=[usage_pb2.USAGE_DIMENSION_USER], service="chat")
    assert {s.user: s.amount for s in by_user} == {"users/admin": 124.5, "users/lan": 1}
    by_key = await sums(stored, group_by=[usage_pb2.USAGE_DIMENSION_API_KEY], api_key="apiKeys/k1")
    assert [(s.api_key, s.amount) for s in by_key] == [("apiKeys/k1", 7)]
    today = await sums(stored, start_day=TODAY.isoformat(), model="m", service="chat")
    assert [(s.day, s.model, s.amount) for s in today] == [(TODAY.isoformat(), "m", 25.5)]
    error = await refused(sums(stored, start_day="2026-02-30"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_batch_that_comes_again_is_counted_once(stored: Identity) -> None:
    for _ in range(3):
        await send(stored, "the same", record(10))
    await asyncio.gather(*(send(stored, f"batch {n}", record(1)) for n in range(10)))
    assert [s.amount for s in await sums(stored)] == [20]


async def test_members_see_their_own(service: Identity) -> None:
    await service.user("lan")
    _name, secret = await service.key_of("lan")
    await send(service, "one", record(10), record(4, subject="default/lan"))
    assert [s.amount for s in await sums(service, bearer(secret))] == [4]
    error = await refused(sums(service, bearer(secret), user="users/admin"))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_what_a_service_counts_runs_out_too() -> None:
    limits = Limits({"free": {"tokens": "100/day", "requests": "50/hour"}}, "free", Counters(""))
    await limits.call("a/lan", "", "chat")
    await limits.use("a/lan", "", "tokens", 99.5)
    with pytest.raises(LimitReached, match="100 tokens"):
        await limits.call("a/lan", "", "chat")
    assert (await limits.call("a/lan", "", "asr")) is not None, "another service counts something else"
    assert (await limits.call("b/lan", "", "chat")) is not None, "another user has their own"


async def test_usage_counts_for_the_limits_of_whoever_used_it(starting: Start, tmp_path: object) -> None:
    tiers = {"free": {"requests": "9/hour"}, "pro": {"requests": "5/hour", "tokens": "10/day"}}
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", tiers=tiers, first_tier="free")
    change = identity_pb2.UpdateOrganisationRequest(
        organisation=identity_pb2.Organisation(name="organisations/default", tier="pro")
    )
    await identity.identity.UpdateOrganisation(change, metadata=identity.admin)
    answer = await identity.check(authorization=f"Bearer {identity.key}")
    limit = {o.header.key: o.header.value for o in answer.ok_response.response_headers_to_add}
    assert limit["x-ratelimit-limit-requests"] == "5", "a tier counts from the moment it is given"
    await send(identity, "one", record(11))
    with pytest.raises(LimitReached):
        await identity.application._limits.call("default/admin", "pro", "chat")


async def test_processes_share_their_counts_through_redis(redis_server: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, _process = redis_server
    tiers = {"free": {"requests": "3/hour"}}
    one, two = Limits(tiers, "free", Counters(url)), Limits(tiers, "free", Counters(url))
    left = [(await limits.call("a/lan", "", "x")) for limits in (one, two, one)]
    assert [remaining.remaining for remaining in left if remaining] == [2, 1, 0]
    with pytest.raises(LimitReached):
        await two.call("a/lan", "", "x")
    await one.close()
    await two.close()


async def test_redis_away_loosens_limits_and_locks_nobody_out(
    redis_server: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, process = redis_server
    limits = Limits({"free": {"requests": "2/hour"}}, "free", Counters(url))
    assert await limits.call("a/lan", "", "x")
    process.kill()
    process.wait()
    assert await limits.call("a/lan", "", "x"), "counted in this process from here on"
    assert await limits.call("a/lan", "", "x")
    with pytest.raises(LimitReached):
        await limits.call("a/lan", "", "x")
    await limits.close()

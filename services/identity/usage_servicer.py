"""parley.identity.v1.UsageService."""

from __future__ import annotations

from parley.identity.v1 import usage_pb2, usage_pb2_grpc
from services.identity import converters
from services.identity.callers import Callers, Context
from services.identity.usage import Query, Usage
from services.mesh.server import Bound


class UsageServicer(usage_pb2_grpc.UsageServiceServicer):
    """Usage over gRPC.

    Args:
        callers: Who calls.
        usage: The use cases.
    """

    def __init__(self, callers: Callers, usage: Usage) -> None:
        self._callers = callers
        self._usage = usage

    async def RecordUsage(
        self, request: usage_pb2.RecordUsageRequest, context: Context
    ) -> usage_pb2.RecordUsageResponse:
        """Adds what was used. Only services reach it: the gateway lets nobody through."""
        await self._usage.record(request.batch_id, list(map(converters.from_record, request.records)))
        return usage_pb2.RecordUsageResponse()

    async def QueryUsage(self, request: usage_pb2.QueryUsageRequest, context: Context) -> usage_pb2.QueryUsageResponse:
        """Sums up what was used."""
        caller = await self._callers.of(context)
        wanted = Query(
            request.start_day,
            request.end_day,
            converters.identifier(request.user),
            converters.identifier(request.api_key),
            request.service,
            request.model,
            [converters.DIMENSIONS[dimension] for dimension in request.group_by],
        )
        sums = await self._usage.query(caller, wanted)
        return usage_pb2.QueryUsageResponse(sums=map(converters.usage_sum, sums))


def bound(callers: Callers, usage: Usage) -> Bound:
    """The servicer, ready to be served."""
    return Bound(
        usage_pb2_grpc.add_UsageServiceServicer_to_server,
        UsageServicer(callers, usage),
        usage_pb2.DESCRIPTOR.services_by_name["UsageService"],
    )

"""parley.identity.v1.AuditService."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.api import httpbody_pb2
from google.protobuf import json_format

from parley.identity.v1 import audit_pb2, audit_pb2_grpc
from services.identity import converters
from services.identity.audit import AuditLog
from services.identity.callers import Callers, Context
from services.mesh.server import Bound


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """The audit log over gRPC.

    Args:
        callers: Who calls.
        audit: The log.
    """

    def __init__(self, callers: Callers, audit: AuditLog) -> None:
        self._callers = callers
        self._audit = audit

    async def RecordActs(self, request: audit_pb2.RecordActsRequest, context: Context) -> audit_pb2.RecordActsResponse:
        """Adds what services report. Only services reach it: the gateway lets nobody through."""
        await self._audit.record(request.batch_id, list(map(converters.from_act, request.acts)))
        return audit_pb2.RecordActsResponse()

    async def ListAuditEntries(
        self, request: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        """Lists entries."""
        caller, wanted = await self._callers.of(context), converters.from_filter(request.filter)
        page, token = await self._audit.page(caller, wanted, request.page_size, request.page_token)
        return audit_pb2.ListAuditEntriesResponse(audit_entries=map(converters.entry, page), next_page_token=token)

    async def ExportAuditEntries(
        self, request: audit_pb2.ExportAuditEntriesRequest, context: Context
    ) -> AsyncIterator[audit_pb2.ExportAuditEntriesResponse]:
        """Gives entries as lines of JSON."""
        caller = await self._callers.of(context)
        async for batch in self._audit.export(caller, converters.from_filter(request.filter)):
            lines = [json_format.MessageToJson(converters.entry(one), indent=None) + "\n" for one in batch]
            body = httpbody_pb2.HttpBody(content_type="application/x-ndjson", data="".join(lines).encode())
            yield audit_pb2.ExportAuditEntriesResponse(body=body)


def bound(callers: Callers, audit: AuditLog) -> Bound:
    """The servicer, ready to be served."""
    return Bound(
        audit_pb2_grpc.add_AuditServiceServicer_to_server,
        AuditServicer(callers, audit),
        audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
    )

"""parley.identity.v1.ApiKeyService."""

from __future__ import annotations

from parley.identity.v1 import keys_pb2, keys_pb2_grpc
from services.identity import converters
from services.identity.callers import Callers, Context
from services.identity.keys import OVERLAP, Keys
from services.mesh.server import Bound


class ApiKeyServicer(keys_pb2_grpc.ApiKeyServiceServicer):
    """API keys over gRPC.

    Args:
        callers: Who calls.
        keys: The use cases.
    """

    def __init__(self, callers: Callers, keys: Keys) -> None:
        self._callers = callers
        self._keys = keys

    async def CreateApiKey(
        self, request: keys_pb2.CreateApiKeyRequest, context: Context
    ) -> keys_pb2.CreateApiKeyResponse:
        """Makes a key."""
        caller, wanted = await self._callers.of(context), request.api_key
        expires = converters.from_timestamp(wanted.expire_time) if wanted.HasField("expire_time") else None
        user = converters.identifier(wanted.user)
        made, secret = await self._keys.create(caller, user, wanted.display_name, wanted.scopes, expires)
        return keys_pb2.CreateApiKeyResponse(api_key=converters.key(made), secret=secret)

    async def GetApiKey(self, request: keys_pb2.GetApiKeyRequest, context: Context) -> keys_pb2.GetApiKeyResponse:
        """Gets a key."""
        found = await self._keys.get(await self._callers.of(context), converters.identifier(request.name))
        return keys_pb2.GetApiKeyResponse(api_key=converters.key(found))

    async def ListApiKeys(self, request: keys_pb2.ListApiKeysRequest, context: Context) -> keys_pb2.ListApiKeysResponse:
        """Lists keys."""
        caller, user = await self._callers.of(context), converters.identifier(request.user)
        page, token = await self._keys.page(caller, user, request.page_size, request.page_token)
        return keys_pb2.ListApiKeysResponse(api_keys=map(converters.key, page), next_page_token=token)

    async def RevokeApiKey(
        self, request: keys_pb2.RevokeApiKeyRequest, context: Context
    ) -> keys_pb2.RevokeApiKeyResponse:
        """Revokes a key."""
        revoked = await self._keys.revoke(await self._callers.of(context), converters.identifier(request.name))
        return keys_pb2.RevokeApiKeyResponse(api_key=converters.key(revoked))

    async def RotateApiKey(
        self, request: keys_pb2.RotateApiKeyRequest, context: Context
    ) -> keys_pb2.RotateApiKeyResponse:
        """Makes a key in the place of another."""
        caller = await self._callers.of(context)
        overlap = request.overlap.ToTimedelta() if request.HasField("overlap") else OVERLAP
        made, secret = await self._keys.rotate(caller, converters.identifier(request.name), overlap)
        return keys_pb2.RotateApiKeyResponse(api_key=converters.key(made), secret=secret)


def bound(callers: Callers, keys: Keys) -> Bound:
    """The servicer, ready to be served."""
    return Bound(
        keys_pb2_grpc.add_ApiKeyServiceServicer_to_server,
        ApiKeyServicer(callers, keys),
        keys_pb2.DESCRIPTOR.services_by_name["ApiKeyService"],
    )

"""parley.identity.v1.TokenService."""

from __future__ import annotations

import json

from google.api import httpbody_pb2

from parley.identity.v1 import tokens_pb2, tokens_pb2_grpc
from services.identity import converters
from services.identity.callers import Callers, Context, origin
from services.identity.logins import Logins
from services.identity.oidc import OpenId
from services.identity.organisations import DEFAULT
from services.identity.signing import SigningKeys
from services.mesh.server import Bound


class TokenServicer(tokens_pb2_grpc.TokenServiceServicer):
    """Logging in over gRPC.

    Args:
        callers: Who calls.
        logins: The use cases.
        open_id: The providers.
        signing_keys: What tokens are signed with.
    """

    def __init__(self, callers: Callers, logins: Logins, open_id: OpenId, signing_keys: SigningKeys) -> None:
        self._callers = callers
        self._logins = logins
        self._open_id = open_id
        self._signing_keys = signing_keys

    async def Login(self, request: tokens_pb2.LoginRequest, context: Context) -> tokens_pb2.LoginResponse:
        """Logs in with a password."""
        organisation = converters.identifier(request.organisation) or DEFAULT
        logged_in = await self._logins.by_password(organisation, request.user_id, request.password, origin(context))
        return tokens_pb2.LoginResponse(tokens=converters.tokens(logged_in))

    async def ListLoginProviders(
        self, request: tokens_pb2.ListLoginProvidersRequest, context: Context
    ) -> tokens_pb2.ListLoginProvidersResponse:
        """Lists the OpenID providers."""
        response = tokens_pb2.ListLoginProvidersResponse()
        for provider in self._open_id.providers():
            response.login_providers.add(id=provider.id, display_name=provider.display_name)
        return response

    async def BeginOidcLogin(
        self, request: tokens_pb2.BeginOidcLoginRequest, context: Context
    ) -> tokens_pb2.BeginOidcLoginResponse:
        """Begins a login at an OpenID provider."""
        begun = await self._open_id.begin(request.provider, request.redirect_uri)
        return tokens_pb2.BeginOidcLoginResponse(authorization_uri=begun.authorization_uri, state=begun.state)

    async def CompleteOidcLogin(
        self, request: tokens_pb2.CompleteOidcLoginRequest, context: Context
    ) -> tokens_pb2.CompleteOidcLoginResponse:
        """Ends it."""
        logged_in = await self._logins.by_provider(request.state, request.code, request.issuer, origin(context))
        return tokens_pb2.CompleteOidcLoginResponse(tokens=converters.tokens(logged_in))

    async def RefreshToken(
        self, request: tokens_pb2.RefreshTokenRequest, context: Context
    ) -> tokens_pb2.RefreshTokenResponse:
        """Gives the next tokens."""
        logged_in = await self._logins.refresh(request.refresh_token, origin(context))
        return tokens_pb2.RefreshTokenResponse(tokens=converters.tokens(logged_in))

    async def Logout(self, request: tokens_pb2.LogoutRequest, context: Context) -> tokens_pb2.LogoutResponse:
        """Ends a session."""
        await self._logins.logout(request.refresh_token, origin(context))
        return tokens_pb2.LogoutResponse()

    async def GetJwks(self, request: tokens_pb2.GetJwksRequest, context: Context) -> tokens_pb2.GetJwksResponse:
        """Gives the public keys."""
        document = json.dumps({"keys": await self._signing_keys.public()}).encode()
        return tokens_pb2.GetJwksResponse(
            body=httpbody_pb2.HttpBody(content_type="application/jwk-set+json", data=document)
        )

    async def RotateSigningKeys(
        self, request: tokens_pb2.RotateSigningKeysRequest, context: Context
    ) -> tokens_pb2.RotateSigningKeysResponse:
        """Signs with the next key from now on."""
        current, following = await self._signing_keys.rotate(await self._callers.of(context))
        return tokens_pb2.RotateSigningKeysResponse(current=current, next=following)


def bound(callers: Callers, logins: Logins, open_id: OpenId, signing_keys: SigningKeys) -> Bound:
    """The servicer, ready to be served."""
    return Bound(
        tokens_pb2_grpc.add_TokenServiceServicer_to_server,
        TokenServicer(callers, logins, open_id, signing_keys),
        tokens_pb2.DESCRIPTOR.services_by_name["TokenService"],
    )

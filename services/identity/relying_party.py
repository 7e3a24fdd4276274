"""What Parley is to an OpenID provider: it sends people there, and asks who came back (OpenID Connect Core 1.0).

By Authlib. Loaded where a provider is configured.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.identity.errors import InvalidCredential
from services.identity.oidc_provider import Provider
from services.mesh import telemetry
from services.mesh.errors import Unavailable

log = telemetry.get_logger(__name__)

DISCOVERY_SECONDS = 3600.0
HTTP_SECONDS = 10.0
LEEWAY = 60
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
"""Signatures of id tokens that are taken: public keys only."""
BOUND = 1_000_000
"""Bytes of an answer of the provider at most."""


class RelyingParty:
    """Parley, as one provider knows it.

    Args:
        provider: The provider.
    """

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._discovered: tuple[float, Mapping[str, Any]] | None = None

    async def authorization(self, redirect_uri: str, verifier: str, nonce: str) -> tuple[str, str]:
        """The page to send a person to, and the state that they will come back with.

        Args:
            redirect_uri: Where they are sent back to.
            verifier: Of PKCE; the page gets its hash.
            nonce: Which the id token has to name.

        Raises:
            Unavailable: The provider does not answer, or with something that is no discovery document.
        """
        metadata = await self._metadata()
        async with self._client(redirect_uri) as client:
            uri, state = client.create_authorization_url(
                metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, state=secrets.token_urlsafe(32)
            )
            return uri, state

    async def claims(self, code: str, issuer: str, redirect_uri: str, verifier: str, nonce: str) -> dict[str, Any]:
        """What the provider says of a person who came back.

        Args:
            code: From the provider.
            issuer: `iss` that came with it; empty where none did.
            redirect_uri: Where they were to be sent back to.
            verifier: Of PKCE.
            nonce: Which the id token has to name.

        Raises:
            InvalidCredential: The provider does not vouch.
            Unavailable: The provider does not answer.
        """
        metadata = await self._metadata()
        # RFC 9207: an answer of another provider must not be taken to this one's token endpoint.
        promised = metadata.get("authorization_response_iss_parameter_supported", False)
        if (issuer or promised) and issuer != metadata["issuer"]:
            raise InvalidCredential("The answer comes from another provider than the login was begun at.")
        token = await self._token(metadata, code, redirect_uri, verifier)
        return await self._checked(metadata, token, nonce)

    async def _token(
        self, metadata: Mapping[str, Any], code: str, redirect_uri: str, verifier: str
    ) -> Mapping[str, Any]:
        """The provider's answer for a code."""
        try:
            async with self._client(redirect_uri) as client:
                token: Mapping[str, Any] = await client.fetch_token(
                    metadata["token_endpoint"], code=code, code_verifier=verifier
                )
                return token
        except AuthlibBaseError as error:
            log.warning("an OpenID provider refused a code", provider=self.provider.id, error=error.error)
            raise InvalidCredential(f"{self.provider.display_name} refused this login. Begin again.") from None
        except (httpx2.HTTPError, ValueError) as error:
            raise self._away(error) from None

    async def _checked(self, metadata: Mapping[str, Any], token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of the id token, its signature and themselves checked."""
        keys = await self._fetch(str(metadata["jwks_uri"]))
        client_id = self.provider.client_id
        try:
            decoded = jwt.decode(str(token["id_token"]), KeySet.import_key_set(keys), algorithms=ALGORITHMS)  # type: ignore[arg-type]  # a JWK set, which import checks
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": metadata["issuer"]},
                    "aud": {"essential": True, "value": client_id},
                    "nonce": {"essential": True, "value": nonce},
                },
                {"nonce": nonce, "client_id": client_id, "access_token": token.get("access_token")},
            )
            claims.validate(leeway=LEEWAY)
        except (JoseError, AuthlibBaseError, ValueError, KeyError, TypeError) as error:
            log.warning("an id token is not valid", provider=self.provider.id, fault=type(error).__name__)
            raise InvalidCredential(f"{self.provider.display_name} sent an identity that is not valid.") from None
        return dict(claims)

    def _client(self, redirect_uri: str) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            client_id=self.provider.client_id,
            client_secret=self.provider.client_secret or None,
            redirect_uri=redirect_uri,
            scope=" ".join(self.provider.scopes),
            code_challenge_method="S256",
            timeout=HTTP_SECONDS,
        )

    async def _metadata(self) -> Mapping[str, Any]:
        """The provider's discovery document, which says it is of that issuer. Raises Unavailable."""
        if self._discovered is not None and time.monotonic() - self._discovered[0] < DISCOVERY_SECONDS:
            return self._discovered[1]
        document = await self._fetch(get_well_known_url(self.provider.issuer, external=True))
        metadata: dict[str, Any] = OpenIDProviderMetadata(document)
        try:
            endpoints = [str(metadata[name]) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
            if metadata["issuer"] != self.provider.issuer or not all(uri.startswith("http") for uri in endpoints):
                raise ValueError("another issuer")
        except (ValueError, KeyError) as error:
            raise self._away(error) from None
        self._discovered = time.monotonic(), metadata
        return metadata

    async def _fetch(self, url: str) -> dict[str, Any]:
        """A JSON object from the provider. Raises Unavailable."""
        try:
            async with httpx2.AsyncClient(timeout=HTTP_SECONDS) as client:
                answer = await client.get(url)
                answer.raise_for_status()
                value = json.loads(answer.content[:BOUND])
                if not isinstance(value, dict):
                    raise TypeError("no object")
                return dict(value)
        except (httpx2.HTTPError, ValueError, TypeError) as error:
            raise self._away(error) from None

    def _away(self, error: Exception) -> Unavailable:
        log.warning("an OpenID provider does not answer as one", provider=self.provider.id, fault=type(error).__name__)
        name = self.provider.display_name
        return Unavailable(f"{name} cannot be reached, or does not answer as an OpenID provider.")

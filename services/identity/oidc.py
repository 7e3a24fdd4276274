"""Logging in at an OpenID provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636), by Authlib.

A begun login is kept in the storage until the person comes back, so that any process may complete it, once.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import delete
from sqlalchemy.orm import Session

from services.identity.errors import OTHER_KEY, InvalidCredential
from services.identity.keys import digest
from services.identity.oidc_provider import Provider
from services.identity.tables import LoginRow, now
from services.mesh import telemetry
from services.mesh.database import Database
from services.mesh.errors import InvalidArgument, NotFound, Unavailable
from services.mesh.sealing import Seal

log = telemetry.get_logger(__name__)

LOGIN_MICROS = 600_000_000
"""How long a person may take at the provider."""
DISCOVERY_SECONDS = 3600.0
HTTP_SECONDS = 10.0
LEEWAY = 60
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
"""Signatures of id tokens that are taken: public keys only."""
BOUND = 1_000_000
"""Bytes of an answer of the provider at most."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person as the provider knows them."""

    provider: Provider
    subject: str
    """The provider's id of them: never given to anybody else, as names and addresses may be."""
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Begun:
    """A login that was begun."""

    authorization_uri: str
    state: str


class OpenId:
    """The providers, and logins at them.

    Args:
        database: Where begun logins are kept.
        seal: Encrypts what of them is secret.
        providers: The providers.
    """

    def __init__(self, database: Database, seal: Seal, providers: Iterable[Provider]) -> None:
        self._database = database
        self._seal = seal
        self._providers = {provider.id: provider for provider in providers}
        self._discovered: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def providers(self) -> list[Provider]:
        """All of them."""
        return list(self._providers.values())

    async def begin(self, provider_id: str, redirect_uri: str) -> Begun:
        """Begins a login: the page to send the person to.

        Raises:
            NotFound: There is no such provider.
            InvalidArgument: People are not sent back there.
            Unavailable: The provider does not answer, or with something that is no discovery document.
        """
        provider = self._providers.get(provider_id)
        if provider is None:
            raise NotFound(f"loginProviders/{provider_id}")
        if not provider.allows(redirect_uri):
            raise InvalidArgument(
                "redirect_uri", "is neither configured for this provider nor http://127.0.0.1:{port}/callback"
            )
        metadata = await self._metadata(provider)
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        async with self._client(provider, redirect_uri) as client:
            uri, state = client.create_authorization_url(
                metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, state=secrets.token_urlsafe(32)
            )

        def work(session: Session) -> None:
            session.execute(delete(LoginRow).where(LoginRow.expire_time < now()))
            session.add(
                LoginRow(
                    state=digest(state),
                    organisation=provider.organisation,
                    provider=provider.id,
                    redirect_uri=redirect_uri,
                    verifier=self._seal.seal(verifier),
                    nonce=nonce,
                    expire_time=now() + LOGIN_MICROS,
                )
            )

        await self._database.run(work)
        return Begun(uri, state)

    async def complete(self, state: str, code: str, issuer: str) -> Account:
        """Who came back.

        Args:
            state: Of the begun login; used up, whatever comes of it.
            code: From the provider.
            issuer: `iss` that came with it; empty where none did.

        Raises:
            InvalidCredential: The login was not begun here, was completed before, or the provider does not vouch.
            Unavailable: The provider does not answer.
        """

        def work(session: Session) -> LoginRow | None:
            row = session.get(LoginRow, digest(state))
            # Two who complete it at once: the second finds nothing to delete, and fails.
            if row is not None:
                session.delete(row)
                session.flush()
            return row

        row = await self._database.run(work)
        provider = self._providers.get(row.provider) if row is not None else None
        if row is None or provider is None or row.expire_time < now():
            raise InvalidCredential("This login was not begun here, or too long ago. Begin again.")
        metadata = await self._metadata(provider)
        # RFC 9207: an answer of another provider must not be taken to this one's token endpoint.
        promised = metadata.get("authorization_response_iss_parameter_supported", False)
        if (issuer or promised) and issuer != metadata["issuer"]:
            raise InvalidCredential("The answer comes from another provider than the login was begun at.")
        token = await self._token(provider, metadata, row, code)
        return await self._account(provider, metadata, row, token)

    async def _token(
        self, provider: Provider, metadata: Mapping[str, Any], row: LoginRow, code: str
    ) -> Mapping[str, Any]:
        """The provider's answer for a code."""
        try:
            async with self._client(provider, row.redirect_uri) as client:
                token: Mapping[str, Any] = await client.fetch_token(
                    metadata["token_endpoint"], code=code, code_verifier=self._seal.open(row.verifier, OTHER_KEY)
                )
                return token
        except AuthlibBaseError as error:
            log.warning("an OpenID provider refused a code", provider=provider.id, error=error.error)
            raise InvalidCredential(f"{provider.display_name} refused this login. Begin again.") from None
        except (httpx2.HTTPError, ValueError) as error:
            raise self._away(provider, error) from None

    async def _account(
        self, provider: Provider, metadata: Mapping[str, Any], row: LoginRow, token: Mapping[str, Any]
    ) -> Account:
        """The person whom the id token names, its signature and claims checked."""
        keys = await self._fetch(provider, str(metadata["jwks_uri"]))
        try:
            decoded = jwt.decode(str(token["id_token"]), KeySet.import_key_set(keys), algorithms=ALGORITHMS)  # type: ignore[arg-type]  # a JWK set, which import checks
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": metadata["issuer"]},
                    "aud": {"essential": True, "value": provider.client_id},
                    "nonce": {"essential": True, "value": row.nonce},
                },
                {"nonce": row.nonce, "client_id": provider.client_id, "access_token": token.get("access_token")},
            )
            claims.validate(leeway=LEEWAY)
        except (JoseError, AuthlibBaseError, ValueError, KeyError, TypeError) as error:
            log.warning("an id token is not valid", provider=provider.id, fault=type(error).__name__)
            raise InvalidCredential(f"{provider.display_name} sent an identity that is not valid.") from None
        return Account(provider, str(claims["sub"])[:255], dict(claims))

    def _client(self, provider: Provider, redirect_uri: str) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            client_id=provider.client_id,
            client_secret=provider.client_secret or None,
            redirect_uri=redirect_uri,
            scope=" ".join(provider.scopes),
            code_challenge_method="S256",
            timeout=HTTP_SECONDS,
        )

    async def _metadata(self, provider: Provider) -> Mapping[str, Any]:
        """The provider's discovery document, which says it is of that issuer. Raises Unavailable."""
        kept = self._discovered.get(provider.id)
        if kept is not None and time.monotonic() - kept[0] < DISCOVERY_SECONDS:
            return kept[1]
        document = await self._fetch(provider, get_well_known_url(provider.issuer, external=True))
        metadata: dict[str, Any] = OpenIDProviderMetadata(document)
        try:
            endpoints = [str(metadata[name]) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
            if metadata["issuer"] != provider.issuer or not all(uri.startswith("http") for uri in endpoints):
                raise ValueError("another issuer")
        except (ValueError, KeyError) as error:
            raise self._away(provider, error) from None
        self._discovered[provider.id] = time.monotonic(), metadata
        return metadata

    async def _fetch(self, provider: Provider, url: str) -> dict[str, Any]:
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
            raise self._away(provider, error) from None

    def _away(self, provider: Provider, error: Exception) -> Unavailable:
        log.warning("an OpenID provider does not answer as one", provider=provider.id, fault=type(error).__name__)
        return Unavailable(f"{provider.display_name} cannot be reached, or does not answer as an OpenID provider.")

"""Logging in at an OpenID provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636).

A begun login is kept in the storage until the person comes back, so that any process may complete it, once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from services.identity.errors import OTHER_KEY, InvalidCredential
from services.identity.keys import digest
from services.identity.oidc_provider import Provider
from services.identity.tables import LoginRow, now
from services.mesh.database import Database
from services.mesh.errors import InvalidArgument, NotFound
from services.mesh.sealing import Seal

if TYPE_CHECKING:
    from services.identity.relying_party import RelyingParty

LOGIN_MICROS = 600_000_000
"""How long a person may take at the provider."""


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
        self._parties = _parties(providers)

    def providers(self) -> list[Provider]:
        """All of them."""
        return [party.provider for party in self._parties.values()]

    async def begin(self, provider_id: str, redirect_uri: str) -> Begun:
        """Begins a login: the page to send the person to.

        Raises:
            NotFound: There is no such provider.
            InvalidArgument: People are not sent back there.
            Unavailable: The provider does not answer, or with something that is no discovery document.
        """
        party = self._parties.get(provider_id)
        if party is None:
            raise NotFound(f"loginProviders/{provider_id}")
        provider = party.provider
        if not provider.allows(redirect_uri):
            raise InvalidArgument(
                "redirect_uri", "is neither configured for this provider nor http://127.0.0.1:{port}/callback"
            )
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        uri, state = await party.authorization(redirect_uri, verifier, nonce)

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
        party = self._parties.get(row.provider) if row is not None else None
        if row is None or party is None or row.expire_time < now():
            raise InvalidCredential("This login was not begun here, or too long ago. Begin again.")
        verifier = self._seal.open(row.verifier, OTHER_KEY)
        claims = await party.claims(code, issuer, row.redirect_uri, verifier, row.nonce)
        return Account(party.provider, str(claims["sub"])[:255], claims)


def _parties(providers: Iterable[Provider]) -> dict[str, RelyingParty]:
    """What talks to each provider, by the provider's id."""
    given = list(providers)
    if not given:
        return {}
    from services.identity.relying_party import RelyingParty  # here: without providers nobody needs 5 MB of OpenID

    return {provider.id: RelyingParty(provider) for provider in given}

"""The keys that access tokens are signed with: the next, the current, and retired ones until their tokens have expired.

The next key is published before it signs, so that whoever caches the key set (Envoy, other resource servers) knows it
already. Rotation is one transaction: of several processes one does it.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Sequence
from typing import Any

from joserfc.jwk import Key, OKPKey, RSAKey
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from services.identity import audit
from services.identity.caller import Caller
from services.identity.errors import OTHER_KEY
from services.identity.tables import SigningKeyRow, now
from services.mesh.database import Database
from services.mesh.sealing import Seal

RS256, EDDSA = "RS256", "EdDSA"
KINDS: dict[str, type[RSAKey | OKPKey]] = {RS256: RSAKey, EDDSA: OKPKey}
RELOAD_SECONDS = 1.0
"""How often, at most, an unknown key id makes the keys be read again: it may be one that another process made."""


class State(enum.StrEnum):
    """What a key is for."""

    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"


class SigningKeys:
    """The keys, as the database has them.

    Args:
        database: Where they are kept.
        seal: Encrypts their private halves.
        algorithm: RS256 or EdDSA (Ed25519), for keys that are made from now on.
        current_seconds: How long a key signs.
        token_seconds: How long what it signed lives: it stays published for so long.
    """

    def __init__(
        self, database: Database, seal: Seal, algorithm: str, current_seconds: float, token_seconds: float
    ) -> None:
        self._database = database
        self._seal = seal
        self._algorithm = algorithm
        self._current_micros = int(current_seconds * 1e6)
        self._token_micros = int(token_seconds * 1e6)
        self._keys: dict[str, tuple[str, Key]] = {}
        self._public: list[dict[str, Any]] = []
        self._signer = ""
        self._read = -RELOAD_SECONDS

    async def maintain(self) -> None:
        """Makes the first keys, rotates when it is time, and drops retired ones whose tokens have all expired."""

        def work(session: Session) -> None:
            rows = self._locked(session)
            current = [row for row in rows if row.state == State.CURRENT]
            if not current or current[0].change_time < now() - self._current_micros:
                self._advance(session, rows)
            session.execute(
                delete(SigningKeyRow).where(
                    SigningKeyRow.state == State.RETIRED.value,
                    SigningKeyRow.change_time < now() - self._token_micros - 60_000_000,
                )
            )

        await self._database.run(work)
        await self.reload()

    async def rotate(self, caller: Caller) -> tuple[str, str]:
        """Signs with the next key from now on; the ids of the current key and of the one after it."""

        def work(session: Session) -> None:
            self._advance(session, self._locked(session))
            audit.append(session, caller, "signingKeys.rotate", "signingKeys")

        await self._database.run(work)
        await self.reload()
        following = [key["kid"] for key in self._public if key["kid"] != self._signer]
        return self._signer, following[-1]

    def _locked(self, session: Session) -> Sequence[SigningKeyRow]:
        """All keys, the oldest first, for a transaction that nobody else makes at the same time."""
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(7270001)"))
        return session.scalars(select(SigningKeyRow).order_by(SigningKeyRow.change_time)).all()

    def _advance(self, session: Session, rows: Sequence[SigningKeyRow]) -> None:
        """Retires the current key, puts the next in its place, and makes another next."""
        following = [row for row in rows if row.state == State.NEXT] or [self._make()]
        session.add(following[0])
        for row in rows:
            if row.state == State.CURRENT:
                row.state, row.change_time = State.RETIRED.value, now()
        following[0].state, following[0].change_time = State.CURRENT.value, now()
        session.add(self._make())

    def _make(self) -> SigningKeyRow:
        """A new key."""
        key: RSAKey | OKPKey = (
            RSAKey.generate_key(2048, auto_kid=True)
            if self._algorithm == RS256
            else OKPKey.generate_key("Ed25519", auto_kid=True)
        )
        public = {**key.as_dict(private=False), "alg": self._algorithm, "use": "sig"}
        return SigningKeyRow(
            id=str(key.kid),
            algorithm=self._algorithm,
            state=State.NEXT.value,
            public=public,
            private=self._seal.seal(key.as_pem(private=True).decode()),
            change_time=now(),
        )

    async def reload(self) -> None:
        """Reads the keys. Raises StorageUnavailable; FailedPrecondition where they are sealed with another key."""
        self._read = time.monotonic()
        query = select(SigningKeyRow).order_by(SigningKeyRow.change_time)
        rows = await self._database.run(lambda session: session.scalars(query).all())
        keys: dict[str, tuple[str, Key]] = {}
        for row in rows:
            signs = row.state == State.CURRENT
            # Only the one that signs is opened.
            source = self._seal.open(row.private, OTHER_KEY) if signs else row.public
            keys[row.id] = row.algorithm, KINDS[row.algorithm].import_key(source)
            self._signer = row.id if signs else self._signer
        self._keys, self._public = keys, [row.public for row in rows]

    def signer(self) -> tuple[str, str, Key]:
        """Id, algorithm and key to sign with."""
        return self._signer, *self._keys[self._signer]

    async def verifier(self, kid: str) -> tuple[str, Key] | None:
        """The one algorithm and the key of an id; None where there is none such."""
        if kid not in self._keys and time.monotonic() - self._read > RELOAD_SECONDS:
            await self.reload()
        return self._keys.get(kid)

    async def public(self) -> list[dict[str, Any]]:
        """The public halves of all of them as JWKs (RFC 7517)."""
        if time.monotonic() - self._read > RELOAD_SECONDS:
            await self.reload()
        return self._public

"""Access tokens: JWTs (RFC 7519) in the profile of RFC 9068, signed by signing.py, made and checked by joserfc.

A token says which session it is of, not what its user may do: that is looked up, so that a change holds at once.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry, extract_compact

from services.identity.errors import InvalidCredential
from services.identity.signing import EDDSA, RS256, SigningKeys

LARGEST = 4096
"""Characters of a token at most; ours have some 700."""
LEEWAY = 30
"""Seconds by which clocks may differ."""
REMEMBERED = 20_000
"""Tokens whose signatures need not be checked again."""
TYPE = "at+jwt"
AUDIENCE = "parley"


class _Algorithms(JWSRegistry):
    """RS256 and EdDSA. joserfc warns of the name EdDSA, which RFC 9864 replaces: Envoy knows no other yet."""

    def get_alg(self, name: str) -> Any:
        """The algorithm. Raises KeyError for any other."""
        return self.algorithms[{RS256: RS256, EDDSA: EDDSA}[name]]


_ALGORITHMS = _Algorithms()
_REQUIRED: Any = {name: {"essential": True} for name in ("iat", "exp", "nbf", "sid", "sub")}


@dataclass(frozen=True, slots=True)
class Access:
    """What a valid access token says."""

    organisation: str
    user: str
    session_id: str
    expires: int
    """In seconds since 1970."""


class Tokens:
    """Makes and checks access tokens.

    Args:
        keys: Signs them.
        issuer: `iss`: the deployment's URL.
        seconds: How long they live.
    """

    def __init__(self, keys: SigningKeys, issuer: str, seconds: int) -> None:
        self._keys = keys
        self._issuer = issuer
        self.seconds = seconds
        self._checked: dict[bytes, Access] = {}

    def issue(self, organisation: str, user: str, session_id: str) -> str:
        """An access token of a session."""
        kid, algorithm, key = self._keys.signer()
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": f"{organisation}/{user}",
            "sid": session_id,
            "iat": now,
            "nbf": now,
            "exp": now + self.seconds,
            "jti": secrets.token_hex(8),
        }
        header = {"alg": algorithm, "kid": kid, "typ": TYPE}
        return jwt.encode(header, claims, key, registry=_ALGORITHMS, default_type=None)

    async def check(self, token: str) -> Access:
        """What a token says.

        Raises:
            InvalidCredential: It is not ours, not for us, not yet or no longer valid, or no token at all.
            StorageUnavailable: Its key is not known, and the keys cannot be read.
        """
        if len(token) > LARGEST:
            raise InvalidCredential(f"The token has more than {LARGEST} characters: it is none of this deployment's.")
        seal = hashlib.sha256(token.encode()).digest()
        access = self._checked.get(seal)
        if access is None:
            access = await self._verified(token)
            while len(self._checked) >= REMEMBERED:
                del self._checked[next(iter(self._checked))]
            self._checked[seal] = access
        if access.expires + LEEWAY <= time.time():
            self._checked.pop(seal, None)
            raise InvalidCredential("The token has expired. Refresh it, or log in again.")
        return access

    async def _verified(self, token: str) -> Access:
        """What a token says, whose signature and claims are checked here."""
        wrong = InvalidCredential("The token is not one of this deployment's, or not valid now.")
        try:
            header = extract_compact(token.encode(), None, _ALGORITHMS).headers()
            found = await self._keys.verifier(str(header.get("kid", "")))
            # The key decides about the algorithm, never the token: no `none`, no HMAC with a public key.
            if found is None or header.get("alg") != found[0] or header.get("typ") != TYPE:
                raise wrong
            claims = jwt.decode(token, found[1], registry=_ALGORITHMS).claims
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY,
                iss={"essential": True, "value": self._issuer},
                aud={"essential": True, "value": AUDIENCE},
                **_REQUIRED,
            ).validate(claims)
            organisation, _, user = str(claims["sub"]).partition("/")
            return Access(organisation, user, str(claims["sid"]), int(claims["exp"]))
        except (JoseError, ValueError, KeyError, TypeError, RecursionError):
            raise wrong from None

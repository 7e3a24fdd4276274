"""Tokens that only look like ours: forged ones, and ones that our own key signs but that are not for this."""

from __future__ import annotations

import base64
import hmac
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from services.mesh.sealing import Seal


def kid(token: str) -> str:
    """The id of the key that signed a token."""
    return str(json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"])


def part(value: object) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


class Forger:
    """Makes tokens that look like one that was given.

    Args:
        token: A valid one.
        keys: The published keys.
    """

    def __init__(self, token: str, keys: list[dict[str, Any]]) -> None:
        self.token = token
        head, body, _signature = token.split(".")
        self.header = json.loads(base64.urlsafe_b64decode(head + "=="))
        self.claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        (self.public,) = [key for key in keys if key["kid"] == self.header["kid"]]
        self.own = RSAKey.generate_key(2048, auto_kid=True)

    def unsigned(self, algorithm: str) -> str:
        """One that says it needs no signature."""
        return f"{part({**self.header, 'alg': algorithm})}.{part(self.claims)}."

    def confused(self, secret: bytes) -> str:
        """One that is signed with HMAC, and with the public key for its secret."""
        # By hand: a decent library makes no such thing.
        signed = f"{part({**self.header, 'alg': 'HS256'})}.{part(self.claims)}"
        mac = hmac.digest(secret, signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def changed(self, **claims: object) -> str:
        """One with other claims under the old signature."""
        head, _body, signature = self.token.split(".")
        return f"{head}.{part({**self.claims, **claims})}.{signature}"

    def foreign(self, **header: object) -> str:
        """One that is signed with a key of our own making."""
        head = {**self.header, "alg": "RS256", **header}
        return jwt.encode(head, self.claims, self.own, algorithms=["RS256"], default_type=None)


FORGED: dict[str, Callable[[Forger], str]] = {
    "alg none": lambda f: f.unsigned("none"),
    "alg None": lambda f: f.unsigned("None"),
    "no algorithm": lambda f: f"{part({'kid': f.header['kid'], 'typ': 'at+jwt'})}.{part(f.claims)}.",
    "the signature cut off": lambda f: f.token.rpartition(".")[0] + ".",
    "two parts": lambda f: f.token.rpartition(".")[0],
    "HMAC with the public key as PEM": lambda f: f.confused(RSAKey.import_key(f.public).as_pem(private=False)),
    "HMAC with the modulus": lambda f: f.confused(f.public["n"].encode()),
    "HMAC with nothing": lambda f: f.confused(b"\0" * 32),
    "another subject": lambda f: f.changed(sub="default/admin"),
    "another session": lambda f: f.changed(sid="0" * 32),
    "a later end": lambda f: f.changed(exp=2**40),
    "another key under our kid": lambda f: f.foreign(),
    "another key under its own kid": lambda f: f.foreign(kid=f.own.kid),
    "a key that comes along": lambda f: f.foreign(kid=f.own.kid, jwk=f.own.as_dict(private=False)),
    "a key to be fetched": lambda f: f.foreign(kid=f.own.kid, jku="http://127.0.0.1:9/jwks.json"),
    "a kid that is a path": lambda f: f.foreign(kid="../../../../dev/null"),
    "a kid that is SQL": lambda f: f.foreign(kid="' OR 1=1 --"),
    "a critical header": lambda f: f"{part({**f.header, 'crit': ['b64'], 'b64': False})}.{part(f.claims)}.x",
    "a header that is a list": lambda f: f"{part([])}.{part(f.claims)}.x",
    "nested deeply": lambda f: f"{base64.urlsafe_b64encode(b'[' * 900).decode()}.{part({})}.x",
    "no JSON": lambda _f: "YQ.YQ.YQ",
    "no base64": lambda _f: "!.!.!",
    "dots": lambda _f: "..",
    "oversized": lambda f: f.token + "A" * 5000,
}


class Signer:
    """Signs whatever it is given with the deployment's own key, so that nothing but what a token says can refuse it.

    Args:
        token: A valid token.
        database: The identity service's SQLite file.
        encryption_key: What the key is encrypted with there.
    """

    def __init__(self, token: str, database: Path, encryption_key: str) -> None:
        with sqlite3.connect(database) as connection:
            ((sealed,),) = connection.execute("SELECT private FROM signing_keys WHERE state = 'current'")
        connection.close()
        self._key = RSAKey.import_key(Seal(encryption_key).open(sealed, ""))
        self._kid = kid(token)
        self._claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))

    def signed(self, claims: dict[str, object], typ: str = "at+jwt") -> str:
        """A token with these claims in place of the valid one's; without those that are None."""
        given = {name: value for name, value in {**self._claims, **claims}.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": self._kid, "typ": typ}, given, self._key, default_type=None)


CLAIMED: dict[str, dict[str, object]] = {
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "another"},
    "no audience": {"aud": None},
    "expired": {"exp": 1_000_000_000},
    "no end": {"exp": None},
    "not yet valid": {"nbf": 2**33},
    "made in the future": {"iat": 2**33},
    "no session": {"sid": None},
    "a session that is none": {"sid": "0" * 32},
    "another's session": {"sub": "default/admin"},
    "another tenant": {"sub": "acme/lan"},
    "an end that is a text": {"exp": "tomorrow"},
}
"""What is wrong about a token, and the claims that make it so; None leaves one out."""

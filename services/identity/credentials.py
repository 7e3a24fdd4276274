"""Finds the credential of a request in its headers: an API key or a token, in any of the ways that clients send one."""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.identity.errors import InvalidCredential
from services.identity.keys import PREFIX

LARGEST = 8192
"""Characters of a header with a credential, at most."""


class Kind(enum.Enum):
    """What a credential is."""

    KEY = "key"
    TOKEN = "token"  # noqa: S105 — a kind, no secret


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential, not checked yet."""

    kind: Kind
    secret: str = field(repr=False)


def find(headers: Mapping[str, str]) -> Credential:
    """The credential of a request.

    `Authorization: Bearer` with a key or a token, `x-api-key` with a key (Anthropic's clients), `Authorization: Basic`
    with a key as the password, or as the user (clients of the Stable Diffusion web UI).

    Args:
        headers: Names in lower case.

    Raises:
        InvalidCredential: There is none, more than one, or one that cannot be read.
    """
    authorization, key = headers.get("authorization", ""), headers.get("x-api-key", "")
    if not authorization and not key:
        raise InvalidCredential(
            "A credential is needed: an API key as `Authorization: Bearer sk-parley-…` or `x-api-key`. "
            "`parley keys create` makes one."
        )
    if len(authorization) > LARGEST or len(key) > LARGEST:
        raise InvalidCredential(f"The credential has more than {LARGEST} characters.")
    found = [_authorization(authorization)] if authorization else []
    if key:
        found.append(Credential(Kind.KEY, key.strip()))
    if len(set(found)) > 1:
        # Who checks one and acts on the other would be deceived.
        raise InvalidCredential("There are two different credentials in Authorization and x-api-key: send one.")
    return found[0]


def _authorization(header: str) -> Credential:
    """What an Authorization header holds. Raises InvalidCredential."""
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return Credential(Kind.KEY if value.startswith("sk-") else Kind.TOKEN, value)
    if scheme.lower() == "basic":
        return _basic(value)
    raise InvalidCredential("The Authorization header must be `Bearer …` with an API key or token, or `Basic …`.")


def _basic(value: str) -> Credential:
    """The key in Basic credentials. Raises InvalidCredential."""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise InvalidCredential("The Basic credentials are not base64 of user:password.") from None
    for given in (password, user):
        if given.startswith(PREFIX):
            return Credential(Kind.KEY, given)
    # Checking a password takes a tenth of a second on purpose: not what every call should cost.
    raise InvalidCredential(
        "Basic credentials need an API key (sk-parley-…) as the password; the user may be anything."
    )

"""Encrypts what is secret at rest: connection URLs, private signing keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import AfterValidator, SecretStr

from services.mesh.errors import FailedPrecondition


class Seal:
    """Fernet (AES-128-CBC with HMAC-SHA256) under a deployment's keys.

    Args:
        keys: Fernet keys, separated by commas: the first encrypts, all decrypt. Empty leaves texts as they are, and
            only what protects the storage protects them.

    Raises:
        ValueError: One of them is no key.
    """

    def __init__(self, keys: str) -> None:
        fernets = [Fernet(key.strip()) for key in keys.split(",") if key.strip()]
        self._first = fernets[0] if fernets else None
        self._all = MultiFernet(fernets) if fernets else None

    def seal(self, text: str) -> str:
        """What is stored for a text."""
        return f"plain:{text}" if self._first is None else f"fernet:{self._first.encrypt(text.encode()).decode()}"

    def open(self, stored: str, fault: str, metadata: Mapping[str, str] | None = None) -> str:
        """The text again.

        Args:
            stored: What `seal` gave.
            fault: What to say where the key is missing or another.
            metadata: What to say besides.

        Raises:
            FailedPrecondition: The key is missing or another.
        """
        scheme, _, text = stored.partition(":")
        if scheme == "plain":
            return text
        try:
            if self._all is None:
                raise InvalidToken
            return self._all.decrypt(text.encode()).decode()
        except InvalidToken:
            raise FailedPrecondition(fault, metadata=metadata) from None

    def renewed(self, stored: str) -> str | None:
        """What is stored under the first key; None where it is so already, or cannot be opened."""
        if self._first is None or self._all is None:
            return None
        scheme, _, text = stored.partition(":")
        if scheme == "plain":
            return self.seal(text)
        try:
            self._first.decrypt(text.encode())
        except InvalidToken:
            try:
                return f"fernet:{self._all.rotate(text.encode()).decode()}"
            except InvalidToken:
                return None
        return None


def _checked(keys: SecretStr) -> SecretStr:
    """Says that a key is none before anything is stored under it."""
    Seal(keys.get_secret_value())
    return keys


Keys = Annotated[SecretStr, AfterValidator(_checked)]
"""A setting that holds the keys of a Seal; refused where one of them is no key."""

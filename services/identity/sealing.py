"""Encrypts what is secret at rest: private signing keys, and the verifiers of begun logins."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from services.mesh.errors import FailedPrecondition


class Seal:
    """Fernet (AES-128-CBC with HMAC-SHA256) under the deployment's keys.

    Args:
        keys: Fernet keys, separated by commas: the first encrypts, all decrypt. Empty leaves texts as they are, and
            only what protects the storage protects them.

    Raises:
        ValueError: One of them is no key.
    """

    def __init__(self, keys: str) -> None:
        fernets = [Fernet(key.strip()) for key in keys.split(",") if key.strip()]
        self._fernet = MultiFernet(fernets) if fernets else None

    def seal(self, text: str) -> str:
        """What is stored for a text."""
        return f"plain:{text}" if self._fernet is None else f"fernet:{self._fernet.encrypt(text.encode()).decode()}"

    def open(self, stored: str) -> str:
        """The text again. Raises FailedPrecondition where the key is missing or another."""
        scheme, _, text = stored.partition(":")
        if scheme == "plain":
            return text
        try:
            if self._fernet is None:
                raise InvalidToken
            return self._fernet.decrypt(text.encode()).decode()
        except InvalidToken:
            raise FailedPrecondition(
                "A secret was stored under another encryption key. Set that key again (PARLEY_IDENTITY_ENCRYPTION_KEY)."
            ) from None

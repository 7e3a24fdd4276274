"""Encrypts files in the age format (age-encryption.org/v1): to its own keys, or to SSH keys that people have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyrage

from deploy.backup.errors import BackupError

MAGIC = b"age-encryption.org/v1"


def encrypt(source: Path, target: Path, recipients: Sequence[str]) -> None:
    """Encrypts a file to everybody who may read it.

    Args:
        source: The file.
        target: Where the encrypted one goes; replaced.
        recipients: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`, or the name of a file with one of these on each line.

    Raises:
        BackupError: A recipient is none.
    """
    pyrage.encrypt_file(str(source), str(target), [one for text in recipients for one in _recipients(text)])


def is_encrypted(file: Path) -> bool:
    """Whether a file is in the age format."""
    with file.open("rb") as data:
        return data.read(len(MAGIC)) == MAGIC


def decrypt(source: Path, target: Path, identity: Path) -> None:
    """Decrypts a file; nothing is left of one that was changed or cut off.

    Args:
        source: The encrypted file.
        target: Where the file goes; replaced.
        identity: A file with the key: `AGE-SECRET-KEY-1…`, or an SSH private key without a passphrase.

    Raises:
        BackupError: The key is none, or not one that it was encrypted to; the file is damaged.
    """
    try:
        pyrage.decrypt_file(str(source), str(target), _identities(identity))
    except (pyrage.DecryptError, OSError) as error:
        target.unlink(missing_ok=True)
        raise BackupError(
            f"{source} cannot be decrypted with {identity}: {error}. It needs the key of a recipient that it was "
            "encrypted to, and the whole file."
        ) from None


def _recipients(text: str) -> list[Any]:
    """The public keys that a text is, or that are in the file that it names."""
    if not text.startswith(("age1", "ssh-")):
        try:
            lines = _lines(Path(text))
        except (OSError, UnicodeDecodeError) as error:
            raise BackupError(
                f"{text!r} is no recipient: it must be age1…, ssh-ed25519 …, ssh-rsa … or a file of these ({error})."
            ) from None
        found = [
            one for line in lines if line.strip() and not line.startswith("#") for one in _recipients(line.strip())
        ]
        if not found:
            raise BackupError(f"There is no recipient in {text}.")
        return found
    kind = pyrage.x25519 if text.startswith("age1") else pyrage.ssh
    try:
        return [kind.Recipient.from_str(text)]
    except pyrage.RecipientError as error:
        raise BackupError(f"{text[:40]!r} is no recipient that age knows: {error}.") from None


def _identities(file: Path) -> list[Any]:
    """The private keys in a file."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"The key file {file} cannot be read: {error}.") from None
    try:
        if text.startswith("-----"):
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        found = [pyrage.x25519.Identity.from_str(line) for line in _lines(file)]
    except pyrage.IdentityError as error:
        raise BackupError(f"{file} holds no key that age knows: {error}.") from None
    if not found:
        raise BackupError(f"There is no key in {file}.")
    return found


def _lines(file: Path) -> list[str]:
    """The lines of a file without comments and empty ones. Raises OSError and UnicodeDecodeError."""
    lines = (line.strip() for line in file.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]

"""Links by which a browser sees a picture: signed, for a while, for whoever has them.

A link names the picture, its organisation and when it expires, and has an HMAC-SHA256 over all three. Nothing is stored
of it: it ends with its time, with its picture, or with the key that signed it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from typing import Annotated
from urllib.parse import urlencode

from itsdangerous import Signer
from pydantic import AfterValidator, SecretStr

from services.image.drawing import Picture
from services.image.errors import LinkNotValid
from services.mesh import context

KEY_BYTES = 32
# What these keys sign besides, should they ever sign something else, is not taken for a link.
SALT = b"parley.image.link"


class Links:
    """Makes links and checks them.

    Args:
        keys: As the setting has them: the first signs, all are good. Without one there are no links.
        seconds: How long a link is good.
    """

    def __init__(self, keys: str, seconds: float) -> None:
        found = decoded(keys)
        # The signer takes its keys the oldest first.
        self._signer = Signer(found[::-1], SALT, key_derivation="hmac", digest_method=hashlib.sha256) if found else None
        self._seconds = seconds

    def of(self, picture: Picture) -> str:
        """A link to a picture of the present call's organisation: path and query below the gateway's address.

        Empty for a picture that is not kept, and where there is no key.
        """
        if self._signer is None or not picture.id:
            return ""
        organisation = context.organisation()
        expires = int(min(time.time() + self._seconds, picture.expire_time.timestamp()))
        signature = self._signer.get_signature(_signed(organisation, picture.id, expires)).decode()
        query = {"organisation": organisation, "expires": expires, "signature": signature}
        return f"{picture.path}:view?{urlencode({name: value for name, value in query.items() if value != ''})}"

    def check(self, organisation: str, picture_id: str, expires: int, signature: str) -> None:
        """Raises LinkNotValid for a link that was not made here, or is over its time."""
        signed = _signed(organisation, picture_id, expires)
        # In constant time (hmac.compare_digest), and before anything is looked up.
        if self._signer is None or not self._signer.verify_signature(signed, signature) or expires <= time.time():
            raise LinkNotValid


def _signed(organisation: str, picture_id: str, expires: int) -> bytes:
    """What is signed. The last two have no line breaks, so that it can be taken apart in one way only."""
    return f"{organisation}\n{picture_id}\n{expires}".encode()


def decoded(keys: str) -> list[bytes]:
    """Keys as the setting has them. Raises ValueError where one of them is none."""
    found = []
    for text in filter(None, (part.strip() for part in keys.split(","))):
        try:
            key = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(f"each key must be {KEY_BYTES} random bytes in urlsafe base64")
        found.append(key)
    return found


def _checked(keys: SecretStr) -> SecretStr:
    """Says that a key is none before anything is signed with it."""
    decoded(keys.get_secret_value())
    return keys


LinkKeys = Annotated[SecretStr, AfterValidator(_checked)]
"""A setting that holds the keys of Links; refused where one of them is none."""

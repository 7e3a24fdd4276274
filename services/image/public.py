"""Under which address clients find pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.mesh.errors import InvalidArgument

# Set by the gateway: the host that the client asked, and how.
FORWARDED_HOST = "x-forwarded-host"
FORWARDED_PROTO = "x-forwarded-proto"
HOST = re.compile(r"(?:[a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")


class Address:
    """Finds the address that a client can use.

    Args:
        public_url: What the deployment says of itself, e.g. `https://parley.example.com`; empty: what the client asked.
    """

    def __init__(self, public_url: str = "") -> None:
        self._public_url = public_url.rstrip("/")

    def of(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
        """The address without a slash at its end, from a call's metadata.

        Raises:
            InvalidArgument: Neither the deployment nor the call says one.
        """
        if self._public_url:
            return self._public_url
        values = {key: value for key, value in metadata or () if isinstance(value, str)}
        host = values.get(FORWARDED_HOST, "")
        if not HOST.fullmatch(host):
            raise InvalidArgument(
                "response_format",
                "this deployment does not know its own address: ask for b64_json, or set PARLEY_IMAGE_PUBLIC_URL",
            )
        scheme = "https" if values.get(FORWARDED_PROTO) == "https" else "http"
        return f"{scheme}://{host}"

"""Who calls this service's own methods.

It is the one service that trusts no header about that: it looks at the credential itself, which the gateway passes
on to it alone. So nobody who reaches its port becomes somebody else by writing a header.
"""

from __future__ import annotations

from typing import Any

import grpc

from services.identity.caller import Caller, Origin
from services.identity.decision import Decision
from services.mesh import context as calls

Context = grpc.aio.ServicerContext[Any, Any]


class Callers:
    """Finds out who calls.

    Args:
        decision: Knows credentials and methods.
    """

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    async def of(self, context: Context) -> Caller:
        """Who makes this call.

        Raises:
            InvalidCredential: There is no valid credential.
            NotAllowed: The credential may not call this method.
        """
        call = calls.current()
        return await self._decision.caller(_metadata(context), call.method if call else "", origin(context))


def origin(context: Context) -> Origin:
    """Where a call comes from: as the gateway says, or else the peer itself."""
    call = calls.current()
    peer = context.peer().split(":", 1)[-1].rpartition(":")[0].replace("%5B", "").replace("%5D", "")
    return Origin(_metadata(context).get(calls.ADDRESS, peer), call.request_id if call else "")


def _metadata(context: Context) -> dict[str, str]:
    """The text metadata of a call; of a repeated key nothing is taken for its value."""
    found: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            found[key] = f"{found[key]},{value}" if key in found else value
    return found

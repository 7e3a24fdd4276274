"""People of two organisations, and how the services answer those whose things they are not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

Metadata = tuple[tuple[str, str], ...]


def identity(organisation: str, user: str) -> Metadata:
    """The metadata of somebody's calls, as the gateway sets it."""
    return (("x-parley-identity-subject", f"{organisation}/{user}"),)


ANN, BOB, EVE = identity("acme", "ann"), identity("acme", "bob"), identity("rival", "eve")
"""Two of one organisation, and one of another."""
NOBODY: Metadata = ()
"""Somebody whom the gateway did not name: a test of one service, or a benchmark."""


async def answer(call: Any) -> tuple[str, str]:
    """Code and message of a call, whose responses are read if they are a stream."""
    try:
        if hasattr(call, "__aiter__"):
            async for _response in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


async def does_not_exist(call: Callable[[str, Metadata], Any], name: str, *people: Metadata) -> None:
    """Fails unless a call answers these people about a thing as if there were none, word by word.

    Args:
        call: Makes the call about the thing of that name.
        name: Of a thing that is there, and somebody else's.
        people: Who call.
    """
    collection, _, identifier = name.rpartition("/")
    absent = f"{collection}/{''.join(reversed(identifier))}"
    for person in people:
        there, not_there = await answer(call(name, person)), await answer(call(absent, person))
        assert there[0] == "NOT_FOUND", (name, person, there)
        assert there == (not_there[0], not_there[1].replace(absent, name)), person


async def refused(call: Awaitable[object]) -> grpc.StatusCode:
    """The code of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()

"""What calls use, in the services' own units: counted where it is used, for the caller and the key of the call.

A service says `usage.add(Unit.ROWS, 256)` wherever it has done so much, streams included: what was done before a caller
hung up has been used. Work that goes on after its call takes a `Tab` along. services/mesh/reporter.py sends it on.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from services.mesh import context

LONGEST_SUBJECT = 130
"""Characters of {organisation}/{user}; nobody that identity knows has a longer one."""


class Unit(enum.StrEnum):
    """What is counted; the names are those of the contract's enum."""

    TOKENS = "tokens"
    """Tokens that a language model read and wrote."""
    AUDIO_SECONDS = "audio_seconds"
    """Seconds of audio that were recognised or made."""
    MEGAPIXEL_STEPS = "megapixel_steps"
    """Megapixels times diffusion steps."""
    ROWS = "rows"
    """Rows that were read from a database."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose usage it is."""

    subject: str
    """{organisation}/{user}."""
    key_id: str = ""
    """The API key's id; empty for tokens, and for work that outlived its call."""


class Meter(Protocol):
    """Takes what was used. It never waits, and never fails."""

    def used(self, payer: Payer, unit: Unit, amount: float, model: str) -> None:
        """Adds an amount."""


@dataclass(frozen=True, slots=True)
class Tab:
    """Where work is written down that may outlive its call."""

    meter: Meter | None = None
    payer: Payer | None = None

    def add(self, unit: Unit, amount: float, model: str = "") -> None:
        """Adds an amount, where somebody is known whose it is, and somebody counts.

        Args:
            unit: What.
            amount: How much of it.
            model: By which model; empty where none was.
        """
        if self.meter is not None and self.payer is not None and amount > 0:
            self.meter.used(self.payer, unit, amount, model)


_meter: ContextVar[Meter | None] = ContextVar("parley_meter", default=None)
_tab: ContextVar[Tab | None] = ContextVar("parley_tab", default=None)


def enter(meter: Meter | None) -> None:
    """Makes a meter that of this task and of those that it starts."""
    _meter.set(meter)


@contextlib.contextmanager
def charged(tab: Tab) -> Iterator[None]:
    """For the block, and tasks that it starts, work is written down there: for work outside of calls."""
    token = _tab.set(tab)
    try:
        yield
    finally:
        _tab.reset(token)


def tab() -> Tab:
    """Where the present work is written down: the call's, or the one that `charged` names."""
    named = _tab.get()
    if named is not None:
        return named
    call, meter = context.current(), _meter.get()
    if call is None or meter is None:
        return Tab()
    identity = dict(call.identity)
    return Tab(meter, payer(identity.get(context.SUBJECT, ""), identity.get(context.KEY, "")))


def payer(subject: str, key_id: str = "") -> Payer | None:
    """Who pays, by the subject of an identity; None for who is nobody that identity knows."""
    known = "/" in subject and len(subject) <= LONGEST_SUBJECT
    return Payer(subject, key_id) if known else None


def add(unit: Unit, amount: float, model: str = "") -> None:
    """Adds to what the caller of the present call has used; see Tab.add."""
    tab().add(unit, amount, model)

"""Keeps what was loaded within a budget: what was not used for longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class BudgetError(RuntimeError):
    """Something is larger than the whole budget, so that nothing can make room for it."""


class Pool(Generic[T]):
    """Loaded things by name, the one used last at the end.

    Args:
        budget: Bytes for all of them.
        freed: Called after things were let go: their memory may have to be given back.
    """

    def __init__(self, budget: int, freed: Callable[[], None] = lambda: None) -> None:
        self._budget, self._freed = budget, freed
        self._held: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def __iter__(self) -> Iterator[str]:
        """The names of what is loaded."""
        return iter(list(self._held))

    @property
    def used(self) -> int:
        """Bytes of the budget that are taken."""
        return sum(size for _, size in self._held.values())

    def get(self, name: str, size: int, load: Callable[[], T], keep: frozenset[str] = frozenset()) -> T:
        """What has that name, loaded where it is not.

        Args:
            name: Its name.
            size: Bytes that it takes.
            load: Loads it. What it raises is raised, and nothing is kept then.
            keep: What is in use meanwhile and has to stay.

        Raises:
            BudgetError: it does not fit, whatever else goes.
        """
        if name in self._held:
            self._held.move_to_end(name)
            return self._held[name][0]
        kept = sum(held for other, (_, held) in self._held.items() if other in keep)
        if size + kept > self._budget:
            beside = f" beside {kept / 1e9:.1f} GB in use" if kept else ""
            raise BudgetError(f"{size / 1e9:.1f} GB{beside}; the budget is {self._budget / 1e9:.1f} GB")
        idle = (other for other in self if other not in keep)
        while self.used + size > self._budget:
            self.drop(next(idle))
        self._held[name] = load(), size
        return self._held[name][0]

    def drop(self, name: str) -> None:
        """Lets something go; nothing happens where it is not loaded."""
        if self._held.pop(name, None):
            self._freed()

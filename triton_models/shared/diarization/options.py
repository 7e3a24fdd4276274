"""What a request says about the speakers, read from the JSON of the `options` tensor."""

from __future__ import annotations

import json
from typing import NamedTuple

from triton_models.shared.errors import InputError

MOST = 32  # speakers in one request
FIELDS = ("speakers", "min_speakers", "max_speakers")


class Options(NamedTuple):
    """How many speakers there are."""

    least: int = 1
    most: int = MOST

    @classmethod
    def parse(cls, data: bytes) -> Options:
        """Reads `{"speakers": n, "min_speakers": n, "max_speakers": n}`, all optional; no bytes are no hints.

        Raises:
            InputError: it is something else, or the numbers contradict each other.
        """
        if not data:
            return cls()
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"options: not JSON ({error})") from None
        if not isinstance(fields, dict):
            raise InputError("options: must be a JSON object")
        if unknown := sorted(fields.keys() - set(FIELDS)):
            raise InputError(f"options: no field {unknown[0][:40]!r}; there are {', '.join(FIELDS)}")
        exact, least, most = (_count(fields.get(name), name) for name in FIELDS)
        if exact is not None:
            if (least or exact) > exact or (most or exact) < exact:
                raise InputError("options.speakers: not between min_speakers and max_speakers; leave those away")
            return cls(exact, exact)
        if (least or 1) > (most or MOST):
            raise InputError("options.min_speakers: larger than max_speakers")
        return cls(least or 1, most or MOST)

    def within(self, count: int) -> int:
        """The nearest allowed number of speakers."""
        return min(max(count, self.least), self.most)


def _count(value: object, name: str) -> int | None:
    """A number of speakers; None for none given."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise InputError(f"options.{name}: must be a whole number from 1 to {MOST}")
    return value

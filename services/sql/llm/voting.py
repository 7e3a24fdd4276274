"""Execution-consistency voting: of several statements, the one whose result most others share is likeliest right.

Majority over results instead of texts, as in Ni et al. (LEVER, 2023), Li et al. (AlphaCode, 2022) and Gao et al. (2024,
self-consistency for text-to-SQL), after Wang et al. (2023).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.sql.query import Trial
from services.sql.schema import Dialect


@dataclass(frozen=True)
class Ballot:
    """A statement with what it gave."""

    number: int
    """Which candidate it is, from 0: the first was written without chance."""
    sql: str
    trial: Trial


@dataclass(frozen=True)
class Elected:
    """The statement that won."""

    ballot: Ballot
    share: float
    """The part of the statements that ran which gave its result, from 0 to 1."""
    votes: int
    others: tuple[Ballot, ...]
    """The first statement of each other result, the most frequent first."""


def elect(ballots: Sequence[Ballot], dialect: Dialect) -> Elected | None:
    """The winner; None where no statement ran. An empty result wins only where nothing else has as many votes."""
    groups: dict[Hashable, list[Ballot]] = {}
    for ballot in sorted(ballots, key=lambda item: item.number):
        if not ballot.trial.error:
            groups.setdefault(result_of(ballot, dialect), []).append(ballot)
    if not groups:
        return None
    ranked = sorted(groups.values(), key=lambda group: (-len(group), not group[0].trial.rows, group[0].number))
    best, *rest = ranked
    total = sum(map(len, ranked))
    return Elected(best[0], len(best) / total, len(best), tuple(group[0] for group in rest))


def decided(ballots: Sequence[Ballot], left: int, dialect: Dialect) -> bool:
    """Whether the statements that are still to come cannot change the winner."""
    counts = Counter(result_of(ballot, dialect) for ballot in ballots if not ballot.trial.error).most_common(2)
    if not counts:
        return False
    second = counts[1][1] if len(counts) > 1 else 0
    return counts[0][1] > second + left


def result_of(ballot: Ballot, dialect: Dialect) -> Hashable:
    """The same for statements that give the same rows; the rows' order counts where the statement asks for one."""
    rows = [tuple(_plain(value) for value in row) for row in ballot.trial.rows]
    if _ordered(ballot.sql, dialect):
        return tuple(rows)
    return frozenset(Counter(rows).items())


def _plain(value: object) -> str:
    """Numbers to six digits: sums come in another order, and with other noise."""
    return f"{float(value):.6g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else repr(value)


def _ordered(sql: str, dialect: Dialect) -> bool:
    try:
        tree = sqlglot.parse_one(sql, dialect=dialect.grammar)
    except SqlglotError:
        return False
    return isinstance(tree, exp.Query) and tree.args.get("order") is not None

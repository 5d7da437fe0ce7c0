"""What a row of the bench yields: figures, each a ratio or an amount measured several times in one run."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

R = TypeVar("R")


class Skipped(Exception):
    """A row cannot be measured here, and why."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One claim and what was measured of it.

    Parameters
    ----------
    values
        One of each round: ratios, or amounts in `unit`.
    bar
        What the median must reach; None where the figure only explains another one.
    at_most
        Whether the bar is an upper one.
    details
        What the values were computed from, by name.
    """

    what: str
    against: str
    values: Sequence[float]
    bar: float | None
    at_most: bool = False
    unit: str = "×"
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def is_reached(self) -> bool | None:
        """Whether the median holds the bar; None without one."""
        if self.bar is None:
            return None
        compare = operator.le if self.at_most else operator.ge
        return bool(compare(self.median, self.bar))

    def as_dict(self) -> dict[str, Any]:
        """As `bench/results.json` keeps it; the keys are `of`'s."""
        return asdict(self) | {"values": list(self.values)}

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Figure:
        """The figure that `as_dict` gave."""
        return cls(**kept)


def interleaved(rounds: int, *works: Callable[[], R]) -> list[tuple[R, ...]]:
    """What the works return, round by round, each round in the other order than the one before.

    So a machine that grows slower or faster meanwhile favours none of them.

    >>> interleaved(2, lambda: "a", lambda: "b")
    [('a', 'b'), ('a', 'b')]
    """
    found = []
    for number in range(rounds):
        step = 1 if number % 2 == 0 else -1
        results = [work() for work in works[::step]]
        found.append(tuple(results[::step]))
    return found


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round.

    >>> ratios([1.0, 3.0], [2.0, 3.0])
    [0.5, 1.0]
    """
    return [one / other for one, other in zip(above, below, strict=True)]

"""The predictors drivers use today: what remained of the last lap, the best lap, the mean of five."""

import numpy as np

from learning.history import AT_PACE, SHARES
from learning.laps import Floats

NAMES = ("last_lap", "best_lap", "mean_of_five")
_LAST = 5


class References:
    """The three reference predictors over the laps at pace, which every model is measured against."""

    def __init__(self) -> None:
        self._last: list[tuple[float, Floats]] = []
        self._best: tuple[float, Floats] | None = None

    @property
    def best(self) -> float | None:
        """The lowest time so far, in seconds."""
        return self._best[0] if self._best else None

    @property
    def laps(self) -> tuple[tuple[tuple[float, Floats], ...], tuple[float, Floats]]:
        """The last laps, oldest first, and the best, each with its time and its elapsed seconds at each mark.

        Raises
        ------
        ValueError
            There is none yet.
        """
        if self._best is None:
            raise ValueError("no lap was added")
        return tuple(self._last), self._best

    @property
    def limit(self) -> float:
        """107 % of the best so far in seconds, without end before the first lap."""
        return AT_PACE * self._best[0] if self._best else float("inf")

    def is_at_pace(self, lap_time: float) -> bool:
        """Whether a lap is within 107 % of the best so far, its own time included."""
        return lap_time <= self.limit

    def add(self, lap_time: float, trace: Floats) -> None:
        """Takes a whole lap with its elapsed seconds at each mark; one not at pace is passed over."""
        if not self.is_at_pace(lap_time):
            return
        self._last = [*self._last, (lap_time, trace)][-_LAST:]
        if self._best is None or lap_time < self._best[0]:
            self._best = (lap_time, trace)

    def predict(self, position: float, elapsed: float) -> dict[str, float]:
        """Lap times by name, in seconds; empty before the first lap."""
        if self._best is None:
            return {}
        remaining = [_remaining(lap, position) for lap in self._last]
        answers = (remaining[-1], _remaining(self._best, position), float(np.mean(remaining)))
        return {name: elapsed + answer for name, answer in zip(NAMES, answers, strict=True)}


def _remaining(lap: tuple[float, Floats], position: float) -> float:
    lap_time, trace = lap
    return lap_time - (float(np.interp(position, SHARES, trace)) if position else 0.0)

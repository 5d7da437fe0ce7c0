"""What remained in earlier laps, from the point that a lap being driven has come to."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.history import AT_PACE, LapHistory
from learning.known import Moments
from learning.laps import Floats
from learning.likeness import terms_of

SLACK = 0.06  # how far beyond the pace a lap may seem at its start before it is given up
CLUES = 5
CLUE_LIMIT = 3.0
_LAST = 5  # laps whose mean is a clue
_KMH = 20.0  # the unit of the clue of speed
MIDDLE = (0.2, 0.8)  # the answer is the mean of this part of the weighted laps: steadier than their median
FORGOTTEN = 80.0  # a lap counts at least the exponential of minus this
_FEW = 100  # laps whose weights a product of matrices adds up faster


class Past:
    """Earlier laps as seen from some points of laps being driven."""

    def __init__(self, now: Moments, history: LapHistory) -> None:
        self.now = now
        self.history = history
        self.best = history.best_time
        self.at = history.at(now.left, now.beyond)
        self.remaining = history.lap_time - self.at[0]
        self._order = self.remaining.argsort(axis=1)
        places = self._places(1)[:, 0]
        self._ordered = self.remaining.take(places)
        self._steps = self._ordered[:, 1:] - self._ordered[:, :-1]

    def middles(self, weights: NDArray[np.float32]) -> Floats:
        """Shape (m, k): the mean of the middle part of the remaining times, under each of k weightings.

        Parameters
        ----------
        weights
            Shape (m, k, laps), what each lap counts; they add up to 1.
        """
        (low, high), ordered = MIDDLE, self._ordered
        inside = _running_sums(weights.take(self._places(weights.shape[1])[:, :, :-1]))
        np.minimum(np.maximum(inside, low, out=inside), high, out=inside)
        between = np.einsum("mkl,ml->mk", inside, self._steps)  # summed by parts
        middles: Floats = ordered[:, -1:] * high - ordered[:, :1] * low - between
        middles /= high - low
        return middles

    def _places(self, times: int) -> NDArray[np.intp]:
        """Shape (m, times, laps): where in an array of that shape the laps are, by remaining time."""
        places: NDArray[np.intp] = self._order[:, None]
        count, laps = len(places) * times, places.shape[2]
        if count > 1:
            places = places + np.arange(0, count * laps, laps).reshape(-1, times, 1)
        return places

    def lost(self) -> NDArray[np.bool_]:
        """Whether a lap can hardly be one at pace any more, even with the rest of the best lap."""
        slowest = limit(self.history)
        seconds = self.now.elapsed + self.remaining[:, self.history.best]
        seconds += self.now.position * (slowest * SLACK)  # less is forgiven as the lap goes on
        lost: NDArray[np.bool_] = seconds > slowest * (1 + SLACK)
        return lost

    def clues(self, weights: NDArray[Any], answers: Floats) -> Floats:
        """Shape (m, 5): how a lap differs from those it goes by, in percent of the best lap and 20 km/h.

        Parameters
        ----------
        weights
            Shape (m, 1, laps), what each lap counts.
        """
        now, remaining = self.now, self.remaining
        last = remaining[:, -_LAST:]
        clues = np.empty((len(now), CLUES))
        np.subtract(now.here[:, :2], (weights @ self.at.transpose(1, 2, 0))[:, 0], out=clues[:, :2])
        clues[:, 2] = remaining[:, -1]
        clues[:, 3] = self._ordered[:, 0]
        np.matmul(last, _evenly(last.shape[1]), out=clues[:, 4])
        clues[:, 2:] += (now.elapsed - answers)[:, None]
        clues /= _clue_units(self.best)
        clues[np.isnan(clues)] = 0.0
        return np.minimum(np.maximum(clues, -CLUE_LIMIT, out=clues), CLUE_LIMIT, out=clues)

    def weights(self, theta: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (m, experts, laps): what each lap counts for each expert, unless divided by their sums.

        Parameters
        ----------
        theta
            Shape (m or 1, experts, terms), what each term counts for each expert.
        """
        terms = terms_of(self.now, self.history, self.at)
        weights: NDArray[np.float32] = theta @ terms.transpose(1, 0, 2)
        np.maximum(weights, -FORGOTTEN, out=weights)
        return np.exp(weights, out=weights)


def _running_sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the last axis of (m, k, laps); of few values a product of matrices is faster."""
    points, times, laps = values.shape
    if laps > _FEW:
        return values.cumsum(axis=2)
    running: NDArray[np.float32] = values.reshape(points * times, laps) @ _triangle(laps)
    return running.reshape(values.shape)


@lru_cache(maxsize=16)
def _triangle(size: int) -> NDArray[np.float32]:
    return np.triu(np.ones((size, size), dtype=np.float32))


@lru_cache(maxsize=_LAST)
def _evenly(laps: int) -> Floats:
    return np.full(laps, 1 / laps)


@lru_cache(maxsize=256)
def _clue_units(best: float) -> Floats:
    """Percent of the best lap, but for the speed."""
    return np.array([best / 100, _KMH, best / 100, best / 100, best / 100])


def limit(history: LapHistory) -> float:
    """The slowest lap at pace, in seconds."""
    return AT_PACE * history.best_time

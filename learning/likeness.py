"""How like a lap being driven earlier laps are, as seen from the point it has come to."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.history import AT_PACE, LapHistory
from learning.known import Moments
from learning.laps import SPLITS, Floats

# What an earlier lap can have in common with the one being driven: shape, then what held when they began.
SHAPE = ("splits", "last_splits", "speeds", "last_speeds", "elapsed")
_SITUATION = ("tyre_life", "outing_lap", "previous_lap")
TERMS = (*SHAPE, *_SITUATION, "age", "age_elsewhere", "other_outing", "other_compound")
_LAST_SPLITS, _LAST_SPEEDS = 4, 2
_MINI = 1 / SPLITS
# Differences smaller than these are none: squares, as shares of the lap time's or of km/h; laps; logarithm.
_SAME_TIME = {"splits": 5e-5 * _MINI**2, "last_splits": 5e-5 * _MINI**2, "elapsed": 2e-6}
_SAME = {"speeds": 8.0, "last_speeds": 8.0, "tyre_life": 1.0, "outing_lap": 1.0, "previous_lap": 0.004}
NARROW = 0.35  # a likeness's width, in harmonic means of the distances
UNLIKE = 50.0  # widths beyond which a lap is as unlike as any
FAR = 1e9  # in place of a distance that is not known
ANOTHER_PACE = 0.1  # the laps before differ by this much of their time, or one had no lap before
FORGOTTEN = 80.0  # a lap counts at least the exponential of minus this
SLACK = 0.06  # how far beyond the pace a lap may seem at its start before it is given up
_BLOCK = 8
CLUES = 5
CLUE_LIMIT = 3.0
_PERCENT = np.array([1.0, 0.0, 1.0, 1.0, 1.0])[:, None]  # the units of the clues: percent of the best lap,
_KMH = np.array([0.0, 20.0, 0.0, 0.0, 0.0])[:, None]  # but for the speed
_REMEMBERED = 16  # situations
_HALF, _LEAST = np.float32(0.5), np.float32(1e-9)
KINDS = (*SHAPE, *_SITUATION)
FLOORS = np.array([_SAME.get(name, 0.0) for name in KINDS], dtype=np.float32)
TIME_FLOORS = np.array([_SAME_TIME.get(name, 0.0) for name in KINDS], dtype=np.float32)
_SITUATION_FLOORS = FLOORS[len(SHAPE) :, None]


def _shares() -> NDArray[np.float32]:
    """What each mark counts by how many splits and speeds are known, in the order of `SHAPE`.

    Shape (20, 21, 4, 39); what is missing to 1 is left for the very point.
    """
    shares = np.zeros((SPLITS, SPLITS + 1, 4, 2 * SPLITS - 1), dtype=np.float32)
    for splits in range(1, SPLITS):
        shares[splits, :, 0, :splits] = 1 / (splits + 1)
        last = min(splits, _LAST_SPLITS)
        shares[splits, :, 1, splits - last : splits] = 1 / (last + 1)
    for speeds in range(1, SPLITS + 1):
        shares[:, speeds, 2, SPLITS - 1 : SPLITS - 1 + speeds] = 1 / (speeds + 1)
        last = min(speeds, _LAST_SPEEDS)
        shares[:, speeds, 3, SPLITS - 1 + speeds - last : SPLITS - 1 + speeds] = 1 / (last + 1)
    return shares


SHARES = _shares()
SHARES_HERE = 1 - SHARES.sum(axis=3)
_PARTS = np.concatenate([-2 * SHARES, SHARES], axis=3)  # what (a - b)² is summed from: -2 a b and b²


def _shares_here() -> NDArray[np.float32]:
    """Shape (20, 21, 5, 4): what elapsed, speed, time since the last split and 1 count for each shape."""
    shares = np.zeros((SPLITS, SPLITS + 1, len(SHAPE), 4), dtype=np.float32)
    shares[:, :, :2, 2] = SHARES_HERE[:, :, :2]
    shares[:, :, 2:4, 1] = SHARES_HERE[:, :, 2:]
    shares[:, :, 4, 0] = 1.0
    return shares


_SHARES_HERE = _shares_here()


class Past:
    """Earlier laps as seen from some points of laps being driven."""

    def __init__(self, now: Moments, history: LapHistory) -> None:
        self.now = now
        self.history = history
        self.best = history.best_time
        self.at = history.at(now.position)
        self.remaining = history.lap_time - self.at[:, 0]
        self._terms: NDArray[np.float32] | None = None

    def lost(self) -> NDArray[np.bool_]:
        """Whether a lap can hardly be one at pace any more, even with the rest of the best lap."""
        slowest = limit(self.history) * (1 + SLACK * (1 - self.now.position))
        lost: NDArray[np.bool_] = self.now.elapsed + self.remaining[:, self.history.best] > slowest
        return lost

    def clues(self, weights: NDArray[Any], answers: Floats) -> Floats:
        """Shape (m, 5): how a lap differs from those it goes by, in percent of the best lap and 20 km/h."""
        now, remaining, percent = self.now, self.remaining, self.best / 100
        usual = np.matmul(self.at, weights[:, :, None])[:, :, 0].T
        last = remaining[:, -5:]
        clues = np.empty((CLUES, len(now)))
        np.subtract(now.here.T, usual, out=clues[:2])
        clues[2], clues[3], clues[4] = (
            remaining[:, -1],
            remaining.min(axis=1),
            last.sum(axis=1) / last.shape[1],
        )
        clues[2:] += now.elapsed - answers
        clues /= percent * _PERCENT + _KMH
        here = clues[1]
        here[(now.position == 0) | (here != here)] = 0.0
        return np.minimum(np.maximum(clues, -CLUE_LIMIT, out=clues), CLUE_LIMIT, out=clues).T

    def weights(self, theta: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (m, experts, laps): what each lap counts for each expert, unless divided by their sums.

        Parameters
        ----------
        theta
            Shape (m or 1, experts, terms), what each term counts for each expert.
        """
        if self._terms is None:
            self._terms = self._described()
        weights: NDArray[np.float32] = theta @ self._terms
        np.maximum(weights, -FORGOTTEN, out=weights)
        return np.exp(weights, out=weights)

    def _described(self) -> NDArray[np.float32]:
        """Shape (m, terms, laps): likenesses in widths, ages in laps, other outing and compound as 1."""
        shapes = len(SHAPE)
        terms = np.empty((len(self.now), len(TERMS), len(self.history)), dtype=np.float32)
        alike = terms[:, :shapes]
        self._compare(alike)
        _in_widths(alike, alike)
        if len(terms) == 1:
            terms[:, shapes:] = self._situated_once(self.now.facts)
        else:
            facts, which = _distinct(self.now.facts)
            terms[:, shapes:] = self._situated(facts)[which]
        return terms

    def _compare(self, distances: NDArray[np.float32]) -> None:
        """Fills in how unlike in shape each lap is, its floor added, shape (m, shapes, laps).

        What is not known is the same for all laps, and so tells nothing.
        """
        now, history = self.now, self.history
        started, marks = now.position > 0, len(history.centre)
        splits, speeds = (now.known * started[:, None]).T
        own = np.ones((len(now), 1, 2 * marks), dtype=np.float32)
        own[:, 0, :marks] = now.marks - history.centre
        parts = _PARTS[splits, speeds] * own
        here = np.ones((len(now), 4, len(history)), dtype=np.float32)
        np.subtract(self.at, now.here[:, :, None].astype(np.float32), out=here[:, :2])
        np.subtract(here[:, 0], history.splits[splits], out=here[:, 2])
        here[:, 2] += now.last_split[:, None].astype(np.float32)
        np.square(here, out=here)
        np.fmin(here, FAR, out=here)
        shares = _SHARES_HERE[splits, speeds] * started[:, None, None]
        shares[:, :4, 3:] -= (parts[:, :, :marks] @ own[:, 0, :marks, None]) * _HALF
        shares[:, :, 3] += _shape_floors(self.best)
        np.matmul(shares, here, out=distances)
        distances[:, :4] += parts @ history.marks
        np.maximum(distances, _LEAST, out=distances)

    def _situated_once(self, facts: Floats) -> NDArray[np.float32]:
        """The same for one row, remembered, as frames of a lap come one after another."""
        known, key = self.history.situated, facts.tobytes()
        if (terms := known.get(key)) is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            terms = known[key] = self._situated(facts)
        return terms

    def _situated(self, facts: Floats) -> NDArray[np.float32]:
        """The terms after those of the shape, for each row of facts."""
        history, kinds = self.history, len(_SITUATION)
        terms = np.empty((len(facts), len(TERMS) - len(SHAPE), len(history)), dtype=np.float32)
        alike, driven = terms[:, :kinds], facts[:, 1:4, None].astype(np.float32)
        np.subtract(history.situations, driven, out=alike)
        np.abs(alike, out=alike)
        np.minimum(alike[:, 2], ANOTHER_PACE, out=alike[:, 2])
        np.copyto(alike, 0.0, where=driven != driven)
        np.fmin(alike, FAR, out=alike)
        _in_widths(alike, alike + _SITUATION_FLOORS)
        elsewhere = history.facts[0] != facts[:, :1]
        alike *= elsewhere[:, None]
        np.multiply(history.age, elsewhere, out=terms[:, -3])
        np.subtract(history.age, terms[:, -3], out=terms[:, -4])
        terms[:, -2] = elsewhere
        terms[:, -1] = history.facts[4] != facts[:, 4:]
        return terms


def _in_widths(distances: NDArray[np.float32], padded: NDArray[np.float32]) -> None:
    """Counts distances, shape (m, kinds, laps), in the widths that follow from them and their floors."""
    distances *= sums(np.reciprocal(padded)) * np.float32(1 / (NARROW * distances.shape[2]))
    np.minimum(distances, UNLIKE, out=distances)


def _distinct(facts: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """The rows that differ, and which of them each row is: frames of a lap began alike."""
    found: dict[bytes, int] = {}
    width = facts.shape[1] * facts.itemsize
    which = [found.setdefault(row, len(found)) for row in facts.view(f"V{width}")[:, 0].tolist()]
    return np.frombuffer(b"".join(found)).reshape(len(found), -1), np.array(which)


def sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (m, k, 1): the sums along the last axis of (m, k, laps)."""
    return values @ _ones(values.shape[2])


@lru_cache(maxsize=256)
def _ones(laps: int) -> NDArray[np.float32]:
    return np.ones((laps, 1), dtype=np.float32)


@lru_cache(maxsize=256)
def _shape_floors(best: float) -> NDArray[np.float32]:
    """Of the kinds of shape, with a best lap of so many seconds."""
    floors: NDArray[np.float32] = (FLOORS + best**2 * TIME_FLOORS)[: len(SHAPE)]
    return floors


def limit(history: LapHistory) -> float:
    """The slowest lap at pace, in seconds."""
    return AT_PACE * history.best_time

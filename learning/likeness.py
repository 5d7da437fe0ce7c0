"""How like a lap being driven earlier laps are, as seen from the point it has come to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.history import AT_PACE, MARKS_PER_SPLIT, LapHistory, Moments
from learning.laps import SPLITS, Floats

# What an earlier lap can have in common with the one being driven: shape, then what held when they began.
_SHAPE = ("splits", "last_splits", "speeds", "last_speeds", "elapsed")
_SITUATION = ("tyre_life", "outing_lap", "previous_lap")
TERMS = (*_SHAPE, *_SITUATION, "age", "age_elsewhere", "other_outing", "other_compound")
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
KINDS = (*_SHAPE, *_SITUATION)
FLOORS = np.array([_SAME.get(name, 0.0) for name in KINDS], dtype=np.float32)[:, None, None]
TIME_FLOORS = np.array([_SAME_TIME.get(name, 0.0) for name in KINDS], dtype=np.float32)[:, None, None]


def _shares() -> NDArray[np.float32]:
    """What each mark counts by how many splits and speeds are known, in the order of `_SHAPE`.

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


class Past:
    """Earlier laps as seen from some points of laps being driven."""

    def __init__(self, now: Moments, history: LapHistory) -> None:
        self.now = now
        self.history = history
        self.best = float(history.lap_time[history.best])
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
        usual = np.einsum("mn,mkn->km", weights, self.at)
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

    def weights(self, theta: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        """Shape (experts, m, laps): what each lap counts for each expert, adding up to 1."""
        if self._terms is None:
            self._terms = self._described()
        terms = self._terms[:, rows]
        flat = theta @ terms.reshape(len(TERMS), -1)
        np.maximum(flat, -FORGOTTEN, out=flat)
        weights: NDArray[np.float32] = np.exp(flat, out=flat).reshape(len(theta), *terms.shape[1:])
        weights /= weights.sum(axis=2, keepdims=True)
        return weights

    def _described(self) -> NDArray[np.float32]:
        """Shape (terms, m, laps): likenesses in widths, ages in laps, other outing and compound as 1."""
        now, history = self.now, self.history
        shapes, kinds = len(_SHAPE), len(FLOORS)
        terms = np.empty((len(TERMS), len(now), len(history)), dtype=np.float32)
        self._compare(terms[:kinds])
        floors = FLOORS + self.best**2 * TIME_FLOORS
        inverse = 1 / (terms[:kinds] + floors)
        terms[:kinds] *= inverse.sum(axis=2, keepdims=True) / (NARROW * len(history))
        np.minimum(terms[:kinds], UNLIKE, out=terms[:kinds])
        elsewhere = history.facts[0] != now.facts[:, :1]
        terms[shapes:kinds] *= elsewhere
        np.multiply(history.age, elsewhere, out=terms[-3])
        np.subtract(history.age, terms[-3], out=terms[-4])
        terms[-2] = elsewhere
        terms[-1] = history.facts[4] != now.facts[:, 4:]
        return terms

    def _compare(self, distances: NDArray[np.float32]) -> None:
        """Fills in how unlike each lap is, shape (kinds, m, laps); what is not known is the same for all."""
        now, history = self.now, self.history
        splits, speeds = now.known.T
        shares, own = SHARES[splits, speeds], (now.marks - history.centre)[:, None].astype(np.float32)
        weighted = shares * own
        squares = (
            np.concatenate([-2 * weighted, shares], axis=2).reshape(-1, len(history.marks)) @ history.marks
        )
        squares = squares.reshape(len(now), 4, -1) + (weighted * own).sum(axis=2)[:, :, None]
        np.maximum(squares.swapaxes(0, 1), 0, out=distances[:4])
        here = self.at - now.here[:, :, None].astype(np.float32)
        since_split = here[:, 0] - history.traces[splits * MARKS_PER_SPLIT, 0]
        since_split += now.last_split[:, None].astype(np.float32)
        rest = SHARES_HERE[splits, speeds].T[:, :, None]
        distances[:2] += rest[:2] * since_split**2
        distances[2:4] += rest[2:] * here[:, 1] ** 2
        distances[4] = here[:, 0] ** 2
        if not now.position.all():
            distances[:5] *= now.position[:, None] > 0
        facts, driven = distances[len(_SHAPE) :], now.facts.T[1:4].astype(np.float32)
        np.subtract(history.situations[:, None], driven[:, :, None], out=facts)
        np.abs(facts, out=facts)
        np.minimum(facts[2], ANOTHER_PACE, out=facts[2])
        facts[np.isnan(driven)] = 0.0
        np.fmin(distances, FAR, out=distances)


def limit(history: LapHistory) -> float:
    """The slowest lap at pace, in seconds."""
    return AT_PACE * float(history.lap_time[history.best])

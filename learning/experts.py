"""The experts of the mixture: what each thinks alike, how far each is trusted, and what all get wrong."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.laps import SPLITS, Floats
from learning.likeness import KINDS
from learning.past import CLUES

_CHOSEN = 10  # experts that speak at a point of the lap
_NEIGHBOURS = 0.1  # of the lap: how far records and corrections of nearby points count
_NEAR = np.exp(-np.abs(np.subtract.outer(np.arange(SPLITS), np.arange(SPLITS))) / (_NEIGHBOURS * SPLITS))


@dataclass(frozen=True)
class Expert:
    """One opinion on which earlier laps tell how this one goes on.

    `doubt` is how little it is trusted before it has a record, at the start and at the end of the lap, on the
    scale of the losses; `memory` the number of laps of this outing over which it forgets, `elsewhere` that of
    other outings; `other_outing` and `other_compound` what such a lap counts at most; `like` how much each
    likeness matters.
    """

    doubt: tuple[float, float]
    memory: float
    elsewhere: float
    other_outing: float
    other_compound: float
    like: Mapping[str, float]

    def terms(self) -> list[float]:
        likeness = [self.like.get(name, 0.0) for name in KINDS]
        others = (-math.log(self.other_outing), -math.log(self.other_compound))
        return [*likeness, 1 / self.memory, 1 / self.elsewhere, *others]


# Those that go by the run of laps, by recency, and by the lap's shape so far.
_EXPERTS = (
    Expert((0.3, 4.2), 2, 70, 0.02, 0.34, {"previous_lap": 2, "tyre_life": 0.9}),
    Expert((0.0, 6.3), 0.7, 11, 0.06, 0.15, {"previous_lap": 1.5, "tyre_life": 1.1}),
    Expert((0.1, 4.8), 1.7, 20, 0.005, 0.5, {"previous_lap": 2.9, "tyre_life": 0.9, "outing_lap": 0.7}),
    Expert((1.1, 5.2), 2, 8, 0.02, 0.2, {"outing_lap": 1.4}),
    Expert((1.6, 3.6), 5, 60, 0.05, 0.3, {"tyre_life": 1, "outing_lap": 0.5}),
    Expert((1.3, 6.6), 1, 1, 0.2, 0.4, {}),
    Expert((2.0, 4.5), 3, 3, 0.2, 0.4, {}),
    Expert((4.1, 3.6), 12, 12, 0.2, 0.4, {}),
    Expert((0.5, 4.0), 5, 5, 1.0, 1.0, {}),
    Expert((0.5, 3.5), 15, 15, 1.0, 0.8, {}),
    Expert((0.5, 3.0), 40, 40, 1.0, 0.6, {}),
    Expert((1.0, 2.4), 8, 8, 0.1, 0.3, {"speeds": 1, "outing_lap": 0.6}),
    Expert((1.6, 1.5), 60, 60, 0.1, 0.3, {"speeds": 1, "outing_lap": 0.6}),
    Expert((1.8, 2.7), 8, 8, 0.1, 0.2, {"last_speeds": 0.5, "tyre_life": 1.5}),
    Expert((2.2, 2.2), 60, 60, 0.1, 0.2, {"last_speeds": 0.5, "tyre_life": 1.5}),
    Expert((1.0, 5.6), 8, 8, 0.1, 0.3, {"elapsed": 1.2, "previous_lap": 0.5}),
    Expert((1.3, 4.7), 60, 60, 0.1, 0.3, {"elapsed": 1.2, "previous_lap": 0.5}),
    Expert((2.0, 0.9), 8, 8, 0.2, 0.4, {"speeds": 2, "splits": 2}),
    Expert((2.7, 0.2), 60, 60, 0.2, 0.4, {"speeds": 2, "splits": 2}),
    Expert((1.8, 2.2), 8, 8, 0.2, 0.4, {"splits": 1, "previous_lap": 0.3}),
    Expert((2.0, 0.7), 60, 60, 0.2, 0.4, {"splits": 1, "previous_lap": 0.3}),
    Expert((2.0, 2.0), 8, 8, 0.2, 0.4, {"elapsed": 1.3, "last_splits": 1}),
    Expert((2.7, 1.1), 60, 60, 0.2, 0.4, {"elapsed": 1.3, "last_splits": 1}),
    Expert((3.2, 1.0), 8, 8, 0.5, 0.5, {"last_splits": 2}),
    Expert((4.4, 0.0), 60, 60, 0.5, 0.5, {"last_splits": 2}),
    Expert((2.5, 0.9), 8, 8, 0.5, 0.5, {"last_speeds": 1.5, "last_splits": 2}),
    Expert((3.7, 0.0), 60, 60, 0.5, 0.5, {"last_speeds": 1.5, "last_splits": 2}),
    Expert((2.5, 1.5), 8, 8, 0.5, 0.4, {"last_splits": 1.5, "tyre_life": 0.8}),
    Expert((2.9, 0.6), 60, 60, 0.5, 0.4, {"last_splits": 1.5, "tyre_life": 0.8}),
)
_AT_START, _AT_END = np.array([expert.doubt for expert in _EXPERTS]).T
_DOUBT: Floats = np.linspace(_AT_START, _AT_END, SPLITS)
THETA = -np.array([expert.terms() for expert in _EXPERTS], dtype=np.float32)


class Record:
    """The losses of each expert at each 5 % of the lap, in units of what is usual there."""

    _WORST = 6.0
    _LARGEST = 0.03  # share of the lap time at which what is usual stops growing
    _PACE = 0.05  # how fast what is usual follows

    def __init__(self) -> None:
        self.losses: Floats = np.zeros((SPLITS, len(_EXPERTS)))
        self.usual: Floats = np.full(SPLITS, 0.004)

    def learn(self, errors: Floats, memory: float) -> None:
        """Takes the errors of a lap, shape (marks, experts), as shares of its time."""
        marks = len(errors)
        usual = np.minimum(np.median(errors, axis=1), self._LARGEST)
        self.usual[:marks] += self._PACE * (usual - self.usual[:marks])
        worst = np.minimum(errors / self.usual[:marks, None], self._WORST)
        self.losses[:marks] = memory * self.losses[:marks] + worst

    def trust(self, rate: float) -> Floats:
        """Shape (marks, experts), rows adding up to 1."""
        losses = _NEAR @ self.losses / _NEAR.sum(axis=1, keepdims=True)
        doubt = _DOUBT + rate * losses
        weights = np.exp(doubt.min(axis=1, keepdims=True) - doubt)
        trust: Floats = weights / weights.sum(axis=1, keepdims=True)
        return trust

    def chosen(self, rate: float) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The experts that speak at each mark, and how much each counts."""
        trust = self.trust(rate)
        experts = np.ascontiguousarray(np.argsort(-trust, axis=1, kind="stable")[:, :_CHOSEN])
        kept = np.take_along_axis(trust, experts, axis=1)
        return experts, (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32)


class Correction:
    """A ridge regression at each 5 % of the lap, helped by its neighbours; slow laps pull only so far."""

    _RIDGE = 100.0
    _KEPT = 0.99  # of what was learned, from lap to lap
    _LARGEST = 0.02
    _PACE = 0.05

    def __init__(self) -> None:
        self.coefficients: Floats = np.zeros((SPLITS, CLUES))
        self._squares: Floats = np.zeros((SPLITS, CLUES, CLUES))
        self._products: Floats = np.zeros((SPLITS, CLUES))
        self._usual: Floats = np.full(SPLITS, 0.003)

    def learn(self, clues: Floats, residuals: Floats) -> None:
        """Takes a lap's clues, shape (marks, clues), and the mixture's errors as shares of the lap time."""
        marks, sizes = len(clues), np.abs(residuals)
        trust = np.minimum(1.0, self._usual[:marks] / np.maximum(sizes, 1e-9))
        self._usual[:marks] += self._PACE * (np.minimum(sizes, self._LARGEST) - self._usual[:marks])
        squares = np.einsum("m,mi,mj->mij", trust, clues, clues)
        self._squares[:marks] = self._KEPT * self._squares[:marks] + squares
        products = (trust * residuals)[:, None] * clues
        self._products[:marks] = self._KEPT * self._products[:marks] + products
        squares = np.tensordot(_NEAR, self._squares, 1) + self._RIDGE * np.eye(CLUES)
        self.coefficients = np.linalg.solve(squares, (_NEAR @ self._products)[:, :, None])[:, :, 0]

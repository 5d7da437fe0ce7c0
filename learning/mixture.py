"""The default estimator: a mixture of experts over the driver's own recent laps."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from learning.history import AT_PACE, MARKS_PER_SPLIT, Features, LapHistory, Moments
from learning.laps import SPLITS, Floats

# What an earlier lap can have in common with the one being driven: shape, then what held when they began.
_SHAPE = ("splits", "last_splits", "speeds", "last_speeds", "elapsed")
_SITUATION = ("tyre_life", "outing_lap", "previous_lap")
_TERMS = (*_SHAPE, *_SITUATION, "age", "age_elsewhere", "other_outing", "other_compound")
_LAST_SPLITS, _LAST_SPEEDS = 4, 2
_MINI = 1 / SPLITS
# Differences smaller than these are none: squares, as shares of the lap time's or of km/h; laps; logarithm.
_SAME_TIME = {"splits": 5e-5 * _MINI**2, "last_splits": 5e-5 * _MINI**2, "elapsed": 2e-6}
_SAME = {"speeds": 8.0, "last_speeds": 8.0, "tyre_life": 1.0, "outing_lap": 1.0, "previous_lap": 0.004}
_NARROW = 0.35  # a likeness's width, in harmonic means of the distances
_UNLIKE = 50.0  # widths beyond which a lap is as unlike as any
_FAR = 1e9  # in place of a distance that is not known
_ANOTHER_PACE = 0.1  # the laps before differ by this much of their time, or one had no lap before
_MIDDLE = (0.2, 0.8)  # the answer is the mean of this part of the weighted laps: steadier than their median
_FORGOTTEN = 80.0  # a lap counts at least the exponential of minus this
_AT_ONCE = 128  # points answered together: as much as stays in a processor's cache
_CHOSEN = 10  # experts that speak at a point of the lap
_NEIGHBOURS = 0.1  # of the lap: how far records and corrections of nearby points count
_RECENT = 40  # laps of any pace, for a lap that has lost too much to be one at pace
_SLACK = 0.06  # how far beyond the pace a lap may seem at its start before it is given up
_CLUES = 5
_CLUE_LIMIT = 3.0


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
        likeness = [self.like.get(name, 0.0) for name in (*_SHAPE, *_SITUATION)]
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
_THETA = -np.array([expert.terms() for expert in _EXPERTS], dtype=np.float32)
_NEAR = np.exp(-np.abs(np.subtract.outer(np.arange(SPLITS), np.arange(SPLITS))) / (_NEIGHBOURS * SPLITS))
_KINDS = (*_SHAPE, *_SITUATION)
_FLOORS = np.array([_SAME.get(name, 0.0) for name in _KINDS], dtype=np.float32)[:, None, None]
_TIME_FLOORS = np.array([_SAME_TIME.get(name, 0.0) for name in _KINDS], dtype=np.float32)[:, None, None]


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


_SHARES = _shares()
_SHARES_HERE = 1 - _SHARES.sum(axis=3)


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureArrays:
    """All that an answer of an `ExpertMixture` rests on, for those who compute it elsewhere.

    What follows the arrays is the same for all mixtures; their order is that of the terms and kinds above.
    """

    pace: LapHistory
    recent: LapHistory
    theta: NDArray[np.float32]  # (20, speakers, terms), what each term counts for those who speak at a mark
    trust: NDArray[np.float32]  # (20, speakers)
    coefficients: Floats  # (20, clues)
    correction: float
    shares: NDArray[np.float32] = field(default_factory=lambda: _SHARES)
    shares_here: NDArray[np.float32] = field(default_factory=lambda: _SHARES_HERE)
    floors: NDArray[np.float32] = field(default_factory=lambda: _FLOORS[:, 0, 0])
    time_floors: NDArray[np.float32] = field(default_factory=lambda: _TIME_FLOORS[:, 0, 0])
    narrow: float = _NARROW
    unlike: float = _UNLIKE
    far: float = _FAR
    another_pace: float = _ANOTHER_PACE
    forgotten: float = _FORGOTTEN
    middle: tuple[float, float] = _MIDDLE
    slack: float = _SLACK
    clue_limit: float = _CLUE_LIMIT


class ExpertMixture(base.Regressor):
    """Lap time from the laps most like the one being driven, by experts that are trusted by their record.

    Every expert weights the earlier laps by likeness of the lap so far, of the situation in which it began,
    by recency, same outing and same compound. Experts that erred less, at this part of the lap and lately,
    count more: exponential weights on clipped losses.[^1] The answer is elapsed + the middle of the
    remaining times under the mixed weights + a learned correction: a ridge regression, robust and slowly
    forgetting, of what the mixture got wrong on how this lap differs from those it goes by.

    Slow laps are remembered apart: while a lap may still become one at pace (within 107 % of the best) only
    laps at pace speak, and only they are learned from.

    Learn a whole lap at once: `trace` (elapsed at each 0.5 %) and `speed_trace` beside what held when it
    began. Without a trace it forecasts `y` itself.

    Parameters
    ----------
    window
        Laps at pace that are remembered.
    rate
        How strongly a better record counts.
    memory
        The share of its record that an expert keeps from lap to lap.
    correction
        The largest correction, as a share of the lap time.

    References
    ----------
    [^1]: N. Cesa-Bianchi, G. Lugosi: Prediction, Learning, and Games, Cambridge, 2006, chapter 2.

    Examples
    --------
    >>> model = ExpertMixture()
    >>> for lap_time in (90.0, 91.0, 90.4):
    ...     model.learn_one({"splits": [lap_time / 20 * mark for mark in range(1, 20)]}, lap_time)
    >>> model.laps_learned
    3
    >>> 90.5 < model.predict_one({"track_position": 0.5, "current_lap_time": 45.6}) < 91.5
    True
    """

    def __init__(
        self, window: int = 64, rate: float = 0.4, memory: float = 0.97, correction: float = 0.004
    ) -> None:
        self.window = window
        self.rate = rate
        self.memory = memory
        self.correction = correction
        self.laps_learned = 0
        self._pace = LapHistory(window)
        self._recent = LapHistory(_RECENT)
        self._record = _Record()
        self._correction = _Correction()
        self._speakers, self._trust = self._record.chosen(rate)

    def learn_one(self, x: Features, y: base.typing.RegTarget) -> None:
        lap_time = float(y)
        if not len(self._pace) or lap_time <= _limit(self._pace):
            if len(self._pace):
                self._judge(x, lap_time)
            self._pace.add(x, lap_time, self.laps_learned)
            self._pace = self._pace.only(self._pace.lap_time <= _limit(self._pace))
        self._recent.add(x, lap_time, self.laps_learned)
        self.laps_learned += 1
        if (
            self.laps_learned - self._pace.number[-1] > _RECENT
        ):  # a best lap that cannot be true, or a new car
            self._pace = self._recent.only(self._recent.lap_time <= _limit(self._recent))

    def predict_one(self, x: Features) -> float:
        """The lap time in seconds; 0 before anything was learned, as River's regressors answer."""
        return self.predict_many([x])[0]

    def predict_many(self, rows: Sequence[Features]) -> list[float]:
        """The lap times of some points of laps, each as `predict_one` answers it."""
        if not self.laps_learned:
            return [0.0] * len(rows)
        if any("recent_laps" in x for x in rows) and len(rows) > 1:
            return [self.predict_many([x])[0] for x in rows]
        now = Moments.of(rows)
        pace, recent = self._pace, rows[0].get("recent_laps", ())
        if recent:
            pace = pace.with_recent(recent, now.facts[0])
            pace = pace.only(pace.lap_time <= _limit(pace))
        return [float(answer) for answer in self._answers(now, pace)]

    def arrays(self) -> MixtureArrays:
        """What the answers rest on; not to be changed."""
        return MixtureArrays(
            pace=self._pace,
            recent=self._recent,
            theta=_THETA[self._speakers],
            trust=self._trust,
            coefficients=self._correction.coefficients,
            correction=self.correction,
        )

    def _answers(self, now: Moments, pace: LapHistory) -> Floats:
        """The answers in seconds; points of the same part of the lap go together."""
        marks = np.minimum((now.position * SPLITS + 0.5).astype(np.intp), SPLITS - 1)  # the nearest
        if len(now) == 1:
            return self._answers_at(marks, now, pace)
        answers, order = np.empty(len(now)), np.argsort(marks, kind="stable")
        for first in range(0, len(now), _AT_ONCE):
            rows = order[first : first + _AT_ONCE]
            answers[rows] = self._answers_at(marks[rows], now[rows], pace)
        return answers

    def _answers_at(self, marks: NDArray[np.intp], now: Moments, pace: LapHistory) -> Floats:
        """The answers for some points in the order of their marks."""
        pace = _with_shape(pace, int(marks[0]))
        past = _Past(now, pace)
        weights = self._mixed(marks, past)
        answers: Floats = now.elapsed + _middles(past.remaining, weights)
        answers += self._corrections(marks, past, weights, answers)
        lost = past.lost()
        if lost.any():
            slow = np.flatnonzero(lost)
            past = _Past(now[slow], _with_shape(self._recent, int(marks[0])))
            answers[slow] = past.now.elapsed + _middles(past.remaining, self._mixed(marks[slow], past))
        return answers

    def _corrections(
        self, marks: NDArray[np.intp], past: "_Past", weights: NDArray[Any], answers: Floats
    ) -> Floats:
        """What to add to the mixture's answers, in seconds."""
        shares = (past.clues(weights, answers) * self._correction.coefficients[marks]).sum(axis=1)
        shares = np.minimum(np.maximum(shares, -self.correction), self.correction)
        return np.asarray(past.best * shares)

    def _mixed(self, marks: NDArray[np.intp], past: "_Past") -> NDArray[np.float32]:
        """Shape (m, laps): what each lap counts, by the experts that speak at each mark."""
        bounds = [0, *(np.flatnonzero(marks[1:] != marks[:-1]) + 1).tolist(), len(marks)]
        mixed = np.empty((len(marks), len(past.history)), dtype=np.float32)
        for first, end in itertools.pairwise(bounds):
            mark = marks[first]
            weights = past.weights(_THETA[self._speakers[mark]], slice(first, end))
            weights *= self._trust[mark][:, None, None]
            weights.sum(axis=0, out=mixed[first:end])
        return mixed

    def _judge(self, lap: Features, lap_time: float) -> None:
        """Charges every expert, and the correction, for what they would have said at each 5 % of a lap."""
        now = Moments.along(lap, lap_time)
        past = _Past(now, _with_shape(self._pace, len(now) - 1))
        weights = past.weights(_THETA, slice(None))
        opinions = (now.elapsed + _middles(past.remaining, weights)).T
        trust = self._record.trust(self.rate)[: len(now)]
        mixed = np.einsum("me,emn->mn", trust, weights)
        answers = now.elapsed + _middles(past.remaining, mixed)
        self._correction.learn(past.clues(mixed, answers), (lap_time - answers) / past.best)
        self._record.learn(np.abs(opinions - lap_time) / lap_time, self.memory)
        self._speakers, self._trust = self._record.chosen(self.rate)


class _Record:
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


class _Correction:
    """A ridge regression at each 5 % of the lap, helped by its neighbours; slow laps pull only so far."""

    _RIDGE = 100.0
    _KEPT = 0.99  # of what was learned, from lap to lap
    _LARGEST = 0.02
    _PACE = 0.05

    def __init__(self) -> None:
        self.coefficients: Floats = np.zeros((SPLITS, _CLUES))
        self._squares: Floats = np.zeros((SPLITS, _CLUES, _CLUES))
        self._products: Floats = np.zeros((SPLITS, _CLUES))
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
        squares = np.tensordot(_NEAR, self._squares, 1) + self._RIDGE * np.eye(_CLUES)
        self.coefficients = np.linalg.solve(squares, (_NEAR @ self._products)[:, :, None])[:, :, 0]


class _Past:
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
        limit = _limit(self.history) * (1 + _SLACK * (1 - self.now.position))
        lost: NDArray[np.bool_] = self.now.elapsed + self.remaining[:, self.history.best] > limit
        return lost

    def clues(self, weights: NDArray[Any], answers: Floats) -> Floats:
        """Shape (m, 5): how a lap differs from those it goes by, in percent of the best lap and 20 km/h."""
        now, remaining, percent = self.now, self.remaining, self.best / 100
        usual = np.einsum("mn,mkn->km", weights, self.at)
        last = remaining[:, -5:]
        clues = np.empty((_CLUES, len(now)))
        np.subtract(now.here.T, usual, out=clues[:2])
        clues[2], clues[3], clues[4] = (
            remaining[:, -1],
            remaining.min(axis=1),
            last.sum(axis=1) / last.shape[1],
        )
        clues[2:] += now.elapsed - answers
        clues /= ((percent,), (20,), (percent,), (percent,), (percent,))
        clues[1, (now.position == 0) | np.isnan(clues[1])] = 0.0
        return np.minimum(np.maximum(clues, -_CLUE_LIMIT, out=clues), _CLUE_LIMIT, out=clues).T

    def weights(self, theta: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        """Shape (experts, m, laps): what each lap counts for each expert, adding up to 1."""
        if self._terms is None:
            self._terms = self._described()
        terms = self._terms[:, rows]
        flat = theta @ terms.reshape(len(_TERMS), -1)
        np.maximum(flat, -_FORGOTTEN, out=flat)
        weights: NDArray[np.float32] = np.exp(flat, out=flat).reshape(len(theta), *terms.shape[1:])
        weights /= weights.sum(axis=2, keepdims=True)
        return weights

    def _described(self) -> NDArray[np.float32]:
        """Shape (terms, m, laps): likenesses in widths, ages in laps, other outing and compound as 1."""
        now, history = self.now, self.history
        shapes, kinds = len(_SHAPE), len(_FLOORS)
        terms = np.empty((len(_TERMS), len(now), len(history)), dtype=np.float32)
        self._compare(terms[:kinds])
        floors = _FLOORS + self.best**2 * _TIME_FLOORS
        inverse = 1 / (terms[:kinds] + floors)
        terms[:kinds] *= inverse.sum(axis=2, keepdims=True) / (_NARROW * len(history))
        np.minimum(terms[:kinds], _UNLIKE, out=terms[:kinds])
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
        shares, own = _SHARES[splits, speeds], (now.marks - history.centre)[:, None].astype(np.float32)
        weighted = shares * own
        squares = (
            np.concatenate([-2 * weighted, shares], axis=2).reshape(-1, len(history.marks)) @ history.marks
        )
        squares = squares.reshape(len(now), 4, -1) + (weighted * own).sum(axis=2)[:, :, None]
        np.maximum(squares.swapaxes(0, 1), 0, out=distances[:4])
        here = self.at - now.here[:, :, None].astype(np.float32)
        since_split = here[:, 0] - history.traces[splits * MARKS_PER_SPLIT, 0]
        since_split += now.last_split[:, None].astype(np.float32)
        rest = _SHARES_HERE[splits, speeds].T[:, :, None]
        distances[:2] += rest[:2] * since_split**2
        distances[2:4] += rest[2:] * here[:, 1] ** 2
        distances[4] = here[:, 0] ** 2
        if not now.position.all():
            distances[:5] *= now.position[:, None] > 0
        facts, driven = distances[len(_SHAPE) :], now.facts.T[1:4].astype(np.float32)
        np.subtract(history.situations[:, None], driven[:, :, None], out=facts)
        np.abs(facts, out=facts)
        np.minimum(facts[2], _ANOTHER_PACE, out=facts[2])
        facts[np.isnan(driven)] = 0.0
        np.fmin(distances, _FAR, out=distances)


def _limit(history: LapHistory) -> float:
    """The slowest lap at pace, in seconds."""
    return AT_PACE * float(history.lap_time[history.best])


def _with_shape(history: LapHistory, mark: int) -> LapHistory:
    """Past the start of a lap, the laps of which more is known than their time, if there are any."""
    if mark == 0 or history.shaped.all() or not history.shaped.any():
        return history
    return history.only(history.shaped)


def _middles(values: Floats, weights: NDArray[Any]) -> Floats:
    """The mean of the middle part of weighted values.

    Parameters
    ----------
    values
        Shape (m, laps).
    weights
        Shape (..., m, laps), adding up to 1 along the last axis.
    """
    low, high = _MIDDLE
    order = values.argsort(axis=1)
    rows = np.arange(len(values))[:, None]
    ordered = values[rows, order]
    inside = weights[..., rows, order].cumsum(axis=-1, dtype=np.float64)[..., :-1]
    np.minimum(np.maximum(inside, low, out=inside), high, out=inside)
    inside *= ordered[:, 1:] - ordered[:, :-1]  # summed by parts
    ends = high * ordered[:, -1] - low * ordered[:, 0]
    middles: Floats = (ends - inside.sum(axis=-1)) / (high - low)
    return middles

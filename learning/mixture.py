"""The default estimator: a mixture of experts over the driver's own recent laps."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from learning.columns import Columns
from learning.experts import THETA, Correction, Record
from learning.history import Features, LapHistory
from learning.known import Moments
from learning.laps import SPLITS, Floats
from learning.likeness import Past, limit, sums

MIDDLE = (0.2, 0.8)  # the answer is the mean of this part of the weighted laps: steadier than their median
_AT_ONCE = 128  # points answered together: as much as stays in a processor's cache
_SHARED = 400  # points from which a second thread helps
_RECENT = 40  # laps of any pace, for a lap that has lost too much to be one at pace


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureArrays:
    """All of an `ExpertMixture` that an answer rests on, for those who compute it elsewhere."""

    pace: LapHistory
    recent: LapHistory
    theta: NDArray[np.float32]  # (20, speakers, terms), what each term counts for those who speak at a mark
    trust: NDArray[np.float32]  # (20, speakers)
    coefficients: Floats  # (20, clues)
    correction: float


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
        self._record = Record()
        self._correction = Correction()
        self._speakers, self._trust = self._record.chosen(rate)

    def learn_one(self, x: Features, y: base.typing.RegTarget) -> None:
        lap_time = float(y)
        if not len(self._pace) or lap_time <= limit(self._pace):
            if len(self._pace):
                self._judge(x, lap_time)
            self._pace.add(x, lap_time, self.laps_learned)
            self._pace = self._pace.only(self._pace.lap_time <= limit(self._pace))
        self._recent.add(x, lap_time, self.laps_learned)
        self.laps_learned += 1
        if (
            self.laps_learned - self._pace.number[-1] > _RECENT
        ):  # a best lap that cannot be true, or a new car
            self._pace = self._recent.only(self._recent.lap_time <= limit(self._recent))

    def predict_one(self, x: Features) -> float:
        """The lap time in seconds; 0 before anything was learned, as River's regressors answer."""
        return self.predict_many([x])[0]

    def predict_many(self, rows: Sequence[Features]) -> list[float]:
        """The lap times of some points of laps, each as `predict_one` answers it."""
        if not self.laps_learned:
            return [0.0] * len(rows)
        now = Moments.of(rows)
        recent_laps = _recent_laps(rows)
        if not any(recent_laps):
            return list(map(float, self._answers(now, self._pace)))
        answers = np.empty(len(rows))
        for (recent, _), group in _by_recent(recent_laps, now.facts).items():
            own = np.array(group)
            answers[own] = self._answers(now[own], self._with_recent(recent, now.facts[group[0]]))
        return list(map(float, answers))

    def _with_recent(self, recent: tuple[float, ...], facts: Floats) -> LapHistory:
        """The laps at pace and those of this outing that were not learned."""
        if not recent:
            return self._pace
        key = (recent, facts.tobytes())
        known = self._pace.followed
        if known is None or known[0] != key:  # the points of a lap have the same laps before them
            pace = self._pace.with_recent(recent, facts)
            known = self._pace.followed = key, pace.only(pace.lap_time <= limit(pace))
        return known[1]

    def arrays(self) -> MixtureArrays:
        """What the answers rest on; not to be changed."""
        return MixtureArrays(
            pace=self._pace,
            recent=self._recent,
            theta=THETA[self._speakers],
            trust=self._trust,
            coefficients=self._correction.coefficients,
            correction=self.correction,
        )

    def _answers(self, now: Moments, pace: LapHistory) -> Floats:
        """The answers in seconds."""
        if pace.all_shaped or not pace.shaped.any() or len(now) == 1:
            return self._in_parts(now, pace)
        answers, started = np.empty(len(now)), _marks(now) > 0
        for points in (np.flatnonzero(~started), np.flatnonzero(started)):
            answers[points] = self._in_parts(now[points], pace)
        return answers

    def _in_parts(self, now: Moments, pace: LapHistory) -> Floats:
        """The answers for points of which all or none have passed the start of their lap.

        Many are shared with a second thread: NumPy computes without the interpreter's lock.
        """
        if len(now) <= _SHARED:
            return self._one_after_another(now, pace)
        middle = len(now) // 2
        with ThreadPoolExecutor(max_workers=1) as other:
            second = other.submit(self._one_after_another, now[middle:], pace)
            return np.concatenate([self._one_after_another(now[:middle], pace), second.result()])

    def _one_after_another(self, now: Moments, pace: LapHistory) -> Floats:
        """The answers, for so many points at a time as stay in a processor's cache."""
        if len(now) <= _AT_ONCE:
            return self._answers_at(now, pace) if len(now) else np.empty(0)
        starts = range(0, len(now), _AT_ONCE)
        return np.concatenate([self._answers_at(now[at : at + _AT_ONCE], pace) for at in starts])

    def _answers_at(self, now: Moments, pace: LapHistory) -> Floats:
        marks = _marks(now)
        past = Past(now, _with_shape(pace, int(marks[0])))
        weights = self._mixed(marks, past)
        answers: Floats = now.elapsed + _middles(past.remaining, weights)
        answers += self._corrections(marks, past, weights, answers)
        lost = past.lost()
        if lost.any():
            slow = np.flatnonzero(lost)
            past = Past(now[slow], _with_shape(self._recent, int(marks[0])))
            answers[slow] = past.now.elapsed + _middles(past.remaining, self._mixed(marks[slow], past))
        return answers

    def _corrections(
        self, marks: NDArray[np.intp], past: Past, weights: NDArray[Any], answers: Floats
    ) -> Floats:
        """What to add to the mixture's answers, in seconds."""
        clues = past.clues(weights, answers)
        shares: Floats = (clues * self._correction.coefficients[marks]).sum(axis=1)
        np.minimum(np.maximum(shares, -self.correction, out=shares), self.correction, out=shares)
        shares *= past.best
        return shares

    def _mixed(self, marks: NDArray[np.intp], past: Past) -> NDArray[np.float32]:
        """Shape (m, laps): what each lap counts, by the experts that speak at each mark."""
        weights = past.weights(THETA[self._speakers[marks]])
        return _mix(self._trust[marks], weights)

    def _judge(self, lap: Features, lap_time: float) -> None:
        """Charges every expert, and the correction, for what they would have said at each 5 % of a lap."""
        now = Moments.along(lap, lap_time)
        past = Past(now, _with_shape(self._pace, len(now) - 1))
        weights = past.weights(THETA[None])
        experts, laps = weights.shape[1:]
        remaining = np.repeat(past.remaining, experts, axis=0)
        opinions = _middles(remaining, (weights / sums(weights)).reshape(-1, laps)).reshape(-1, experts)
        opinions += now.elapsed[:, None]
        mixed = _mix(self._record.trust(self.rate)[: len(now)].astype(np.float32), weights)
        answers = now.elapsed + _middles(past.remaining, mixed)
        self._correction.learn(past.clues(mixed, answers), (lap_time - answers) / past.best)
        self._record.learn(np.abs(opinions - lap_time) / lap_time, self.memory)
        self._speakers, self._trust = self._record.chosen(self.rate)


def _recent_laps(rows: Sequence[Features]) -> list[tuple[float, ...]]:
    """Those of each row."""
    if isinstance(rows, Columns):
        return rows.lists("recent_laps").tolist() if rows.has("recent_laps") else []
    return [tuple(x.get("recent_laps", ())) for x in rows]


def _by_recent(
    recent_laps: Sequence[tuple[float, ...]], facts: Floats
) -> dict[tuple[tuple[float, ...], bytes], list[int]]:
    """The rows that go by the same laps, by those laps and what holds for the lap being driven."""
    groups: dict[tuple[tuple[float, ...], bytes], list[int]] = {}
    for index, recent in enumerate(recent_laps):
        groups.setdefault((recent, facts[index].tobytes()), []).append(index)
    return groups


def _with_shape(history: LapHistory, mark: int) -> LapHistory:
    """Past the start of a lap, the laps of which more is known than their time, if there are any."""
    if mark == 0 or history.all_shaped or not history.shaped.any():
        return history
    return history.only(history.shaped)


def _marks(now: Moments) -> NDArray[np.intp]:
    """The nearest 5 % of the lap."""
    return np.minimum((now.position * SPLITS + 0.5).astype(np.intp), SPLITS - 1)


def _mix(trust: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (m, laps), adding up to 1: weights (m, experts, laps) by how far experts are trusted."""
    shares = trust[:, None] / sums(weights)[:, None, :, 0]
    mixed: NDArray[np.float32] = np.matmul(shares, weights)[:, 0]
    return mixed


def _middles(values: Floats, weights: NDArray[Any]) -> Floats:
    """The mean of the middle part of each row of values, their weights adding up to 1 in each."""
    low, high = MIDDLE
    order = values.argsort(axis=1)
    order += np.arange(0, values.size, values.shape[1])[:, None]
    ordered = values.take(order)
    inside = weights.take(order[:, :-1]).cumsum(axis=1, dtype=np.float64)
    np.minimum(np.maximum(inside, low, out=inside), high, out=inside)
    inside *= ordered[:, 1:] - ordered[:, :-1]  # summed by parts
    middles: Floats = (high * ordered[:, -1] - low * ordered[:, 0] - inside.sum(axis=1)) / (high - low)
    return middles

"""The default estimator: a mixture of experts over the driver's own recent laps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from learning.columns import Columns
from learning.experts import THETA, Correction, Record
from learning.history import Features, LapHistory
from learning.known import Moments
from learning.laps import Floats
from learning.likeness import sums
from learning.past import Past, limit

_AT_ONCE = 8192  # points times laps answered together: as much as stays in a processor's cache
_ROOM = 1 << 21  # bytes that are kept from step to step: fetching pages anew takes as long as computing
_FEWEST = 32  # laps counted at least, as what is not by lap takes room too
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


Rows = NDArray[np.intp]


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
            return list(self._answers(now, self._pace).tolist())
        answers = np.empty(len(rows))
        for (recent, _), group in _by_recent(recent_laps, now.facts).items():
            own = np.array(group)
            answers[own] = self._answers(now[own], self._with_recent(recent, now.facts[group[0]]))
        return list(answers.tolist())

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
        """The answers in seconds: from laps at pace, or of any pace for a lap that has lost too much."""
        if len(now) == 1:
            answers, lost = self._answers_at_pace(now, pace.with_shape() if now.mark[0] else pace)
        else:
            answers, lost = np.empty(len(now)), np.empty(len(now), dtype=np.bool_)
            np.empty(_ROOM, dtype=np.uint8)  # once freed, the C library keeps as much for what follows
            for part, history in _parts(now, pace):
                answers[part], lost[part] = self._answers_at_pace(now[part], history)
        if not lost.any():
            return answers
        slow = np.flatnonzero(lost)
        for part, history in _parts(now[slow], self._recent):
            answers[slow[part]] = self._answers_at_any_pace(now[slow[part]], history)
        return answers

    def _answers_at_pace(self, now: Moments, pace: LapHistory) -> tuple[Floats, NDArray[np.bool_]]:
        """The answers if the laps end at pace, and which of them hardly can."""
        marks, past = now.mark, Past(now, pace)
        weights = self._mixed(marks, past)
        answers = now.elapsed + past.middles(weights)[:, 0]
        answers += self._corrections(marks, past, weights, answers)
        return answers, past.lost()

    def _answers_at_any_pace(self, now: Moments, recent: LapHistory) -> Floats:
        past = Past(now, recent)
        return now.elapsed + past.middles(self._mixed(now.mark, past))[:, 0]

    def _corrections(
        self, marks: NDArray[np.intp], past: Past, weights: NDArray[Any], answers: Floats
    ) -> Floats:
        """What to add to the mixture's answers, in seconds."""
        clues = past.clues(weights, answers)
        shares: Floats = (clues * self._correction.coefficients.take(marks, axis=0)).sum(axis=1)
        np.minimum(np.maximum(shares, -self.correction, out=shares), self.correction, out=shares)
        shares *= past.best
        return shares

    def _mixed(self, marks: NDArray[np.intp], past: Past) -> NDArray[np.float32]:
        """Shape (m, 1, laps): what each lap counts, by the experts that speak at each mark."""
        weights = past.weights(THETA.take(self._speakers.take(marks, axis=0), axis=0))
        return _mix(self._trust.take(marks, axis=0), weights)

    def _judge(self, lap: Features, lap_time: float) -> None:
        """Charges every expert, and the correction, for what they would have said at each 5 % of a lap."""
        now = Moments.along(lap, lap_time)
        pace = self._pace
        past = Past(now, pace.with_shape() if len(now) > 1 else pace)
        weights = past.weights(THETA[None])
        opinions = now.elapsed[:, None] + past.middles(weights / sums(weights))
        mixed = _mix(self._record.trust(self.rate)[: len(now)].astype(np.float32), weights)
        answers = now.elapsed + past.middles(mixed)[:, 0]
        self._correction.learn(past.clues(mixed, answers), (lap_time - answers) / past.best)
        self._record.learn(np.abs(opinions - lap_time) / lap_time, self.memory)
        self._speakers, self._trust = self._record.chosen(self.rate)


def _recent_laps(rows: Sequence[Features]) -> list[tuple[float, ...]]:
    """Those of each row."""
    if isinstance(rows, Columns):
        return (
            [recent or () for recent in rows.lists("recent_laps").tolist()] if rows.has("recent_laps") else []
        )
    return [tuple(x.get("recent_laps", ())) for x in rows]


def _by_recent(
    recent_laps: Sequence[tuple[float, ...]], facts: Floats
) -> dict[tuple[tuple[float, ...], bytes], list[int]]:
    """The rows that go by the same laps, by those laps and what holds for the lap being driven."""
    groups: dict[tuple[tuple[float, ...], bytes], list[int]] = {}
    for index, recent in enumerate(recent_laps):
        groups.setdefault((recent, facts[index].tobytes()), []).append(index)
    return groups


def _parts(now: Moments, history: LapHistory) -> Iterator[tuple[Rows | slice, LapHistory]]:
    """So many of the points at a time as stay in a processor's cache, and the laps they go by.

    Past the start of a lap those are the laps of which more is known than their time, if there are any.
    """
    shaped, size = history.with_shape(), _AT_ONCE // max(len(history), _FEWEST)
    if shaped is history:
        for start in range(0, len(now), size):
            yield slice(start, start + size), history
        return
    started = now.mark > 0
    for rows, laps in ((np.flatnonzero(~started), history), (np.flatnonzero(started), shaped)):
        for start in range(0, len(rows), size):
            yield rows[start : start + size], laps


def _mix(trust: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (m, 1, laps), adding up to 1: weights (m, experts, laps) by how far experts are trusted."""
    shares: NDArray[np.float32] = trust[:, None] / sums(weights).transpose(0, 2, 1)
    return shares @ weights

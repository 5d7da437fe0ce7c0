"""The default estimator: a mixture of experts over the driver's own recent laps."""

import math

import numpy as np
from numpy.typing import NDArray
from river import base

from learning.history import AT_PACE, Features, LapHistory, Past, moments_of, position_of
from learning.laps import SPLITS, Floats

# Each expert is a kind of likeness to the lap so far and the number of laps over which it forgets.
_KINDS = ("any", "splits", "last_splits", "elapsed", "speed", "tyre_life")
_EXPERTS = (
    *(("any", laps) for laps in (1, 3, 12, 40)),
    *((kind, laps) for kind in ("splits", "last_splits", "elapsed", "speed") for laps in (3, 12, 40)),
    *(("tyre_life", laps) for laps in (4, 40)),
)
_KIND = np.array([_KINDS.index(kind) for kind, _ in _EXPERTS])
_FORGETTING = np.array([[float(laps)] for _, laps in _EXPERTS])
_OTHER_OUTING = 0.2  # how much a lap of another outing counts
_CLOSEST = 0.3  # the share of past laps that counts as alike
_LAST_SPLITS = 4
_MIDDLE = (0.3, 0.7)  # the answer is the mean of this part of the weighted laps: steadier than their median


class ExpertMixture(base.Regressor):
    """Lap time from the laps most like the one being driven, by experts that are trusted by their record.

    Every expert answers elapsed + a weighted median of the remaining times of the last `window` laps. The
    weights are likeness of the lap so far x recency x same outing x same compound. The experts are mixed by
    exponential weights on their recent clipped losses, kept for each 5 % of the lap.[^1] Slow laps are
    remembered, but while a lap may still become one at pace (within 107 % of the best) only laps at pace
    speak, and only they move the losses.

    Learn a whole lap at once: `trace` (elapsed at each 0.5 %) and `speed_trace` beside what held when it
    began. Without a trace it forecasts `y` itself, so it serves for sector times too.

    Parameters
    ----------
    window
        Laps remembered.
    rate
        How strongly a better record counts.
    memory
        The share of its record that an expert keeps from lap to lap.
    clip
        Losses above this share of the lap time count as this.
    other_compound
        How much a lap on another tyre compound counts.

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
    >>> round(model.predict_one({"track_position": 0.5, "current_lap_time": 46.0}), 1)
    91.3
    """

    def __init__(
        self,
        window: int = 80,
        rate: float = 2.0,
        memory: float = 0.97,
        clip: float = 0.02,
        other_compound: float = 0.4,
    ) -> None:
        self.window = window
        self.rate = rate
        self.memory = memory
        self.clip = clip
        self.other_compound = other_compound
        self._history = LapHistory(window)
        self._losses: Floats = np.zeros((SPLITS, len(_EXPERTS)))

    @property
    def laps_learned(self) -> int:
        """How many laps were ever learned, counted where they are stored."""
        return self._history.total

    def learn_one(self, x: Features, y: base.typing.RegTarget) -> None:
        lap_time = float(y)
        if len(self._history) and lap_time <= AT_PACE * self._history.best:
            self._judge(x, lap_time)
        self._history.add(x, lap_time)

    def predict_one(self, x: Features) -> float:
        """The lap time in seconds; 0 before anything was learned, as River's regressors answer."""
        if not len(self._history):
            return 0.0
        losses = self._losses[min(int(position_of(x) * SPLITS + 1e-9), SPLITS - 1)]
        weights = np.exp(-self.rate * (losses - losses.min()))
        return float(weights @ self._answers(x) / weights.sum())

    def _judge(self, lap: Features, lap_time: float) -> None:
        """Charges every expert for what it would have said at each 5 % of this lap."""
        for mark, moment in enumerate(moments_of(lap, lap_time)):
            errors = np.abs(self._answers(moment) - lap_time) / (self.clip * lap_time)
            self._losses[mark] = self.memory * self._losses[mark] + np.minimum(errors, 1.0)

    def _answers(self, x: Features) -> Floats:
        elapsed = float(x["current_lap_time"]) if position_of(x) else 0.0
        past = self._history.seen_from(x)
        past = past.only(_may_speak(past, elapsed))
        return elapsed + _middles(past.lap_time - past.elapsed, self._weights(x, past))

    def _weights(self, x: Features, past: Past) -> Floats:
        alike = _alike(_distances(x, past))[_KIND]
        age = np.arange(len(past.lap_time) - 1, -1, -1.0)
        outing = np.where(past.facts[:, 0] == past.own[0], 1.0, _OTHER_OUTING)
        compound = np.where(past.facts[:, 2] == past.own[2], 1.0, self.other_compound)
        weights: Floats = alike * np.exp(-age / _FORGETTING) * (outing * compound)
        return weights


def _may_speak(past: Past, elapsed: float) -> NDArray[np.bool_]:
    """The laps at pace, unless this lap could not join them even with the rest of the best lap."""
    best = int(past.lap_time.argmin())
    limit = AT_PACE * past.lap_time[best]
    lost = elapsed + past.lap_time[best] - past.elapsed[best] > limit
    return np.ones(len(past.lap_time), dtype=np.bool_) if lost else past.lap_time <= limit


def _distances(x: Features, past: Past) -> Floats:
    """How unlike the lap so far each past lap is, in the order of `_KINDS`; NaN where that is unknown."""
    distances = np.zeros((len(_KINDS), len(past.lap_time)))
    distances[5] = np.abs(past.facts[:, 1] - past.own[1])
    if past.splits.shape[1] > 1:
        own = np.diff(np.asarray(x["splits"], dtype=np.float64)[: past.splits.shape[1] - 1], prepend=0.0)
        squares = (np.diff(past.splits, axis=1) - own) ** 2
        distances[1] = squares.mean(axis=1)
        distances[2] = squares[:, -_LAST_SPLITS:].mean(axis=1)
    if position_of(x):
        distances[3] = (past.elapsed - x["current_lap_time"]) ** 2
        distances[4] = (past.speed - x.get("speed", math.nan)) ** 2
    return distances


def _alike(distances: Floats) -> Floats:
    """Likeness 0..1 by a kernel as wide as the closest part of the laps; the unknown is as unlike as any."""
    worst = np.fmax.reduce(distances, axis=1, keepdims=True, initial=0.0)
    distances = np.where(np.isnan(distances), worst, distances)
    nth = int(_CLOSEST * (distances.shape[1] - 1))
    width = np.partition(distances, nth, axis=1)[:, nth, None] + 1e-9
    return np.exp(-np.minimum(distances / width, 50.0))


def _middles(values: Floats, weights: Floats) -> Floats:
    """For each row of weights, the mean of the middle part of the weighted values."""
    order = np.argsort(values)
    cumulated = np.cumsum(weights[:, order], axis=1)
    total = cumulated[:, -1:]
    inside = np.clip(cumulated, _MIDDLE[0] * total, _MIDDLE[1] * total)
    shares = np.diff(inside, axis=1, prepend=_MIDDLE[0] * total)
    middles: Floats = shares @ values[order] / shares.sum(axis=1)
    return middles

"""The default estimator of sector times: Gaussian processes over the driver's last laps."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from learning.history import AT_PACE, Features
from learning.laps import Floats

SECTOR_AT_PACE = 1.04  # a sector within this of the best one was driven for time, whatever became of the lap
SECTOR_SPOILT = 1.1  # one beyond this was not, though the lap was
_BREAK = 3  # laps that the time between two outings counts as
_DRIFT = 20.0  # laps over which the pace drifts
_TYRE_LIFE = 10.0  # laps over which a tyre's age makes laps unlike
_TAIL = 4.0  # degrees of freedom of the noise: Student's t, so that a spoilt lap pulls little
_ROUNDS = 2  # of reweighting
_FADING = 0.97  # the share of its record that a process keeps from lap to lap
_SHARPNESS = 0.5  # of the choice between processes by their record
_RECENT = 5  # of the laps in `recent_laps`
_KINDS = 5  # of likeness
_FACTS = 4  # clock in laps, tyre life, place, session
_FIRST, _AFTER_SLOW, _SECOND, _FURTHER = range(4)  # a lap's place in its outing, or its run at pace

# What two laps may share, as standard deviations in percent: a drift of the pace, the session, the tyre's
# age, the place in the outing, all; and last the noise. Some drivers try things, others are steady.
_LEVELS: Floats = np.array(
    [
        (drift, session, tyre, place, 1.0, noise)
        for drift, session in ((3.0, 0.0), (1.0, 1.0), (0.2, 1.5))
        for tyre, place in ((1.0, 0.4), (0.3, 0.1))
        for noise in (0.3, 0.8, 1.6)
    ]
)
_SHAPE: Floats = np.array([(0.3, 0.0, 0.0, 0.0, 0.3, 0.35)])


class SectorProcess(base.MultiTargetRegressor):
    """Times of all sectors of the coming lap, if it is driven at pace.

    Sector times, in percent of their medians, are a level common to the lap plus a shape of its own for each
    sector. Both are Gaussian processes whose covariance adds up what two laps may share: a drift of the
    pace, the session, the tyre's age, the place in the outing.[^1] The noise is Student's, fitted by
    reweighting. Drivers differ in all that, so eighteen processes run side by side for the level; each counts
    by how likely it found the last laps.[^2]

    Laps within 107 % of the best remembered teach it, and of slow laps those sectors that were driven for
    time. `recent_laps` in the input were not learned and move the level.

    Parameters
    ----------
    window
        Laps remembered.

    References
    ----------
    [^1]: C. E. Rasmussen, C. K. I. Williams: Gaussian Processes for Machine Learning, MIT Press, 2006.
    [^2]: A. E. Raftery, M. Kárný, P. Ettler: Online prediction under model uncertainty via dynamic model
        averaging, Technometrics 52, 2010.

    Examples
    --------
    >>> model = SectorProcess()
    >>> for slower in (0.0, 0.3, 0.1, 0.2):
    ...     model.learn_one({"outing": 0}, {1: 30.0 + slower, 2: 42.0, 3: 25.0 + slower})
    >>> {sector: round(time, 1) for sector, time in model.predict_one({"outing": 0}).items()}
    {1: 30.2, 2: 42.0, 3: 25.2}
    """

    def __init__(self, window: int = 60) -> None:
        self.window = window
        self._total = 0
        self._names: tuple[Hashable, ...] = ()
        self._times: Floats = np.empty((0, 0))
        self._facts: Floats = np.empty((0, _FACTS))
        self._outing, self._driven = -1, 0  # of the last lap, and how many its outing has had
        self._limit = np.inf  # a lap time that is still at pace
        self._middle: Floats = np.empty(0)  # the median time of each sector
        self._known: Floats = np.empty((0, _FACTS))  # of the laps that the level was fitted to
        self._clean: NDArray[np.bool_] = np.empty(
            0, dtype=np.bool_
        )  # those of them with every sector at pace
        self._level = Processes(_LEVELS)
        self._shape = Processes(_SHAPE)
        self._record: Floats = np.zeros(len(_LEVELS))
        self._trust: Floats = np.empty(0)

    @property
    def laps_learned(self) -> int:
        """How many laps were ever learned, counted where they are stored."""
        return self._total

    def learn_one(self, x: Features, y: dict[Hashable, float], **_: Any) -> None:
        times, facts = np.array([float(time) for time in y.values()]), self._facts_of(x)
        if self._total and times.sum() <= self._limit:
            level = 100 * float((times / self._middle).mean() - 1)
            towards, among = _alike(facts[None], self._known), _alike(self._known, self._known)
            self._record = _FADING * self._record + self._level.likelihoods(towards[:, 0], among, level)
        driven = self._driven_before(x)
        self._names, self._outing, self._driven = tuple(y), x.get("outing", self._outing), driven + 1
        self._times = np.concatenate([self._times.reshape(-1, len(times)), times[None]])[-self.window :]
        self._facts = np.concatenate([self._facts, facts[None]])[-self.window :]
        self._total += 1
        self._fit()

    def predict_one(self, x: Features) -> dict[Hashable, float]:
        """Seconds by sector; empty before anything was learned."""
        if not self._total:
            return {}
        alike = _alike(self._facts_of(x)[None], self._known)[:, 0]
        level = float(self._trust @ self._level.means(alike))
        shape = self._shape.means(alike[:, self._clean])
        times = self._middle * (1 + (level + shape - shape.sum() / len(shape)) / 100)
        times *= 1 + self._news(x, float(times.sum()))
        return dict(zip(self._names, times.tolist(), strict=True))

    def predict_many(self, rows: Sequence[Features]) -> list[dict[Hashable, float]]:
        """The sectors of some laps."""
        return [self.predict_one(x) for x in rows]

    def _fit(self) -> None:
        """Laps at pace count whole; of the others the sectors at pace, whose mean is so much noisier."""
        lap_times = self._times.sum(axis=1)
        self._limit = AT_PACE * float(lap_times.min())
        whole = lap_times <= self._limit
        best = self._times.min(axis=0)
        known = self._times <= np.where(whole, SECTOR_SPOILT, SECTOR_AT_PACE)[:, None] * best
        self._middle = np.nanmedian(np.where(known, self._times, np.nan), axis=0)
        percent = np.where(known, 100 * (self._times / self._middle - 1), 0.0)
        count = known.sum(axis=1)
        level = percent.sum(axis=1) / np.maximum(count, 1)
        some, sectors = count > 0, self._times.shape[1]
        self._known, self._clean = self._facts[some], count[some] == sectors
        among = _alike(self._known, self._known)
        self._level.fit(among, level[None, some], np.sqrt(sectors / count[some]))
        shapes = (percent - level[:, None])[some][self._clean].T
        self._shape.fit(among[:, self._clean][:, :, self._clean], shapes, np.ones(shapes.shape[1]))
        trust = np.exp(_SHARPNESS * (self._record - self._record.max()))
        self._trust = trust / trust.sum()

    def _facts_of(self, x: Features) -> Floats:
        """What the processes go by; where the input is silent, the lap goes on from the one learned last."""
        driven = self._driven_before(x)
        last = self._facts[-1] if self._total else np.zeros(_FACTS)
        elsewhere = "recent_laps" in x or x.get("outing", self._outing) != self._outing
        clock = last[0] + 1 + (_BREAK if elsewhere else 0)
        unknown = float(driven) if elsewhere or not self._total else last[1] + 1
        life, session = float(x.get("tyre_life", unknown)), float(x.get("session", last[3]))
        return np.array([clock, life, self._place(x, driven), session])

    def _driven_before(self, x: Features) -> int:
        """How many laps of its outing lie before the lap."""
        if "recent_laps" in x:
            return len(x["recent_laps"])
        return self._driven if x.get("outing", self._outing) == self._outing else 0

    def _place(self, x: Features, driven: int) -> int:
        if not driven or not self._total:
            return _FIRST
        before = x["recent_laps"][-2:] if "recent_laps" in x else [self._times[-1].sum()]
        if before[-1] > self._limit:
            return _AFTER_SLOW
        if "recent_laps" in x:
            return _SECOND if driven == 1 or before[0] > self._limit else _FURTHER
        return _SECOND if self._facts[-1, 2] in (_FIRST, _AFTER_SLOW) else _FURTHER

    def _news(self, x: Features, expected: float) -> float:
        """By what share the laps of `recent_laps` move the pace: the more of them, the nearer to theirs."""
        laps = np.array(x.get("recent_laps", ()), dtype=np.float64)[-_RECENT:]
        laps = laps[laps <= self._limit]
        if not len(laps):
            return 0.0
        return (float(np.median(laps)) / expected - 1) * len(laps) / (len(laps) + 1)


class Processes:
    """Gaussian processes over the same laps, one for each row of `scales`.

    Parameters
    ----------
    scales
        Shape (processes, 6), as `_LEVELS`; one row serves any number of targets.
    """

    def __init__(self, scales: Floats) -> None:
        self._noise: Floats = scales[:, -1:].copy()
        self._shared: Floats = scales[:, :-1] ** 2
        self._weights: Floats = np.empty((0, 0))  # (processes, laps), so that a mean is one product
        self._variance: Floats = np.empty((0, 0))  # (processes, laps), of the noise after reweighting

    def fit(self, among: Floats, targets: Floats, spread: Floats) -> None:
        """Fits targets (processes or 1, laps), whose noise is `spread` (laps,) times the usual.

        `among` is how alike the laps are to each other, see `_alike`.
        """
        covariance = np.tensordot(self._shared, among, axes=1)
        usual = (self._noise * spread) ** 2
        self._variance = np.broadcast_to(usual, np.broadcast_shapes(usual.shape, targets.shape))
        for _ in range(_ROUNDS):
            matrix = covariance + self._variance[:, :, None] * np.eye(len(spread))
            aims = np.broadcast_to(targets, self._variance.shape)[:, :, None]
            solution: Floats = np.linalg.solve(matrix, aims).astype(np.float64)
            off = targets - (covariance @ solution)[:, :, 0]
            self._weights = solution[:, :, 0]
            self._variance = usual * (_TAIL + off**2 / usual) / (_TAIL + 1)

    def means(self, alike: Floats) -> Floats:
        """What each process expects of a lap that is so alike, (kinds, laps), to those fitted."""
        answers: Floats = (self._shared * (self._weights @ alike.T)).sum(axis=1)
        return answers

    def likelihoods(self, alike: Floats, among: Floats, target: float) -> Floats:
        """The logarithms of how likely each process found a lap, but for a constant."""
        covariance = np.tensordot(self._shared, among, axes=1)
        matrix = covariance + self._variance[:, :, None] * np.eye(alike.shape[1])
        towards = self._shared @ alike
        explained = (towards * np.linalg.solve(matrix, towards[:, :, None])[:, :, 0]).sum(axis=1)
        variance = self._shared.sum(axis=1) - explained + self._noise[:, 0] ** 2
        off = target - self.means(alike)
        found: Floats = -0.5 * np.log(variance) - (_TAIL + 1) / 2 * np.log1p(off**2 / (_TAIL * variance))
        return found


def _alike(one: Floats, other: Floats) -> Floats:
    """How alike laps are, 0..1, shaped (kinds, laps of one, laps of the other); kinds as in `_LEVELS`."""
    apart = np.abs(one.T[:, :, None] - other.T[:, None])
    alike = np.ones((_KINDS, *apart.shape[1:]))
    alike[0] = np.exp(apart[0] / -_DRIFT)
    alike[1] = apart[3] == 0
    alike[2] = np.exp(apart[1] / -_TYRE_LIFE)
    alike[3] = apart[2] == 0
    return alike

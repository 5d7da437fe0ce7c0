"""The estimator of setup optimisation: lap time as a Bayesian surface over the setup parameters."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Self

import numpy as np
from river import base

from learning.history import AT_PACE, Features
from learning.laps import Floats
from learning.setup_fit import fitted, whole_prior
from learning.setup_ranges import usual_range
from learning.setup_runs import CONDITIONS, RESERVED, STEADY, Row, Run, Runs
from learning.setup_terms import Terms, terms_of

MAX_PARAMETERS = 40
_SESSION = 0.0004  # of what a session has for itself, share of the lap time
_DOUBTED = 0.05  # of its weight is left to a run that was not at pace: it may have had another reason
_BEYOND = 1.5  # a setup further outside the bounds counts as there
_AROUND, _FURTHER = 0.25, 1.0  # unknown bounds: share of the value, and of the range seen, that may be tried
_LIKELY = 2.0  # times what may be tried at first is how wide unknown bounds are believed to be


class Bounds(NamedTuple):
    """Where a parameter may be set, and who says so.

    `given` by the user, `assumed` as usual for a parameter of this name, or from what was `driven`.
    """

    low: float
    high: float
    source: Literal["given", "assumed", "driven"]


class _Posterior(NamedTuple):
    """Of the weights: the level, the conditions, the terms. `variance` is of one lap around the surface."""

    weights: Floats
    covariance: Floats
    variance: float


class SetupSurface(base.Regressor):
    """Bayesian linear regression of the lap time on functions of the setup, conditions and improvement.

    The laps of a setup in one session are a run, whose mean counts by the noise of its laps and by what every
    session has for itself; this and what happens within runs give the weights in closed form.[^1] The sizes
    of the effects of each parameter and each pair are learned too, by a few steps towards the largest
    evidence.[^2] Features are the parameters of the setup; `fuel`, `tyre_life`, `air_temp`, `road_temp`,
    `wetness` and `compound` are conditions, and `session` tells runs apart.

    Parameters
    ----------
    basis
        `quadratic`, `additive` or `fourier`, as in `Terms`.
    window
        Runs remembered.
    bounds
        Lowest and highest value of parameters; of others what is usual, or the range seen and a little more.
    seed
        Of the random features and of the search for setups.

    References
    ----------
    [^1]: C. Bishop: Pattern Recognition and Machine Learning, Springer, 2006, section 3.3.
    [^2]: D. MacKay: Bayesian interpolation, Neural Computation 4, 1992.

    Examples
    --------
    >>> model = SetupSurface(bounds={"wing": (0, 6)})
    >>> for wing in (1.0, 2.0, 3.0, 4.0, 5.0):
    ...     for _ in range(4):
    ...         model.learn_one({"wing": wing}, 90.0 + 0.1 * (wing - 3.0) ** 2)
    >>> round(model.predict_one({"wing": 3.0}), 1)
    90.0
    """

    def __init__(
        self,
        basis: str = "quadratic",
        window: int = 48,
        bounds: Mapping[str, Sequence[float]] | None = None,
        seed: int = 0,
    ) -> None:
        self.basis = basis
        self.window = window
        self.bounds = bounds
        self.seed = seed
        self.names: list[str] = []
        self._runs = Runs(window)
        self._first: dict[str, float] = {}  # value of each parameter when it was first named
        self._last: dict[str, float] = {}
        self._setups: Floats = np.empty((0, 0))  # of the runs remembered, a row each
        self._edges: tuple[Floats, Floats] = np.empty(0), np.empty(0)
        self._posterior = _Posterior(np.empty(0), np.empty((0, 0)), 0.0)

    @property
    def laps_learned(self) -> int:
        return self._runs.laps_driven

    @property
    def middle(self) -> dict[str, float]:
        """The mean of the setups of all runs."""
        return dict(zip(self.names, self._setups.mean(axis=0).tolist(), strict=True))

    @property
    def setup(self) -> dict[str, float]:
        """The setup driven last."""
        return dict(self._last)

    def learn_one(self, x: Features, y: base.typing.RegTarget) -> None:
        for key in x:
            if (name := str(key)) not in RESERVED and len(self.names) < MAX_PARAMETERS:
                self._first.setdefault(name, float(x[key]))
        self.names = list(self._first)
        self._last |= {str(key): float(x[key]) for key in x if str(key) in self._first}
        self._runs.add(np.array([self._last[name] for name in self.names]), x, float(y))
        self._fit()

    def predict_one(self, x: Features) -> float:
        """The lap time in seconds; 0 before anything was learned, as River's regressors answer."""
        return self.predict_many([x])[0]

    def predict_many(self, rows: Sequence[Row]) -> list[float]:
        """Lap times in seconds; what is not said is as it was last, and a practised driver stays so."""
        if not self.laps_learned or not rows:
            return [0.0] * len(rows)
        lap_times: list[float] = (self._rows(rows) * self._posterior.weights).sum(axis=1).tolist()
        return lap_times

    def deviations(self, xs: Sequence[Row]) -> Floats:
        """Standard deviations of laps around their predictions, noise included."""
        rows = self._rows(xs)
        doubt = ((rows @ self._posterior.covariance) * rows).sum(axis=1)
        spread: Floats = np.sqrt(np.maximum(doubt, 0.0) + self._posterior.variance)
        return spread

    def differences(self, one: Row, others: Sequence[Row]) -> tuple[Floats, Floats]:
        """By how many seconds `one` is slower than each of the others: means and standard deviations."""
        rows = self._rows([one, *others])
        contrasts = rows[0] - rows[1:]
        variances = ((contrasts @ self._posterior.covariance) * contrasts).sum(axis=1)
        return contrasts @ self._posterior.weights, np.sqrt(np.maximum(variances, 0.0))

    def seen(self) -> list[tuple[dict[str, float], float]]:
        """The setups remembered with the laps that count, each once, in the order first driven."""
        laps: dict[tuple[float, ...], float] = {}
        for setup, run in zip(map(tuple, self._setups.tolist()), self._runs.all(), strict=True):
            laps[setup] = laps.get(setup, 0.0) + run.laps
        return [(dict(zip(self.names, setup, strict=True)), count) for setup, count in laps.items()]

    def limits(self) -> dict[str, Bounds]:
        """Where each parameter may be set: given, usual, or the range seen and a little more."""
        if not self.laps_learned:
            return {}
        lows, highs = self._setups.min(axis=0).tolist(), self._setups.max(axis=0).tolist()
        return {
            name: self._limit(name, low, high)
            for name, low, high in zip(self.names, lows, highs, strict=True)
        }

    def within(self, bounds: Mapping[str, Sequence[float]]) -> Self:
        """The same laps fitted with other bounds; this surface does not change."""
        other = type(self)(self.basis, self.window, {**(self.bounds or {}), **bounds}, self.seed)
        other.names, other._runs = self.names, self._runs  # both only read below
        other._first, other._last = self._first, self._last
        other._fit()
        return other

    def scaled(self, setups: Floats) -> Floats:
        """Setups, a row each, as -1 to 1 over the bounds and what was driven."""
        low, high = self._edges
        half = np.where(high > low, high - low, 2.0) / 2
        z: Floats = np.clip((setups - (low + high) / 2) / half, -_BEYOND, _BEYOND)
        return z

    def unscaled(self, z: Floats) -> Floats:
        """The setups that `scaled` made -1 to 1 of."""
        low, high = self._edges
        setups: Floats = (low + high) / 2 + z * (high - low) / 2
        return setups

    def allowed(self) -> tuple[Floats, Floats]:
        """The lowest and the highest setup that may be driven, scaled."""
        limits = self.limits().values()
        low, high = ([limit[end] for limit in limits] for end in (0, 1))
        return self.scaled(np.array(low)), self.scaled(np.array(high))

    def of_setups(self) -> tuple[Terms, Floats, Floats]:
        """The terms of scaled setups; mean and covariance of a constant and of the terms' weights."""
        now = np.eye(len(self._posterior.weights))[CONDITIONS:]
        now[0, : 1 + CONDITIONS] = np.r_[1.0, self._now({})]
        weights, covariance = now @ self._posterior.weights, now @ self._posterior.covariance @ now.T
        return self._terms(), weights, covariance

    def run_variance(self, laps: float) -> float:
        """By how much the mean of so many laps on a setup varies around its true lap time."""
        return self._posterior.variance / laps + (_SESSION * float(self._posterior.weights[0])) ** 2

    def _limit(self, name: str, low: float, high: float) -> Bounds:
        if self.bounds and name in self.bounds:
            given = sorted(self.bounds[name])
            return Bounds(float(given[0]), float(given[1]), "given")
        if usual := usual_range(name, self._first[name]):
            return Bounds(min(usual[0], low), max(usual[1], high), "assumed")
        further = max(_FURTHER * (high - low), _around(max(abs(low), abs(high))) - (high - low) / 2)
        floor = 0.0 if low >= 0 else -math.inf  # what was never negative is no quantity that can be
        return Bounds(max(low - further, floor), high + further, "driven")

    def _likely(self, name: str, limit: Bounds) -> tuple[float, float]:
        """The bounds, and where they are unknown what they may well be."""
        if limit.source != "driven":
            return limit.low, limit.high
        first = self._first[name]
        wide = _LIKELY * _around(abs(first))
        return min(limit.low, first - wide), max(limit.high, first + wide)

    def _terms(self) -> Terms:
        return terms_of(self.basis, tuple(self.names), self.seed)

    def _place(self, runs: Sequence[Run]) -> None:
        """Keeps the runs' setups, a parameter not named yet being what it was first, and the bounds."""
        rows = np.array([run.known(len(self.names)) for run in runs])
        self._setups = np.where(np.isnan(rows), [self._first[name] for name in self.names], rows)
        likely = [self._likely(name, limit) for name, limit in self.limits().items()]
        low, high = np.array(likely).reshape(-1, 2).T
        room = np.where(high > low, high - low, np.inf)  # what was driven further out counts as there
        self._edges = (
            np.maximum(np.minimum(low, self._setups.min(axis=0)), low - room),
            np.minimum(np.maximum(high, self._setups.max(axis=0)), high + room),
        )

    def _rows(self, xs: Sequence[Row]) -> Floats:
        setups = np.array([[float(x.get(name, self._last[name])) for name in self.names] for x in xs])
        conditions = np.array([self._now(x) for x in xs])
        z = self.scaled(setups.reshape(len(xs), len(self.names)))
        return np.hstack([np.ones((len(xs), 1)), conditions, self._terms()(z)])

    def _now(self, x: Row) -> Floats:
        """The columns of a lap driven now, from where the steady change is counted back."""
        conditions = self._runs.conditions(x)
        conditions[STEADY] = 0.0
        return conditions

    def _fit(self) -> None:
        """The posterior of the weights given the remembered laps."""
        runs = self._runs.all()
        self._place(runs)
        means = np.array([run.mean for run in runs])
        laps = np.array([run.laps for run in runs])
        slowest = AT_PACE * means[:, -1].min()
        at_pace = means[:, -1] <= slowest
        means[:, -1] = np.minimum(means[:, -1], slowest)
        level = float(np.median(means[:, -1]))
        means[:, STEADY] -= self._runs.conditions({})[STEADY]  # counted back from now
        terms = self._terms()
        rows = np.hstack([np.ones((len(means), 1)), means[:, :-1], terms(self.scaled(self._setups))])
        within, variance = self._runs.told(level)
        trust = np.where(at_pace, 1.0, _DOUBTED) / (variance / laps + (_SESSION * level) ** 2)
        precision = (rows.T * trust) @ rows
        moved = rows.T @ (trust * (means[:, -1] - level))
        inner = slice(1, 1 + CONDITIONS)
        precision[inner, inner] += within[:-1, :-1] / variance
        moved[inner] += within[:-1, -1] / variance
        weights, covariance = fitted(precision, moved, whole_prior(terms.prior(), level))
        weights[0] += level
        self._posterior = _Posterior(weights, covariance, variance)


def _around(size: float) -> float:
    """How far from a value of some size one may go when nothing else is known."""
    return max(_AROUND * size, 1.0 if size >= 1 or size == 0 else 0.0)

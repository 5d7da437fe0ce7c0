"""The estimator of setup optimisation: lap time as a Bayesian surface over the setup parameters."""

import math
import zlib
from collections.abc import Sequence

import numpy as np
from river import base

from learning.history import Features
from learning.laps import Floats

MAX_PARAMETERS = 40
_INTERACTING = 12  # with more parameters than this, pairs are left out
_FOURIER = 60  # random features
_HUBER_STEPS = 3
_HUBER_LIMIT = 2.0  # residuals beyond this many standard deviations count less and less
_EFFECT = 0.01  # prior deviation of an effect over half a parameter's range, share of the lap time
_SMALLEST_NOISE = 1e-4  # as a share of the lap time


class SetupSurface(base.Regressor):
    """Bayesian linear regression of the lap time on functions of the setup and on the driver's improvement.

    Parameters are scaled to -1..1 over the range seen. The last `window` laps are kept and fitted in closed
    form,[^1] with Huber weights,[^2] so that a slow lap pulls only a little; the driver's improvement is a
    term in the logarithm of the laps driven. The prior says that an effect is worth about one percent.

    Parameters
    ----------
    basis
        `linear`; `quadratic`, with squares and pairs; `fourier`, random features of a Gaussian process.[^3]
    window
        Laps remembered.
    seed
        Of the random features.

    References
    ----------
    [^1]: C. Bishop: Pattern Recognition and Machine Learning, Springer, 2006, section 3.3.
    [^2]: P. Huber: Robust estimation of a location parameter, Annals of Mathematical Statistics 35, 1964.
    [^3]: A. Rahimi, B. Recht: Random features for large-scale kernel machines, NIPS 2007.

    Examples
    --------
    >>> model = SetupSurface()
    >>> for wing in (1.0, 2.0, 3.0, 4.0, 5.0) * 4:
    ...     model.learn_one({"wing": wing}, 90.0 + 0.1 * (wing - 3.0) ** 2)
    >>> round(model.predict_one({"wing": 3.0}), 1)
    90.0
    """

    def __init__(self, basis: str = "quadratic", window: int = 400, seed: int = 0) -> None:
        self.basis = basis
        self.window = window
        self.seed = seed
        self.laps_learned = 0
        self.names: list[str] = []
        self._setups: Floats = np.empty((0, 0))  # NaN where a setup did not name the parameter
        self._times: Floats = np.empty(0)
        self._driven: Floats = np.empty(0)
        self._weights: Floats = np.empty(0)
        self._covariance: Floats = np.empty((0, 0))

    def learn_one(self, x: Features, y: base.typing.RegTarget) -> None:
        for name in x:
            if str(name) not in self.names and len(self.names) < MAX_PARAMETERS:
                self.names.append(str(name))
        new = len(self.names) - self._setups.shape[1]
        old = np.pad(self._setups, ((0, 0), (0, new)), constant_values=np.nan)
        self._setups = np.vstack([old, self._row(x)])[-self.window :]
        self._times = np.append(self._times, float(y))[-self.window :]
        self.laps_learned += 1
        self._driven = np.append(self._driven, math.log(self.laps_learned))[-self.window :]
        self._fit()

    def predict_one(self, x: Features) -> float:
        """The lap time in seconds; 0 before anything was learned, as River's regressors answer."""
        if not self.laps_learned:
            return 0.0
        return float((self._described(self._row(x)[None]) @ self._weights)[0])

    def predict_many(self, rows: Sequence[Features]) -> list[float]:
        """The lap times of some setups, in seconds."""
        return [self.predict_one(x) for x in rows]

    def differences(self, one: Features, others: Sequence[Features]) -> tuple[Floats, Floats]:
        """By how many seconds `one` is slower than each of the others: means and standard deviations."""
        terms = self._described(np.stack([self._row(x) for x in (one, *others)]))
        contrasts = terms[0] - terms[1:]
        variances = ((contrasts @ self._covariance) * contrasts).sum(axis=1)
        return contrasts @ self._weights, np.sqrt(np.maximum(variances, 0.0))

    def seen(self) -> list[Features]:
        """The setups remembered, each once, in the order of their first lap."""
        rows = dict.fromkeys(
            tuple(row) for row in np.where(np.isnan(self._setups), self._middle, self._setups)
        )
        return [dict(zip(self.names, map(float, row), strict=True)) for row in rows]

    def bounds(self) -> dict[str, tuple[float, float]]:
        """The range seen of each parameter."""
        lows, highs = self._middle - self._half, self._middle + self._half
        return {name: (float(a), float(b)) for name, a, b in zip(self.names, lows, highs, strict=True)}

    def _row(self, x: Features) -> Floats:
        return np.array([float(x.get(name, math.nan)) for name in self.names])

    @property
    def _middle(self) -> Floats:
        middle: Floats = np.nan_to_num((np.fmax.reduce(self._setups) + np.fmin.reduce(self._setups)) / 2)
        return middle

    @property
    def _half(self) -> Floats:
        half: Floats = np.nan_to_num((np.fmax.reduce(self._setups) - np.fmin.reduce(self._setups)) / 2)
        return half

    def _described(self, setups: Floats, driven: Floats | None = None) -> Floats:
        """One row of terms a setup: 1, the improvement, the basis."""
        middle, half = self._middle, self._half
        z = np.where(np.isnan(setups), 0.0, (setups - middle) / np.where(half > 0, half, 1.0))
        if driven is None:
            driven = np.full(len(z), math.log(self.laps_learned))
        return np.column_stack([np.ones(len(z)), driven, self._basis_of(z)])

    def _basis_of(self, z: Floats) -> Floats:
        if self.basis == "fourier":
            slopes = np.stack([self._random(name).normal(size=_FOURIER) for name in self.names])
            shifts = self._random("").uniform(0, 2 * math.pi, _FOURIER)
            return math.sqrt(2 / _FOURIER) * np.cos(z @ slopes + shifts)
        if self.basis == "linear":
            return z
        if z.shape[1] > _INTERACTING:
            return np.hstack([z, z**2])
        first, second = np.triu_indices(z.shape[1])
        return np.hstack([z, z[:, first] * z[:, second]])

    def _random(self, name: str) -> np.random.Generator:
        """The same for a parameter whatever others there are."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def _fit(self) -> None:
        """The posterior of the weights given the remembered laps."""
        terms = self._described(self._setups, self._driven)
        level = float(np.median(self._times))
        y = self._times - level
        prior = np.full(terms.shape[1], 1 / (_EFFECT * level) ** 2)
        prior[0] = 1 / level**2
        weights: Floats = np.zeros(terms.shape[1])
        noise = _spread(y, level)
        for _ in range(_HUBER_STEPS):
            sizes = np.abs(y - terms @ weights) / (_HUBER_LIMIT * noise)
            trust = 1 / np.maximum(sizes, 1.0) / noise**2
            covariance = np.linalg.inv((terms.T * trust) @ terms + np.diag(prior)).astype(np.float64)
            weights = covariance @ (terms.T @ (trust * y))
            noise = _spread(y - terms @ weights, level)
        weights[0] += level
        self._weights, self._covariance = weights, covariance


def _spread(residuals: Floats, level: float) -> float:
    """The residuals' standard deviation by their median size, so that slow laps do not count."""
    spread = 1.4826 * float(np.median(np.abs(residuals)))
    return max(spread, _SMALLEST_NOISE * level)

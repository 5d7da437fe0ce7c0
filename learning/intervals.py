"""Prediction intervals from the model's own recent errors, so that they are as wide as it deserves."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from learning.laps import Floats

_WINDOW = 60
_FOLLOWED = (0.5, 0.9, 0.99)  # the levels whose coverage is followed
_STEP = 0.2  # how fast the width follows it
_PRIOR = 12  # errors a new window is credited with; each real one takes the place of one of them
_PRIOR_SPREAD = 0.01  # standard deviation of those, as a share of what is predicted
_NORMAL = NormalDist()
_QUANTILES = np.array([_NORMAL.inv_cdf((1 + level) / 2) for level in _FOLLOWED])


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where the truth lies with probability `level`, bounds in seconds."""

    lower: float
    upper: float
    level: float

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper


class ResidualWindow:
    """The last errors made in one situation, and the interval they imply.

    Conformal prediction over a sliding window: each error was made before its lap was learned, so past
    errors and the next one are alike.[^1] As they are not quite, a factor on the width follows the coverage
    at three levels, and those between them: it grows when the truth falls outside, shrinks when inside.[^2]

    References
    ----------
    [^1]: V. Vovk, A. Gammerman, G. Shafer: Algorithmic Learning in a Random World, 2nd ed., Springer, 2022.
    [^2]: I. Gibbs, E. Candès: Adaptive conformal inference under distribution shift, NeurIPS 2021.
    """

    def __init__(self) -> None:
        self._errors: Floats = np.empty(0)  # absolute, as shares of what was predicted, oldest first
        self._sizes: Floats = _prior(0)  # the same and the errors credited, smallest first
        self._stretch: Floats = np.zeros(len(_FOLLOWED))  # logarithms of the factors on the width

    def update(self, truth: float, predicted: float) -> None:
        """Takes what became of a prediction, in seconds."""
        error = abs(truth - predicted) / abs(predicted)
        for index, level in enumerate(_FOLLOWED):
            missed = error > self.share(level)
            self._stretch[index] += _STEP * (missed - (1 - level))
        self._errors = np.append(self._errors, error)[-_WINDOW:]
        self._sizes = np.sort(np.concatenate([self._errors, _prior(len(self._errors))]))

    def share(self, level: float) -> float:
        """Half the width as a share of what is predicted: a finite-sample quantile of the errors."""
        normal = _NORMAL.inv_cdf((1 + level) / 2)
        factor = math.exp(float(np.interp(normal, _QUANTILES, self._stretch)))
        count = len(self._sizes)
        rank = level * (count + 1)
        if rank <= count:
            below = int(rank)
            lower = float(self._sizes[below - 1]) if below else 0.0
            return factor * (lower + (rank - below) * (float(self._sizes[min(below, count - 1)]) - lower))
        tail = normal / _NORMAL.inv_cdf(1 - 0.5 / (count + 1))  # beyond what was seen as a normal one goes on
        return factor * float(self._sizes[-1]) * max(tail, 1.0)

    def width(self, level: float, predicted: float) -> float:
        """Half the interval's width in seconds."""
        return self.share(level) * abs(predicted)

    def interval(self, predicted: float, level: float) -> Interval:
        width = self.width(level, predicted)
        return Interval(lower=predicted - width, upper=predicted + width, level=level)


def _prior(seen: int) -> Floats:
    """The errors still credited, as shares of the prediction, spread like a normal's."""
    count = max(_PRIOR - seen, 0)
    quantiles = [NormalDist(0, _PRIOR_SPREAD).inv_cdf((1 + (i + 0.5) / count) / 2) for i in range(count)]
    return np.array(quantiles)

"""Prediction intervals from the model's own recent errors, so that they are as wide as it deserves."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from learning.laps import Floats

_WINDOW = 60
_FOLLOWED = 0.9  # the level whose coverage is followed
_STEP = 0.2  # how fast the width follows it
_PRIOR = 12  # errors a new window is credited with; each real one takes the place of one of them
_PRIOR_SPREAD = 0.01  # standard deviation of those, as a share of what is predicted


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
    errors and the next one are alike.[^1] As they are not quite, a factor on the width follows the coverage:
    it grows when the truth falls outside, shrinks when inside.[^2]

    References
    ----------
    [^1]: V. Vovk, A. Gammerman, G. Shafer: Algorithmic Learning in a Random World, 2nd ed., Springer, 2022.
    [^2]: I. Gibbs, E. Candès: Adaptive conformal inference under distribution shift, NeurIPS 2021.
    """

    def __init__(self) -> None:
        self._sizes: Floats = np.empty(0)
        self._factor = 1.0

    def update(self, truth: float, predicted: float) -> None:
        """Takes what became of a prediction, in seconds."""
        error = abs(truth - predicted)
        missed = float(error > self.width(_FOLLOWED, predicted))
        self._factor *= math.exp(_STEP * (missed - (1 - _FOLLOWED)))
        self._sizes = np.append(self._sizes, error)[-_WINDOW:]

    def width(self, level: float, predicted: float) -> float:
        """Half the interval's width in seconds: a finite-sample quantile of the absolute errors."""
        sizes = np.sort(np.concatenate([self._sizes, _prior(len(self._sizes)) * predicted]))
        rank = math.ceil(level * (len(sizes) + 1))
        if rank <= len(sizes):
            return self._factor * float(sizes[rank - 1])
        normal = NormalDist()  # beyond what was ever seen the tail goes on as a normal one does
        tail = normal.inv_cdf((1 + level) / 2) / normal.inv_cdf(1 - 0.5 / (len(sizes) + 1))
        return self._factor * float(sizes[-1]) * max(tail, 1.0)

    def interval(self, predicted: float, level: float) -> Interval:
        width = self.width(level, predicted)
        return Interval(lower=predicted - width, upper=predicted + width, level=level)


def _prior(seen: int) -> Floats:
    """The errors still credited, as shares of the prediction, spread like a normal's."""
    count = max(_PRIOR - seen, 0)
    quantiles = [NormalDist(0, _PRIOR_SPREAD).inv_cdf((1 + (i + 0.5) / count) / 2) for i in range(count)]
    return np.array(quantiles)

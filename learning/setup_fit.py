"""The weights of a setup surface: what is believed of them, and what they are given the laps."""

from dataclasses import replace

import numpy as np

from learning.laps import Floats
from learning.setup_runs import CONDITIONS
from learning.setup_terms import Prior

_LEVEL = 0.05  # prior deviation of the level, share of the lap time
_CONDITION = 0.004  # of what a condition is worth, share of the lap time
_IMPROVEMENT = 0.004  # of what ten times the laps make a driver faster, roughly, share of the lap time
_STEPS = 4  # of the search for the sizes of effects
# Effects that the belief in their size is worth: of a parameter, of what stands alone, of all.
_OWN, _ALONE, _ALL = 6.0, 1.0, 12.0
_NONE = 1e-4  # of the belief in an improvement, in place of one that is none
_IMPROVING = 1  # the column of a driver's improvement


def whole_prior(prior: Prior, level: float) -> Prior:
    """The prior of all weights, in seconds: the level, the conditions, the terms."""
    others = np.r_[_LEVEL, _IMPROVEMENT, np.full(CONDITIONS - 1, _CONDITION)]
    groups = np.full(1 + CONDITIONS, -1)
    groups[_IMPROVING] = prior.group.max() + 1  # learned as the size of a pair is
    return Prior(
        mean=level * np.r_[np.zeros(1 + CONDITIONS), prior.mean],
        deviation=level * np.r_[others, prior.deviation],
        group=np.r_[groups, prior.group],
    )


def fitted(precision: Floats, moved: Floats, prior: Prior) -> tuple[Floats, Floats]:
    """Mean and covariance of the weights; practice makes nobody slower, so that counts as no improvement.

    Parameters
    ----------
    precision, moved
        What the laps tell: the sums of x x' and of x y over the noise's variance.
    """
    weights, covariance = _posterior(precision, moved, prior)
    if weights[_IMPROVING] <= 0:
        return weights, covariance
    deviation = prior.deviation.copy()
    deviation[_IMPROVING] *= _NONE
    return _posterior(precision, moved, replace(prior, deviation=deviation))


def _posterior(precision: Floats, moved: Floats, prior: Prior) -> tuple[Floats, Floats]:
    """Mean and covariance of the weights, with the groups' sizes adapted to them."""
    sized = prior.group >= 0
    group, counts = prior.group[sized], np.bincount(prior.group[sized])
    belief = np.where(counts == 1, _ALONE, _OWN)
    size, sizes = 1.0, np.ones(len(counts))
    scale = np.ones(len(prior.mean))
    for step in range(_STEPS + 1):
        inverse = 1 / (scale * prior.deviation**2)
        covariance = np.linalg.inv(precision + np.diag(inverse)).astype(np.float64)
        weights = covariance @ (moved + inverse * prior.mean)
        if step < _STEPS:
            squares = (weights - prior.mean) ** 2 + np.diag(covariance)
            squares = squares[sized] / prior.deviation[sized] ** 2
            size = (_ALL + (squares / sizes[group]).sum()) / (_ALL + len(group))
            sizes = (belief + np.bincount(group, squares / size)) / (belief + counts)
            scale[sized] = size * sizes[group]
    return weights, covariance

"""Whether one model predicts better than another: from errors on the same laps to a verdict that holds.

Laps of one session resemble each other, so the unit here is a stretch of consecutive laps. If neither
model is better, a stretch in favour of one might as well have been in favour of the other; all that is
asked of the data is how often such exchanges make a difference as large as the one seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import floor, sqrt

import numpy as np
from numpy.typing import NDArray

from learning.laps import Floats

MIN_LAPS = 20  # for a verdict; the simulated error rates hold from here on
_STRETCHES = 12  # of all laps together, where the sessions are fewer
_EXCHANGES = 4096  # drawn where all of them would be more
_FEWEST = 6  # independent laps that are worth as much as the laps there are
_ROUNDING = 1e-9  # of floating point, where a share must reach a bound
_OUTLYING = 4.0  # median absolute deviations from the middle at which outliers are cut
_STRONGEST = 0.9  # lap-to-lap correlation reckoned with at most


class Verdict(StrEnum):
    """Which of two models predicts better."""

    A_BETTER = "a_better"
    B_BETTER = "b_better"
    NO_DIFFERENCE = "no_difference"  # none that these laps could show


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean over laps of a's absolute error less b's, in seconds, and an interval for it.

    `p` is the share of exchanges with at least this difference: small when it is no chance. A bound is
    None where there are too few laps to give one at this level.
    """

    mean: float
    lower: float | None
    upper: float | None
    level: float
    p: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models by their index; `p_adjusted` is `p` after Holm, for all pairs of the comparison together."""

    a: int
    b: int
    difference: Difference
    p_adjusted: float
    verdict: Verdict


def compare(errors: Sequence[Floats], *, level: float, seed: int) -> tuple[Pair, ...]:
    """Every pair of some models; any verdict but `no_difference` is wrong with a chance of 1 - level at most.

    Parameters
    ----------
    errors
        For each session an array of shape (laps, models): absolute errors in seconds, laps in the order
        driven.
    seed
        Of the exchanges, where there are too many to try them all.
    """
    count = errors[0].shape[1]
    indices = list(combinations(range(count), 2))
    differences = [
        paired_difference([one[:, a] - one[:, b] for one in errors], level=level, seed=seed)
        for a, b in indices
    ]
    adjusted = holm([difference.p for difference in differences])
    return tuple(
        Pair(a=a, b=b, difference=found, p_adjusted=p, verdict=_verdict(found.mean, p, level))
        for (a, b), found, p in zip(indices, differences, adjusted, strict=True)
    )


def paired_difference(differences: Sequence[Floats], *, level: float, seed: int) -> Difference:
    """The mean of paired differences by the wild bootstrap of stretches of laps.

    The differences of whole stretches change sign at random (Rademacher weights, the hypothesis imposed;
    Cameron, Gelbach and Miller, 2008), which for independent stretches is exact whatever the tails
    (Hartigan, 1969; Canay, Romano and Shaikh, 2017). Exchanging some stretches supports exactly the
    values between the mean of the exchanged laps and the mean of the others, so the interval needs no
    search. What correlation is left between neighbouring stretches of a session widens it, as reckoned
    from the correlation of laps.

    Parameters
    ----------
    differences
        For each session the differences of its laps, in the order driven, in seconds.

    References
    ----------
    A. C. Cameron, J. B. Gelbach, D. L. Miller, Bootstrap-based improvements for inference with clustered
    errors, Review of Economics and Statistics 90 (2008). J. A. Hartigan, Using subsample values as typical
    values, JASA 64 (1969). I. A. Canay, J. P. Romano, A. M. Shaikh, Randomization tests under an approximate
    symmetry assumption, Econometrica 85 (2017).
    """
    sessions = [one for one in differences if len(one)]
    total = sum(len(session) for session in sessions)
    mean, correlation = float(np.concatenate(sessions).mean()), _correlation(sessions)
    if total < _FEWEST * (1 + correlation) / (1 - correlation):
        return Difference(mean=mean, lower=None, upper=None, level=level, p=1.0)
    parts = [part for session in sessions for part in _stretches(session, total)]
    widened = _widening(sessions, parts, correlation)
    lows, highs = (np.sort(mean + widened * (bounds - mean)) for bounds in _supported(parts, seed))
    supporting = np.count_nonzero(lows <= 0 if mean >= 0 else highs >= 0)
    every = len(lows) + 1  # leaving all as it is supports every value
    rank = floor((1 - level) * every + _ROUNDING)
    return Difference(
        mean=mean,
        lower=float(lows[rank - 1]) if rank else None,
        upper=float(highs[-rank]) if rank else None,
        level=level,
        p=(1 + int(supporting)) / every,
    )


def _supported(parts: Sequence[Floats], seed: int) -> tuple[Floats, Floats]:
    """The lowest and the highest mean that each exchange supports."""
    sums, laps = np.array([part.sum() for part in parts]), np.array([float(len(part)) for part in parts])
    chosen = _exchanges(len(parts), seed)
    inside = (chosen @ sums) / (chosen @ laps)
    outside = (sums.sum() - chosen @ sums) / (laps.sum() - chosen @ laps)
    return np.minimum(inside, outside), np.maximum(inside, outside)


def holm(p: Sequence[float]) -> list[float]:
    """P-values made larger, so that several tests together are as seldom wrong as one (Holm, 1979).

    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted


def _verdict(mean: float, p: float, level: float) -> Verdict:
    if p > 1 - level + _ROUNDING or mean == 0:
        return Verdict.NO_DIFFERENCE
    return Verdict.B_BETTER if mean > 0 else Verdict.A_BETTER


def _stretches(session: Floats, laps: int) -> list[Floats]:
    """The session cut into equal stretches, `_STRETCHES` in all `laps` laps, none of a single lap."""
    wanted = max(1, min(len(session) // 2, round(_STRETCHES * len(session) / laps)))
    return np.array_split(session, wanted)


def _exchanges(parts: int, seed: int) -> NDArray[np.float64]:
    """Which stretches are exchanged, a row a way to do it; no row exchanges all or none."""
    if parts <= 1:
        return np.zeros((0, parts))
    if 2 ** (parts - 1) <= _EXCHANGES:  # exchanging the others instead is the same, so the first one stays
        ways = np.arange(1, 2 ** (parts - 1))
        return np.concatenate([np.zeros((len(ways), 1)), ways[:, None] >> np.arange(parts - 1) & 1], axis=1)
    drawn = np.random.default_rng(seed).integers(0, 2, size=(_EXCHANGES, parts)).astype(float)
    some_not_all = (drawn.min(axis=1) == 0) & (drawn.max(axis=1) == 1)
    return np.asarray(drawn[some_not_all])


def _widening(sessions: Sequence[Floats], parts: Sequence[Floats], correlation: float) -> float:
    """How much further the mean strays than independent stretches would have it, at least 1."""
    whole = sum(_spread(len(session), correlation) for session in sessions)
    apart = sum(_spread(len(part), correlation) for part in parts)
    return sqrt(whole / apart)


def _correlation(sessions: Sequence[Floats]) -> float:
    """Of a lap with the next of its session, 0 or more, and rather too much than too little.

    A short series shows too little of it (Kendall, 1954), so that and one standard error are added; outliers,
    which hide it, are cut.
    """
    every = np.concatenate(sessions)
    middle = np.median(every)
    reach = _OUTLYING * float(np.median(np.abs(every - middle)))
    around = [np.clip(session - middle, -reach, reach) for session in sessions]
    around = [one - np.concatenate(around).mean() for one in around]
    total, laps = sum(float(one @ one) for one in around), len(every)
    if not total or laps < _FEWEST:
        return 0.0
    seen = sum(float(one[1:] @ one[:-1]) for one in around) / total
    unbiased = (laps * seen + 1) / (laps - 3)
    return min(_STRONGEST, max(0.0, unbiased + sqrt(max(0.0, 1 - seen**2) / laps)))


def _spread(laps: int, correlation: float) -> float:
    """The variance of the sum of so many laps, each of variance 1, the correlation fading by its powers."""
    r = correlation
    return laps * (1 + r) / (1 - r) - 2 * r * (1 - r**laps) / (1 - r) ** 2

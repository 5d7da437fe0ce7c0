"""Whether a challenger predicts better, asked after every session without being fooled by the asking."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learning.laps import Floats

MIN_SESSIONS = 3  # for a decision: one day's weather must not make it
_STRETCH = 15  # laps of a session that are one observation, so that it hardly depends on the one before
_STAKES = np.array([0.5, 1.0, 2.0])  # in root mean squares of the observations before
_HALVINGS, _DOUBLINGS = 40, 20
_LARGEST = 600.0  # logarithm of a stake, which must stay a finite number
_SMALLEST = 1e-9  # seconds


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What paired differences say so far.

    Parameters
    ----------
    mean
        Of the incumbent's absolute error less the challenger's, over all laps, in seconds: above 0 the
        challenger predicts better.
    against_equality
        The e-value: how many times a stake would have grown that was placed, lap for lap, on one of the
        two being better. If they are equal it ever reaches 1 / (1 - level) with probability 1 - level at
        most.
    lower, upper
        A confidence sequence at the level asked for: with that probability it holds the mean at every
        look. None where there is no bound yet.
    """

    mean: float
    against_equality: float
    lower: float | None
    upper: float | None
    level: float

    @property
    def is_decisive(self) -> bool:
        return self.against_equality >= 1 / (1 - self.level)


def evidence(differences: Sequence[Floats], *, level: float) -> Evidence | None:
    """The evidence in paired differences; None without any.

    An observation is the sum over a stretch of laps of one session. If neither model is better, it is as
    likely to be x as -x given those before, and the product of exp(s x) / cosh(s x) is a fair game for
    whatever s is chosen beforehand: here some shares of the observations' root mean square so far, both
    ways, averaged. By Ville's inequality a fair game ever multiplies its stake by k with probability 1 /
    k at most, so looking after each session, or at will, costs nothing; and as only the symmetry counts,
    neither do heavy tails.

    Parameters
    ----------
    differences
        For each session in the order scored the differences of its laps in the order driven, in seconds.

    References
    ----------
    V. H. de la Peña, A general class of exponential inequalities for martingales and ratios, Annals of
    Probability 27 (1999). A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, Game-theoretic statistics and safe
    anytime-valid inference, Statistical Science 38 (2023). S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon,
    Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49 (2021).
    """
    parts = [part for one in differences if len(one) for part in _stretches(one)]
    if not parts:
        return None
    sums, laps = np.array([part.sum() for part in parts]), np.array([float(len(part)) for part in parts])
    mean = float(sums.sum() / laps.sum())
    return Evidence(
        mean=mean,
        against_equality=_grown(sums, laps, 0.0),
        lower=_bound(sums, laps, mean, -1.0, 1 / (1 - level)),
        upper=_bound(sums, laps, mean, 1.0, 1 / (1 - level)),
        level=level,
    )


def _stretches(session: Floats) -> list[Floats]:
    return np.array_split(session, max(1, len(session) // _STRETCH))


def _grown(sums: Floats, laps: Floats, mean: float) -> float:
    """What a stake of 1 against this mean has become; the first observation only sets the scale."""
    x = (sums - mean * laps) / np.sqrt(laps)
    scale = np.sqrt(np.cumsum(x**2) / np.arange(1, len(x) + 1))[:-1]
    ratios = np.divide(x[1:], scale, out=np.zeros(len(x) - 1), where=scale > 0)
    steps = np.outer(_STAKES, ratios)
    games = np.stack([np.log(2.0) - np.logaddexp(0.0, -2 * way * steps) for way in (1, -1)])
    return float(np.exp(np.minimum(games.sum(axis=-1), _LARGEST)).mean())


def _bound(sums: Floats, laps: Floats, mean: float, way: float, limit: float) -> float | None:
    """Where, going up or down from the mean, the evidence against a value reaches the limit."""
    inside, step = 0.0, max(abs(mean), float(np.abs(sums / laps).max()), _SMALLEST)
    reaches = (step * 2.0**doublings for doublings in range(_DOUBLINGS))
    outside = next((reach for reach in reaches if _grown(sums, laps, mean + way * reach) >= limit), None)
    if outside is None:
        return None
    for _ in range(_HALVINGS):
        between = (inside + outside) / 2
        grown = _grown(sums, laps, mean + way * between)
        inside, outside = (inside, between) if grown >= limit else (between, outside)
    return mean + way * outside

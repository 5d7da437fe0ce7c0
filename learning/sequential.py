"""Whether a challenger predicts better, asked after every session without being fooled by the asking."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learning.laps import Floats

MIN_SESSIONS = 3  # for a decision: one day's weather must not make it
_STRETCH = 15  # laps of a session that are one observation, so that it hardly depends on the one before
_STAKES = np.array([0.25, 0.5, 1.0, 2.0])  # an observation of the usual size is 1
_SPREAD = 1.3  # medians of the absolute observations before that are the usual size
_OUTLYING = 2.0  # usual sizes at which outliers are cut, lest one of them end all hope
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
    for_challenger: bool  # rather than for the incumbent

    @property
    def is_decisive(self) -> bool:
        """Whether one of the two is better; not where most laps say one thing and the mean another."""
        agrees = self.mean > 0 if self.for_challenger else self.mean < 0
        return agrees and self.against_equality >= 1 / (1 - self.level)


def evidence(differences: Sequence[Floats], *, level: float, bounds: bool = True) -> Evidence | None:
    """The evidence in paired differences; None without any.

    An observation x is the sum over a stretch of laps of one session, in units of what is usual so far, and
    cut at twice that. If neither model is better, x is as likely as -x given those before, and the product of
    exp(s x) / cosh(s x) is a fair game for whatever stake s is chosen beforehand: here a few, both ways,
    averaged. By Ville's inequality a fair game ever multiplies what was put in by k with probability 1 / k at
    most, so looking after each session, or at will, costs nothing; and as only the symmetry counts, neither
    do heavy tails.

    Parameters
    ----------
    differences
        For each session in the order scored the differences of its laps in the order driven, in seconds.
    bounds
        Whether `lower` and `upper` are wanted; they cost most of the time.

    References
    ----------
    V. H. de la Peña, A general class of exponential inequalities for martingales and ratios, Annals of
    Probability 27 (1999). A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, Game-theoretic statistics and safe
    anytime-valid inference, Statistical Science 38 (2023). S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon,
    Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49 (2021).
    """
    sums, laps = _observed(differences)
    if not len(sums):
        return None
    mean = float(sums.sum() / laps.sum())
    up, down = _grown(sums, laps, 0.0)
    return Evidence(
        mean=mean,
        against_equality=(up + down) / 2,
        lower=_bound(sums, laps, mean, -1.0, 1 / (1 - level)) if bounds else None,
        upper=_bound(sums, laps, mean, 1.0, 1 / (1 - level)) if bounds else None,
        level=level,
        for_challenger=up > down,
    )


def _observed(differences: Sequence[Floats]) -> tuple[Floats, Floats]:
    """The sums and the numbers of laps of all stretches."""
    cuts = [np.array_split(one, max(1, len(one) // _STRETCH)) for one in differences if len(one)]
    parts = [part for cut in cuts for part in cut]
    return np.array([part.sum() for part in parts]), np.array([float(len(part)) for part in parts])


def _grown(sums: Floats, laps: Floats, mean: float) -> tuple[float, float]:
    """What stakes on more and on less than this mean have become; the first observation sets the scale."""
    x = (sums - mean * laps) / np.sqrt(laps)
    scale = _SPREAD * _running_medians(np.abs(x[:-1]))
    ratios = np.divide(x[1:], scale, out=np.zeros(len(x) - 1), where=scale > 0)
    steps = np.outer(_STAKES, np.clip(ratios, -_OUTLYING, _OUTLYING))
    games = np.stack([np.log(2.0) - np.logaddexp(0.0, -2 * way * steps) for way in (1, -1)])
    up, down = np.exp(np.minimum(games.sum(axis=-1), _LARGEST)).mean(axis=-1).tolist()
    return up, down


def _running_medians(values: Floats) -> Floats:
    """Of the first, the first two, the first three values, and so on."""
    known: list[float] = []
    medians = []
    for value in values.tolist():
        insort(known, value)
        half = len(known) // 2
        medians.append((known[half] + known[-half - 1]) / 2)
    return np.array(medians)


def _bound(sums: Floats, laps: Floats, mean: float, way: float, limit: float) -> float | None:
    """Where, going up or down from the mean, the evidence against a value reaches the limit."""
    inside, step = 0.0, max(abs(mean), float(np.abs(sums / laps).max()), _SMALLEST)
    reaches = (step * 2.0**doublings for doublings in range(_DOUBLINGS))
    outside = next((reach for reach in reaches if _refuses(sums, laps, mean + way * reach, limit)), None)
    if outside is None:
        return None
    for _ in range(_HALVINGS):
        between = (inside + outside) / 2
        refused = _refuses(sums, laps, mean + way * between, limit)
        inside, outside = (inside, between) if refused else (between, outside)
    return mean + way * outside


def _refuses(sums: Floats, laps: Floats, mean: float, limit: float) -> bool:
    return sum(_grown(sums, laps, mean)) / 2 >= limit

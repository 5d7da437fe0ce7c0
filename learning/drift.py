"""Watches whether a driver's pace has changed for good, beyond what fuel, tyres and practice explain.

An adaptive model follows a change within a few laps, so its own errors soon look as before: they hide what is
looked for. Watched is the error of a slow reference instead, which does not know the newest laps.
"""

from typing import Any, Literal, TypedDict
from zlib import crc32

import numpy as np
from river.drift import PageHinkley

from learning.history import Features
from learning.laps import Floats

_WINDOW = 120  # laps at pace that are remembered
_GAP = 10  # of them the newest, which the reference does not know
_LEAST = 20  # laps the reference needs
_CLIP = 2.5  # standard deviations: what one lap may say at most
_NOISE = 0.004  # least standard deviation of a lap, as a share of its time
_HUBER = 1.5  # standard deviations from which a lap pulls the reference less
_ROUNDS = 3  # of weighting
_PRACTICE = 10  # practice goes with log(laps driven + these)
_SLOPES = (0.1, 0.1, 0.1, 0.5)  # prior deviations, s: of laps since the pits, tyre life, fuel, practice
_COMPOUND = 1.0  # the same of a compound, s
_ALLOWED = 0.8  # standard deviations that laps may be off on average
_APART = 1.25  # the same, by how much outings differ by themselves
_THRESHOLD = 5.0  # standard deviations beyond that, summed up, from which it is drift
_CERTAIN = 200  # laps at the usual pace that the detector is credited with
_WEIGHED = 60  # laps that the evidence for a change is taken from
_CHANGED = (2, 25)  # of them those that may be of another pace, fewest and most
_USUAL = 8  # of them those that are of the usual one, at least
_OUTINGS_APART = 0.2  # standard deviation of outings' paces that is always allowed for, in those of a lap
_DAYS_APART = 0.12  # the same of sessions, s
_CONFIRMING, _OVERWHELMING = 10.0, 16.0  # evidence that confirms what the detector says, and that needs none


class LapMark(TypedDict):
    """One lap of a lineage: how many sessions were learned before, and its number in its session."""

    session: int
    lap: int


class Drift(TypedDict):
    """A change of pace: where it was found, where it began about, and how many seconds a lap it is."""

    detected: LapMark
    began: LapMark
    direction: Literal["slower", "faster"]
    size: float


class Detector(PageHinkley):
    """River's two-sided Page-Hinkley test, pickled without the bound method it keeps of itself.

    It starts as if it had seen many laps at the usual pace, else the first laps would set what is usual.
    """

    def __init__(self) -> None:
        super().__init__(min_instances=1, delta=_ALLOWED, threshold=_THRESHOLD, alpha=1.0, mode="both")
        for _ in range(_CERTAIN):
            self.add(0.0)

    def add(self, value: float) -> bool:
        """Takes one more value; whether their mean has changed."""
        self.update(value)  # type: ignore[no-untyped-call]  # not typed in River
        return bool(self.drift_detected)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_test_drift"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _test_drift=self._test_both)


class DriftWatch:
    """Tells when the laps of one context have become slower or faster for good.

    The reference is a linear regression of the laps at pace, but the ten newest, on the laps since the pits,
    tyre life, fuel, compound and the logarithm of all laps driven, with a normal prior on each slope[^1] and
    Huber weights. A lap's error, over its standard deviation and clipped so that no single lap is enough,
    goes to the Page-Hinkley test.[^2] What it finds must be confirmed by the evidence: by how much likelier
    the errors are with a step than without, when outings and sessions each have a pace of their own.[^3]
    Overwhelming evidence stands alone. So a change within an outing is told from another day or another load
    of fuel. What the laps say of themselves, as another compound, is no drift.

    References
    ----------
    [^1]: C. Bishop: Pattern Recognition and Machine Learning, Springer, 2006, 3.3.
    [^2]: E. S. Page: Continuous inspection schemes, Biometrika 41, 1954.
    [^3]: A. S. Willsky, H. L. Jones: A generalized likelihood ratio approach to the detection and estimation
       of jumps in linear systems, IEEE Transactions on Automatic Control 21, 1976.
    """

    # Of the last errors: in deviations, outing, session. A watch that was pickled without begins with none.
    _weighed: Floats = np.empty((0, 3))

    def __init__(self) -> None:
        self._laps_seen = 0
        self._outing: float | None = None
        self._stint = 0
        self._rows: Floats = np.empty((0, len(_SLOPES) + 2))  # what has a slope, compound's code, outing
        self._values: Floats = np.empty(0)
        self._marks: list[LapMark] = []
        self._errors: Floats = np.empty(0)  # since the detector started, s
        self._detector = Detector()

    def update(self, x: Features, value: float, *, lap_time: float, mark: LapMark) -> Drift | None:
        """Takes a lap at pace; the drift that it proves, if it does.

        Parameters
        ----------
        x
            What held when the lap began: `outing`, `tyre_life`, `fuel`, `compound`, as far as known.
        value
            What is watched, in seconds: the lap time, or what a model that hardly adapts got wrong of it.
        """
        row = self._row(x)
        changed = self._judge(row, value, lap_time, mark) if len(self._values) >= _LEAST + _GAP else 0
        self._rows = np.vstack([self._rows, row])[-_WINDOW:]
        self._values = np.append(self._values, value)[-_WINDOW:]
        self._marks = [*self._marks, mark][-_WINDOW:]
        return self._start_again(changed) if changed else None

    def _row(self, x: Features) -> Floats:
        outing, compound = float(x.get("outing", 0.0)), x.get("compound")
        self._stint = self._stint + 1 if outing == self._outing else 0
        self._outing = outing
        self._laps_seen += 1
        age, fuel = x.get("tyre_life", self._stint), x.get("fuel", 0.0)
        code = np.nan if compound is None else float(crc32(str(compound).encode()))
        return np.array([self._stint, age, fuel, np.log(self._laps_seen + _PRACTICE), code, outing])

    def _judge(self, row: Floats, value: float, lap_time: float, mark: LapMark) -> int:
        """How many of the newest laps are of another pace, this one included; 0 while that is not certain."""
        reference = _Reference(self._rows[:-_GAP], self._values[:-_GAP], least=_NOISE * lap_time)
        error, deviation = value - reference.expected(row), reference.deviation(row)
        scaled = float(np.clip(error / deviation, -_CLIP, _CLIP))
        self._errors = np.append(self._errors, error)[-_WINDOW:]
        self._weighed = np.vstack([self._weighed, (scaled, row[-1], mark["session"])])[-_WEIGHED:]
        self._detector.delta = _ALLOWED + _APART * reference.outings / deviation
        found = self._detector.add(scaled)
        evidence = _evidence(self._weighed, reference)
        if evidence > (_CONFIRMING if found else _OVERWHELMING):
            return _laps_changed(self._errors)
        if found:
            self._detector = Detector()
        return 0

    def _start_again(self, laps: int) -> Drift:
        """Forgets the laps before the change, and says what it was."""
        size = float(np.median(self._errors[-laps:]))
        self._rows, self._values, self._marks = self._rows[-laps:], self._values[-laps:], self._marks[-laps:]
        self._errors, self._weighed, self._detector = np.empty(0), np.empty((0, 3)), Detector()
        return Drift(
            detected=self._marks[-1],
            began=self._marks[0],
            direction="slower" if size > 0 else "faster",
            size=abs(size),
        )


class _Reference:
    """The regression of some laps, and how far laps are from it; all in seconds.

    Parameters
    ----------
    least
        What a lap's standard deviation is at least.
    """

    def __init__(self, rows: Floats, values: Floats, *, least: float) -> None:
        self._middle, self._level = rows[:, :-2].mean(axis=0), float(np.median(values))
        self._codes = np.unique(rows[:, -2][~np.isnan(rows[:, -2])])
        prior = np.diag(np.r_[1e-9, np.array(_SLOPES) ** -2.0, np.full(len(self._codes), _COMPOUND**-2)])
        design, values = self._design(rows), values - self._level
        weights, self.noise = np.ones(len(values)), max(float(values.std()), least)
        for _ in range(_ROUNDS):
            self._precision = design.T * weights @ design + self.noise**2 * prior
            self._slopes = np.linalg.solve(self._precision, design.T * weights @ values)
            errors = values - design @ self._slopes
            self.noise = max(1.4826 * float(np.median(np.abs(errors))), least)  # if normal
            weights = np.minimum(1.0, _HUBER * self.noise / np.maximum(np.abs(errors), 1e-9))
        clipped = np.clip(errors / self.noise, -_CLIP, _CLIP)
        self.outings = self.noise * _spread_of_means(clipped, rows[:, -1])  # how much outings differ

    def expected(self, row: Floats) -> float:
        return self._level + float(self._design(row[None])[0] @ self._slopes)

    def deviation(self, row: Floats) -> float:
        """A lap's standard deviation from what is expected, with the doubt about the slopes in it."""
        x = self._design(row[None])[0]
        doubt = float(x @ np.linalg.solve(self._precision, x))
        if not np.isnan(row[-2]) and row[-2] not in self._codes:
            doubt += (_COMPOUND / self.noise) ** 2
        return self.noise * float(np.sqrt(1 + doubt))

    def _design(self, rows: Floats) -> Floats:
        ones = np.ones((len(rows), 1))
        return np.hstack([ones, rows[:, :-2] - self._middle, rows[:, -2:-1] == self._codes])


def _evidence(weighed: Floats, reference: _Reference) -> float:
    """Twice the logarithm of how much likelier the errors are with a step in them than without, at most.

    Parameters
    ----------
    weighed
        Shape (laps, 3): errors in standard deviations, outings, sessions.
    """
    laps = len(weighed)
    changed = np.arange(_CHANGED[0], min(_CHANGED[1], laps - _USUAL) + 1)
    if not len(changed):
        return 0.0
    errors, outings, sessions = weighed.T
    apart = max(reference.outings / reference.noise, _OUTINGS_APART), _DAYS_APART / reference.noise
    covariance = np.eye(laps)
    for deviation, group in zip(apart, (outings, sessions), strict=True):
        covariance += deviation**2 * (group[:, None] == group)
    steps = (np.arange(laps)[:, None] >= laps - changed).astype(np.float64)
    weights = np.linalg.solve(covariance, steps)
    return float(np.max((errors @ weights) ** 2 / np.sum(steps * weights, axis=0)))


def _spread_of_means(errors: Floats, groups: Floats) -> float:
    """The standard deviation of the groups' true means, beyond what chance makes of them."""
    _, group = np.unique(groups, return_inverse=True)
    laps = np.bincount(group)
    means = np.bincount(group, errors) / laps
    by_chance = float(np.sum((errors - means[group]) ** 2)) / max(len(errors) - len(laps), 1)
    beyond = float(np.sum(laps * means**2)) - len(laps) * by_chance
    return float(np.sqrt(max(beyond, 0.0) / len(errors)))


def _laps_changed(errors: Floats) -> int:
    """Since when the errors' mean has most likely been another one, in laps counted from the newest."""
    sums = np.cumsum(errors[::-1])
    return 1 + int(np.argmax(np.abs(sums) / np.sqrt(np.arange(1, len(sums) + 1))))

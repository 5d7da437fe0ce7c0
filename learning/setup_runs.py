"""What is remembered of the laps on each setup: enough to fit them exactly, and never more than a window."""

import math
import zlib
from collections.abc import Hashable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from learning.laps import Floats

NUMBERS = {"fuel": 20.0, "tyre_life": 10.0, "air_temp": 10.0, "road_temp": 10.0, "wetness": 0.2}  # and units
_PRACTICE = 10.0  # laps after which a driver has settled; improvement goes with the logarithm of these
_AGE = 500.0  # laps, the unit of a steady change of pace
_COMPOUNDS = 6  # told apart; laps on further ones count as on none
STEADY = 1  # the column of the steady change, after that of the improvement
CONDITIONS = 2 + len(NUMBERS) + _COMPOUNDS  # columns
_LAPS = 40  # of a run that are kept one by one; a longer run counts as several
_PACE = 1.04  # of a run's lower quartile; laps slower than that were not driven for time
_FREEDOM = 5.0  # of the Student distribution of a lap's noise
_NOISE = 0.003  # share of the lap time, believed before the first lap
_BELIEVED = 4.0  # laps that this belief is worth
_FORGOTTEN = 0.02  # share of what runs tell of noise and conditions that each new run takes away
Row = Mapping[Any, Any]  # features of a lap: setup parameters and conditions side by side
RESERVED = frozenset({*NUMBERS, "compound", "session"})  # names of features that are no setup parameters


class Run(NamedTuple):
    """The laps driven on one setup in one session, added up.

    `mean` is of the conditions and, last, the lap time; `within` sums the products of the deviations from it,
    and is empty once the run is closed.
    """

    setup: Floats  # NaN where the parameter was not known yet
    laps: float  # by weight
    mean: Floats
    within: Floats

    def known(self, size: int) -> Floats:
        """The setup with as many parameters as are known by now."""
        missing = size - len(self.setup)
        return np.append(self.setup, np.full(missing, np.nan)) if missing else self.setup


class Runs:
    """The last runs, at most `window` of them, and what they tell of noise and conditions.

    Laps are weighted as if their noise had heavy tails,[^1] about the middle of their own run, so that a
    mistake or a cool-down lap pulls only a little. Beyond the window two neighbouring runs on one setup
    become one, which loses little as the model is linear in the conditions; else the oldest run is dropped.

    References
    ----------
    [^1]: K. Lange, R. Little, J. Taylor: Robust statistical modeling using the t distribution, JASA 84, 1989.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.laps_driven = 0
        self.closed: tuple[Run, ...] = ()
        self._within: Floats = np.zeros((CONDITIONS + 1, CONDITIONS + 1))
        self._freedom = 0.0
        self._key: tuple[Hashable, tuple[float, ...]] | None = None
        self._setup: Floats = np.empty(0)
        self._laps: Floats = np.empty((0, CONDITIONS + 1))
        self._usual: dict[str, float] = {}  # where each kind of number began
        self._now: Floats = np.zeros(CONDITIONS)
        self._compounds: tuple[int, ...] = ()

    def add(self, setup: Floats, x: Row, lap_time: float) -> None:
        """Takes a lap on a setup; it belongs to the newest run if neither setup nor session has changed."""
        key = (x.get("session"), tuple(setup.tolist()))
        if key != self._key or len(self._laps) >= _LAPS:
            self._close()
            self._key, self._setup, self._laps = key, setup, self._laps[:0]
        self._meet(x)
        self._now = self.conditions(x)
        self._laps = np.vstack([self._laps, np.append(self._now, lap_time)])
        self.laps_driven += 1

    def all(self) -> tuple[Run, ...]:
        """The closed runs and the newest, oldest first."""
        return (*self.closed, self._open())

    def told(self, level: float) -> tuple[Floats, float]:
        """The products within runs, of conditions and lap time, and the variance of a lap's noise."""
        newest = self._open()
        within = self._within + newest.within
        believed = _BELIEVED * (_NOISE * level) ** 2
        freedom = self._freedom + max(newest.laps - 1, 0.0)
        conditions, times = within[:-1, :-1], within[:-1, -1]
        explained = times @ np.linalg.solve(conditions + np.eye(CONDITIONS), times)
        left = max(float(within[-1, -1] - explained), 0.0)
        return within, (believed + left) / (_BELIEVED + freedom)

    def conditions(self, x: Row) -> Floats:
        """The columns for a lap driven now; what is not said of it is as on the lap before."""
        values = self._now.copy()
        values[0] = math.log1p(self.laps_driven / _PRACTICE)
        values[STEADY] = self.laps_driven / _AGE
        for column, (name, unit) in enumerate(NUMBERS.items(), start=STEADY + 1):
            if name in x and name in self._usual:
                values[column] = (float(x[name]) - self._usual[name]) / unit
        if "compound" in x:
            code = _code(x["compound"])
            values[-_COMPOUNDS:] = [float(code == known) for known in self._padded_compounds()]
        return values

    def _meet(self, x: Row) -> None:
        for name in NUMBERS.keys() & x.keys():
            self._usual.setdefault(name, float(x[name]))
        if "compound" in x and (code := _code(x["compound"])) not in self._compounds:
            self._compounds = (*self._compounds, code)[:_COMPOUNDS]

    def _padded_compounds(self) -> tuple[int, ...]:
        return self._compounds + (-1,) * (_COMPOUNDS - len(self._compounds))

    def _close(self) -> None:
        if not len(self._laps):
            return
        run = self._open()
        keep = 1 - _FORGOTTEN
        self._within = keep * self._within + run.within
        self._freedom = keep * self._freedom + max(run.laps - 1, 0.0)
        self.closed = (*self.closed, run._replace(within=np.empty((0, 0))))  # now in the sum
        if len(self.closed) >= self.window:
            self.closed = _shortened(self.closed)

    def _open(self) -> Run:
        """The newest run as it stands, with the laps weighted."""
        times = self._laps[:, -1]
        paced = times <= _PACE * np.quantile(times, 0.25)
        middle = float(np.median(times[paced]))
        spread = 1.4826 * float(np.median(np.abs(times[paced] - middle)))
        spread = math.hypot(spread, _NOISE * middle)
        weights = paced * (_FREEDOM + 1) / (_FREEDOM + ((times - middle) / spread) ** 2)
        weights = np.minimum(weights, 1.0)
        laps = float(weights.sum())
        mean = weights @ self._laps / laps
        deviations = self._laps - mean
        return Run(self._setup, laps, mean, (deviations.T * weights) @ deviations)


def _shortened(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """One run fewer: the first two neighbours on one setup joined, or the oldest dropped."""
    for index, (one, other) in enumerate(pairwise(runs)):
        if np.array_equal(one.known(len(other.setup)), other.setup, equal_nan=True):
            return (*runs[:index], _joined(one, other), *runs[index + 2 :])
    return runs[1:]


def _joined(one: Run, other: Run) -> Run:
    laps = one.laps + other.laps
    mean = (one.laps * one.mean + other.laps * other.mean) / laps
    return Run(other.setup, laps, mean, other.within)


def _code(compound: object) -> int:
    return zlib.crc32(str(compound).encode())

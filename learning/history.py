"""The last laps of one context as arrays: the bounded memory that every lap-time estimator rests on."""

import math
import zlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.laps import SPLITS, Floats

Features = dict[Hashable, Any]  # what is known of a lap, as River's estimators take it

MARKS = 200  # elapsed time and speed are kept at each 0.5 % of a lap
SHARES: Floats = np.linspace(0.0, 1.0, MARKS + 1)
AT_PACE = 1.07  # a lap within 107 % of the best so far was driven for time
MARKS_PER_SPLIT = MARKS // SPLITS
FACTS = ("outing", "tyre_life", "outing_lap", "previous_lap", "compound")
TICKS = np.array([1e3, 2.0])  # a second and a km/h, as traces are kept
_UNKNOWN = -1
_NO_SPEED = 1e4
NO_OUTING = -1.0  # shared by a lap of no known outing and its recent laps
NO_LAP_BEFORE = -1.0  # in place of the logarithm of the lap before


class LapHistory:
    """The last laps, at most `size` of them, oldest first; in every array laps come last.

    Attributes
    ----------
    lap_time
        Shape (laps,), seconds.
    number
        Shape (laps,), how many laps came before, also of those not added here.
    age
        Shape (laps,), how many laps came after.
    shaped
        Shape (laps,), whether more is known of the lap than its time.
    all_shaped
        Whether that is so of every lap.
    facts
        Shape (5, laps), in the order of `FACTS`.
    situations
        Shape (3, laps), tyre life, outing lap and lap before of the facts.
    traces
        Shape (2, 201, laps), elapsed seconds and km/h at each mark.
    splits
        Shape (21, laps), of these the elapsed seconds at each 5 %.
    situated
        What `likeness` made of these laps for the situations asked for lately; not pickled.
    followed
        The laps not learned that were asked about last, and what `mixture` made of these laps with them; not
        pickled.
    best, best_time
        Which lap took the shortest time, and how many seconds that is.
    marks
        Shape (78, laps): seconds for each 5 % but the last, km/h at the line and at each 5 %, both less their
        `centre`, then the squares of all these; what is not known is like no lap's.
    centre
        Shape (39,), their means, so that sums of squares lose no digits.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        empty = np.empty((MARKS + 1, 2, 0), dtype=np.int32)
        self._set(np.empty(0), np.empty(0), np.empty(0, dtype=np.bool_), np.empty((len(FACTS), 0)), empty)

    def _set(
        self, lap_time: Floats, number: Floats, shaped: NDArray[np.bool_], facts: Floats, ticks: NDArray[Any]
    ) -> None:
        keep = slice(-self.size, None)
        self.lap_time, self.number = lap_time[keep], number[keep]
        self.shaped, self.facts = shaped[keep], facts[:, keep]
        self.all_shaped = bool(self.shaped.all())
        self.situations = self.facts[1:4].astype(np.float32)
        self._ticks = ticks[:, :, keep]
        ticks = self._ticks.transpose(1, 0, 2)
        self.traces = np.ascontiguousarray(ticks / TICKS[:, None, None], dtype=np.float32)
        self.traces[ticks == _UNKNOWN] = np.nan
        self.splits, speeds = np.ascontiguousarray(self.traces[:, ::MARKS_PER_SPLIT])
        marks = np.concatenate([np.diff(self.splits, axis=0)[:-1], speeds[:-1]])
        known = ~np.isnan(marks)
        self.centre = np.where(known, marks, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        marks = np.where(known, marks - self.centre[:, None], _NO_SPEED)
        self.marks = np.concatenate([marks, marks**2], dtype=np.float32)
        self.situated: dict[bytes, NDArray[np.float32]] = {}
        self.followed: tuple[object, LapHistory] | None = None
        self.age = (self.number[-1:] - self.number).astype(np.float32)
        self.best = int(self.lap_time.argmin()) if len(self.lap_time) else 0
        self.best_time = float(self.lap_time[self.best]) if len(self.lap_time) else math.inf

    def __len__(self) -> int:
        return len(self.lap_time)

    def __getstate__(self) -> dict[str, Any]:
        """Steps from mark to mark, in a few bits each, instead of all that follows from them."""
        steps = np.diff(self._ticks, axis=0, prepend=np.int32(0))
        small = np.iinfo(np.int16)
        if steps.size and small.min <= steps.min() and steps.max() <= small.max:
            steps = steps.astype(np.int16)
        arrays = {name: getattr(self, name) for name in ("lap_time", "number", "shaped", "facts")}
        arrays["steps"] = steps
        return {"size": self.size} | {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.size = state["size"]
        ticks = np.cumsum(state["steps"], axis=0, dtype=np.int32)
        self._set(state["lap_time"], state["number"], state["shaped"], state["facts"], ticks)

    def add(self, x: Features, lap_time: float, number: int) -> None:
        """Adds a whole lap; one without a trace counts as driven at an even speed."""
        trace = np.stack([trace_of(x, lap_time), speeds_of(x)], axis=1) * TICKS
        ticks = np.where(np.isnan(trace), _UNKNOWN, np.rint(trace)).astype(np.int32)
        self._set(
            np.append(self.lap_time, lap_time),
            np.append(self.number, number),
            np.append(self.shaped, is_shaped(x)),
            np.hstack([self.facts, facts_of(x)[:, None]]),
            np.concatenate([self._ticks, ticks[:, :, None]], axis=2),
        )

    def only(self, chosen: NDArray[np.bool_]) -> "LapHistory":
        """A history of some of the laps."""
        if chosen.all():
            return self
        part = LapHistory(self.size)
        part._set(
            self.lap_time[chosen],
            self.number[chosen],
            self.shaped[chosen],
            self.facts[:, chosen],
            self._ticks[:, :, chosen],
        )
        return part

    def with_shape(self) -> "LapHistory":
        """A history of the laps of which more is known than their time, or of all if there are none."""
        return self if self.all_shaped or not self.shaped.any() else self.only(self.shaped)

    def with_recent(self, recent: Sequence[float], facts: Floats) -> "LapHistory":
        """The laps followed by some that were not learned, as laps of the best one's shape.

        Parameters
        ----------
        recent
            Lap times in seconds, newest last.
        facts
            Of the lap being driven: those of the laps before it follow from them.
        """
        count = len(recent)
        before = np.arange(count, 0, -1)
        more = np.tile(facts[:, None], count)
        more[1:3] -= before
        more[3] = np.append(math.nan, np.log(recent[:-1]))
        shape = np.repeat(self._ticks[:, :, self.best, None], count, axis=2)
        shape[:, 0] = np.rint(shape[:, 0] * (np.array(recent) / self.lap_time[self.best]))
        whole = LapHistory(len(self) + count)
        whole._set(
            np.append(self.lap_time, recent),
            np.append(self.number, self.number[-1] + np.arange(1, count + 1)),
            np.append(self.shaped, np.full(count, self.shaped[self.best])),
            np.hstack([self.facts, more]),
            np.concatenate([self._ticks, shape], axis=2),
        )
        return whole

    def at(self, left: NDArray[np.intp], beyond: Floats) -> NDArray[np.float32]:
        """Shape (2, m, laps): the elapsed seconds and the km/h of each lap at some points.

        Parameters
        ----------
        left
            Shape (m,), the marks before them.
        beyond
            Shape (m,), how far beyond those they are, as shares of the way to the next mark.
        """
        before = self.traces.take(left, axis=1)
        between: NDArray[np.float32] = self.traces.take(left + 1, axis=1)
        between -= before
        between *= beyond.astype(np.float32)[:, None]
        between += before
        return between


def position_of(x: Features) -> float:
    """The share of the lap that a prediction may count on: 0 unless the elapsed time is known too."""
    return float(x["track_position"]) if "current_lap_time" in x and "track_position" in x else 0.0


def is_shaped(x: Features) -> bool:
    """Whether more of a whole lap is known than its time."""
    return "trace" in x or "splits" in x


def facts_of(x: Features) -> Floats:
    """What holds for a whole lap, as numbers in the order of `FACTS`; NaN where it is not known."""
    return np.array(facts_list(x))


def facts_list(x: Features) -> list[float]:
    """The same as a list."""
    previous = x["recent_laps"][-1] if x.get("recent_laps") else x.get("previous_lap", math.nan)
    return [
        x.get("outing", NO_OUTING),
        x.get("tyre_life", math.nan),
        x.get("outing_lap", math.nan),
        math.log(previous) if previous != 0 else NO_LAP_BEFORE,
        compound_code(x.get("compound")),
    ]


def compound_code(compound: object) -> float:
    """A number for each compound, 0 for an unknown one."""
    return 0.0 if compound is None else float(zlib.crc32(str(compound).encode()))


def trace_of(x: Features, lap_time: float) -> Floats:
    """Elapsed seconds at each mark of a whole lap, from its trace, else its splits, else evenly spread."""
    if "trace" in x:
        return np.asarray(x["trace"], dtype=np.float64)
    splits: Sequence[float] = x.get("splits", ())[: SPLITS - 1]
    known = np.arange(len(splits) + 1) / SPLITS
    trace: Floats = np.interp(SHARES, np.append(known, 1.0), np.array([0.0, *splits, lap_time]))
    return trace


def speeds_of(x: Features) -> Floats:
    """Speed in km/h at each mark of a whole lap, NaN where unknown."""
    speeds = x.get("speed_trace")
    return np.full(MARKS + 1, np.nan) if speeds is None else np.asarray(speeds, dtype=np.float64)


def moments_of(lap: Features, lap_time: float) -> Iterator[Features]:
    """The lap as it was known at 0 %, 5 %, … 95 %; at 0 % alone when it has no shape."""
    known: Features = {name: lap[name] for name in FACTS if name in lap}
    yield known
    if not is_shaped(lap):
        return
    every = (array[::MARKS_PER_SPLIT].tolist() for array in (trace_of(lap, lap_time), speeds_of(lap)))
    trace, speeds = every
    measured = not any(map(math.isnan, speeds))
    for mark in range(1, SPLITS):
        moment: Features = {
            "track_position": mark / SPLITS,
            "current_lap_time": trace[mark],
            "speed": speeds[mark],
            "splits": trace[1 : mark + 1],
        }
        yield known | moment | ({"speeds": speeds[: mark + 1]} if measured else {})

"""The last laps of one context as arrays: the bounded memory that every lap-time estimator rests on."""

import math
import zlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.laps import SPLITS, Floats

Features = dict[Hashable, Any]  # what is known of a lap, as River's estimators take it

MARKS = 200  # elapsed time and speed are kept at each 0.5 % of a lap
SHARES: Floats = np.linspace(0.0, 1.0, MARKS + 1)
AT_PACE = 1.07  # a lap within 107 % of the best so far was driven for time
MARKS_PER_SPLIT = MARKS // SPLITS
_FACTS = 3  # outing, tyre life, compound
_NO_OUTING = -1.0  # shared by a lap of no known outing and its recent laps


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """Earlier laps as seen from one point of a lap; every array has a row for each of them, oldest first."""

    lap_time: Floats
    elapsed: Floats  # seconds each took to this point
    speed: Floats  # km/h each had at this point
    splits: Floats  # (laps, passed + 1), elapsed at each 5 % passed, from 0
    facts: Floats  # (laps, 3), outing, tyre life, compound
    own: Floats  # (3,), the same of the lap being driven

    def only(self, chosen: NDArray[np.bool_]) -> "Past":
        """The chosen laps."""
        return Past(
            lap_time=self.lap_time[chosen],
            elapsed=self.elapsed[chosen],
            speed=self.speed[chosen],
            splits=self.splits[chosen],
            facts=self.facts[chosen],
            own=self.own,
        )


class LapHistory:
    """The laps learned last, at most `size` of them; `total` counts all that were ever added."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.total = 0
        self._lap_time: Floats = np.empty(0)
        self._elapsed: Floats = np.empty((0, MARKS + 1))
        self._speed: Floats = np.empty((0, MARKS + 1))
        self._facts: Floats = np.empty((0, _FACTS))

    def __len__(self) -> int:
        return len(self._lap_time)

    @property
    def best(self) -> float:
        """The lowest lap time remembered, in seconds."""
        return float(self._lap_time.min())

    def add(self, x: Features, lap_time: float) -> None:
        """Adds a whole lap; one without a trace counts as driven at an even speed."""
        self._lap_time = self._kept(self._lap_time, np.array([lap_time]))
        self._elapsed = self._kept(self._elapsed, trace_of(x, lap_time)[None])
        self._speed = self._kept(self._speed, speeds_of(x)[None])
        self._facts = self._kept(self._facts, facts_of(x)[None])
        self.total += 1

    def seen_from(self, x: Features) -> Past:
        """The remembered laps as they were at the point of the lap that `x` describes.

        Lap times in `recent_laps` have not been learned: they come in as laps of the best lap's shape.
        """
        at, passed = position_of(x) * MARKS, len(x.get("splits", ())[: SPLITS - 1])
        left = min(int(at), MARKS - 1)
        share = at - left
        recent = np.array(x.get("recent_laps", ()), dtype=np.float64)
        past = Past(
            lap_time=self._lap_time,
            elapsed=self._elapsed[:, left] * (1 - share) + self._elapsed[:, left + 1] * share,
            speed=self._speed[:, left] * (1 - share) + self._speed[:, left + 1] * share,
            splits=self._elapsed[:, : passed * MARKS_PER_SPLIT + 1 : MARKS_PER_SPLIT],
            facts=self._facts,
            own=facts_of(x),
        )
        return _with_recent(past, recent) if len(recent) else past

    def _kept(self, old: Floats, new: Floats) -> Floats:
        return np.concatenate([old, new])[-self.size :]


def _with_recent(past: Past, recent: Floats) -> Past:
    best = int(past.lap_time.argmin())
    scale = recent / past.lap_time[best]
    same_outing = np.tile(past.own, (len(recent), 1))
    same_outing[:, 1] -= np.arange(len(recent), 0, -1)  # the tyres were that many laps younger
    return Past(
        lap_time=np.concatenate([past.lap_time, recent]),
        elapsed=np.concatenate([past.elapsed, scale * past.elapsed[best]]),
        speed=np.concatenate([past.speed, np.full(len(recent), past.speed[best])]),
        splits=np.concatenate([past.splits, scale[:, None] * past.splits[best]]),
        facts=np.concatenate([past.facts, same_outing]),
        own=past.own,
    )


def position_of(x: Features) -> float:
    """The share of the lap that a prediction may count on: 0 unless the elapsed time is known too."""
    return float(x["track_position"]) if "current_lap_time" in x and "track_position" in x else 0.0


def facts_of(x: Features) -> Floats:
    """Outing, tyre life and compound as numbers; the last two are NaN where unknown."""
    compound = x.get("compound")
    code = math.nan if compound is None else float(zlib.crc32(str(compound).encode()))
    return np.array([x.get("outing", _NO_OUTING), x.get("tyre_life", math.nan), code])


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
    known: Features = {name: lap[name] for name in ("outing", "tyre_life", "compound") if name in lap}
    yield known
    if "trace" not in lap and "splits" not in lap:
        return
    trace, speeds = trace_of(lap, lap_time)[::MARKS_PER_SPLIT], speeds_of(lap)[::MARKS_PER_SPLIT]
    for mark in range(1, SPLITS):
        moment: Features = {
            "track_position": mark / SPLITS,
            "current_lap_time": trace[mark],
            "speed": speeds[mark],
        }
        yield known | moment | {"splits": trace[1 : mark + 1]}

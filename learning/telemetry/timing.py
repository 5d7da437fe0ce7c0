"""How long a lap and its sectors took, by official times where there are some, else by the clock."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from learning.errors import InvalidTelemetry
from learning.laps import Floats
from learning.telemetry.line import START, Stretch

PACE_SHARE = 0.02  # of the lap, over which the pace at its end is taken
LABEL_NOISE = 0.1  # share of a lap's frames that may carry another lap's official time, at the line


def official_times(frames: pl.DataFrame, laps: Sequence[Stretch]) -> tuple[float | None, ...] | None:
    """Each lap's official time, None where it has none; None if the file knows no official times.

    Raises
    ------
    InvalidTelemetry
        `lap_time` changes within a lap, so it is not the time of the whole lap.
    """
    if _has_values(frames, "lap_time"):
        values = frames["lap_time"].fill_null(np.nan).to_numpy()
        return tuple(_label(values[lap.first : lap.last], lap) for lap in laps)
    return None


def last_lap_times(frames: pl.DataFrame, laps: Sequence[Stretch]) -> tuple[float | None, ...]:
    """Each lap's time as the lap after it shows it; None where there is none, or still the one before."""
    if not _has_values(frames, "last_lap_time"):
        return (None,) * len(laps)
    values = frames["last_lap_time"].fill_null(np.nan).to_numpy()
    shown = [(lap.number, float(values[lap.last - 1])) for lap in laps]
    return (
        *(
            time if time > 0 and time != stale and after == number + 1 else None
            for (number, stale), (after, time) in pairwise(shown)
        ),
        None,
    )


def _has_values(frames: pl.DataFrame, name: str) -> bool:
    return name in frames.columns and frames[name].null_count() < frames.height


def _label(values: Floats, lap: Stretch) -> float | None:
    known = values[values > 0]
    if not len(known):
        return None
    time = float(np.median(known))
    if np.mean(known != time) > LABEL_NOISE:
        raise InvalidTelemetry(
            f"lap_time changes within lap {lap.number}; it is the official time of the whole lap. "
            "Name the running clock current_lap_time.",
            lap=lap.number,
            row=lap.first + 1,
            column="lap_time",
        )
    return time


def time_at_line(position: Floats, time: Floats) -> float:
    """When a lap whose last frame is just before the line ends, at the pace of its last 2 %."""
    if position[-1] >= 1:
        return float(time[np.searchsorted(position, 1.0)])
    before = int(np.searchsorted(position, position[-1] - PACE_SHARE))
    driven = position[-1] - position[before]
    pace = (time[-1] - time[before]) / driven if driven > 0 else 0.0
    return float(time[-1] + (1 - position[-1]) * pace)


def sector_times(lap_time: float, position: Floats, time: Floats, sector: Floats) -> tuple[float, ...]:
    """Sector times from a sector number in each frame; empty where it does not count up through the lap.

    A sector begins half way between the frames around the change of the number. In the lap's first 2 % the
    number may still be that of the lap before.
    """
    inside = (position >= START) & ~np.isnan(sector)
    numbers, own = np.unique(sector[inside]), np.flatnonzero(inside)
    if len(numbers) < 2:
        return ()
    first = own[[int(np.argmax(sector[own] == number)) for number in numbers[1:]]]
    crossed = (time[first - 1] + time[first]) / 2
    times = np.diff(np.concatenate([[0.0], crossed, [lap_time]]))
    return tuple(float(t) for t in times) if (times > 0).all() else ()

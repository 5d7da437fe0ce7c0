"""Cuts laps where loggers show the line only through beacons, or timers, counters and distances that lag."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learning.errors import InvalidTelemetry
from learning.laps import Floats
from learning.telemetry.channels import CHANNELS, NEEDED, TEXT
from learning.telemetry.line import WRAP, lap_lengths

SHORTEST = 10.0  # seconds; two crossings nearer than this are one, seen twice
RESTART = 0.5  # seconds by which a timer's start must move on before it is another lap's
SAME_TIME = 0.1  # seconds that a logger's lap time may differ from that between its crossings
SLOW = 5.0  # m/s, below which speed does not tell when the line was crossed
IMPOSSIBLE = 1e9  # no channel that laps are found by goes so far
METRES = 10.0  # a position that goes further than this is a distance, not a share
COARSE = 0.005  # share of a lap; a position that moves in larger steps is worse than the integrated speed


def with_laps(
    frames: pl.DataFrame,
    crossings: Sequence[float] = (),
    *,
    splits: Sequence[float] = (),
    end: float | None = None,
) -> pl.DataFrame:
    """The frames with `lap`, `current_lap_time`, `lap_time` and a position that fit the line's crossings.

    The frames before the first crossing and after the last are laps without a time. A lap's time is what the
    logger shows for it (`last_lap_time`), if that is the time between the crossings but for rounding.

    Parameters
    ----------
    frames
        Canonical channels with `session_time`.
    crossings
        When the line was crossed, on that clock, as far as the file says; else they are found by
        `current_lap_time`, `track_position`, `lap_distance` or `lap`, whichever is there.
    splits
        When sectors began; they are numbered if every timed lap has as many.
    end
        When the line was crossed after the last frame, if it was.

    Raises
    ------
    InvalidTelemetry
        Nothing shows where laps begin.
    """
    time = _clock(frames)
    begins = _apart(np.sort(np.asarray(crossings, dtype=np.float64)), time)
    if not len(begins):
        begins = _apart(_found(frames, time), time)
    if not len(begins):
        raise InvalidTelemetry(
            "Nothing shows where laps begin; export it with beacons, the lap number, the running lap time or "
            "the lap distance.",
            missing=["beacons", "lap", "current_lap_time", "lap_distance"],
            found=frames.columns,
        )
    ends = np.append(begins, np.inf if end is None else end)
    lap = np.searchsorted(begins, time, side="right")
    columns = {
        "lap": _numbers(frames, lap)[lap],
        "current_lap_time": time - np.append(time[0], begins)[lap],
        "lap_time": _lap_times(frames, lap, ends)[lap],
        **_position(frames, time, lap, ends),
        **_sectors(time, ends, np.sort(np.asarray(splits, dtype=np.float64))),
    }
    return frames.drop("last_lap_time", "lap_distance", strict=False).with_columns(
        pl.Series(name, values, dtype=pl.Float64, nan_to_null=True) for name, values in columns.items()
    )


def _clock(frames: pl.DataFrame) -> Floats:
    time = frames["session_time"].fill_null(np.nan).to_numpy()
    possible = np.abs(time) <= CHANNELS["session_time"].high
    wrong = np.flatnonzero(~(possible & (np.diff(np.where(possible, time, np.nan), prepend=time[:1]) >= 0)))
    if len(wrong):
        row = int(wrong[0]) + 1
        raise InvalidTelemetry(
            f"Row {row}: the time is missing, impossible or runs backwards, {time[row - 1]:g} s; upload the "
            "rows in the order driven.",
            row=row,
            column="session_time",
        )
    return time


def plausible(frames: pl.DataFrame) -> pl.DataFrame:
    """The frames without what a car's sensors show wrong, in channels that can be done without."""
    return frames.with_columns(
        values.set(~values.is_between(channel.low, channel.high), None)
        for name in frames.columns
        if name not in (*NEEDED, TEXT) and (channel := CHANNELS[name]) and len(values := frames[name])
    )


def _apart(begins: Floats, time: Floats) -> Floats:
    """Those within the recording, each at least the shortest lap after the one before."""
    kept: list[float] = []
    for begin in begins[(begins >= time[0] - RESTART) & (begins <= time[-1])].tolist():
        if not kept or begin - kept[-1] >= SHORTEST:
            kept.append(begin)
    return np.array(kept)


def _found(frames: pl.DataFrame, time: Floats) -> Floats:
    """The crossings by the best channel there is: a timer knows them to the hundredth, a counter is late."""
    if len(begins := _restarts(_values(frames, "current_lap_time"), time)):
        return begins
    for name in ("track_position", "lap_distance"):
        if len(begins := _wraps(_values(frames, name), time, _values(frames, "speed") / 3.6)):
            return begins
    lap = _values(frames, "lap")
    return time[np.flatnonzero(np.diff(lap) > 0) + 1] if len(lap) else lap


def _values(frames: pl.DataFrame, name: str) -> Floats:
    """A channel's values, NaN where there is none or an impossible one; empty if there is no such channel."""
    if name not in frames.columns:
        return np.empty(0)
    values = frames[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.abs(values) <= IMPOSSIBLE, values, np.nan)


def _restarts(timer: Floats, time: Floats) -> Floats:
    """When a running lap timer was at zero, as at least two of its values agree."""
    ticks = np.flatnonzero((np.diff(timer, prepend=np.nan) != 0) & (timer > 0))
    started = time[ticks] - timer[ticks]
    started = started[np.abs(np.diff(started, append=started[-1:])) <= RESTART]
    latest = np.maximum.accumulate(started)
    return started[np.diff(latest, prepend=-np.inf) > RESTART]


def _wraps(position: Floats, time: Floats, speed: Floats) -> Floats:
    """When a position or a distance in metres was at zero, by the speed or the pace around it."""
    length = float(np.nanmax(position, initial=0))
    after = np.flatnonzero(np.diff(position) < -WRAP * length) + 1
    if not length or not len(after):
        return np.empty(0)
    driven, left = position[after].clip(0), (length - position[after - 1]).clip(0)
    whole = np.where(driven + left > 0, driven + left, 1.0)
    since = driven / whole * (time[after] - time[after - 1])
    if len(speed) and length > METRES:
        moving = speed[after] > SLOW
        since = np.where(moving, driven / np.where(moving, speed[after], 1.0), since)
    return time[after] - since


def _numbers(frames: pl.DataFrame, lap: NDArray[np.intp]) -> Floats:
    """Each lap's number: the file's own if it counts them one by one, else from 0."""
    shown = _in_lap(_values(frames, "lap"), lap)
    counted = np.diff(shown[int(lap[0]) :])
    return shown if len(shown) and (counted == 1).all() else np.arange(lap[-1] + 1, dtype=np.float64)


def _in_lap(values: Floats, lap: NDArray[np.intp]) -> Floats:
    """A value late in each lap, when all that lags behind the line has caught up; NaN for no lap."""
    if not len(values):
        return values
    laps = np.arange(lap[-1] + 1)
    first, last = np.searchsorted(lap, laps), np.searchsorted(lap, laps, side="right")
    return np.where(last > first, values[(last - 1 - (last - first) // 8).clip(0)], np.nan)


def _lap_times(frames: pl.DataFrame, lap: NDArray[np.intp], ends: Floats) -> Floats:
    measured = np.append(np.nan, np.diff(ends))
    measured[np.isinf(measured)] = np.nan
    shown = _in_lap(_values(frames, "last_lap_time"), lap)
    if not len(shown):
        return measured
    after = np.append(shown[1:], np.nan)
    return np.where(np.abs(after - measured) <= SAME_TIME, after, measured)


def _position(frames: pl.DataFrame, time: Floats, lap: NDArray[np.intp], ends: Floats) -> dict[str, Floats]:
    """The recorded share of the lap, else the distance since the line over the length known by then."""
    if _is_fine(_values(frames, "track_position")):
        return {}
    distance = _values(frames, "lap_distance")
    if not _is_fine(distance) and "speed" in frames.columns:
        distance = _driven(_values(frames, "speed") / 3.6, time, lap, ends)
    if not len(distance):
        return {}
    starts = np.searchsorted(lap, np.arange(lap[-1] + 1))
    longest = np.fmax.reduceat(distance, starts)
    whole = np.isfinite(np.append(np.nan, np.diff(ends)))
    return {"track_position": (distance / lap_lengths(np.where(whole, longest, np.nan))[lap]).clip(max=1)}


def _sectors(time: Floats, ends: Floats, splits: Floats) -> dict[str, Floats]:
    """How many splits each frame is past, if all timed laps have the same number of them."""
    passed = np.searchsorted(splits, ends[np.isfinite(ends)])
    if len(passed) < 2 or len(counts := np.unique(np.diff(passed))) != 1 or not counts[0]:
        return {}
    lap = np.searchsorted(ends[:-1], time, side="right")
    sector = np.searchsorted(splits, time, side="right") - np.append(0, passed)[lap]
    return {"sector_index": sector.astype(np.float64)}


def _is_fine(position: Floats) -> bool:
    steps = np.abs(np.diff(position))
    steps = steps[steps > 0]
    return len(steps) > 0 and bool(np.median(steps) <= COARSE * np.nanmax(position))


def _driven(speed: Floats, time: Floats, lap: NDArray[np.intp], ends: Floats) -> Floats:
    """Metres since the line; NaN before it was first crossed."""
    speed = np.nan_to_num(speed.clip(0, CHANNELS["speed"].high / 3.6))
    steps = (speed[1:] + speed[:-1]) / 2 * np.diff(time)
    total = np.append(0.0, np.cumsum(steps))
    begun = np.append(np.nan, np.interp(ends[:-1], time, total))
    driven: Floats = total - begun[lap]
    return driven

"""Finds where each lap begins and ends, and puts right what recorders get wrong at the line."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.laps import Floats
from learning.telemetry.source import Limits

WRAP = 0.5  # a position that falls by more than half a lap has crossed the line
LATE_FRAMES = 120  # two seconds at 60 Hz: so far apart may lap counter, clock and position pass the line
CLOCK_JITTER = 0.05  # seconds
RECENT = 50  # laps that tell the track's length
NEARLY = 0.9  # of the longest lap; a shorter one was not a whole lap
LONGER = 1.02  # times the length known; a longer lap was not where the shares of that length say
START, END = 0.02, 0.98  # a complete lap starts before and ends after these shares

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Stretch:
    """The frames `first` to `last - 1` of one lap, counted from the file's first row."""

    number: int
    first: int
    last: int


def stretches(lap: Floats, position: Floats, limits: Limits) -> tuple[Stretch, ...]:
    """One stretch a lap, in order; where the lap counter is early or late, the position decides.

    Raises
    ------
    InvalidTelemetry
        A lap number comes back after another lap.
    TelemetryTooLarge
        There are more laps than the limit.
    """
    starts = np.flatnonzero(np.diff(lap, prepend=np.nan) != 0)
    numbers = lap[starts].astype(np.int64)
    if len(again := np.setdiff1d(np.arange(len(starts)), np.unique(numbers, return_index=True)[1])):
        number, row = int(numbers[again[0]]), int(starts[again[0]]) + 1
        raise InvalidTelemetry(
            f"Row {row}: lap {number} comes back after lap {int(numbers[again[0] - 1])}; "
            "upload the rows in the order driven, and each session in a file of its own.",
            row=row,
            lap=number,
            column="lap",
        )
    if len(starts) > limits.laps:
        raise TelemetryTooLarge(
            f"The session has more than {limits.laps:,} laps; split it.", limit=limits.laps
        )
    starts = _at_line(starts, position)
    ends = np.append(starts[1:], len(lap))
    return tuple(Stretch(int(n), int(a), int(b)) for n, a, b in zip(numbers, starts, ends, strict=True))


def _at_line(starts: Indices, position: Floats) -> Indices:
    """Moves each lap's start to where the position wraps, if that is near."""
    wraps = np.flatnonzero(np.diff(position) < -WRAP) + 1
    if not len(wraps) or len(starts) < 2:
        return starts
    lengths = np.diff(np.append(starts, len(position)))
    reach = np.minimum(LATE_FRAMES, np.minimum(lengths[1:], lengths[:-1]) // 4)
    after = np.searchsorted(wraps, starts[1:]).clip(max=len(wraps) - 1)
    before = (after - 1).clip(min=0)
    closer = np.abs(wraps[before] - starts[1:]) < np.abs(wraps[after] - starts[1:])
    nearest = np.where(closer, wraps[before], wraps[after])
    return np.append(starts[:1], np.where(np.abs(nearest - starts[1:]) <= reach, nearest, starts[1:]))


def on_own_clock(stretch: Stretch, time: Floats) -> Stretch:
    """The stretch without frames at its ends that still, or already, show the clock of the lap beside it.

    Raises
    ------
    InvalidTelemetry
        The clock runs backwards inside the lap.
    """
    own = time[stretch.first : stretch.last]
    first, last, reach = 0, len(own), min(LATE_FRAMES, len(own) // 4)
    for back in (np.flatnonzero(np.diff(own) < -CLOCK_JITTER) + 1).tolist():
        restarted = own[back] < own[back - 1] / 2
        if restarted and back <= reach:
            first = back
        elif restarted and back >= len(own) - reach:
            last = back
            break
        else:
            row = stretch.first + back + 1
            raise InvalidTelemetry(
                f"Row {row}: in lap {stretch.number} the time runs backwards, from {own[back - 1]:g} to "
                f"{own[back]:g} s; upload the rows in the order driven.",
                row=row,
                lap=stretch.number,
                column="current_lap_time",
            )
    return Stretch(stretch.number, stretch.first + first, stretch.first + last)


def lap_clock(frames: pl.DataFrame, position: Floats, laps: tuple[Stretch, ...]) -> Floats:
    """Seconds since each frame's lap began: as recorded, else the session's clock from each lap's start.

    A lap starts when the line was crossed, between its first frame and the one before.
    """
    if "current_lap_time" in frames.columns:
        return frames["current_lap_time"].to_numpy()
    clock = frames["session_time"].to_numpy()
    begins = np.array([_crossed(stretch.first, clock, position) for stretch in laps])
    since: Floats = clock - np.repeat(begins, [stretch.last - stretch.first for stretch in laps])
    return since


def _crossed(first: int, clock: Floats, position: Floats) -> float:
    if first and position[first - 1] >= END and position[first] <= START:
        left = 1 - position[first - 1]
        share = left / (left + position[first]) if left + position[first] > 0 else 1.0
        return float(clock[first - 1] + share * (clock[first] - clock[first - 1]))
    return float(clock[first])


def track_position(frames: pl.DataFrame, lap: Floats) -> Floats:
    """Shares of the lap: as recorded, else the distance in the lap over the track's length."""
    if "track_position" in frames.columns:
        return frames["track_position"].fill_null(np.nan).to_numpy()
    distance = frames["lap_distance"].fill_null(np.nan).to_numpy()
    starts = np.flatnonzero(np.diff(lap, prepend=np.nan) != 0)
    lengths = lap_lengths(np.fmax.reduceat(distance, starts))
    if np.isnan(lengths).all():
        raise InvalidTelemetry(
            "The lap_distance never rises; without it laps have no positions.", column="lap_distance"
        )
    share: Floats = distance / np.repeat(lengths, np.diff(np.append(starts, len(lap))))
    return share


def lap_lengths(longest: Floats) -> Floats:
    """The track's length as it is known when each lap begins, from how far each lap went; NaN while unknown.

    It is the median of the laps before that were about as long as the longest of them. The first lap may be
    partial and counts while there is no other. A lap that went further than those has its own length.

    Parameters
    ----------
    longest
        In metres, for each lap; NaN if the lap was not driven to its end.
    """
    lengths, seen = [], list[float]()
    for own in longest.tolist():
        others = (seen[1:] or seen)[-RECENT:]
        whole = [length for length in others if length >= NEARLY * max(others)]
        length = float(np.median(whole)) if whole else own
        lengths.append(own if own > length * LONGER or not length > 0 else length)
        if own > 0:
            seen.append(own)
    return np.where(np.array(lengths) > 0, lengths, np.nan)

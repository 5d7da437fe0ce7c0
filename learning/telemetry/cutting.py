"""Cuts frames into laps, thins them, and says of each whether it can be learned from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learning.errors import InvalidTelemetry
from learning.laps import GRID, Floats, Lap
from learning.telemetry.channels import KEYS, TEXT
from learning.telemetry.line import (
    END,
    START,
    WRAP,
    Stretch,
    lap_clock,
    on_own_clock,
    stretches,
    track_position,
)
from learning.telemetry.source import Limits
from learning.telemetry.timing import last_lap_times, official_times, sector_times, time_at_line

POSITION_JITTER = 0.02  # a position may fall, or leave 0..1, by this much before it is wrong
WRONG_LAPS = 0.05  # more than this share of laps with wrong positions is a wrong channel
CLOCK_TOLERANCE = 1.0  # seconds between the official time and the telemetry's clock
SHORTEST, LONGEST = 10.0, 3600.0  # seconds that a lap of any track takes
CONTEXT = ("tyre_life", "fuel", "air_temp", "road_temp", "wetness")
THIRDS = np.array([1 / 3, 2 / 3])


class Reason(StrEnum):
    """Why a lap cannot be learned from."""

    NO_POSITION = "no_position"  # no frame says where on the track the car was
    POSITION_BACKWARDS = "position_backwards"  # the position falls by more than jitter
    POSITION_OUT_OF_RANGE = "position_out_of_range"  # the position is before 0 or after 1
    OUT_LAP = "out_lap"  # began in the pits
    IN_LAP = "in_lap"  # ended in the pits
    INCOMPLETE = "incomplete"  # the start or the end was not recorded
    NOT_TIMED = "not_timed"  # the file has official times, but none for this lap
    CUT = "cut"  # the simulator or the stewards took it away
    CLOCK_MISMATCH = "clock_mismatch"  # official time and telemetry clock differ by over a second
    IMPLAUSIBLE_TIME = "implausible_time"  # no lap of a track takes so short or so long


@dataclass(frozen=True)
class _Track:
    """A lap's frames that have a position, thinned later; `wrong` is what is wrong with the positions."""

    rows: NDArray[np.intp]
    position: Floats
    time: Floats
    wrong: Reason | None

    @property
    def is_complete(self) -> bool:
        return self.wrong is None and bool(self.position[0] <= START and self.position[-1] >= END)


def cut(frames: pl.DataFrame, limits: Limits) -> tuple[Lap, ...]:
    """One lap for each lap number, in the order driven.

    Parameters
    ----------
    frames
        Canonical channels that `frames.check` has passed.

    Raises
    ------
    InvalidTelemetry
        Laps are out of order, a clock or position runs backwards, or no lap is complete.
    TelemetryTooLarge
        There are more laps than the limit.
    """
    lap = frames["lap"].to_numpy()
    position = track_position(frames, lap)
    bounds = stretches(lap, position, limits)
    time = lap_clock(frames, position, bounds)
    owned = [on_own_clock(stretch, time) for stretch in bounds]
    tracks = [_track(stretch, position, time) for stretch in owned]
    _check_positions(tracks, owned, position)
    channels = _channels(frames)
    official, shown = official_times(frames, owned), last_lap_times(frames, owned)
    laps = []
    for i, (stretch, track) in enumerate(zip(owned, tracks, strict=True)):
        lap_time = official[i] if official else shown[i] or _own_time(track)
        laps.append(_lap(stretch, track, lap_time, channels, _text(frames, stretch)))
    return with_outings(laps)


def _channels(frames: pl.DataFrame) -> Mapping[str, NDArray[np.float32]]:
    return {
        name: frames[name].fill_null(np.nan).to_numpy()
        for name in frames.columns
        if name not in KEYS and name != TEXT
    }


def _text(frames: pl.DataFrame, stretch: Stretch) -> str | None:
    return frames[TEXT][stretch.first] if TEXT in frames.columns else None


def _track(stretch: Stretch, position: Floats, time: Floats) -> _Track:
    """The frames of a lap that have a position, in which small steps back are held still."""
    rows = np.arange(stretch.first, stretch.last)
    rows = rows[~np.isnan(position[rows])]
    if len(rows) < 2:
        return _Track(rows[:0], np.empty(0), np.empty(0), Reason.NO_POSITION)
    rows = rows[_line_crossed_once(position[rows]) :]
    raw = position[rows]
    inside = raw.clip(0, 1)
    forward = np.maximum.accumulate(inside)
    wrong = None
    if (forward - inside).max() > POSITION_JITTER:
        wrong = Reason.POSITION_BACKWARDS
    elif np.abs(raw - inside).max() > POSITION_JITTER:
        wrong = Reason.POSITION_OUT_OF_RANGE
    return _Track(rows, forward, np.maximum.accumulate(time[rows]), wrong)


def _line_crossed_once(position: Floats) -> int:
    """The first frame after the line, if the lap began with a run-up to it, from a grid or a pit box."""
    wraps = np.flatnonzero(np.diff(position) < -WRAP) + 1
    return int(wraps[0]) if len(wraps) == 1 and (position[: wraps[0]] > WRAP).all() else 0


def _check_positions(tracks: list[_Track], laps: list[Stretch], position: Floats) -> None:
    wrong = [i for i, t in enumerate(tracks) if t.wrong and t.wrong is not Reason.NO_POSITION]
    if len(wrong) > WRONG_LAPS * len(tracks):
        raise _wrong_position(tracks[wrong[0]], laps[wrong[0]], position)
    if not any(track.is_complete for track in tracks):
        raise InvalidTelemetry(
            f"No lap is complete, from before {START:.0%} to after {END:.0%} of the track; "
            "upload a session with at least one whole lap.",
            laps=[lap.number for lap in laps[:100]],
        )


def _wrong_position(track: _Track, lap: Stretch, position: Floats) -> InvalidTelemetry:
    raw = position[track.rows]
    back = track.wrong is Reason.POSITION_BACKWARDS
    inside = raw.clip(0, 1)
    off = np.maximum.accumulate(inside) - inside if back else np.abs(raw - inside)
    row = int(track.rows[np.argmax(off > POSITION_JITTER)])
    what = "runs backwards within the lap" if back else "is outside 0..1"
    return InvalidTelemetry(
        f"Row {row + 1}: in lap {lap.number} the track position {what}, at {position[row]:.4f}; it is "
        "the share of the lap's distance, which rises from 0 to 1.",
        row=row + 1,
        lap=lap.number,
        column="track_position",
        value=float(position[row]),
    )


def _own_time(track: _Track) -> float | None:
    return time_at_line(track.position, track.time) if track.is_complete else None


def _thinned(position: Floats) -> NDArray[np.intp]:
    """The last frame at or before each grid point, and the first and the last frame."""
    grid = np.arange(GRID + 1) / GRID
    last = np.searchsorted(position, grid, side="right") - 1
    return np.unique(np.concatenate([[0], last[last >= 0], [len(position) - 1]]))


def _lap(
    stretch: Stretch,
    track: _Track,
    lap_time: float | None,
    channels: Mapping[str, NDArray[np.float32]],
    compound: str | None,
) -> Lap:
    kept = _thinned(track.position) if len(track.rows) else track.rows
    own = {name: values[stretch.first : stretch.last] for name, values in channels.items()}
    reason = _reason(track, lap_time, own)
    lap = Lap(
        number=stretch.number,
        lap_time=lap_time,
        valid=reason is None,
        reason=reason and str(reason),
        sector_times=(),
        outing=0,
        position=track.position[kept],
        time=track.time[kept],
        channels={name: values[track.rows[kept]] for name, values in channels.items()},
        context=_context(own, compound),
    )
    return replace(lap, sector_times=_sectors(lap, track, channels))


def _context(own: Mapping[str, NDArray[np.float32]], compound: str | None) -> dict[str, str | float]:
    begun = {name: float(own[name][0]) for name in CONTEXT if name in own and not np.isnan(own[name][0])}
    return {"compound": compound, **begun} if compound else dict(begun)


def _reason(track: _Track, lap_time: float | None, own: Mapping[str, NDArray[np.float32]]) -> Reason | None:
    if track.wrong:
        return track.wrong
    if "in_pit" in own and own["in_pit"][0] > 0:
        return Reason.OUT_LAP
    if "in_pit" in own and own["in_pit"][-1] > 0:
        return Reason.IN_LAP
    if not track.is_complete:
        return Reason.INCOMPLETE
    if lap_time is None:
        return Reason.NOT_TIMED
    return _doubt(track, lap_time, own)


def _doubt(track: _Track, lap_time: float, own: Mapping[str, NDArray[np.float32]]) -> Reason | None:
    ended, crossed = float(track.time[-1]), time_at_line(track.position, track.time)
    if not min(ended, crossed) - CLOCK_TOLERANCE <= lap_time <= max(ended, crossed) + CLOCK_TOLERANCE:
        return Reason.CLOCK_MISMATCH
    if not SHORTEST <= lap_time <= LONGEST:
        return Reason.IMPLAUSIBLE_TIME
    # at the line the flag may still be that of the lap before
    flags = own["lap_valid"][np.searchsorted(track.position, START) :] if "lap_valid" in own else np.empty(0)
    return Reason.CUT if (flags == 0).any() else None


def _sectors(lap: Lap, track: _Track, channels: Mapping[str, NDArray[np.float32]]) -> tuple[float, ...]:
    if lap.lap_time is None or not track.is_complete or lap.reason == Reason.CLOCK_MISMATCH:
        return ()
    if "sector_index" in channels:
        sector = channels["sector_index"][track.rows].astype(np.float64)
        return sector_times(lap.lap_time, track.position, track.time, sector)
    return tuple(np.diff(np.concatenate([[0.0], lap.elapsed(THIRDS), [lap.lap_time]])).tolist())


def with_outings(laps: Sequence[Lap], begins: Collection[int] = ()) -> tuple[Lap, ...]:
    """Numbers the outings: a new one begins when an outing with a timed lap is broken off.

    Parameters
    ----------
    begins
        Numbers of laps with which an outing is known to begin.
    """
    numbered: list[Lap] = []
    outing, driven = 0, False
    for lap in laps:
        if driven and (lap.number in begins or _leaves_pits(lap, numbered[-1])):
            outing, driven = outing + 1, False
        numbered.append(replace(lap, outing=outing))
        driven = driven or lap.lap_time is not None
    return tuple(numbered)


def _leaves_pits(lap: Lap, before: Lap) -> bool:
    """Whether the car was in the pits before this lap, from what is known as the lap begins."""
    if lap.reason == Reason.OUT_LAP or before.reason == Reason.IN_LAP or lap.number != before.number + 1:
        return True
    if lap.context.get("compound") != before.context.get("compound"):
        return True
    life, life_before = lap.context.get("tyre_life"), before.context.get("tyre_life")
    if isinstance(life, float) and isinstance(life_before, float) and life < life_before:
        return True
    return before.lap_time is None

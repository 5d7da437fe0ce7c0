"""What a logger in the simulated car would write: the channels of a session, sampled in time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.laps import Floats
from learning.simulator.cars import GRAVITY, Limits
from learning.simulator.driver import BURN, LapKind, PlannedLap, in_pit
from learning.simulator.tracks import Track

_BOX = 0.985  # the share of the last lap at which the car stops, in the pits
_GEAR_TOPS = np.array([95.0, 130.0, 168.0, 208.0, 248.0, 320.0])  # km/h at the engine's limit
_RPM_LIMIT = 8200.0
_SHIFT = 0.97  # share of the engine's limit at which the driver changes up
_WHEELBASE = 2.7  # metres
_STEERING_RATIO = 14.0
_AIR_BELOW_ROAD = 8.0  # degrees

Columns = Mapping[str, NDArray[Any]]


def record(
    track: Track, planned: Sequence[PlannedLap], car: Limits, speeds: Floats, *, sample_rate: float
) -> Columns:
    """The channels of a session by canonical name, unrounded, from the speeds at each point of each lap.

    Between two points the acceleration is constant, so the samples lie exactly on the motion that the lap
    times come from. `car` has one value a lap. `steering` is in degrees at the wheel, positive to the left.
    """
    points, step = len(track.curvature), track.step
    speed = speeds.T.ravel()
    following = np.roll(speed, -1)
    acceleration = (following**2 - speed**2) / (2 * step)
    begins = np.r_[0.0, np.cumsum(2 * step / (speed + following))]  # one more: the end of the last lap
    clock = np.arange(0, begins[(len(planned) - 1) * points + int(_BOX * points)], 1 / sample_rate)
    at = np.searchsorted(begins, clock, side="right") - 1
    lap, into = at // points, clock - begins[at]
    along = np.minimum(at % points * step + (speed[at] + acceleration[at] * into / 2) * into, track.length)
    starts = begins[::points]
    limits = Limits(*(value[lap] for value in car))
    return {
        "lap": lap + 1,
        "lap_time": _official(planned, np.diff(starts))[lap],
        "current_lap_time": clock - starts[lap],
        **_controls(limits, speed[at] + acceleration[at] * into, acceleration[at]),
        **_place(track, along),
        **_context(planned, lap, along),
        "in_pit": in_pit(np.array([lap.kind for lap in planned])[lap], along / track.length).astype(np.int8),
    }


def _official(planned: Sequence[PlannedLap], times: Floats) -> Floats:
    """The lap times that count: neither a lap out of the pits nor the last, which ends in them, has one."""
    untimed = np.array([lap.kind == LapKind.OUT for lap in planned])
    untimed[-1] = True
    return np.where(untimed, np.nan, times)


def _controls(car: Limits, speed: Floats, acceleration: Floats) -> Columns:
    """What the driver does with the pedals and the gears for the car to move as it does."""
    pushed = acceleration + car.drag * speed**2
    braking = car.braking * car.grip * (GRAVITY + car.lift * speed**2)
    kmh = speed * 3.6
    gear = np.minimum(np.searchsorted(_GEAR_TOPS * _SHIFT, kmh), len(_GEAR_TOPS) - 1)
    return {
        "speed": kmh,
        "throttle": np.clip(pushed * speed / car.power, 0, 1),
        "brake": np.clip(-pushed / braking, 0, 1),
        "gear": gear + 1,
        "rpm": _RPM_LIMIT * kmh / _GEAR_TOPS[gear],
    }


def _place(track: Track, along: Floats) -> Columns:
    """Where the car is, and how the wheel is turned there."""
    points = np.arange(len(track.curvature)) * track.step
    curvature, x, y = (
        np.interp(along, points, values, period=track.length)
        for values in (track.curvature, track.x, track.y)
    )
    position = along / track.length
    return {
        "track_position": position,
        "steering": np.rad2deg(np.arctan(_WHEELBASE * curvature)) * _STEERING_RATIO,
        "sector_index": np.searchsorted(track.sectors, position, side="right"),
        "x": x,
        "y": y,
    }


def _context(planned: Sequence[PlannedLap], lap: NDArray[np.intp], along: Floats) -> Columns:
    """What the laps are driven with, and on."""
    conditions = [lap.conditions for lap in planned]
    fuel, life, road = (
        np.array([getattr(c, name) for c in conditions])[lap] for name in ("fuel", "tyre_life", "road_temp")
    )
    return {
        "fuel": fuel - BURN * along,
        "tyre_life": life,
        "tyre_compound": np.array([c.compound for c in conditions])[lap],
        "air_temp": road - _AIR_BELOW_ROAD,
        "road_temp": road,
    }

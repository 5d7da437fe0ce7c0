"""Turns a lap into what was known of it at a point, and into the whole that is learned once it is over."""

import math

import numpy as np

from learning.history import MARKS, SHARES, Features
from learning.laps import GRID, SPLITS, Floats, Lap, SessionLaps

_CHANNELS = ("speed", "throttle", "brake", "gear")
_WET_COMPOUNDS = ("INTERMEDIATE", "WET")
_WET = 0.2  # wetness from which a track counts as wet


def conditions_of(lap: Lap) -> Features:
    """What held when the lap began."""
    return {name: value for name, value in lap.context.items() if value == value}  # NaN is unknown


def situation_of(session: SessionLaps, lap: Lap) -> Features:
    """Where a lap stands in its outing: how many came before, and the time of the last, 0 for none."""
    return session.situations[lap.number]


def is_wet(features: Features) -> bool:
    """Whether wetness, or else the compound, says that the track is wet."""
    if "wetness" in features:
        return bool(features["wetness"] >= _WET)
    return str(features.get("compound", "")).upper() in _WET_COMPOUNDS


def moment_of(lap: Lap, share: float) -> Features:
    """What was known when the lap had come to a share of its distance.

    That is the last half percent passed by then, where the laps learned have marks too, and the splits
    behind. Of frames between two points of `GRID` a lap may keep any, depending on what follows, so only
    those up to the last point passed count.
    """
    features = conditions_of(lap)
    step = math.floor(share * GRID + 1e-9) / GRID
    frame = lap.frame_at(step)
    if frame is None:
        return features
    mark = math.floor(float(lap.position[frame]) * MARKS + 1e-9) / MARKS
    passed = np.arange(1, math.floor(mark * SPLITS + 1e-9) + 1) / SPLITS
    measured = {name: float(lap.channels[name][frame]) for name in _CHANNELS if name in lap.channels}
    elapsed = lap.elapsed(np.append(passed, mark))
    return (
        features
        | {name: value for name, value in measured.items() if math.isfinite(value)}
        | {"track_position": mark, "current_lap_time": float(elapsed[-1])}
        | {"splits": elapsed[:-1].tolist()}
        | _speeds(lap, np.concatenate([[0.0], passed, [mark]]))
    )


def _speeds(lap: Lap, marks: Floats) -> Features:
    """The speeds at the marks passed; the last is the speed now."""
    speed = lap.channels.get("speed")
    if speed is None:
        return {}
    speeds = np.interp(marks, lap.position, speed)
    return {"speeds": speeds[:-1].tolist(), "speed": float(speeds[-1])} if np.isfinite(speeds).all() else {}


def whole_of(lap: Lap) -> Features:
    """All of a timed lap, as the estimators learn it."""
    features = conditions_of(lap) | {"trace": lap.elapsed(SHARES)}
    speed = lap.channels.get("speed")
    if speed is not None and np.isfinite(speed).any():
        known = np.isfinite(speed)
        features["speed_trace"] = np.interp(SHARES, lap.position[known], speed[known])
    return features

"""Turns a lap into what was known of it at a point, and into the whole that is learned once it is over."""

import math

import numpy as np

from learning.history import SHARES, Features
from learning.laps import GRID, SPLITS, Lap

_CHANNELS = ("speed", "throttle", "brake", "gear")
_WET_COMPOUNDS = ("INTERMEDIATE", "WET")
_WET = 0.2  # wetness from which a track counts as wet


def conditions_of(lap: Lap) -> Features:
    """What held when the lap began."""
    return {name: value for name, value in lap.context.items() if value == value}  # NaN is unknown


def is_wet(features: Features) -> bool:
    """Whether wetness, or else the compound, says that the track is wet."""
    if "wetness" in features:
        return bool(features["wetness"] >= _WET)
    return str(features.get("compound", "")).upper() in _WET_COMPOUNDS


def moment_of(lap: Lap, share: float) -> Features:
    """What was known when the lap had come to a share of its distance: its last frame, and the splits behind.

    Of frames between two points of `GRID` a lap may keep any, depending on what follows, so only those up to
    the last point passed count.
    """
    features = conditions_of(lap)
    step = math.floor(share * GRID + 1e-9) / GRID
    frame = lap.frame_at(step)
    if frame is None:
        return features
    position = float(lap.position[frame])
    passed = np.arange(1, math.floor(position * SPLITS) + 1) / SPLITS
    measured = {name: float(lap.channels[name][frame]) for name in _CHANNELS if name in lap.channels}
    return (
        features
        | {name: value for name, value in measured.items() if math.isfinite(value)}
        | {"track_position": position, "current_lap_time": float(lap.time[frame])}
        | {"splits": lap.elapsed(passed)}
    )


def whole_of(lap: Lap) -> Features:
    """All of a timed lap, as the estimators learn it."""
    features = conditions_of(lap) | {"trace": lap.elapsed(SHARES)}
    speed = lap.channels.get("speed")
    if speed is not None and np.isfinite(speed).any():
        known = np.isfinite(speed)
        features["speed_trace"] = np.interp(SHARES, lap.position[known], speed[known])
    return features

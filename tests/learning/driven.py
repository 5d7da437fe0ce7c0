"""Makes sessions of laps whose times are known, for tests of the models."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from learning.laps import Lap, SessionLaps

FRAMES = 300


def lap(number: int, lap_time: float, *, seed: int = 0, outing: int = 0, compound: str = "SOFT") -> Lap:
    """A timed lap whose time is lost or won unevenly along the lap."""
    random = np.random.default_rng([seed, number])
    position = np.arange(FRAMES) / FRAMES
    corners = 1 + 0.3 * np.sin(2 * np.pi * 3 * position) + 0.02 * random.normal(size=FRAMES).cumsum() / 10
    time = np.concatenate([[0.0], np.cumsum(corners)])
    time = (time * lap_time / time[-1])[:-1]
    thirds = np.interp([1 / 3, 2 / 3], np.append(position, 1.0), np.append(time, lap_time))
    return Lap(
        number=number,
        lap_time=lap_time,
        valid=True,
        reason=None,
        sector_times=tuple(float(t) for t in np.diff([0.0, *thirds, lap_time])),
        outing=outing,
        position=position,
        time=time,
        channels={
            "speed": (200 / corners).astype(np.float32),
            "throttle": np.full(FRAMES, 0.5, np.float32),
            "brake": np.zeros(FRAMES, np.float32),
            "gear": np.full(FRAMES, 4, np.float32),
        },
        context={"compound": compound, "tyre_life": float(number)},
    )


def session(
    laps: int = 12,
    *,
    pace: float = 90.0,
    seed: int = 0,
    car_model: str | None = None,
    setup: Mapping[str, float] | None = None,
) -> SessionLaps:
    """Laps around a pace, 0.5 s of noise; the first of each is a slow one, as out of the pits."""
    times = pace + np.random.default_rng(seed).normal(0, 0.5, laps)
    times[0] *= 1.3
    driven = tuple(lap(number, float(t), seed=seed) for number, t in enumerate(times, start=1))
    return SessionLaps(laps=driven, car_model=car_model, setup=setup or {"wing": 5.0, "ride_height": 60.0})


def invalid(session: SessionLaps, reason: str) -> SessionLaps:
    """The session with no lap that can be learned."""
    laps = tuple(replace(lap, valid=False, reason=reason, lap_time=None) for lap in session.laps)
    return replace(session, laps=laps)

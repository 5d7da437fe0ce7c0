"""A session's laps as the models see them, and the compact form in which they are stored."""

import io
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

GRID = 1000  # a lap keeps at most one frame for each 0.1 % of its distance, however fast it was sampled
SPLITS = 20  # elapsed times are kept at each 5 % of the lap
FORMAT = 1
_ZSTD_LEVEL = 6

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lap:
    """One lap, thinned to the last frame of each 0.1 % of the distance.

    Thinning rather than interpolating keeps every frame as it was measured, so what is known at a point of
    the lap never depends on a frame after it.

    Parameters
    ----------
    number
        As the session counts it.
    lap_time
        Seconds, the official one where there is one; None when the lap was not timed.
    valid, reason
        Whether the lap can be learned from, and if not, why (`not_timed`, `incomplete`, …).
    sector_times
        Seconds, in order; empty when unknown.
    outing
        Counts from 0; rises each time the car leaves the pits.
    position
        Shape (n,), n <= GRID + 2, shares of the lap 0..1, never falling.
    time
        Shape (n,), seconds since the lap began.
    channels
        The other numeric channels by canonical name, each of shape (n,); NaN where there was no value.
    context
        What held when the lap began: `compound`, `tyre_life`, `fuel`, `air_temp`, `road_temp`, `wetness`.
    """

    number: int
    lap_time: float | None
    valid: bool
    reason: str | None
    sector_times: tuple[float, ...]
    outing: int
    position: Floats
    time: Floats
    channels: Mapping[str, NDArray[np.float32]]
    context: Mapping[str, str | float]

    def frame_at(self, share: float) -> int | None:
        """The index of the last frame at or before a share of the lap; None before the first."""
        index = int(np.searchsorted(self.position, share, side="right")) - 1
        return index if index >= 0 else None

    def elapsed(self, shares: Floats) -> Floats:
        """Seconds from the lap's start to each share of it; a timed lap ends at `(1, lap_time)`.

        Points between frames are interpolated, so for a lap still being driven ask only for shares that are
        already behind; shares past the last frame of a lap without a time are NaN.
        """
        position, time = self.position, self.time
        if not len(position) or position[0] > 0:
            position, time = np.r_[0.0, position], np.r_[0.0, time]
        if self.lap_time is None:
            return np.interp(shares, position, time, right=np.nan)
        inside = position < 1
        return np.interp(shares, np.r_[position[inside], 1.0], np.r_[time[inside], self.lap_time])


@dataclass(frozen=True, kw_only=True)
class SessionLaps:
    """The laps of one session in the order driven, and what held for all of them."""

    laps: tuple[Lap, ...]
    car_model: str | None = None
    setup: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def situations(self) -> Mapping[int, dict[Hashable, Any]]:
        """By lap number: the laps of its outing before it, and the time of the last one, 0 for none."""
        situations: dict[int, dict[Hashable, Any]] = {}
        before: Lap | None = None
        count = 0
        for lap in self.laps:
            same = before is not None and before.outing == lap.outing
            count = count + 1 if same else 0
            timed = before is not None and same and before.valid and before.lap_time is not None
            previous = before.lap_time if before and timed else 0.0
            situations[lap.number] = {"outing_lap": float(count), "previous_lap": previous}
            before = lap
        return situations

    @property
    def valid_laps(self) -> tuple[Lap, ...]:
        return tuple(lap for lap in self.laps if lap.valid)


def encode(session: SessionLaps) -> bytes:
    """A session's laps as zstd over a NumPy archive that holds no objects."""
    names = sorted({name for lap in session.laps for name in lap.channels})
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(json.dumps(_header(session, names)).encode(), dtype=np.uint8),
        "position": _joined([lap.position for lap in session.laps], np.float64),
        "time": _joined([lap.time for lap in session.laps], np.float64),
        "channels": np.stack([_channel(session, name) for name in names])
        if names
        else np.empty((0, 0), dtype=np.float32),
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(buffer.getvalue())


def decode(data: bytes) -> SessionLaps:
    """The laps that `encode` wrote."""
    with np.load(io.BytesIO(zstandard.ZstdDecompressor().decompress(data)), allow_pickle=False) as arrays:
        header = json.loads(arrays["header"].tobytes())
        position, time, channels = arrays["position"], arrays["time"], arrays["channels"]
    laps, start = [], 0
    for lap in header["laps"]:
        rows = slice(start, start + lap.pop("frames"))
        start = rows.stop
        lap["sector_times"] = tuple(lap["sector_times"])
        values = {name: channels[i, rows] for i, name in enumerate(header["channels"])}
        laps.append(Lap(**lap, position=position[rows], time=time[rows], channels=values))
    return SessionLaps(laps=tuple(laps), car_model=header["car_model"], setup=header["setup"])


def _header(session: SessionLaps, names: list[str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "car_model": session.car_model,
        "setup": dict(session.setup),
        "channels": names,
        "laps": [
            {
                "number": lap.number,
                "lap_time": lap.lap_time,
                "valid": lap.valid,
                "reason": lap.reason,
                "sector_times": lap.sector_times,
                "outing": lap.outing,
                "context": dict(lap.context),
                "frames": len(lap.position),
            }
            for lap in session.laps
        ],
    }


def _joined(parts: list[Floats], dtype: type[np.float64]) -> Floats:
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)


def _channel(session: SessionLaps, name: str) -> NDArray[np.float32]:
    missing = np.float32(np.nan)
    return np.concatenate(
        [lap.channels.get(name, np.full(len(lap.position), missing, np.float32)) for lap in session.laps]
    )

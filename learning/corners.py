"""Follows the difference between two laps' speeds from corner to corner, back to what the driver did."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from learning.laps import GRID, Floats, Lap

_POINTS: Floats = np.linspace(0.0, 1.0, GRID + 1)
_KMH = 3.6
_DIP = 8.0  # km/h that a corner is slower than the road before and after it
_BRAKING = 0.1  # of the pedal
_FULL = 0.95  # of the throttle
_LIFTED = 0.85
_CHANGE = 5  # points of the grid from the throttle to the brake
_FRAMES = 40  # with a value, that a channel needs in a lap to be compared


class Kind(StrEnum):
    """What a driver did otherwise, or what came of it."""

    BRAKING_POINT = "braking_point"  # metres; negative is earlier
    SLOWING = "slowing"  # the same where no brake was recorded, so that no point can be told
    MINIMUM_SPEED = "minimum_speed"  # km/h, of a corner
    THROTTLE_PICKUP = "throttle_pickup"  # metres, of full throttle; negative is earlier
    LIFT = "lift"  # metres driven off full throttle on a straight where the other lap stayed on it
    ACCELERATION = "acceleration"  # km/h at the end of a straight, by no doing of the pedals that is known
    START = "start"  # km/h at the line, from the lap before
    UNEXPLAINED = "unexplained"  # speeds do not account for it: another line, or a clock that is not exact


UNITS = {
    Kind.BRAKING_POINT: "m",
    Kind.MINIMUM_SPEED: "km/h",
    Kind.THROTTLE_PICKUP: "m",
    Kind.LIFT: "m",
    Kind.ACCELERATION: "km/h",
    Kind.START: "km/h",
}


class Cause(NamedTuple):
    """A kind of cause at a corner; corners count from 1, and 0 is the line."""

    kind: Kind
    corner: int


Shares = dict[Cause, float]


@dataclass(frozen=True)
class Corner:
    """A corner as points of the grid: where the first lap slows for it, the slowest one, full power again."""

    number: int
    onset: int
    apex: int
    full: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A lap and its reference at `GRID` + 1 points; channels have the shape (2, points), the lap first.

    Parameters
    ----------
    length
        Metres, the reference's speed summed over its time.
    resolution
        Metres between two frames of the coarser lap.
    """

    speed: Floats
    throttle: Floats | None
    brake: Floats | None
    length: float
    resolution: float

    def metres(self, points: float) -> float:
        return points / GRID * self.length


def pair(lap: Lap, reference: Lap) -> Pair | None:
    """Both laps side by side; None where one has no speed."""
    speed = _both(lap, reference, "speed")
    if speed is None:
        return None
    time = reference.elapsed(_POINTS)
    length = float(np.trapezoid(speed[1] / _KMH, time))
    spacing = max(float(np.median(np.diff(one.position))) for one in (lap, reference))
    return Pair(
        speed=speed,
        throttle=_both(lap, reference, "throttle"),
        brake=_both(lap, reference, "brake"),
        length=length,
        resolution=spacing * length,
    )


def corners_of(laps: Pair) -> tuple[Corner, ...]:
    """The corners of the reference; a corner is where it is clearly slower than before and after."""
    apexes = find_peaks(-laps.speed[1], prominence=_DIP)[0]
    both_full = np.zeros(GRID + 1, dtype=np.bool_)
    if laps.throttle is not None:
        both_full |= laps.throttle.min(axis=0) >= _FULL
    found: list[Corner] = []
    ends = [*apexes[1:], GRID]
    for number, (apex, end) in enumerate(zip(apexes, ends, strict=True), start=1):
        onset = _onset(laps, found[-1].full if found else 0, int(apex))
        full = int(apex) + int(laps.speed[:, apex : end + 1].argmax(axis=1).min())
        if both_full[apex : end + 1].any():
            full = min(full, int(apex) + int(np.argmax(both_full[apex : end + 1])))
        found.append(Corner(number, onset, int(apex), full))
    return tuple(found)


def shares_of(laps: Pair, corners: tuple[Corner, ...]) -> list[Shares]:
    """For each of the `GRID` steps of the lap, what its loss is due to; the shares of a step add up to 1.

    Followed is the deficit of v², for equal forces over equal metres change v² by equal amounts. What a
    corner still has of it where it is slowest is the minimum speed's, before that point too. Of the rest
    before it, as much was brought along as there was when the first lap slowed, and what is left is the
    braking point's. After it, what comes on top is the throttle's, and on the straight that of a lift or of
    the acceleration.
    """
    deficit = (laps.speed[1] ** 2 - laps.speed[0] ** 2)[:-1]
    shares: list[Shares] = []
    brought: Shares = {Cause(Kind.START, 0): float(deficit[0])}
    ends = [corner.onset for corner in corners[1:]] + [GRID]
    first = corners[0].onset if corners else GRID
    shares += _straight(laps, deficit, slice(0, first), brought, 0)
    for corner, end in zip(corners, ends, strict=True):
        brought = _scaled(shares[-1], float(deficit[corner.onset])) if shares else brought
        shares += _corner(laps, deficit, corner, brought)
        brought = _scaled(shares[-1], float(deficit[min(corner.full, GRID - 1)]))
        shares += _straight(laps, deficit, slice(corner.full, end), brought, corner.number)
    return shares


def difference_of(laps: Pair, corners: tuple[Corner, ...], cause: Cause) -> float | None:
    """The lap's value less the reference's, in the unit of its kind; None where it cannot be told."""
    if cause.kind is Kind.START:
        return float(laps.speed[0, 0] - laps.speed[1, 0])
    begin, corner, end = _around(corners, cause.corner)
    if cause.kind is Kind.ACCELERATION:
        return float(np.subtract(*laps.speed[:, end]))
    if cause.kind is Kind.LIFT:
        return _metres(laps, _lifted(laps, slice(corner.full if corner else 0, end)))
    if corner is None:
        return None
    if cause.kind is Kind.MINIMUM_SPEED:
        return float(np.subtract(*_slowest(laps, corner)))
    if cause.kind is Kind.BRAKING_POINT and laps.brake is not None:
        return _metres(laps, _apart(laps.brake[:, begin : corner.apex + 1] > _BRAKING))
    if cause.kind is Kind.THROTTLE_PICKUP and laps.throttle is not None:
        return _metres(laps, _apart(laps.throttle[:, corner.apex : end + 1] >= _FULL))
    return None


def _both(lap: Lap, reference: Lap, name: str) -> Floats | None:
    tracks = [_on_grid(one, name) for one in (lap, reference)]
    return np.array(tracks) if all(track is not None for track in tracks) else None


def _on_grid(lap: Lap, name: str) -> Floats | None:
    values = lap.channels.get(name)
    known = np.isfinite(values) if values is not None else np.zeros(0, dtype=np.bool_)
    if values is None or known.sum() < _FRAMES:
        return None
    return np.interp(_POINTS, lap.position[known], values[known])


def _onset(laps: Pair, begin: int, apex: int) -> int:
    """Where the first lap begins to brake for a corner; without a brake, where it was fastest before."""
    if laps.brake is not None:
        braking = (laps.brake[:, begin:apex] > _BRAKING).any(axis=0)
        if braking.any():
            return _feet_off(laps, begin, begin + int(np.argmax(braking)))
    return begin + int(laps.speed[:, begin : apex + 1].argmax(axis=1).min())


def _feet_off(laps: Pair, begin: int, onset: int) -> int:
    """The point a little before the brake where the throttle is left for it: that is no lift of its own."""
    first = max(begin, onset - max(_CHANGE, round(laps.resolution / laps.metres(1))))
    if laps.throttle is not None:
        on = laps.throttle[:, first:onset].min(axis=0) >= _LIFTED
        return onset - int(np.argmax(np.append(on[::-1], True)))
    return onset


def _corner(laps: Pair, deficit: Floats, corner: Corner, brought: Shares) -> Iterator[Shares]:
    slowest = _slowest(laps, corner)
    kept = float(slowest[1] ** 2 - slowest[0] ** 2)
    entry = Kind.BRAKING_POINT if laps.brake is not None else Kind.SLOWING
    leaving = Kind.THROTTLE_PICKUP if laps.throttle is not None else Kind.ACCELERATION
    for point in range(corner.onset, min(corner.full, GRID)):
        left = float(deficit[point])
        own = _part(kept, left)
        parts = {Cause(Kind.MINIMUM_SPEED, corner.number): own}
        if point < corner.apex:
            before = _part(sum(brought.values()), left - own)
            parts = _sum(parts, _scaled(brought, before))
            parts = _sum(parts, {Cause(entry, corner.number): left - own - before})
        else:
            parts = _sum(parts, {Cause(leaving, corner.number): left - own})
        yield _as_shares(parts)


def _straight(laps: Pair, deficit: Floats, steps: slice, brought: Shares, corner: int) -> Iterator[Shares]:
    lifted = np.zeros(GRID, dtype=np.bool_)
    if laps.throttle is not None:
        off: NDArray[np.bool_] = _off(laps.throttle)[:, :-1].max(axis=0)
        lifted[steps] = np.logical_or.accumulate(off[steps])
    for point in range(steps.start, min(steps.stop, GRID)):
        left = float(deficit[point])
        before = _part(sum(brought.values()), left)
        new = Cause(Kind.LIFT if lifted[point] else Kind.ACCELERATION, corner)
        yield _as_shares(_sum(_scaled(brought, before), {new: left - before}))


def _slowest(laps: Pair, corner: Corner) -> Floats:
    """Each lap's lowest speed in a corner."""
    lowest: Floats = laps.speed[:, corner.onset : corner.full + 1].min(axis=1)
    return lowest


def _part(of: float, whole: float) -> float:
    """As much of a deficit as is in the whole, which may be a surplus."""
    return float(np.clip(of, min(whole, 0.0), max(whole, 0.0)))


def _scaled(parts: Shares, total: float) -> Shares:
    """The parts in the same proportion, adding up to another total."""
    present = sum(parts.values())
    return {cause: value * total / present for cause, value in parts.items()} if present else {}


def _sum(one: Shares, other: Shares) -> Shares:
    return {cause: one.get(cause, 0.0) + other.get(cause, 0.0) for cause in (*one, *other)}


def _as_shares(parts: Shares) -> Shares:
    whole = _scaled(parts, 1.0)
    return whole or {Cause(Kind.UNEXPLAINED, 0): 1.0}


def _around(corners: tuple[Corner, ...], number: int) -> tuple[int, Corner | None, int]:
    """The point from which a corner is approached, the corner, and the point where the next one begins."""
    begin = corners[number - 2].full if number > 1 else 0
    end = corners[number].onset if number < len(corners) else GRID
    return begin, corners[number - 1] if number else None, end


def _apart(reached: NDArray[np.bool_]) -> float | None:
    """By how many points the lap reaches something later than the reference; None where one never does."""
    return float(np.subtract(*reached.argmax(axis=1))) if reached.any(axis=1).all() else None


def _lifted(laps: Pair, steps: slice) -> float | None:
    """On how many more points than the reference the lap is off the throttle where the other is on it."""
    if laps.throttle is None:
        return None
    return float(np.subtract(*_off(laps.throttle)[:, steps].sum(axis=1)))


def _off(throttle: Floats) -> NDArray[np.bool_]:
    """Where each lap is off the throttle while the other is on it."""
    off: NDArray[np.bool_] = np.less(throttle, _LIFTED) & np.greater_equal(throttle[::-1], _FULL)
    return off


def _metres(laps: Pair, points: float | None) -> float | None:
    """Points as metres, if they are more than what lies between two frames."""
    if points is None or abs(laps.metres(points)) < laps.resolution / 2:
        return None
    return laps.metres(points)

"""How fast a point mass can go round a track, and from that the true lap time and the best setup."""

from collections.abc import Mapping
from functools import cache
from itertools import combinations
from types import MappingProxyType

import numpy as np

from learning.laps import Floats
from learning.simulator.cars import (
    GRAVITY,
    PARAMETERS,
    Conditions,
    Limits,
    find_car,
    limits,
    whole_setup,
)
from learning.simulator.tracks import Track, find_track

_SEARCH = (0.25, 0.15, 0.05, 0.02)  # how far the search for the optimum looks, as shares of the bounds


def lap_speeds(track: Track, values: Limits, *, chained: bool = False) -> Floats:
    """The highest speeds at which laps can be driven, quasi-steady: each instant as if it lasted.

    The speed in corners follows from grip and downforce; a pass against the direction of driving then brakes
    in time, and a pass along it accelerates no more than power, drag and the tyres' spare grip allow.

    Parameters
    ----------
    values
        Broadcasts to (points of the track, laps).
    chained
        Whether each lap follows on the one before, the last joining the first; otherwise each repeats itself.

    Returns
    -------
    Shape (points, laps), m/s.

    Notes
    -----
    All laps are solved side by side, from the tightest point of the track round to itself: there the speed is
    that of the corner whatever came before, so a chain needs no second round.
    """
    points = len(track.curvature)
    curvature = np.abs(track.curvature)[:, None]
    shape = (points, np.broadcast_shapes(*(np.shape(value) for value in values))[-1])
    fields = [np.broadcast_to(value, shape) for value in (*values, curvature)]
    turned = [_from_point(field, track.slowest, chained) for field in fields]
    squares = _squares(Limits(*turned[:-1]), turned[-1], track.step, chained=chained)
    return np.sqrt(_from_point(squares, -track.slowest, chained))


def lap_times(speeds: Floats, step: float) -> Floats:
    """The seconds each lap takes that repeats itself; speeds have the shape (points, laps)."""
    times: Floats = (2 * step / (speeds + np.roll(speeds, -1, axis=0))).sum(axis=0)
    return times


def true_lap_time(
    track: str, car: str, setup: Mapping[str, float] | None = None, *, conditions: Conditions | None = None
) -> float:
    """The lap time, in seconds, of a driver who uses all of the car on every metre.

    Raises
    ------
    InvalidInput
        When the track, the car or a parameter is unknown, or a parameter is out of its bounds.
    """
    conditions = conditions or Conditions()
    values = limits(find_car(car), whole_setup(setup), fuel=conditions.fuel, grip=conditions.grip)
    circuit = find_track(track)
    return float(lap_times(lap_speeds(circuit, values), circuit.step)[0])


@cache
def optimum(track: str, car: str) -> tuple[Mapping[str, float], float]:
    """The fastest setup of a car on a track, and its true lap time in seconds.

    Found by quadratic response surfaces on shrinking neighbourhoods, each fitted to laps solved side by side:
    G. E. P. Box and K. B. Wilson, On the experimental attainment of optimum conditions, 1951.
    """
    circuit, model = find_track(track), find_car(car)
    low, high = (np.array([getattr(p, end) for p in PARAMETERS.values()]) for end in ("low", "high"))
    best = np.full(len(PARAMETERS), 0.5)
    for radius in _SEARCH:
        points = np.clip(best + radius * _DESIGN, 0, 1)
        setups = dict(zip(PARAMETERS, (low + points * (high - low)).T, strict=True))
        times = lap_times(lap_speeds(circuit, limits(model, setups)), circuit.step)
        best = np.clip(best + np.clip(_lowest(points - best, times), -radius, radius), 0, 1)
    setup = dict(zip(PARAMETERS, (low + best * (high - low)).tolist(), strict=True))
    return MappingProxyType(setup), true_lap_time(track, car, setup)


def _from_point(field: Floats, point: int, chained: bool) -> Floats:
    """A (points, laps) field turned so that it begins at another point."""
    if not chained:
        return np.ascontiguousarray(np.roll(field, -point, axis=0))
    return np.ascontiguousarray(np.roll(field.T.ravel(), -point).reshape(field.shape[::-1]).T)


def _squares(values: Limits, curvature: Floats, step: float, *, chained: bool) -> Floats:
    """The squares of the speeds on laps that begin at the tightest point; forces count times 2 step."""
    grip, lift = values.grip * GRAVITY, values.grip * values.lift
    needed = np.maximum(curvature - lift, 1e-9)  # what downforce alone cannot hold
    limit = np.minimum(grip / needed, values.top_speed**2)
    braking, traction, power, drag = (
        2 * step * value for value in (values.braking, values.traction, values.power, values.drag)
    )
    tyres = list(zip(grip, lift - curvature, lift + curvature, strict=True))
    squares = np.empty_like(limit)
    square = np.roll(limit[0], -1) if chained else limit[0]
    for i in reversed(range(len(limit))):
        square = np.minimum(limit[i], square * (1 + drag[i]) + braking[i] * _spare(square, *tyres[i]))
        squares[i] = square
    for i in range(len(limit) - 1):
        pushing = np.minimum(traction[i] * _spare(square, *tyres[i]), power[i] / np.sqrt(square))
        square = np.minimum(squares[i + 1], square * (1 - drag[i]) + pushing)
        squares[i + 1] = square
    return squares


def _spare(square: Floats, grip: Floats, inner: Floats, outer: Floats) -> Floats:
    """What cornering leaves of the tyres' hold, m/s²: the other side of a friction circle.

    hold² - cornering² is written as the product of their difference and their sum.
    """
    spare: Floats = np.sqrt(np.maximum((grip + inner * square) * (grip + outer * square), 0))
    return spare


def _design(size: int) -> Floats:
    """The centre, a step each way along every axis, and along every pair of axes."""
    axes = np.eye(size)
    half = np.array([*axes, *(axes[i] + axes[j] for i, j in combinations(range(size), 2))])
    return np.concatenate([np.zeros((1, size)), half, -half])


def _lowest(offsets: Floats, times: Floats) -> Floats:
    """Where the quadratic surface through the times has its stationary point."""
    size = offsets.shape[1]
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    products = [offsets[:, i] * offsets[:, j] for i, j in pairs]
    fitted = np.linalg.lstsq(np.column_stack([np.ones(len(times)), offsets, *products]), times)[0]
    hessian = np.zeros((size, size))
    for (i, j), value in zip(pairs, fitted[1 + size :], strict=True):
        hessian[i, j] += value
        hessian[j, i] += value
    return np.linalg.solve(hessian, -fitted[1 : 1 + size])


_DESIGN = _design(len(PARAMETERS))

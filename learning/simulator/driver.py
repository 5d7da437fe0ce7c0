"""How a driver spends a session: which laps, how much of the car each uses, and what practice changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learning.laps import Floats
from learning.simulator.cars import COMPOUNDS, Conditions, Limits
from learning.simulator.physics import lap_speeds, lap_times
from learning.simulator.tracks import Track

BURN = 0.55e-3  # litres a metre
PIT_ENTRY, PIT_EXIT = 0.97, 0.03  # shares of the lap between which a car is on the track
_PIT_SPEED = 60 / 3.6
_LEAST_GRIP = 0.2  # share of the car's that even the worst slip leaves
_RESERVE = 6.0  # litres
_OUTING = (8, 13)  # laps, the second not included
_PRACTICE = 25.0  # laps that count as one session of experience
_LEARNING = 90.0  # laps after which 63 % of what can be learned is
_TOGETHER = 0.3  # share of the noise's variance that a whole lap has in common
_COOL_DOWNS = 0.06  # share of the laps inside an outing
_MISTAKES = 0.05  # share of a beginner's laps with one; falls to 40 % of that


class LapKind(StrEnum):
    """What a lap is driven for."""

    OUT = "out"  # leaves the pits on cold tyres
    PUSH = "push"  # as fast as the driver can
    COOL_DOWN = "cool_down"  # slow on purpose
    IN = "in"  # ends in the pits


class _Effort(NamedTuple):
    grip: float
    power: float


_EFFORTS = {
    LapKind.OUT: _Effort(0.86, 0.9),
    LapKind.PUSH: _Effort(1.0, 1.0),
    LapKind.COOL_DOWN: _Effort(0.72, 0.6),
    LapKind.IN: _Effort(0.93, 0.9),
}


class PlannedLap(NamedTuple):
    """A lap before it is driven."""

    kind: LapKind
    conditions: Conditions


@dataclass(frozen=True, kw_only=True, eq=False)
class Driver:
    """How a driver goes about the laps of one session; every field has the shape (laps,).

    Parameters
    ----------
    grip, braking
        The shares of the car's that they use.
    spread
        Seconds by which their lap times scatter.
    mistakes
        The chance of one in a lap.
    """

    grip: Floats
    braking: Floats
    spread: Floats
    mistakes: Floats


def random_stream(purpose: str, driver: str, *, seed: int, session_index: int = 0) -> np.random.Generator:
    """Random numbers that depend on nothing but what is named here."""
    return np.random.default_rng([seed, session_index, *f"{purpose}:{driver}".encode()])


def practised(name: str, laps: int, *, session_index: int, noise: float, seed: int) -> Driver:
    """The driver of that name in a session.

    Talent is the same in every session of one seed. Practice brings a driver closer to the car's grip, makes
    them brake later and err less, and takes their spread from twice the noise down to it.
    """
    talent = random_stream("talent", name, seed=seed)
    practice = 1 - np.exp(-(session_index * _PRACTICE + np.arange(laps)) / _LEARNING)
    return Driver(
        grip=talent.uniform(0.905, 0.92) + 0.03 * practice,
        braking=talent.uniform(0.80, 0.86) + 0.10 * practice,
        spread=noise * (2 - practice),
        mistakes=_MISTAKES * (1 - 0.6 * practice),
    )


def plan(laps: int, track: Track, *, road_temp: float, rng: np.random.Generator) -> list[PlannedLap]:
    """A session's laps: outings, each on a set of tyres and with a lap out of and one into the pits."""
    planned: list[PlannedLap] = []
    while left := laps - len(planned):
        size = int(rng.integers(*_OUTING))
        size = left if left - size < _OUTING[0] else size
        compound = str(rng.choice(list(COMPOUNDS)))
        first_life, burn = int(rng.integers(1, 4)), BURN * track.length
        inside = rng.choice([LapKind.COOL_DOWN, LapKind.PUSH], size - 2, p=[_COOL_DOWNS, 1 - _COOL_DOWNS])
        for i, kind in enumerate([LapKind.OUT, *map(LapKind, inside), LapKind.IN]):
            fuel, life = _RESERVE + burn * (size - i), first_life + i
            conditions = Conditions(fuel=fuel, compound=compound, tyre_life=life, road_temp=road_temp)
            planned.append(PlannedLap(kind, conditions))
    return planned


def in_pit(kinds: NDArray[np.str_], positions: Floats) -> NDArray[np.bool_]:
    """Whether a car is in the pits, on laps of these kinds at these shares of the lap."""
    leaving, returning = positions < PIT_EXIT, positions >= PIT_ENTRY
    inside: NDArray[np.bool_] = (kinds == LapKind.OUT) & leaving | (kinds == LapKind.IN) & returning
    return inside


def drive(
    car: Limits, driver: Driver, planned: Sequence[PlannedLap], track: Track, rng: np.random.Generator
) -> Limits:
    """What the driver uses of a car's limits on each point of each lap; `car` has one value a lap."""
    efforts = [_EFFORTS[lap.kind] for lap in planned]
    effort, power = (np.array(values) for values in zip(*efforts, strict=True))
    errors = _slips(car, driver, track, rng) - _mistakes(driver, track, rng)
    share = driver.grip * effort * (1 + errors[track.corner])
    kinds, points = np.array([lap.kind for lap in planned]), len(track.curvature)
    # the points just outside are slow too, for the car moves faster between them otherwise
    before, after = (np.arange(points)[:, None] + side for side in (-1, 1))
    pits = in_pit(kinds, before / points) | in_pit(kinds, after / points)
    return car._replace(
        grip=car.grip * np.clip(share, _LEAST_GRIP, 1),
        braking=car.braking * driver.braking,
        power=car.power * power,
        top_speed=np.where(pits, _PIT_SPEED, car.top_speed),
    )


def _slips(car: Limits, driver: Driver, track: Track, rng: np.random.Generator) -> Floats:
    """Relative errors of grip, of shape (corners, laps), that scatter the lap times by the driver's spread.

    What grip is worth in each corner is measured, one lap a corner, so that the spread comes out in seconds.
    """
    middling = Limits(*(np.atleast_1d(value.mean()) for value in car))
    raised = 1 + 0.01 * np.eye(track.corners + 1)[track.corner]
    middling = middling._replace(
        grip=middling.grip * driver.grip.mean() * raised, braking=middling.braking * driver.braking.mean()
    )
    times = lap_times(lap_speeds(track, middling), track.step)
    worth = (times[-1] - times[:-1]) / 0.01  # seconds
    scale = np.sqrt(_TOGETHER * worth.sum() ** 2 + (1 - _TOGETHER) * (worth**2).sum())
    laps = len(driver.spread)
    together, apart = rng.standard_normal(laps), rng.standard_normal((track.corners, laps))
    slips: Floats = driver.spread / scale * (_TOGETHER**0.5 * together + (1 - _TOGETHER) ** 0.5 * apart)
    return slips


def _mistakes(driver: Driver, track: Track, rng: np.random.Generator) -> Floats:
    """The share of the grip thrown away, of shape (corners, laps): in one corner of a few laps."""
    laps = len(driver.mistakes)
    made = rng.random(laps) < driver.mistakes
    corner, loss = rng.integers(track.corners, size=laps), rng.uniform(0.1, 0.3, laps)
    lost = np.zeros((track.corners, laps))
    lost[corner, np.arange(laps)] = np.where(made, loss, 0)
    return lost

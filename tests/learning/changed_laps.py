"""Drives one simulated lap twice, the second time with a known change, for tests of explanations."""

from pathlib import Path

import numpy as np

from learning.laps import Lap
from learning.simulator import CARS, Conditions, SimulatedSession, default_setup, write_session
from learning.simulator.cars import find_car, limits
from learning.simulator.driver import LapKind, PlannedLap
from learning.simulator.physics import lap_speeds
from learning.simulator.telemetry import record
from learning.simulator.tracks import Track, find_track
from learning.telemetry.reading import read_session

CAR = next(iter(CARS))
SKILL = 0.9  # of the car's grip and brakes that the driver uses


def track() -> Track:
    return find_track("northfield")


def apex(corner: int) -> float:
    """The share of the lap at which a corner of the track, counted from 1, is tightest."""
    points = np.flatnonzero(track().corner == corner - 1)
    tightest = points[np.argmax(np.abs(track().curvature[points]))]
    return float(tightest / len(track().curvature))


def drive(
    folder: Path,
    start: float,
    end: float,
    *,
    grip: float = 1.0,
    braking: float = 1.0,
    power: float = 1.0,
    sample_rate: float = 20.0,
) -> tuple[Lap, Lap]:
    """A lap with less grip, braking or power used between two shares of it, and the same lap without."""
    circuit, laps = track(), 5
    points = np.arange(len(circuit.curvature)) / len(circuit.curvature)
    here = ((points >= start) & (points < end))[:, None] & (np.arange(laps) == 2)
    conditions = Conditions()
    car = limits(
        find_car(CAR),
        default_setup(),
        fuel=np.full(laps, conditions.fuel),
        grip=np.full(laps, conditions.grip),
    )
    used = car._replace(
        grip=car.grip * SKILL * np.where(here, grip, 1.0),
        braking=car.braking * SKILL * np.where(here, braking, 1.0),
        power=car.power * np.where(here, power, 1.0),
    )
    planned = [PlannedLap(LapKind.PUSH, conditions)] * laps
    columns = record(circuit, planned, car, lap_speeds(circuit, used, chained=True), sample_rate=sample_rate)
    session = SimulatedSession(
        driver="ANN", session_index=0, track_name=circuit.name, car_model=CAR, setup={}, columns=columns
    )
    driven = read_session(write_session(session, folder)).session.laps
    return driven[2], driven[1]

"""Whole simulated sessions and seasons, and the files a driver would upload of them."""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from learning.errors import InvalidInput
from learning.simulator.cars import CARS, PARAMETERS, find_car, limits, whole_setup
from learning.simulator.driver import drive, plan, practised, random_stream
from learning.simulator.physics import lap_speeds
from learning.simulator.telemetry import Columns, record
from learning.simulator.tracks import find_track

MIN_LAPS = 3  # a lap out of the pits, one at speed, and one back in
_ROAD_TEMPS = (22.0, 38.0)
_SETUP_SPREAD = 0.2  # of a parameter's bounds: how far drivers stray from the default, standard deviation
_DECIMALS = {
    "lap_time": 3, "current_lap_time": 3, "track_position": 5, "speed": 1, "throttle": 2, "brake": 2,
    "rpm": 0, "steering": 1, "x": 1, "y": 1, "fuel": 2, "air_temp": 1, "road_temp": 1,
}  # fmt: skip
_GZIP_LEVEL = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedSession:
    """What a logger wrote of one session, and what the driver says beside it.

    Parameters
    ----------
    session_index
        Counts the driver's sessions from 0.
    setup
        Every parameter of `PARAMETERS`.
    columns
        Arrays of one shape by canonical channel, unrounded; `lap_time` is NaN on laps that were not timed.
    """

    driver: str
    session_index: int
    track_name: str
    car_model: str
    setup: Mapping[str, float]
    columns: Columns

    @property
    def session_name(self) -> str:
        """The name the session is uploaded under, and of its files."""
        return f"{self.driver}_p{self.session_index + 1}"


def simulate_session(
    *,
    track: str,
    driver: str,
    car_model: str,
    setup: Mapping[str, float] | None = None,
    session_index: int = 0,
    laps: int = 20,
    sample_rate: float = 20.0,
    noise: float = 0.3,
    seed: int,
) -> SimulatedSession:
    """One session of a driver: the same for the same arguments, to the bit.

    Parameters
    ----------
    setup
        What differs from the default.
    session_index
        How many sessions the driver has behind them; they learn from each.
    laps
        With those out of and into the pits; at least 3.
    sample_rate
        Hz.
    noise
        Seconds by which the lap times of a practised driver scatter, standard deviation.

    Raises
    ------
    InvalidInput
        When the track, the car or a setup parameter is unknown, or a number is out of its range.
    """
    _check(
        driver=driver, session_index=session_index, laps=laps, sample_rate=sample_rate, noise=noise, seed=seed
    )
    circuit, model, whole = find_track(track), find_car(car_model), whole_setup(setup)
    rng = random_stream(f"session on {track}", driver, seed=seed, session_index=session_index)
    planned = plan(laps, circuit, road_temp=round(rng.uniform(*_ROAD_TEMPS), 1), rng=rng)
    fuel, grip = (np.array([getattr(lap.conditions, name) for lap in planned]) for name in ("fuel", "grip"))
    car = limits(model, whole, fuel=fuel, grip=grip)
    hands = practised(driver, laps, session_index=session_index, noise=noise, seed=seed)
    speeds = lap_speeds(circuit, drive(car, hands, planned, circuit, rng), chained=True)
    return SimulatedSession(
        driver=driver,
        session_index=session_index,
        track_name=track,
        car_model=car_model,
        setup=whole,
        columns=record(circuit, planned, car, speeds, sample_rate=sample_rate),
    )


def simulate_season(
    drivers: Sequence[str],
    *,
    track: str = "northfield",
    car_models: Sequence[str] = tuple(CARS),
    sessions: int = 4,
    laps: int = 20,
    sample_rate: float = 20.0,
    noise: float = 0.3,
    seed: int,
) -> Iterator[SimulatedSession]:
    """Sessions of several drivers in the order they happen; all drive their first before anyone their second.

    Drivers take the cars in turn and keep theirs. Each starts on the default setup and tries another in every
    later session. The rest is as in `simulate_session`.
    """
    for session_index in range(sessions):
        for number, driver in enumerate(drivers):
            yield simulate_session(
                track=track,
                driver=driver,
                car_model=car_models[number % len(car_models)],
                setup=_tried_setup(driver, session_index, seed) if session_index else None,
                session_index=session_index,
                laps=laps,
                sample_rate=sample_rate,
                noise=noise,
                seed=seed,
            )


def write_session(session: SimulatedSession, folder: Path) -> Path:
    """Write `DRIVER_pN.csv.gz`, rounded as a logger would, and `DRIVER_pN.json` with its form fields.

    Equal sessions make equal bytes. The folder has to exist.

    Returns
    -------
    The path of the telemetry.
    """
    rounded = [pl.col(name).round(decimals) for name, decimals in _DECIMALS.items()]
    frame = (
        pl.DataFrame(session.columns)
        .with_columns(rounded)
        .with_columns(pl.col("rpm").cast(pl.Int32), pl.col("lap_time").fill_nan(None))
    )
    path = folder / f"{session.session_name}.csv.gz"
    path.write_bytes(gzip.compress(frame.write_csv().encode(), _GZIP_LEVEL, mtime=0))
    form = {
        "trackName": session.track_name,
        "carModel": session.car_model,
        "setup": session.setup,
        "sessionName": session.session_name,
    }
    (folder / f"{session.session_name}.json").write_text(json.dumps(form, indent=2) + "\n")
    return path


def _tried_setup(driver: str, session_index: int, seed: int) -> dict[str, float]:
    rng = random_stream("setup", driver, seed=seed, session_index=session_index)
    return {
        name: round(float(np.clip(rng.normal(p.default, _SETUP_SPREAD * (p.high - p.low)), p.low, p.high)), 1)
        for name, p in PARAMETERS.items()
    }


def _check(
    *, driver: str, session_index: int, laps: int, sample_rate: float, noise: float, seed: int
) -> None:
    rules = {
        "driver": (driver.isidentifier(), "must be made of letters, digits and _ only, as it names files"),
        "session_index": (session_index >= 0, "must not be negative"),
        "laps": (laps >= MIN_LAPS, f"must be at least {MIN_LAPS}"),
        "sample_rate": (0 < sample_rate <= 1000, "must be above 0 and at most 1000 Hz"),
        "noise": (0 <= noise <= 1, "must be between 0 and 1 s"),
        "seed": (seed >= 0, "must not be negative"),
    }
    wrong = {name: message for name, (right, message) in rules.items() if not right}
    if wrong:
        raise InvalidInput(**wrong)

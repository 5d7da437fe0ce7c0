"""The simulator keeps to its physics, repeats itself to the byte, and knows the best setup."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from learning.errors import InvalidInput
from learning.laps import Floats
from learning.simulator import (
    CARS,
    PARAMETERS,
    TRACKS,
    Conditions,
    SimulatedSession,
    default_setup,
    optimum,
    simulate_season,
    simulate_session,
    true_lap_time,
    write_session,
)
from learning.simulator.cars import GRAVITY, limits
from learning.simulator.physics import lap_speeds, lap_times
from learning.simulator.tracks import find_track
from learning.telemetry import read_session

EVERYWHERE = list(zip(TRACKS, CARS, strict=True))  # each track and each car once
PRACTISED = 30  # sessions, after which there is next to nothing left to learn


def simulated(**options: Any) -> SimulatedSession:
    usual: dict[str, Any] = {
        "track": "ravenhill",
        "driver": "ANN",
        "car_model": "corvo_gt3",
        "laps": 8,
        "seed": 7,
    }
    return simulate_session(**(usual | options))


def by_lap(session: SimulatedSession) -> pl.DataFrame:
    frame = pl.DataFrame(dict(session.columns))
    return frame.group_by("lap", maintain_order=True).agg(
        pl.first("lap_time").fill_nan(None), pl.last("current_lap_time").alias("last_time")
    )


def times(session: SimulatedSession) -> Floats:
    return by_lap(session)["lap_time"].to_numpy()


def times_of(track: str, car: str, setups: Floats) -> Floats:
    circuit = find_track(track)
    values = limits(CARS[car], dict(zip(PARAMETERS, setups.T, strict=True)))
    return lap_times(lap_speeds(circuit, values), circuit.step)


def bounds() -> Floats:
    return np.array([(parameter.low, parameter.high) for parameter in PARAMETERS.values()]).T


def scatter(session_index: int, laps: int) -> float:
    """The standard deviation, in seconds, of what noise does to lap times."""
    noisy, quiet = (
        times(simulated(noise=noise, session_index=session_index, laps=laps, sample_rate=1))
        for noise in (0.3, 0.0)
    )
    return float(np.nanstd(noisy - quiet))


@pytest.fixture(scope="module")
def session() -> SimulatedSession:
    return simulated(laps=30)


def test_equal_arguments_write_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, second = (write_session(simulated(laps=4), folder) for folder in (tmp_path, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()
    assert first.with_name("ANN_p1.json").read_bytes() == second.with_name("ANN_p1.json").read_bytes()


@pytest.mark.parametrize("change", [{"seed": 8}, {"driver": "BOB"}, {"session_index": 1}])
def test_another_seed_driver_or_session_gives_other_lap_times(change: dict[str, Any]) -> None:
    ours, others = times(simulated())[1:-1], times(simulated(**change))[1:-1]
    assert np.abs(ours - others).min() > 1e-3


def test_files_hold_what_the_session_says(tmp_path: Path) -> None:
    session = simulated(setup={"front_wing": 5.5}, session_index=2, laps=4)
    path = write_session(session, tmp_path)
    frame = pl.read_csv(gzip.decompress(path.read_bytes()), infer_schema_length=None)
    assert path.name == "ANN_p3.csv.gz"
    assert frame.columns == list(session.columns)
    assert frame.height == len(session.columns["lap"])
    assert frame["lap_time"].is_null().to_numpy().tolist() == np.isnan(session.columns["lap_time"]).tolist()
    assert np.abs(frame["track_position"].to_numpy() - session.columns["track_position"]).max() <= 5.1e-6
    assert json.loads((tmp_path / "ANN_p3.json").read_text()) == {
        "trackName": "ravenhill",
        "carModel": "corvo_gt3",
        "setup": default_setup() | {"front_wing": 5.5},
        "sessionName": "ANN_p3",
    }


def test_the_platform_reads_the_files_and_tells_laps_out_of_and_into_the_pits(tmp_path: Path) -> None:
    session = simulated(laps=26)
    laps = read_session(write_session(session, tmp_path)).session.laps
    timed = np.array([np.nan if lap.lap_time is None else lap.lap_time for lap in laps])
    sums = [sum(lap.sector_times) for lap in laps if lap.valid]
    assert [lap.number for lap in laps if lap.reason == "out_lap"] == [1, 13]
    assert [lap.number for lap in laps if lap.reason == "in_lap"] == [12, 26]
    assert [lap.outing for lap in laps] == [0] * 12 + [1] * 14
    assert sum(lap.valid for lap in laps) == len(sums) == 22
    assert timed == pytest.approx(times(session), abs=5.1e-4, nan_ok=True)
    assert sums == pytest.approx([lap.lap_time for lap in laps if lap.valid], abs=1e-6)


def test_position_and_clock_rise_within_every_lap_and_start_again(session: SimulatedSession) -> None:
    lap, position, clock = (session.columns[name] for name in ("lap", "track_position", "current_lap_time"))
    same = np.diff(lap) == 0
    assert (np.diff(position)[same] > 0).all()
    assert np.abs(np.diff(clock)[same] - 0.05).max() < 1e-9
    assert (position[1:][~same] < 0.002).all()
    assert (position[:-1][~same] > 0.998).all()


def test_laps_follow_on_each_other_without_a_gap(session: SimulatedSession) -> None:
    lap, clock, official = (session.columns[name] for name in ("lap", "current_lap_time", "lap_time"))
    crossing = np.flatnonzero(np.diff(lap))
    timed = crossing[~np.isnan(official[crossing])]
    assert len(timed) >= 25
    assert np.abs(clock[timed] + 0.05 - official[timed] - clock[timed + 1]).max() < 1e-6
    assert np.abs(np.diff(session.columns["speed"])[crossing]).max() < 1.0  # km/h in 0.05 s
    assert np.abs(np.diff(session.columns["speed"])).max() < 4.0


def test_speed_integrates_to_the_distance_driven(session: SimulatedSession) -> None:
    lap, position, speed = (session.columns[name] for name in ("lap", "track_position", "speed"))
    driven = np.sum((speed[1:] + speed[:-1]) / 2 / 3.6 * 0.05)
    length = find_track("ravenhill").length
    assert driven == pytest.approx((lap[-1] - 1 + position[-1] - position[0]) * length, rel=1e-5)


def test_only_laps_out_of_the_pits_and_the_unfinished_last_are_untimed(session: SimulatedSession) -> None:
    frame = pl.DataFrame(dict(session.columns))
    laps = frame.group_by("lap", maintain_order=True).agg(
        pl.first("in_pit"), pl.first("lap_time").is_nan(), pl.last("track_position")
    )
    left_pits, untimed = laps["in_pit"].to_numpy() == 1, laps["lap_time"].to_numpy()
    assert left_pits[0]
    assert untimed.tolist() == [*left_pits[:-1], True]
    assert laps["track_position"][-1] == pytest.approx(0.985, abs=0.002)


def test_the_pit_limit_is_obeyed_and_pedals_are_never_pressed_together(session: SimulatedSession) -> None:
    columns = session.columns
    inside = columns["in_pit"] == 1
    assert columns["speed"][inside].max() <= 60 + 1e-9
    assert columns["speed"][~inside].min() > 50
    assert np.minimum(columns["throttle"], columns["brake"]).max() == 0
    assert columns["throttle"].max() == 1
    assert 0.75 < columns["brake"].max() <= 1


@pytest.mark.parametrize("channel, low, high", [("rpm", 4000, 8200), ("gear", 1, 6), ("steering", -180, 180)])
def test_controls_stay_in_their_range_and_use_it(
    session: SimulatedSession, channel: str, low: float, high: float
) -> None:
    values = session.columns[channel]
    assert low <= values.min() < values.max() <= high
    assert np.ptp(values) > (high - low) / 4


@pytest.mark.parametrize("track", TRACKS)
def test_circuits_have_real_lengths_and_end_where_they_began(track: str) -> None:
    circuit = find_track(track)
    gap = np.hypot(circuit.x[-1] + circuit.step, circuit.y[-1])
    assert 3500 < circuit.length < 6000
    assert gap < 3
    assert np.rad2deg(abs(circuit.curvature.sum()) * circuit.step) == pytest.approx(360, abs=1)


@pytest.mark.parametrize("track, car", EVERYWHERE)
def test_no_speed_exceeds_what_grip_power_and_brakes_allow(track: str, car: str) -> None:
    circuit, values = find_track(track), limits(CARS[car], default_setup())
    speed = lap_speeds(circuit, values)[:, 0]
    following = np.roll(speed, -1)
    hold = values.grip * (GRAVITY + values.lift * speed**2)
    pushed = (following**2 - speed**2) / (2 * circuit.step) + values.drag * speed**2
    assert (np.abs(circuit.curvature) * speed**2 <= hold * (1 + 1e-9)).all()
    assert (pushed <= np.minimum(values.power / speed, values.traction * hold) * (1 + 1e-9)).all()
    # braking is solved from the next point back, whose drag and downforce differ by a step
    assert (-pushed <= values.braking * hold * 1.03).all()


@pytest.mark.parametrize("track, car", EVERYWHERE)
def test_the_default_setup_is_about_a_second_and_a_half_off_the_best(track: str, car: str) -> None:
    best = optimum(track, car)[1]
    assert 80 < best < 110
    assert 1.2 < true_lap_time(track, car) - best < 1.8


@pytest.mark.parametrize("track, car", EVERYWHERE)
def test_the_best_setup_is_inside_the_bounds_and_beats_its_neighbours_and_200_others(
    track: str, car: str
) -> None:
    low, high = bounds()
    setup, best = optimum(track, car)
    values = np.array(list(setup.values()))
    others = np.random.default_rng(3).uniform(low, high, (200, len(low)))
    near = values + np.vstack([np.diag(high - low), -np.diag(high - low)]) * 0.05
    assert (values > low + 0.1 * (high - low)).all()
    assert (values < high - 0.1 * (high - low)).all()
    assert times_of(track, car, others).min() > best + 0.1
    assert times_of(track, car, near).min() > best


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_parameter_changes_the_lap_time(parameter: str) -> None:
    setup, best = optimum("northfield", "halden_gt3")
    bound = PARAMETERS[parameter].low
    assert true_lap_time("northfield", "halden_gt3", {**setup, parameter: bound}) > best + 0.2


@pytest.mark.parametrize(
    "front, rear", [("front_wing", "rear_wing"), ("front_ride_height", "rear_ride_height")]
)
def test_front_and_rear_interact(front: str, rear: str) -> None:
    setup, _ = optimum("northfield", "corvo_gt3")
    changes = {front: setup[front] + 4, rear: setup[rear] + 4}
    plain, first, second, both = (
        true_lap_time("northfield", "corvo_gt3", {**setup, **{name: changes[name] for name in names}})
        for names in ((), (front,), (rear,), (front, rear))
    )
    assert abs((both - plain) - (first - plain) - (second - plain)) > 0.05


def test_the_same_setup_is_not_best_on_every_track() -> None:
    setups = [optimum(track, "corvo_gt3")[0] for track in TRACKS]
    assert np.ptp([setup["rear_wing"] for setup in setups]) > 2


def test_fuel_worn_tyres_harder_tyres_and_a_hot_road_cost_time() -> None:
    plain = true_lap_time("ravenhill", "tejo_cup")
    costs = [
        true_lap_time("ravenhill", "tejo_cup", conditions=conditions) - plain
        for conditions in (
            Conditions(fuel=50),
            Conditions(tyre_life=15),
            Conditions(compound="HARD"),
            Conditions(road_temp=40),
        )
    ]
    assert min(costs) > 0.1
    assert max(costs) < 2


def test_lap_times_scatter_by_the_noise_asked_for_once_a_driver_is_practised() -> None:
    assert scatter(PRACTISED, laps=400) == pytest.approx(0.3, abs=0.04)


def test_practice_makes_lap_times_more_even() -> None:
    assert scatter(0, laps=60) > 1.3 * scatter(PRACTISED, laps=400)


def test_practice_makes_laps_faster() -> None:
    early, late = (
        np.nanmedian(times(simulated(laps=60, noise=0.0, sample_rate=1, session_index=index)))
        for index in (0, 9)
    )
    assert 0.4 < early - late < 3


def test_a_season_brings_every_driver_to_every_session_with_setups_of_their_own() -> None:
    season = list(simulate_season(["ANN", "BOB"], sessions=3, laps=3, sample_rate=2, seed=5))
    low, high = bounds()
    setups = np.array([list(session.setup.values()) for session in season])
    assert [session.session_name for session in season] == [
        f"{driver}_p{number}" for number in (1, 2, 3) for driver in ("ANN", "BOB")
    ]
    assert {session.car_model for session in season[::2]} == {"corvo_gt3"}
    assert {session.car_model for session in season[1::2]} == {"halden_gt3"}
    assert season[0].setup == season[1].setup == default_setup()
    assert len(np.unique(setups[2:], axis=0)) == 4
    assert ((setups >= low) & (setups <= high)).all()


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"track": "moon"}, "track"),
        ({"car_model": "bus"}, "car_model"),
        ({"setup": {"wheels": 5}}, "wheels"),
        ({"setup": {"front_wing": 99}}, "front_wing"),
        ({"setup": {"front_wing": float("nan")}}, "front_wing"),
        ({"driver": "../ANN"}, "driver"),
        ({"laps": 2}, "laps"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"noise": -1}, "noise"),
        ({"seed": -1}, "seed"),
        ({"session_index": -1}, "session_index"),
    ],
)
def test_wrong_arguments_are_refused_by_name(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        simulated(**wrong)
    assert list(refusal.value.details) == [field]

"""What sector analysis promises: sectors to come, what is known of each, and errors that it knows."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning.carry_over import CarryOver
from learning.evaluate import follow
from learning.history import AT_PACE
from learning.laps import Lap, SessionLaps
from learning.sector_process import SectorProcess
from learning.telemetry.reading import read_session
from learning.zoo import algorithms, create_model

REAL = Path(__file__).parents[3] / "shared" / "data" / "f1_testing"
ALGORITHMS = [algorithm.name for algorithm in algorithms("sector_analysis")]
SECTORS = np.array([30.0, 42.0, 25.0])


def row(number: int, sector_times: Any, *, outing: int = 0, tyre_life: float = 1.0) -> Lap:
    """A lap of a table: its sector times, and not one frame."""
    return Lap(
        number=number,
        lap_time=float(sum(sector_times)),
        valid=True,
        reason=None,
        sector_times=tuple(float(time) for time in sector_times),
        outing=outing,
        position=np.empty(0),
        time=np.empty(0),
        channels={},
        context={"compound": "SOFT", "tyre_life": tyre_life},
    )


def table(laps: int, *, seed: int = 0, noise: float = 0.1) -> SessionLaps:
    times = SECTORS + np.random.default_rng(seed).normal(0, noise, (laps, 3))
    return SessionLaps(laps=tuple(row(number, lap) for number, lap in enumerate(times, start=1)))


def sectors(model: Any, **x: Any) -> list[dict[str, Any]]:
    (answer,) = model.predict([x])
    found: list[dict[str, Any]] = answer.values["sectors"]
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_table_of_laps_without_a_frame_trains_the_model(algorithm: str) -> None:
    model = create_model("sector_analysis", algorithm)
    report = model.learn_session(table(12))
    assert (report.laps, report.scored, list(report.parts)) == (12, 11, ["1", "2", "3"])
    times = [sector["time"] for sector in sectors(model)]
    assert times == pytest.approx(SECTORS, abs=0.25)


def test_laps_whose_sector_times_will_not_do_are_passed_over() -> None:
    good = table(6).laps
    broken = [
        replace(good[i], sector_times=(30.0, wrong, 25.0)) for i, wrong in ((2, 0.0), (3, float("nan")))
    ]
    model = create_model("sector_analysis")
    model.learn_session(SessionLaps(laps=(*good[:2], *broken, *good[4:])))
    assert model.laps_learned == 4


def test_a_driver_s_rhythm_is_learned() -> None:
    """Each outing is fast on its first lap, and 2 % slower from its second on."""
    process = SectorProcess()
    for outing in range(8):
        for lap in range(5):
            slower = 1.0 if lap == 0 else 1.02
            process.learn_one(
                {"outing": outing, "tyre_life": 3.0}, dict(enumerate(SECTORS * slower, start=1))
            )
    first = sum(process.predict_one({"outing": 8, "tyre_life": 3.0}).values())
    process.learn_one({"outing": 8, "tyre_life": 3.0}, dict(enumerate(SECTORS, start=1)))
    second = sum(process.predict_one({"outing": 8, "tyre_life": 3.0}).values())
    assert first == pytest.approx(97.0, abs=0.4)
    assert second == pytest.approx(97.0 * 1.02, abs=0.8)


def test_a_slow_lap_teaches_only_the_sectors_driven_for_time() -> None:
    process = SectorProcess()
    for times in (SECTORS + 1, SECTORS + 1, SECTORS + 1, SECTORS * (0.99, 1.5, 1.5)):
        process.learn_one({"outing": 0}, dict(enumerate(times, start=1)))
    after = process.predict_one({"outing": 0})
    assert after[1] < 30.8
    assert sum(after.values()) < 101.0


def test_laps_of_today_that_were_not_learned_move_the_sectors() -> None:
    model = create_model("sector_analysis")
    model.learn_session(table(20))
    before = sum(sector["time"] for sector in sectors(model))
    today = sum(sector["time"] for sector in sectors(model, recent_laps=[99.0, 99.1, 98.9]))
    assert before == pytest.approx(97.0, abs=0.2)
    assert today == pytest.approx(98.5, abs=0.4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_lap_that_began_slow_goes_on_so(algorithm: str) -> None:
    model = create_model("sector_analysis", algorithm)
    model.learn_session(table(10, noise=0.02))
    before, slow, fast = (
        sectors(model, **x) for x in ({}, {"sector_times": [30.3]}, {"sector_times": [29.7]})
    )
    for number in (1, 2):
        assert slow[number]["time"] > 1.001 * before[number]["time"]
        assert fast[number]["time"] < 0.999 * before[number]["time"]
    assert [sector["time"] for sector in sectors(model, sector_times=[30, 42, 25])] == [30.0, 42.0, 25.0]


def test_what_earlier_laps_did_after_the_pits_counts() -> None:
    carry_over = CarryOver()
    for _ in range(8):
        carry_over.update([30.0, 42.0, 25.0], [60.0, 42.1, 25.0])
    assert carry_over.lap([30.0, 42.0, 25.0], [61.0]) == pytest.approx([61.0, 42.1, 25.0], abs=0.05)
    assert CarryOver().lap([30.0, 42.0, 25.0], [30.3]) == pytest.approx([30.3, 42.294, 25.175])


def test_where_time_is_lost_is_ranked_and_how_steadily() -> None:
    model = create_model("sector_analysis")
    random, laps = np.random.default_rng(1), []
    for number in range(1, 31):
        lost = (0.02, 0.5 + random.normal(0, 0.02), 0.3 if number % 3 else 1.2)
        laps.append(row(number, SECTORS + (lost if number != 15 else (0.0, 0.0, 0.0))))
    model.learn_session(SessionLaps(laps=tuple(laps)))
    first, second, third = sectors(model)
    assert [sector["rank"] for sector in (first, second, third)] == [3, 2, 1]
    assert [sector["best"] for sector in (first, second, third)] == SECTORS.tolist()
    assert second["mean_loss"] == pytest.approx(0.5 * 29 / 30, abs=0.02)
    assert third["spread"] > 4 * second["spread"]
    assert second["worst_share"] + third["worst_share"] == pytest.approx(29 / 30)
    assert first["worst_share"] == pytest.approx(1 / 30)  # the best lap, which loses nothing anywhere


def test_intervals_of_sectors_and_of_the_lap_hold_their_share() -> None:
    model, driven = create_model("sector_analysis", None, {"window": 20}), table(400, seed=5, noise=0.3)
    levels = (0.5, 0.9, 0.99)
    inside: dict[float, list[bool]] = {level: [] for level in levels}
    whole: list[bool] = []
    for lap in driven.laps:
        for level in levels:
            answers = model.predict_sectors(driven, lap, level=level) or []  # type: ignore[attr-defined]
            inside[level] += [
                time in interval for time, (_, interval) in zip(lap.sector_times, answers, strict=False)
            ]
        if model.laps_learned:
            (answer,) = model.predict([{"sector_times": list(lap.sector_times[:2])}], level=0.9)
            assert answer.interval is not None
            whole.append((lap.lap_time or 0.0) in answer.interval)
        model.learn_lap(driven, lap)
    for level in levels:
        assert np.mean(inside[level]) == pytest.approx(level, abs=0.03)
    assert np.mean(whole) == pytest.approx(0.9, abs=0.03)


def test_the_interval_of_the_lap_narrows_with_every_sector() -> None:
    model = create_model("sector_analysis")
    model.learn_session(table(60, noise=0.3))
    driven = [30.1, 42.1, 25.0]
    answers = model.predict([{"sector_times": driven[:done]} for done in range(4)], level=0.9)
    intervals = [answer.interval for answer in answers]
    widths = [interval.upper - interval.lower for interval in intervals if interval]
    assert all(later < earlier for earlier, later in pairwise(widths))
    assert widths[-1] == 0.0


def test_tables_of_laps_with_other_sectors_are_kept_apart() -> None:
    model = create_model("sector_analysis")
    model.learn_session(table(5))
    halves = tuple(
        replace(lap, sector_times=(50.0, lap.lap_time - 50.0)) for lap in table(5).laps if lap.lap_time
    )
    model.learn_session(SessionLaps(laps=halves))
    assert [sector["sector"] for sector in sectors(model)] == [1, 2]


def errors(driver: str) -> list[tuple[float, float, float]]:
    """Errors of the model and of both references over one driver's laps within 107 % of the best."""
    files = sorted(REAL.glob(f"{driver}_p*.csv.gz"))
    history = [(file.name, read_session(file).session) for file in files]
    times = {(name, lap.number): lap.lap_time for name, one in history for lap in one.valid_laps}
    limit = AT_PACE * min(time for time in times.values() if time)
    rows = follow(create_model("sector_analysis"), history)
    return [
        (
            abs(found.predicted - found.actual),
            abs(found.references["last_lap"] - found.actual),
            abs(found.references["median_of_five"] - found.actual),
        )
        for found in rows
        if found.learned and found.actual is not None and found.predicted is not None and found.references
        if (times[found.session, found.lap] or limit) <= limit
    ]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real telemetry in ../shared/data")
def test_on_real_laps_the_error_is_at_most_0_85_of_the_better_reference() -> None:
    found = np.array([error for driver in ("ALB", "BEA", "BOR", "PIA", "SAI") for error in errors(driver)])
    model, last_lap, median_of_five = found.mean(axis=0)
    assert len(found) > 1200
    assert model <= 0.85 * min(last_lap, median_of_five)

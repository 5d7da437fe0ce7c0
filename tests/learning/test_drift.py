"""Changes of pace are found soon, and fuel, tyres, practice, slow laps and what is told are none."""

import pickle
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bench.drift import delays, false_alarms
from learning.drift import Drift, DriftWatch, LapMark
from learning.laps import Floats, SessionLaps
from learning.scores import Report
from learning.zoo import create_model
from tests.learning import driven

STINT = 15


def watched(
    times: Sequence[float] | Floats, compounds: str = "", watch: DriftWatch | None = None
) -> list[Drift]:
    """The drifts found in laps at pace, driven in outings of 15; a compound is a letter a lap."""
    watch = watch or DriftWatch()
    found = []
    for lap, time in enumerate(times):
        told = {"compound": compounds[lap]} if compounds else {}
        x = {"outing": lap // STINT} | told
        found.append(watch.update(x, float(time), lap_time=float(time), mark=LapMark(session=0, lap=lap)))
    return [drift for drift in found if drift]


def pace(laps: int, seed: int = 0, noise: float = 0.3) -> Floats:
    return 90 + np.random.default_rng(seed).normal(0, noise, laps)


@pytest.mark.parametrize(("shift", "direction"), [(1.0, "slower"), (-1.0, "faster")])
def test_a_change_of_pace_is_found_with_its_direction_size_and_beginning(
    shift: float, direction: str
) -> None:
    times = pace(120)
    times[100:] += shift
    (drift,) = watched(times)
    assert drift["direction"] == direction
    assert drift["size"] == pytest.approx(1.0, abs=0.35)
    assert 100 < drift["detected"]["lap"] <= 110
    assert abs(drift["began"]["lap"] - 100) <= 2


def test_the_second_change_is_found_as_well_as_the_first() -> None:
    times = pace(220)
    times[100:160] += 1.0
    assert [drift["direction"] for drift in watched(times)] == ["slower", "faster"]


def test_single_slow_laps_are_no_drift() -> None:
    times = pace(300)
    times[::12] += 4.0
    assert watched(times) == []


def test_fuel_tyres_and_practice_are_no_drift() -> None:
    laps = np.arange(400)
    sawtooth = 0.1 * (laps % STINT)
    practice = 1.5 * np.exp(-laps / 80)
    assert watched(pace(400) + sawtooth + practice) == []


def test_days_that_differ_a_little_are_no_drift() -> None:
    watch, days = DriftWatch(), np.repeat([0.0, 0.2, -0.2, 0.1, -0.1, 0.2], 40)
    found = [
        watch.update({"outing": lap // STINT}, time, lap_time=time, mark=LapMark(session=lap // 40, lap=lap))
        for lap, time in enumerate((pace(240) + days).tolist())
    ]
    assert found == [None] * 240


def test_a_compound_that_is_told_is_no_drift() -> None:
    compounds = ("S" * STINT + "H" * STINT) * 10
    slower_on_hard = np.array([1.0 if compound == "H" else 0.0 for compound in compounds])
    assert watched(pace(300) + slower_on_hard, compounds) == []


def test_a_watch_goes_on_where_its_pickle_left_off() -> None:
    times = pace(110)
    times[100:] += 1.0
    whole, first = DriftWatch(), DriftWatch()
    expected = watched(times, watch=whole)
    watched(times[:101], watch=first)
    loaded = pickle.loads(pickle.dumps(first))  # noqa: S301  # our own
    rest = [
        loaded.update({"outing": lap // STINT}, time, lap_time=time, mark=LapMark(session=0, lap=lap))
        for lap, time in enumerate(times.tolist()[101:], start=101)
    ]
    assert len(expected) == 1
    assert [drift for drift in rest if drift] == expected


def test_memory_is_bounded() -> None:
    watch = DriftWatch()
    watched(pace(500), watch=watch)
    early = len(pickle.dumps(watch))
    watched(pace(3_000), watch=watch)
    assert len(pickle.dumps(watch)) < 1.1 * early


def season(*paces: float) -> list[SessionLaps]:
    """Sessions of 25 laps each, at these paces."""
    return [driven.session(laps=25, pace=pace, seed=seed) for seed, pace in enumerate(paces)]


@pytest.mark.parametrize("model_type", ["lap_time_prediction", "sector_analysis"])
def test_a_model_reports_the_drift_in_its_session_and_among_its_metrics(model_type: str) -> None:
    model = create_model(model_type)
    reports = [model.learn_session(session) for session in season(90, 90, 90, 91.5)]
    assert [len(report.drifts) for report in reports] == [0, 0, 0, 1]
    (drift,) = reports[3].drifts
    assert (drift["direction"], drift["detected"]["session"]) == ("slower", 3)
    assert drift["size"] == pytest.approx(1.5, abs=0.4)
    assert model.metrics()["drifts"] == model.metrics()["latest"]["drifts"] == [drift]
    assert Report.merged(reports).drifts == [drift]


def test_a_setup_that_changes_the_pace_is_no_drift_of_a_setup_model() -> None:
    model = create_model("setup_optimization")
    wings = [replace(s, setup={"wing": 5.0}) for s in season(90, 90, 90)]
    others = [replace(s, setup={"wing": 9.0}) for s in season(91.5, 91.5)]
    sessions = [wings[0], others[0], wings[1], others[1], wings[2]]
    assert [list(model.learn_session(session).drifts) for session in sessions] == [[]] * 5


def test_the_errors_of_laps_at_pace_are_kept_one_by_one() -> None:
    model = create_model("lap_time_prediction")
    for session in season(90, 90):
        model.learn_session(session)
    laps = [(error["session"], error["lap"]) for error in model.errors]
    assert laps == [(0, lap) for lap in range(2, 26)] + [(1, lap) for lap in range(2, 26)]
    assert 0.05 < np.median([error["error"] for error in model.errors]) < 1.0


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_change_of_1_s_is_found_within_10_laps_and_stable_laps_hardly_ever_show_one() -> None:
    assert false_alarms(30) < 1.0
    waited = np.array(delays(30))
    assert np.median(waited) <= 6
    assert np.mean(waited <= 10) >= 0.85

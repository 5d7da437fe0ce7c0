"""What each model type promises: progressive scores, contexts kept apart, sensible and calibrated answers."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from learning.errors import InvalidInput, NothingToLearn
from learning.intervals import ResidualWindow
from learning.laps import Lap, SessionLaps
from learning.model import Report
from learning.references import References
from learning.zoo import create_model
from tests.learning.driven import invalid, lap, session

FRAME = {"speed": 200.0, "throttle": 1.0, "brake": 0.0, "gear": 5}


def _clock(going: Lap, share: float) -> dict[str, float]:
    """What the clock shows at a share of a lap."""
    frame = going.frame_at(share) or 0
    return {"track_position": float(going.position[frame]), "current_lap_time": float(going.time[frame])}


def test_a_report_is_progressive_and_names_the_references() -> None:
    model = create_model("lap_time_prediction")
    seen: list[tuple[int, int]] = []
    report = model.learn_session(session(12), on_lap=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 12) for done in range(1, 13)]
    assert (report.laps, report.scored) == (12, 11)  # the first lap had nothing to be predicted from
    assert list(report.positions) == ["0", "10", "25", "50", "75", "90"]
    assert set(report.positions["50"].references) == {"last_lap", "best_lap", "mean_of_five"}
    assert report.mse == pytest.approx((report.rmse or 0) ** 2)
    assert model.metrics()["latest"] == report.as_dict()


def test_metrics_go_on_over_all_sessions_and_latest_is_the_newest() -> None:
    model = create_model("lap_time_prediction")
    first = model.learn_session(session(8, seed=1))
    second = model.learn_session(session(6, seed=2))
    metrics = model.metrics()
    assert metrics["laps"] == 14
    assert metrics["latest"] == second.as_dict()
    assert metrics["mae"] == pytest.approx(Report.merged((first, second)).mae)


def test_a_lap_that_raises_stops_the_session() -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise TimeoutError

    model = create_model("lap_time_prediction")
    with pytest.raises(TimeoutError):
        model.learn_session(session(12), on_lap=stop)
    assert model.laps_learned == 3


@pytest.mark.parametrize("model_type", ["lap_time_prediction", "sector_analysis", "setup_optimization"])
def test_a_session_without_a_fitting_lap_changes_nothing(model_type: str) -> None:
    model = create_model(model_type)
    before = pickle.dumps(model)
    with pytest.raises(NothingToLearn) as refused:
        model.learn_session(invalid(session(4), "incomplete"))
    assert refused.value.details["reasons"] == {"incomplete": 4}
    assert pickle.dumps(model) == before


def test_a_session_without_a_setup_says_that_the_setup_is_missing() -> None:
    with pytest.raises(NothingToLearn, match="without one") as refused:
        create_model("setup_optimization").learn_session(replace(session(4), setup={}))
    assert refused.value.details["missing"] == ["setup"]


@pytest.mark.parametrize("model_type", ["lap_time_prediction", "sector_analysis", "setup_optimization"])
def test_a_model_that_learned_nothing_says_so(model_type: str) -> None:
    with pytest.raises(NothingToLearn, match="learned no lap"):
        create_model(model_type).predict([FRAME | {"track_position": 0.5}])


def test_with_the_elapsed_time_the_answer_sharpens_along_the_lap() -> None:
    model = create_model("lap_time_prediction")
    model.learn_session(session(30))
    going = lap(99, 90.8, seed=5)
    rows = [FRAME | _clock(going, share) for share in (0.5, 0.9)]
    errors = [abs(answer.values["lap_time"] - 90.8) for answer in model.predict(rows)]
    assert errors[1] < errors[0] < 1.0


def test_a_slow_lap_so_far_gives_a_slow_lap() -> None:
    model = create_model("lap_time_prediction")
    model.learn_session(session(30))
    (slow,) = model.predict([FRAME | {"track_position": 0.5, "current_lap_time": 60.0}])
    assert slow.values["lap_time"] > 101


def test_recent_laps_tell_of_a_faster_day() -> None:
    model = create_model("lap_time_prediction")
    model.learn_session(session(30))
    row = FRAME | {"track_position": 0.0}
    usual, faster = model.predict([row, row | {"recent_laps": [87.0, 87.1, 86.9, 87.0]}])
    assert usual.values["lap_time"] == pytest.approx(90, abs=0.5)
    assert faster.values["lap_time"] < usual.values["lap_time"] - 1


def test_the_laps_of_a_second_car_change_nothing_for_the_first() -> None:
    alone, mixed = (create_model("lap_time_prediction") for _ in range(2))
    for seed in range(3):
        first = session(8, seed=seed, car_model="gt3")
        alone.learn_session(first)
        mixed.learn_session(first)
        mixed.learn_session(session(8, pace=94, seed=seed, car_model="gt4"))
    rows = [FRAME | {"track_position": 0.3, "current_lap_time": 27.5, "car_model": "gt3"}]
    assert mixed.predict(rows, level=0.9) == alone.predict(rows, level=0.9)
    (other,) = mixed.predict([FRAME | {"track_position": 0.0, "car_model": "gt4"}])
    assert other.values["lap_time"] == pytest.approx(94, abs=0.6)


def test_a_wet_day_is_kept_apart_from_dry_ones() -> None:
    model = create_model("lap_time_prediction")
    model.learn_session(session(10))
    wet = tuple(lap(number, 101.0 + number / 10, compound="WET") for number in range(1, 9))
    model.learn_session(SessionLaps(laps=wet))
    row = FRAME | {"track_position": 0.0}
    dry, raining = model.predict([row | {"compound": "SOFT"}, row | {"wetness": 0.7}])
    assert dry.values["lap_time"] == pytest.approx(90, abs=0.6)
    assert raining.values["lap_time"] == pytest.approx(101.5, abs=0.6)


def test_no_more_contexts_are_kept_than_the_bound_and_every_lap_still_counts() -> None:
    model = create_model("lap_time_prediction", "linear")
    for number in range(15):
        model.learn_session(session(2, car_model=f"car {number}"))
    assert len(model._contexts) == 12
    assert model.laps_learned == 30


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"speed": "fast"}, "must be a number"),
        ({"speed": True}, "must be a number"),
        ({"speed": math.inf}, "must be finite"),
        ({"throttle": 1.5}, "must be between 0 and 1"),
        ({"compound": 3}, "must be a text of at most 200 characters"),
        ({"recent_laps": [90.0, None]}, "must be a number"),
        ({"splits": [4.0]}, "need current_lap_time and track_position beside them"),
        ({"splits": [5.0] * 11, "current_lap_time": 60.0}, "are more than the 5 % marks passed"),
        ({"splits": [5.0, 4.0], "current_lap_time": 60.0}, "must rise"),
        ({"splits": [5.0, 61.0], "current_lap_time": 60.0}, "must not be above current_lap_time"),
    ],
)
def test_a_field_that_will_not_do_is_named_with_its_problem(fields: dict[str, object], problem: str) -> None:
    model = create_model("lap_time_prediction")
    model.learn_session(session(3))
    with pytest.raises(InvalidInput) as refused:
        model.predict([FRAME | {"track_position": 0.5} | fields])
    (name,) = refused.value.details["fields"]
    assert name == next(iter(fields))
    assert problem in refused.value.details["fields"][name][0]


def test_every_missing_field_of_the_smallest_input_is_named() -> None:
    model = create_model("lap_time_prediction")
    with pytest.raises(InvalidInput) as refused:
        model.predict([{"speed": 100.0, "tyre_compound": "SOFT", "compound": "SOFT"}])
    missing = {"throttle", "brake", "gear", "track_position"}
    assert set(refused.value.details["fields"]) == missing | {"compound"}


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_hold_their_share_of_the_truths(level: float) -> None:
    random, window, inside = np.random.default_rng(3), ResidualWindow(), []
    for truth in 90 + random.normal(0, 0.4, 1500):
        inside.append(truth in window.interval(90.0, level))
        window.update(float(truth), 90.0)
    assert np.mean(inside) == pytest.approx(level, abs=0.03)


def test_the_references_are_those_of_laps_at_pace() -> None:
    references, even = References(), np.linspace(0, 1, 201)
    for lap_time in (92.0, 90.0, 91.0, 120.0):
        references.add(lap_time, lap_time * even)
    assert references.predict(0.5, 46.0) == {"last_lap": 91.5, "best_lap": 91.0, "mean_of_five": 91.5}


def test_sectors_add_up_and_the_focus_loses_most() -> None:
    model = create_model("sector_analysis")
    model.learn_session(session(15))
    (answer,) = model.predict([{"sector_times": [35.0]}], level=0.9)
    sectors = answer.values["sectors"]
    assert [sector["sector"] for sector in sectors] == [1, 2, 3]
    assert sectors[0]["time"] == 35.0
    assert answer.values["lap_time"] == pytest.approx(sum(sector["time"] for sector in sectors))
    assert answer.values["theoretical_best"] == pytest.approx(sum(sector["best"] for sector in sectors))
    assert [sector["loss"] for sector in sectors] == [sector["time"] - sector["best"] for sector in sectors]
    assert answer.values["focus"] == 1
    with pytest.raises(InvalidInput):
        model.predict([{"sector_times": [30.0] * 4}])

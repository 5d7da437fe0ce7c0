"""Setup optimisation finds the best setup, says what it rests on, and keeps to what it was told."""

import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.setup import CLOSE, Driving, search, simulated, surface
from learning.errors import InvalidHyperparameters, InvalidInput, NothingToLearn
from learning.laps import SessionLaps
from learning.model import RacingModel
from learning.setup_surface import SetupSurface
from learning.setup_terms import Terms
from learning.zoo import create_model
from tests.learning.driven import lap, session


def model_of(**bounds: tuple[float, float]) -> RacingModel[Any]:
    given = {name: list(pair) for name, pair in bounds.items()}
    return create_model("setup_optimization", None, {"bounds": given})


def driven(setup: Mapping[str, float], pace: float, *, laps: int = 8, seed: int = 0) -> SessionLaps:
    """Laps of 0.1 s noise around a pace."""
    times = pace + np.random.default_rng(seed).normal(0, 0.1, laps)
    return SessionLaps(
        laps=tuple(lap(number, float(time)) for number, time in enumerate(times, start=1)), setup=setup
    )


def with_context(session: SessionLaps, **context: float) -> SessionLaps:
    laps = tuple(replace(one, context={**one.context, **context}) for one in session.laps)
    return replace(session, laps=laps)


@pytest.fixture(scope="module")
def bowl() -> RacingModel[Any]:
    """Six sessions of a wing that is best at 6, all of them below that."""
    model = model_of(wing=(0, 10))
    for seed, wing in enumerate((0.5, 3.5, 2.0, 4.0, 1.0, 3.0)):
        model.learn_session(driven({"wing": wing}, 90 + 0.05 * (wing - 6) ** 2, seed=seed))
    return model


def values(model: RacingModel[Any], **row: Any) -> dict[str, Any]:
    return dict(model.predict([row])[0].values)


def test_the_setup_with_the_known_optimum_is_found() -> None:
    model = create_model("setup_optimization")
    random = np.random.default_rng(0)
    for wing, bar in random.uniform(0, 10, (15, 2)):
        pace = 90 + 0.05 * (wing - 6) ** 2 + 0.03 * (bar - 4) ** 2
        model.learn_session(
            session(6, pace=pace, seed=int(wing * 100), setup={"wing": float(wing), "bar": float(bar)})
        )
    answer = values(model, setup={"wing": 1.0, "bar": 9.0}, strategy="exploit")
    assert answer["recommended"]["wing"] == pytest.approx(6, abs=1.2)
    assert answer["recommended"]["bar"] == pytest.approx(4, abs=1.5)
    assert answer["expected_gain"] == pytest.approx(2.0, abs=0.6)
    interval = answer["expected_gain_interval"]
    assert interval["lower"] < answer["expected_gain"] < interval["upper"]


def test_with_bounds_given_the_best_is_found_beyond_what_was_driven(bowl: RacingModel[Any]) -> None:
    answer = values(bowl, strategy="exploit")
    assert answer["recommended"]["wing"] == pytest.approx(6, abs=0.8)
    assert answer["bounds"] == {"wing": {"low": 0.0, "high": 10.0, "source": "given"}}


def test_without_bounds_a_little_more_than_was_driven_is_tried_and_said_so() -> None:
    model = create_model("setup_optimization")
    for knob in (4.0, 3.0, 5.0, 3.0, 4.0, 5.0):
        model.learn_session(driven({"knob": knob}, 95 - knob, seed=int(knob)))
    answer = values(model)
    assert answer["bounds"] == {"knob": {"low": 1.0, "high": 7.0, "source": "driven"}}
    assert answer["recommended"]["knob"] == pytest.approx(7.0)


def test_of_a_well_known_parameter_without_bounds_the_usual_range_is_assumed_and_said_so() -> None:
    model = create_model("setup_optimization")
    for wing, bias in ((4.0, 0.55), (5.0, 0.56), (19.0, 0.55)):
        model.learn_session(driven({"rearWing": wing, "brake_bias": bias}, 95.0))
    assert values(model)["bounds"] == {
        "rearWing": {"low": 0.0, "high": 19.0, "source": "assumed"},
        "brake_bias": {"low": 0.48, "high": 0.63, "source": "assumed"},
    }


def test_many_rows_are_advised_as_each_alone(bowl: RacingModel[Any]) -> None:
    rows = [{"setup": {"wing": float(n % 3)}, "fuel": float(n)} for n in range(12)]
    together = bowl.predict(rows, level=0.9)
    for row, answer in zip(rows, together, strict=True):
        (alone,) = bowl.predict([row], level=0.9)
        assert answer.values["lap_time"] == pytest.approx(alone.values["lap_time"])
        assert answer.values["recommended"] == alone.values["recommended"]
        assert answer.interval is not None
        assert alone.interval is not None
        assert answer.interval.upper == pytest.approx(alone.interval.upper)


def test_after_one_setup_another_is_explored_inside_the_bounds_and_near_enough() -> None:
    model = model_of(wing=(0, 10))
    model.learn_session(driven({"wing": 4.0, "pressure": 28.0}, 90.0))
    answer = values(model)
    assert answer["strategy"] == "explore"
    assert answer["exploration_gain"] > 0.02
    assert answer["recommended"] != {"wing": 4.0, "pressure": 28.0}
    assert 0 <= answer["recommended"]["wing"] <= 10
    assert answer["bounds"]["pressure"] == {"low": 23.0, "high": 32.0, "source": "assumed"}
    assert 23.0 <= answer["recommended"]["pressure"] <= 32.0


def test_bounds_in_the_input_hold_for_that_answer_alone(bowl: RacingModel[Any]) -> None:
    before = pickle.dumps(bowl, protocol=5)
    tight, usual = bowl.predict([{"bounds": {"wing": [1, 2.5]}, "strategy": "exploit"}, {}])
    assert tight.values["recommended"]["wing"] == pytest.approx(2.5, abs=0.1)
    assert tight.values["lap_time"] == usual.values["lap_time"]
    assert usual.values["bounds"]["wing"]["high"] == 10.0
    assert pickle.dumps(bowl, protocol=5) == before


def test_a_fixed_parameter_stays_where_it_is_fixed() -> None:
    model = model_of(wing=(0, 10), bar=(3, 3))
    model.learn_session(driven({"wing": 4.0, "bar": 3.0}, 90.0))
    model.learn_session(driven({"wing": 6.0, "bar": 3.0}, 90.5))
    assert values(model)["recommended"]["bar"] == 3.0


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("setup", {"flaps": 1.0}, "names parameters no session was driven with: flaps"),
        ("setup", {"wing": float("nan")}, "row 0: wing must be finite"),
        ("bounds", {"flaps": [0, 1]}, "names parameters no session was driven with: flaps"),
        ("bounds", {"wing": 3.0}, "row 0: wing must be [lowest, highest]"),
        ("bounds", {"wing": [3.0]}, "row 0: wing must be [lowest, highest]"),
        ("bounds", {"wing": [3.0, 2.0]}, "row 0: wing must not have its lowest above its highest"),
        ("bounds", {"wing": [0, 1e12]}, "row 0: wing must be between -1e+09 and 1e+09"),
        ("bounds", [1, 2], "row 0: must be a mapping of names to [lowest, highest]"),
        ("strategy", "guess", "must be one of explore, exploit"),
        ("fuel", -1, "row 0: must be between 0 and 1000"),
    ],
)
def test_what_will_not_do_is_refused_by_name(
    bowl: RacingModel[Any], field: str, value: Any, problem: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        bowl.predict([{field: value}])
    assert refused.value.details["fields"] == {field: [problem]}


def test_bounds_that_need_many_plans_in_one_request_are_refused(bowl: RacingModel[Any]) -> None:
    with pytest.raises(InvalidInput, match="at most 10 rows"):
        bowl.predict([{"bounds": {"wing": [1, 3]}}] * 11)


def test_bad_bounds_of_a_model_are_refused_by_name() -> None:
    with pytest.raises(InvalidHyperparameters) as refused:
        create_model("setup_optimization", None, {"bounds": {"wing": [1, "high"]}})
    assert refused.value.details["fields"] == {"bounds": ["wing must be a number"]}


def test_the_answer_says_what_was_tried_and_how_each_parameter_acts(bowl: RacingModel[Any]) -> None:
    answer = values(bowl, setup={"wing": 2.0})
    assert [tried["setup"]["wing"] for tried in answer["tried"]] == [0.5, 3.5, 2.0, 4.0, 1.0, 3.0]
    response = answer["response"]["wing"]
    assert [point["value"] for point in response] == pytest.approx(np.linspace(0, 4.5, 7), abs=1.0)
    changes = [point["change"] for point in response]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 0 > changes[-1]


def test_fuel_is_told_apart_from_the_setup() -> None:
    model = model_of(wing=(0, 10))
    for number, (wing, fuel) in enumerate([(3.0, 60.0), (7.0, 20.0), (3.0, 40.0), (7.0, 50.0), (3.0, 20.0)]):
        heavy = driven({"wing": wing}, 90 + 0.03 * fuel, seed=number)
        model.learn_session(with_context(heavy, fuel=fuel))
    full, empty, other = (
        prediction.values["lap_time"]
        for prediction in model.predict(
            [{"fuel": 60, "setup": {"wing": 3.0}}, {"fuel": 20}, {"fuel": 20, "setup": {"wing": 7.0}}]
        )
    )
    assert full - empty == pytest.approx(1.2, abs=0.2)
    assert other - empty == pytest.approx(0.0, abs=0.2)


def test_a_driver_who_improves_is_told_apart_from_setups_driven_in_turn() -> None:
    model = model_of(wing=(0, 10))
    for number in range(10):
        pace = 90 + 1.2 * np.exp(-number / 4) + 0.3 * (number % 2)
        model.learn_session(driven({"wing": 3.0 + 4.0 * (number % 2)}, float(pace), seed=number))
    one, other = (values(model, setup={"wing": wing})["lap_time"] for wing in (3.0, 7.0))
    assert other - one == pytest.approx(0.3, abs=0.1)
    assert one == pytest.approx(90.1, abs=0.2)


def test_fuel_in_a_setup_is_no_parameter_to_choose() -> None:
    model = model_of(wing=(0, 10))
    model.learn_session(driven({"wing": 4.0, "fuel": 40.0}, 90.0))
    assert set(values(model, setup={"wing": 4.0, "fuel": 10.0})["recommended"]) == {"wing"}
    with pytest.raises(NothingToLearn) as refused:
        model.learn_session(driven({"fuel": 40.0}, 90.0))
    assert refused.value.details["missing"] == ["setup"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300])
def test_a_session_with_an_impossible_setup_is_refused_by_name(value: float) -> None:
    model = model_of(wing=(0, 10))
    before = pickle.dumps(model)
    with pytest.raises(NothingToLearn, match="wing"):
        model.learn_session(driven({"bar": 1.0, "wing": value}, 90.0))
    assert pickle.dumps(model) == before


def test_importance_is_by_parameter_and_adds_up(bowl: RacingModel[Any]) -> None:
    row = {"setup": {"wing": 6.0}, "tyre_life": 12, "compound": "HARD"}
    (prediction,) = bowl.predict([row], importance=True)
    moved = dict(prediction.importance or {})
    assert set(moved) == {"history", "setup:wing", "tyre_life", "compound"}
    assert sum(moved.values()) == pytest.approx(prediction.values["lap_time"] - bowl.mean, abs=1e-9)
    assert moved["setup:wing"] < -0.3
    assert bowl.feature_importance()["setup:wing"] > 0.1


def test_the_interval_is_wider_for_a_setup_of_which_little_is_known(bowl: RacingModel[Any]) -> None:
    near, far = bowl.predict([{"setup": {"wing": 3.0}}, {"setup": {"wing": 10.0}}], level=0.9)
    widths = [a.interval.upper - a.interval.lower for a in (near, far) if a.interval]
    assert widths[1] > 1.5 * widths[0]


def test_slow_laps_pull_the_setup_surface_only_a_little() -> None:
    clean, disturbed = SetupSurface(), SetupSurface()
    for number in range(40):
        wing = float(number % 5)
        clean.learn_one({"wing": wing}, 90 + 0.2 * wing + 0.01 * (number % 3))
        disturbed.learn_one(
            {"wing": wing}, 120.0 if number % 8 == 3 else 90 + 0.2 * wing + 0.01 * (number % 3)
        )
    assert disturbed.predict_one({"wing": 4.0}) == pytest.approx(clean.predict_one({"wing": 4.0}), abs=0.1)


def test_slow_laps_within_a_run_hardly_count() -> None:
    clean, disturbed = model_of(wing=(0, 10)), model_of(wing=(0, 10))
    run = driven({"wing": 4.0}, 90.0, laps=9)
    clean.learn_session(run)
    spoiled = (lap(1, 118.0), lap(2, 97.0), *run.laps)
    disturbed.learn_session(replace(run, laps=spoiled))
    assert values(disturbed)["lap_time"] == pytest.approx(values(clean)["lap_time"], abs=0.15)


@pytest.mark.parametrize(
    ("names", "axle"),
    [
        (("front_wing", "rear_wing"), True),
        (("tyrePressureFront", "tyrePressureRear"), True),
        (("arb_f", "arb_r"), True),
        (("front_wing", "rear_ride_height"), False),
        (("camber", "toe"), False),
    ],
)
def test_front_and_rear_of_one_thing_are_believed_to_want_to_move_together(
    names: tuple[str, str], axle: bool
) -> None:
    assert bool(Terms("quadratic", names, 0).prior().mean[-1] < 0) is axle


def test_memory_stays_as_it_is_once_the_window_is_full() -> None:
    estimator, sizes = SetupSurface(window=10), []
    for number in range(90):
        for _ in range(2):
            estimator.learn_one({"wing": float(number % 7), "bar": number % 3, "session": number}, 90.0)
        sizes.append(len(pickle.dumps(estimator, protocol=5)))
    assert max(sizes[20:]) < 1.02 * sizes[20]
    assert estimator.laps_learned == 180


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_best_setup_of_the_simulated_cars_is_found_within_twelve() -> None:
    found = [search(simulated(seed), seed, driving=Driving()).believed[-1] < CLOSE for seed in range(50)]
    assert np.mean(found) >= 0.8


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_best_setup_of_other_surfaces_is_found_by_a_driver_who_improves() -> None:
    driving = Driving(improvement=1.0, fuel=0.03, wear=0.04)
    found = [search(surface(seed), seed, driving=driving).believed[-1] < CLOSE for seed in range(20)]
    assert np.mean(found) >= 0.5


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_of_lap_times_hold_their_share(level: float) -> None:
    model, random, inside = model_of(wing=(0, 10)), np.random.default_rng(5), []
    for number in range(90):
        wing = float(random.uniform(0, 10))
        run = driven({"wing": wing}, 90 + 0.03 * (wing - 6) ** 2, seed=number)
        if number >= 2:
            inside += [
                one.lap_time in (answer.interval or [])
                for one in run.laps
                if (answer := model.predict_lap(run, one, {**one.context}, level=level))
            ]
        model.learn_session(run)
    assert np.mean(inside) == pytest.approx(level, abs=0.03)

"""One matrix of checks over every entry of the zoo: a new algorithm is tested by being registered."""

import pickle
from functools import cache
from typing import Any

import pytest

from learning.errors import InvalidHyperparameters, InvalidInput, UnknownAlgorithm
from learning.history import SHARES
from learning.laps import GRID
from learning.model import RacingModel
from learning.moments import moment_of, whole_of
from learning.zoo import algorithms, create_model
from tests.learning.driven import lap, session

TYPES = ("lap_time_prediction", "sector_analysis", "setup_optimization")
ENTRIES = [(kind, algorithm.name) for kind in TYPES for algorithm in algorithms(kind)]
SMALLEST = {"speed": 210.0, "throttle": 1.0, "brake": 0.0, "gear": 5, "track_position": 0.4}
ROWS: list[dict[str, Any]] = [
    SMALLEST,
    SMALLEST | {"current_lap_time": 36.5},
    SMALLEST | {"current_lap_time": 36.5, "splits": [4.4, 9.0, 13.4, 18.0], "recent_laps": [91.0, 90.2]},
    SMALLEST | {"tyre_life": 30, "fuel": 40.5, "tyre_compound": "HARD", "air_temp": 21, "wetness": 0},
]


@pytest.fixture(params=ENTRIES, ids="-".join)
def fresh(request: pytest.FixtureRequest) -> RacingModel[Any]:
    return create_model(*request.param, seed=7)


@cache
def _pickled(model_type: str, algorithm: str) -> bytes:
    """An entry trained on two sessions."""
    model = create_model(model_type, algorithm, seed=7)
    for seed in (1, 2):
        model.learn_session(session(10, seed=seed, setup={"wing": float(seed), "ride_height": 60.0 - seed}))
    return pickle.dumps(model, protocol=5)


@pytest.fixture
def trained(fresh: RacingModel[Any]) -> RacingModel[Any]:
    loaded: RacingModel[Any] = pickle.loads(_pickled(fresh.model_type, fresh.algorithm))  # noqa: S301 - our own
    return loaded


@pytest.mark.parametrize("model_type", TYPES)
def test_each_type_has_one_default_and_at_least_two_alternatives(model_type: str) -> None:
    entries = algorithms(model_type)
    assert [entry.default for entry in entries].count(True) == 1
    assert len(entries) >= 3
    assert create_model(model_type).algorithm == next(entry.name for entry in entries if entry.default)


def test_the_estimator_itself_has_counted_every_lap(trained: RacingModel[Any]) -> None:
    assert trained.laps_learned == 20
    assert trained.sessions_learned == 2


def test_a_pickle_round_trip_predicts_the_same(trained: RacingModel[Any]) -> None:
    again = pickle.loads(pickle.dumps(trained, protocol=5))  # noqa: S301 - our own
    assert again.predict(ROWS, level=0.9, importance=True) == trained.predict(
        ROWS, level=0.9, importance=True
    )
    assert again.metrics() == trained.metrics()


def test_learning_on_after_a_round_trip_is_the_same_as_learning_through(trained: RacingModel[Any]) -> None:
    again = pickle.loads(pickle.dumps(trained, protocol=5))  # noqa: S301 - our own
    more = session(5, seed=3)
    assert again.learn_session(more) == trained.learn_session(more)
    assert again.predict(ROWS) == trained.predict(ROWS)


def test_the_same_seed_and_sessions_give_the_same_model(trained: RacingModel[Any]) -> None:
    twin = create_model(trained.model_type, trained.algorithm, seed=7)
    for seed in (1, 2):
        twin.learn_session(session(10, seed=seed, setup={"wing": float(seed), "ride_height": 60.0 - seed}))
    assert twin.predict(ROWS, level=0.9) == trained.predict(ROWS, level=0.9)


def test_predicting_and_scoring_leave_the_pickle_as_it_was(trained: RacingModel[Any]) -> None:
    before = pickle.dumps(trained, protocol=5)
    for level in (None, 0.5, 0.99):
        trained.predict(ROWS, level=level, importance=True)
    trained.score_session(session(6, seed=9))
    trained.metrics()
    trained.feature_importance()
    assert pickle.dumps(trained, protocol=5) == before


def test_every_prediction_is_a_sensible_lap_time_inside_its_interval(trained: RacingModel[Any]) -> None:
    for prediction in trained.predict(ROWS, level=0.9):
        assert 85 < prediction.values["lap_time"] < 100
        assert prediction.interval is not None
        assert prediction.values["lap_time"] in prediction.interval
        assert prediction.interval.level == 0.9


def test_one_learned_lap_is_enough_for_a_sensible_answer(fresh: RacingModel[Any]) -> None:
    fresh.learn_session(session(1, pace=70.0))
    (prediction,) = fresh.predict([SMALLEST], level=0.9)
    assert prediction.values["lap_time"] == pytest.approx(91.0, abs=1.5)


@pytest.mark.parametrize(("model_type", "algorithm"), [one for one in ENTRIES if one[0] != TYPES[0]])
def test_rows_that_say_nothing_are_each_answered(model_type: str, algorithm: str) -> None:
    model: Any = pickle.loads(_pickled(model_type, algorithm))  # noqa: S301 - our own
    assert model.predict([{}] * 9) == model.predict([{}]) * 9


def test_importance_adds_up_to_the_prediction_minus_the_mean(trained: RacingModel[Any]) -> None:
    for prediction in trained.predict(ROWS, importance=True):
        assert prediction.importance is not None
        moved = prediction.values["lap_time"] - trained.mean
        assert sum(prediction.importance.values()) == pytest.approx(moved, abs=1e-6)


def test_a_bad_field_is_refused_by_name_and_row(trained: RacingModel[Any]) -> None:
    before = pickle.dumps(trained, protocol=5)
    with pytest.raises(InvalidInput) as refused:
        trained.predict([SMALLEST, SMALLEST | {"warp": 1, "speed": float("nan")}])
    problems = {"warp": ["row 1: is not a known field"], "speed": ["row 1: must be finite"]}
    assert refused.value.details["fields"] == problems
    assert pickle.dumps(trained, protocol=5) == before


@pytest.mark.parametrize("algorithm", [entry.name for entry in algorithms("lap_time_prediction")])
def test_an_estimator_answers_from_any_single_feature(algorithm: str) -> None:
    model: Any = pickle.loads(_pickled("lap_time_prediction", algorithm))  # noqa: S301 - our own
    (context,) = model._contexts.values()
    x = moment_of(lap(1, 90.0), 0.5)
    answers = [context.estimator.predict_one({name: value}) for name, value in x.items()]
    assert all(85 < answer < 100 for answer in answers)


@pytest.mark.parametrize("algorithm", ["linear", "hoeffding_tree", "nearest_moments"])
def test_the_scaler_of_river_has_seen_each_lap_ten_times(algorithm: str) -> None:
    model: Any = pickle.loads(_pickled("lap_time_prediction", algorithm))  # noqa: S301 - our own
    (context,) = model._contexts.values()
    assert context.estimator.regressor["StandardScaler"].counts["progress"] == 10 * model.laps_learned == 200


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownAlgorithm):
        create_model("tyre_wear")
    with pytest.raises(UnknownAlgorithm) as refused:
        create_model("sector_analysis", "oracle")
    assert "expert_mixture" in refused.value.details["algorithm"][0]


def test_every_bad_hyperparameter_is_named() -> None:
    with pytest.raises(InvalidHyperparameters) as refused:
        create_model("lap_time_prediction", "expert_mixture", {"window": 1e9, "rate": "fast", "colour": 1})
    assert set(refused.value.details["fields"]) == {"window", "rate", "colour"}
    assert create_model("lap_time_prediction", None, {"window": 20}).hyperparameters["window"] == 20


def test_traces_are_kept_at_steps_that_a_lap_keeps_frames_for() -> None:
    assert GRID % (len(SHARES) - 1) == 0
    assert whole_of(lap(1, 90.0))["trace"][-1] == 90.0

"""What is kept of the predictions made just before laps are learned."""

from typing import Any

import numpy as np
import pytest

from app.services.ahead import MOST_LAPS, Ahead, newest_columns
from learning.laps import SessionLaps
from learning.model import RacingModel
from learning.zoo import create_model
from tests.learning.driven import session


def learned(model: RacingModel[Any], laps: SessionLaps) -> Ahead:
    """A session learned while it is watched."""
    ahead = Ahead(model, laps, lambda done, total: None)
    model.learn_session(laps, on_lap=ahead.on_lap)
    return ahead


@pytest.mark.parametrize("model_type", ["lap_time_prediction", "sector_analysis", "setup_optimization"])
def test_what_is_kept_is_what_the_mean_error_is_of(model_type: str) -> None:
    model, plain = create_model(model_type), create_model(model_type)
    kept = [learned(model, laps).columns(MOST_LAPS) for laps in (session(8, seed=1), session(8, seed=2))]
    for laps in (session(8, seed=1), session(8, seed=2)):
        plain.learn_session(laps)
    predicted, driven, lower, upper = (
        np.concatenate([columns[name] for columns in kept])
        for name in ("predicted", "lapTime", "lower", "upper")
    )
    assert [columns["lap"] for columns in kept] == [
        [*range(2, 9)],
        [*range(1, 9)],
    ]  # nothing was known before
    assert np.abs(predicted - driven).mean() == pytest.approx(model.metrics()["mae"], abs=1e-4)
    assert np.all((lower < predicted) & (predicted < upper))
    assert model.metrics() == plain.metrics()  # looking changes nothing


def test_a_setup_that_means_nothing_to_a_car_yet_is_learned_without_a_prediction() -> None:
    model = create_model("setup_optimization")
    model.learn_session(session(6, setup={"wing": 5.0}, car_model="one"))
    model.learn_session(session(6, seed=1, setup={"flaps": 2.0}, car_model="another"))
    ahead = learned(model, session(6, seed=2, setup={"flaps": 3.0}, car_model="one"))
    assert ahead.columns(MOST_LAPS)["lap"] == [2, 3, 4, 5, 6]


def test_a_training_keeps_its_newest_laps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.ahead.MOST_LAPS", 8)
    model = create_model("lap_time_prediction", "linear")
    by_session = {name: learned(model, session(6, seed=seed)) for seed, name in enumerate("abc")}
    kept = newest_columns(by_session)
    assert {name: columns["lap"] for name, columns in kept.items()} == {
        "b": [5, 6],
        "c": [1, 2, 3, 4, 5, 6],
    }

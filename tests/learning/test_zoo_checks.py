"""The checks of the zoo's matrix that take seconds: River's own, and that memory is bounded."""

import pickle
from typing import Any, cast

import pytest
import river.checks
from river.base import Estimator

from learning.moments import moment_of, whole_of
from learning.zoo import algorithms, create_model
from tests.learning.driven import session

TYPES = ("lap_time_prediction", "setup_optimization")
ESTIMATORS = [(kind, algorithm.name) for kind in TYPES for algorithm in algorithms(kind)]
ESTIMATORS.append(("sector_analysis", "gaussian_processes"))  # the others are those of lap times again


@pytest.mark.parametrize(("model_type", "algorithm"), ESTIMATORS)
def test_the_estimator_passes_the_checks_of_river(
    model_type: str, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def laps(model: object, scale: int = 1) -> list[list[tuple[dict[str, Any], Any]]]:
        """In place of River's own data, whose features no lap has."""
        driven = session(6 * min(scale, 3)).laps
        if model_type == "sector_analysis":
            return [[(dict(one.context), dict(enumerate(one.sector_times, start=1))) for one in driven]]
        return [[(_plain(one), one.lap_time or 0.0) for one in driven]]

    def _plain(one: Any) -> dict[str, Any]:
        if model_type == "setup_optimization":
            wing = one.context["tyre_life"]
            return {"wing": wing, "bar": wing % 3, "toe": wing % 5, "camber": 1.0}
        whole = {
            name: value.tolist() if hasattr(value, "tolist") else value
            for name, value in whole_of(one).items()
        }
        moment = moment_of(one, 0.5)
        return {str(name): value for name, value in (whole | moment).items()}

    monkeypatch.setattr(river.checks, "_yield_datasets", laps)
    river.checks.check_estimator(cast(Estimator, create_model(model_type, algorithm)._estimator))


@pytest.mark.parametrize(("model_type", "algorithm"), ESTIMATORS)
def test_the_model_stops_growing(model_type: str, algorithm: str) -> None:
    smallest = {
        name: parameter.minimum
        for entry in algorithms(model_type)
        if entry.name == algorithm
        for name, parameter in entry.hyperparameters.items()
        if name == "window"
    }
    model = create_model(model_type, algorithm, smallest)
    sizes = []
    for seed in range(4):
        model.learn_session(session(12, seed=seed))
        sizes.append(len(pickle.dumps(model, protocol=5)))
    assert sizes[3] < 1.2 * sizes[2]

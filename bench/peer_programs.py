"""What MLflow and chantilly serve in the bench; runs in their environment, which knows nothing of Lapwise.

`python peer_programs.py FOLDER` keeps a River model as an MLflow pyfunc; `peer_programs:chantilly()` is
chantilly as a WSGI application with the same model in it.
"""

import random
import sys
from typing import Any

FIELDS = ("speed", "throttle", "brake", "gear", "track_position", "current_lap_time")


def river_model() -> Any:
    """A regression that has learned a few hundred rows."""
    from river import linear_model, preprocessing

    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    drawn = random.Random(1)  # noqa: S311  # rows to learn, no secret
    for _ in range(500):
        row = {name: drawn.random() for name in FIELDS}
        model.learn_one(row, 90.0 + row["track_position"])
    return model


def save_pyfunc(folder: str) -> None:
    """Keeps it where `mlflow models serve` finds it."""
    import mlflow.pyfunc

    class Predictor(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def __init__(self, model: Any) -> None:
            self._model = model

        def predict(self, context: Any, model_input: Any, params: Any = None) -> list[float]:
            return [self._model.predict_one(row) for row in model_input.to_dict("records")]

    mlflow.pyfunc.save_model(folder, python_model=Predictor(river_model()))


def chantilly() -> Any:
    """The application, with the model as its default one."""
    import river.metrics

    # chantilly 0.3.0 is of 2022; River has since moved the one name of its that it asks for when imported
    vars(river.metrics)["Metric"] = river.metrics.base.Metric
    import chantilly

    app = chantilly.create_app()
    with app.app_context():
        chantilly.storage.set_flavor("regression")
        chantilly.storage.get_db()["default_model_name"] = chantilly.storage.add_model(
            river_model(), name="bench"
        )
    return app


if __name__ == "__main__":
    save_pyfunc(sys.argv[1])

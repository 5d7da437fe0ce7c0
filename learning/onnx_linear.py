"""The linear regression of what the mean of the last laps gets wrong, as an ONNX graph."""

from collections.abc import Mapping

import numpy as np
from river import compose

from learning.history import MARKS
from learning.laps import Floats
from learning.onnx_graph import Graph, Value
from learning.residual import CLIP, CONDITIONS, ResidualRegressor

INPUTS: Mapping[str, tuple[int | str, ...]] = {  # beside the smallest ones
    name: () for name in CONDITIONS if name != "speed"
}


def linear_answers(graph: Graph, given: Mapping[str, Value], estimator: ResidualRegressor) -> Value:
    """Shape (m,): the lap times that `estimator` answers to the inputs, once it has learned a lap."""
    timed = ~(given["track_position"].is_nan() | given["current_lap_time"].is_nan())
    position = graph.where(timed, given["track_position"], 0.0)
    elapsed = graph.where(position > 0.0, given["current_lap_time"], 0.0)
    last, best = estimator.references.laps
    answers = [elapsed + _remaining(graph, position, lap) for lap in (*last, best)]
    mean = _mean(answers[:-1])
    forecasts = [float(lap_time) for lap_time, _ in (*last, best)]
    described = {
        "progress": position,
        "gap": mean - float(np.mean(forecasts[:-1])),
        "gap_to_best": answers[-1] - forecasts[-1],
        "form": answers[-2] - mean,
        "best": answers[-1] - mean,
        **{name: given[name] for name in CONDITIONS},
    }
    limit = mean * CLIP
    return mean + _residual(estimator, described).minimum(limit).maximum(limit * -1.0)


def _residual(estimator: ResidualRegressor, described: Mapping[str, Value]) -> Value:
    """What the regressor says of the features it knows; one that is not known adds nothing."""
    assert isinstance(estimator.regressor, compose.Pipeline)  # noqa: S101 - as the zoo's `linear` builds it
    scaler, regression = estimator.regressor.steps.values()
    answer = described["progress"] * 0.0 + float(regression.intercept)
    for name in estimator.names:
        deviation = float(scaler.vars[name]) ** 0.5
        if deviation:  # the scaler makes 0 of what never changed
            scaled = (described[name] - float(scaler.means[name])) / deviation
            answer = answer + scaled.known_or(0.0) * float(regression.weights[name])
    return answer


def _remaining(graph: Graph, position: Value, lap: tuple[float, Floats]) -> Value:
    """Of a lap the seconds left from each row's position on."""
    lap_time, trace = lap
    place = position * float(MARKS)
    left = place.cast(np.int64).minimum(MARKS - 1)
    before, after = graph.constant(trace).take(left), graph.constant(trace).take(left + 1)
    passed = before + (after - before) * (place - left.cast(np.float64))
    return float(lap_time) - graph.where(position > 0.0, passed, 0.0)


def _mean(values: list[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total / float(len(values))

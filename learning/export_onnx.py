"""Writes lap-time models as ONNX, to predict where there is no Lapwise: one graph, a row for each moment."""

import json
from collections.abc import Mapping
from typing import Any

from learning import onnx_linear, onnx_mixture
from learning.errors import ExportNotSupported
from learning.lap_time import LapTimeModel
from learning.mixture import ExpertMixture
from learning.model import ContextKey, Estimator, RacingModel
from learning.onnx_graph import Graph, Value
from learning.residual import ResidualRegressor

OUTPUT = "lap_time"
EXPORTABLE = ("expert_mixture", "linear")  # the algorithms, of `lap_time_prediction`
_SMALLEST = ("track_position", "current_lap_time", "speed", "throttle", "brake", "gear")
_NOTES: Mapping[str, str] = {
    "unknown": "NaN, also behind the last known one of splits, speeds and recent_laps",
    "compound": "the CRC-32 of its name in UTF-8, as a number",
    "recent_laps": "newest last, at least one column",
    "unused": "throttle, brake and gear are taken and move nothing",
}


def onnx_of(model: RacingModel[Any], about: Mapping[str, str], *, car_model: str | None = None) -> bytes:
    """The serialised ONNX model of a lap-time model's car and weather learned last, or of a named car.

    Its inputs are doubles with the names of the contract, one row for each answer, NaN where something is
    not known; its output is `lap_time` in seconds. They must be such as `predict` accepts.

    Parameters
    ----------
    about
        Goes into the metadata of the file, beside the car, the weather and notes on the inputs.

    Raises
    ------
    ExportNotSupported
        It is of another type, or its algorithm cannot be written as a graph.
    InvalidInput
        It has learned no lap of this car.
    NothingToLearn
        It has learned no lap at all.
    """
    if not isinstance(model, LapTimeModel) or model.algorithm not in EXPORTABLE:
        names = " and ".join(EXPORTABLE)
        raise ExportNotSupported(
            f"only lap_time_prediction by {names} can be exported as onnx, not {model.model_type} by"
            f" {model.algorithm}; the formats lapwise and json take every model",
            format=[f"onnx is for lap_time_prediction by {names}"],
        )
    key, context = model.newest_context(car_model)
    graph = Graph()
    answers = _answers(graph, context.estimator)
    return graph.finish(answers, OUTPUT, {**about, **_context(key, context.laps_learned)})


def _answers(graph: Graph, estimator: Estimator) -> Value:
    if isinstance(estimator, ExpertMixture):
        given = _inputs(graph, onnx_mixture.INPUTS)
        return onnx_mixture.mixture_answers(graph, given, estimator)
    if isinstance(estimator, ResidualRegressor):
        given = _inputs(graph, onnx_linear.INPUTS)
        return onnx_linear.linear_answers(graph, given, estimator)
    raise TypeError(f"no graph can be made of {type(estimator).__name__}, which {EXPORTABLE} must not name")


def _inputs(graph: Graph, more: Mapping[str, tuple[int | str, ...]]) -> dict[str, Value]:
    """The inputs of the smallest request and some more, each a row for an answer."""
    shapes: dict[str, tuple[int | str, ...]] = {**dict.fromkeys(_SMALLEST, ()), **more}
    return {name: graph.input(name, "batch", *shape) for name, shape in shapes.items()}


def _context(key: ContextKey, laps: int) -> dict[str, str]:
    notes = json.dumps(_NOTES)
    return {"carModel": key.car_model, "wet": str(key.wet).lower(), "lapsLearned": str(laps), "inputs": notes}

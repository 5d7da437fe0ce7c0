"""The algorithms each model type can learn with; to add one, add an entry to `_ENTRIES`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from river import linear_model, neighbors, optim, preprocessing, tree

from learning.errors import InvalidHyperparameters, UnknownAlgorithm
from learning.fields import ranges_problem
from learning.lap_time import LapTimeModel
from learning.mixture import ExpertMixture
from learning.model import Estimator, RacingModel
from learning.residual import ResidualRegressor
from learning.sector_process import SectorProcess
from learning.sectors import SectorModel
from learning.setup_surface import SetupSurface
from learning.setups import SetupModel


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """A value a driver may choose: a number within bounds, one of some choices, or bounds by name."""

    kind: Literal["integer", "number", "choice", "ranges"]
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        """Why a value will not do, or None."""
        if self.kind == "choice":
            return None if value in self.choices else f"must be one of {', '.join(self.choices)}"
        if self.kind == "ranges":
            return ranges_problem(value, self.minimum or 0.0, self.maximum or 0.0)
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "integer" else int | float):
            return f"must be {'an integer' if self.kind == 'integer' else 'a number'}"
        if self.minimum is not None and self.maximum is not None and self.minimum <= value <= self.maximum:
            return None
        return f"must be between {self.minimum:g} and {self.maximum:g}"


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """An entry of the zoo."""

    name: str
    model_type: str
    description: str
    default: bool
    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """How an algorithm's estimator is built, and the model types it serves."""

    name: str
    models: tuple[type[RacingModel[Any]], ...]
    description: str
    build: Callable[[Mapping[str, Any], int], Estimator]
    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)


def _integer(default: int, minimum: int, maximum: int, description: str) -> Hyperparameter:
    return Hyperparameter(
        kind="integer", default=default, minimum=minimum, maximum=maximum, description=description
    )


def _number(default: float, minimum: float, maximum: float, description: str) -> Hyperparameter:
    return Hyperparameter(
        kind="number", default=default, minimum=minimum, maximum=maximum, description=description
    )


def _mixture(values: Mapping[str, Any], seed: int) -> Estimator:
    return ExpertMixture(**values)


def _processes(values: Mapping[str, Any], seed: int) -> Estimator:
    return SectorProcess(**values)


def _linear(values: Mapping[str, Any], seed: int) -> Estimator:
    regressor = linear_model.LinearRegression(optim.SGD(values["learning_rate"]), l2=values["l2"])
    return ResidualRegressor(preprocessing.StandardScaler() | regressor)


def _tree(values: Mapping[str, Any], seed: int) -> Estimator:
    return ResidualRegressor(preprocessing.StandardScaler() | tree.HoeffdingTreeRegressor(**values))


def _nearest(values: Mapping[str, Any], seed: int) -> Estimator:
    engine = neighbors.LazySearch(window_size=values["window"])
    regressor = neighbors.KNNRegressor(values["neighbours"], engine, aggregation_method="weighted_mean")
    return ResidualRegressor(preprocessing.StandardScaler() | regressor)


def _surface(basis: str) -> Callable[[Mapping[str, Any], int], Estimator]:
    return lambda values, seed: SetupSurface(basis, seed=seed, **values)


_BY_LAP = (LapTimeModel, SectorModel)
_SURFACE = {
    "window": _integer(48, 10, 200, "runs remembered: the laps on one setup in one session are one"),
    "bounds": Hyperparameter(
        kind="ranges",
        default={},
        minimum=-1e9,
        maximum=1e9,
        description="[lowest, highest] value allowed, by parameter; of others a bit more than was driven",
    ),
}

# Of the entries for a model type the first is its default.
_ENTRIES = (
    _Entry(
        name="gaussian_processes",
        models=(SectorModel,),
        description="Gaussian processes over recent laps, for the level of a lap and for each sector's share",
        build=_processes,
        hyperparameters={"window": _integer(60, 10, 200, "laps remembered")},
    ),
    _Entry(
        name="expert_mixture",
        models=_BY_LAP,
        description="weighted medians of the driver's recent laps that are most like this one",
        build=_mixture,
        hyperparameters={
            "window": _integer(64, 10, 400, "laps at pace remembered"),
            "rate": _number(0.4, 0.0, 5.0, "how strongly an expert's better record counts"),
            "memory": _number(0.97, 0.5, 1.0, "share of its record an expert keeps from lap to lap"),
            "correction": _number(0.004, 0.0, 0.05, "largest learned correction, share of the lap time"),
        },
    ),
    _Entry(
        name="linear",
        models=_BY_LAP,
        description="River's linear regression of what the mean of the last five laps gets wrong",
        build=_linear,
        hyperparameters={
            "learning_rate": _number(0.005, 1e-5, 0.05, "of the gradient descent"),
            "l2": _number(0.0, 0.0, 1.0, "penalty on large weights"),
        },
    ),
    _Entry(
        name="hoeffding_tree",
        models=_BY_LAP,
        description="River's Hoeffding tree of what the mean of the last five laps gets wrong",
        build=_tree,
        hyperparameters={
            "max_depth": _integer(4, 1, 8, "of the tree"),
            "grace_period": _integer(100, 10, 2000, "moments a leaf learns between attempts to split"),
            "leaf_prediction": Hyperparameter(
                kind="choice",
                default="adaptive",
                choices=("mean", "model", "adaptive"),
                description="what a leaf predicts with",
            ),
        },
    ),
    _Entry(
        name="nearest_moments",
        models=_BY_LAP,
        description="River's nearest neighbours among earlier moments, for what the last five laps get wrong",
        build=_nearest,
        hyperparameters={
            "neighbours": _integer(10, 1, 50, "moments averaged"),
            "window": _integer(500, 10, 2000, "moments remembered"),
        },
    ),
    _Entry(
        name="bayesian_quadratic",
        models=(SetupModel,),
        description="Bayesian regression on smooth functions of the parameters and on pairs of them",
        build=_surface("quadratic"),
        hyperparameters=_SURFACE,
    ),
    _Entry(
        name="bayesian_additive",
        models=(SetupModel,),
        description="Bayesian regression with each parameter for itself, for few setups",
        build=_surface("additive"),
        hyperparameters=_SURFACE,
    ),
    _Entry(
        name="gaussian_process",
        models=(SetupModel,),
        description="Bayesian regression on random features of a Gaussian process, for uneven surfaces",
        build=_surface("fourier"),
        hyperparameters=_SURFACE,
    ),
)


def algorithms(model_type: str) -> tuple[Algorithm, ...]:
    """The algorithms for a model type, its default first.

    Raises
    ------
    UnknownAlgorithm
        There is no such model type.
    """
    return tuple(
        Algorithm(
            name=entry.name,
            model_type=model_type,
            description=entry.description,
            default=index == 0,
            hyperparameters=entry.hyperparameters,
        )
        for index, (entry, _) in enumerate(_entries(model_type))
    )


def create_model(
    model_type: str,
    algorithm: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
) -> RacingModel[Any]:
    """A model that has learned nothing yet; without an algorithm its type's default.

    Raises
    ------
    UnknownAlgorithm
        There is no such model type, or it has no such algorithm.
    InvalidHyperparameters
        Some are unknown or out of range; the details' `fields` names each.
    """
    entry, model, values = _chosen(model_type, algorithm, hyperparameters)
    return model(algorithm=entry.name, hyperparameters=values, estimator=entry.build(values, seed))


def check(model_type: str, algorithm: str | None, hyperparameters: Mapping[str, Any]) -> None:
    """Whether `create_model` makes such a model, by raising what it would."""
    _chosen(model_type, algorithm, hyperparameters)


def _chosen(
    model_type: str, algorithm: str | None, hyperparameters: Mapping[str, Any] | None
) -> tuple[_Entry, type[RacingModel[Any]], dict[str, Any]]:
    entries = _entries(model_type)
    found = [pair for pair in entries if algorithm in (None, pair[0].name)]
    if not found:
        names = [entry.name for entry, _ in entries]
        raise UnknownAlgorithm(
            f"{model_type} has no algorithm {algorithm!r}", algorithm=[f"must be one of {', '.join(names)}"]
        )
    entry, model = found[0]
    return entry, model, _checked(entry, hyperparameters or {})


def _entries(model_type: str) -> list[tuple[_Entry, type[RacingModel[Any]]]]:
    pairs = [(entry, model) for entry in _ENTRIES for model in entry.models if model.model_type == model_type]
    if not pairs:
        known = sorted({model.model_type for entry in _ENTRIES for model in entry.models})
        raise UnknownAlgorithm(f"there is no model type {model_type!r}", model_types=known)
    return pairs


def _checked(entry: _Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    problems = {name: ["is not known"] for name in given if name not in entry.hyperparameters}
    values: dict[str, Any] = {}
    for name, hyperparameter in entry.hyperparameters.items():
        value = values[name] = given.get(name, hyperparameter.default)
        if problem := hyperparameter.problem(value):
            problems[name] = [problem]
    if problems:
        raise InvalidHyperparameters(
            f"some hyperparameters of {entry.name} will not do: {', '.join(sorted(problems))}",
            fields=problems,
        )
    return values

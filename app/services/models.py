"""Versions as their drivers use them: look, activate, rename, remove, predict."""

import re
import time
from collections.abc import Mapping
from typing import Any

from app.domain import LineageKey, ModelType, Page, PredictRequest, Version, key_of
from app.errors import ModelNotFound
from app.experiment import Experiment, Variant
from app.services.experiments import SEEN_WITHIN, RunningExperiments, variant_for
from app.services.sharing import Sharing
from app.services.usage import Usage
from app.stores.changes import Changes, Remembered
from learning.errors import InvalidInput
from learning.model import Prediction, RacingModel
from learning.zoo import Algorithm, algorithms
from models_store.activations import Activation, ActivationCause, Why
from models_store.registry import ModelRegistry
from models_store.store import ModelStore

_CAPITAL = re.compile(r"(?<=[a-z0-9])[A-Z]")


class Models:
    """Use cases of model versions."""

    def __init__(
        self,
        *,
        registry: ModelRegistry,
        store: ModelStore,
        sharing: Sharing,
        usage: Usage,
        running: RunningExperiments,
        changes: Changes,
    ) -> None:
        self._registry = registry
        self._store = store
        self._sharing = sharing
        self._usage = usage
        self._running = running
        self._remembered: Remembered[Version] = Remembered(changes, seconds=SEEN_WITHIN)

    def get(self, user_id: str, model_id: str) -> Version:
        """A version of the driver's own, or one shared with them as they may see it."""
        return self._sharing.readable(user_id, model_id)

    def page(
        self,
        user_id: str,
        track_name: str,
        model_type: ModelType | None = None,
        active_only: bool = False,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Version]:
        return self._registry.versions(
            user_id, track_name, model_type, active_only=active_only, limit=limit, cursor=cursor
        )

    def active(self, user_id: str, track_name: str, model_type: ModelType) -> Version:
        key = LineageKey(user_id=user_id, track_name=track_name, model_type=model_type)
        version = self._registry.find_active(key)
        if version is None:
            raise ModelNotFound(f"no {model_type} model is active for {track_name!r}; train one first")
        return version

    def all_active(self, user_id: str) -> tuple[Version, ...]:
        """The active versions of all the driver's lineages, newest first."""
        return self._registry.active_versions(user_id)

    def history(self, user_id: str, track_name: str, model_type: ModelType) -> tuple[Version, ...]:
        """A lineage's versions, oldest first."""
        return self._registry.history(
            LineageKey(user_id=user_id, track_name=track_name, model_type=model_type)
        )

    def find_before(self, version: Version) -> Version | None:
        """The version of the same lineage that was made last before one of the driver's own."""
        return self._registry.find_before(version)

    def rename(
        self, user_id: str, model_id: str, *, model_name: str | None = None, description: str | None = None
    ) -> Version:
        return self._registry.rename(user_id, model_id, model_name=model_name, description=description)

    def activate(
        self,
        user_id: str,
        model_id: str,
        *,
        reason: str | None = None,
        expected_active_id: str | None = None,
    ) -> Version:
        """Makes a version the active one; a driver may say why, and what they take to be active now."""
        why = Why(ActivationCause.CHOSEN, reason)
        return self._registry.activate(user_id, model_id, why, expected_active_id=expected_active_id)

    def activations(
        self,
        user_id: str,
        track_name: str,
        model_type: ModelType,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Activation]:
        """What was active in a lineage, newest first."""
        key = LineageKey(user_id=user_id, track_name=track_name, model_type=model_type)
        return self._registry.activations.page(key, limit=limit, cursor=cursor)

    def remove(self, user_id: str, model_id: str) -> None:
        """Removes a version, its binary and its shares; of the active one, its parent becomes active."""
        self._store.remove(user_id, model_id)
        self._sharing.remove_of_model(model_id)

    def metrics(self, user_id: str, model_id: str) -> dict[str, Any]:
        """All metrics of a version, in the words of the contract."""
        version = self.get(user_id, model_id)
        metadata = version.model_metadata
        return {
            "modelId": version.id,
            "modelVersion": version.model_version,
            "modelType": version.model_type,
            **{name: metadata[name] for name in ("accuracy", "mae", "mse", "rmse", "lapsLearned")},
            "performanceMetrics": metadata["performanceMetrics"],
            "validationResults": version.validation_results,
            "featureImportance": version.feature_importance,
        }

    def algorithms(self, model_type: ModelType | None = None) -> list[Algorithm]:
        types = [model_type] if model_type else list(ModelType)
        return [algorithm for kind in types for algorithm in algorithms(kind)]

    def predict(self, user_id: str, request: PredictRequest) -> dict[str, Any]:
        """Predictions by a version, or by the active version of a track and type.

        While an experiment runs, the latter may come from its challenger; the answer says which side gave it.

        Raises
        ------
        ModelNotFound
        learning.errors.InvalidInput
            Naming the fields by row.
        """
        started = time.perf_counter()
        version, said, model = self._loaded(user_id, request)
        rows = [_snake_case(row, index) for index, row in enumerate(request.rows)]
        predictions = model.predict(
            rows,
            level=request.confidence_level if request.include_confidence else None,
            importance=request.include_feature_importance,
        )
        self._usage.count(user_id, version.model_type, len(rows), time.perf_counter() - started)
        return rendered(version, predictions, request) | said

    def _loaded(
        self, user_id: str, request: PredictRequest
    ) -> tuple[Version, dict[str, str], RacingModel[Any]]:
        version, said = self._version(user_id, request)
        try:
            return version, said, self._store.load(version)
        except ModelNotFound:
            if request.model_id is not None:
                raise
        version, said = self._version(user_id, request)  # removed this moment: there is another
        return version, said, self._store.load(version)

    def _version(self, user_id: str, request: PredictRequest) -> tuple[Version, dict[str, str]]:
        """Who answers, and what the answer says of an experiment."""
        if request.model_id is not None:
            return self._known(user_id, request.model_id), {}
        if request.track_name is None or request.model_type is None:
            raise ModelNotFound("name a modelId, or a trackName and a modelType")
        key = LineageKey(user_id=user_id, track_name=request.track_name, model_type=request.model_type)
        experiment = self._running.find(key)
        if experiment is None:
            return self._known(user_id, key), {}
        return self._side(experiment, request.client_id or user_id)

    def _side(self, experiment: Experiment, client: str) -> tuple[Version, dict[str, str]]:
        variant = variant_for(experiment, client)
        if variant is Variant.CHALLENGER:
            try:
                version = self._known(experiment.user_id, experiment.challenger_id)
                return version, {"experimentId": experiment.id, "variant": variant.value}
            except ModelNotFound:  # removed this moment, and the experiment has ended by it
                variant = Variant.INCUMBENT
        active = self._known(experiment.user_id, key_of(experiment))
        return active, {"experimentId": experiment.id, "variant": variant.value}

    def _known(self, user_id: str, what: str | LineageKey) -> Version:
        """A version by id, or a lineage's active one, from memory until it is told that it changed."""

        def load() -> Version:
            if isinstance(what, str):
                return self.get(user_id, what)
            return self.active(user_id, what.track_name, what.model_type)

        return self._remembered.get((user_id, what), load, lambda version: (user_id, version.user_id))


def rendered(version: Version, predictions: list[Prediction], request: PredictRequest) -> dict[str, Any]:
    """What a request is answered, in the words of the contract."""

    def shaped(values: list[Any]) -> Any:
        return values if request.is_list else values[0]

    answer = {
        "modelId": version.id,
        "modelVersion": version.model_version,
        "predictions": shaped([dict(prediction.values) for prediction in predictions]),
    }
    if request.include_confidence:
        answer["confidence"] = shaped([_interval(prediction) for prediction in predictions])
    if request.include_feature_importance:
        answer["featureImportance"] = shaped([prediction.importance for prediction in predictions])
    return answer


def _interval(prediction: Prediction) -> dict[str, float] | None:
    interval = prediction.interval
    if interval is None:
        return None
    return {"lower": interval.lower, "upper": interval.upper, "level": interval.level}


def _snake_case(row: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The row with its fields as the models name them: `trackPosition` and `track_position` are one."""
    if "".join(row).islower():
        return dict(row)
    renamed = {key if key.islower() else _CAPITAL.sub(_lower, key): key for key in row}
    if len(renamed) < len(row):
        twice = sorted(set(row) - set(renamed.values()))
        raise InvalidInput(
            f"row {index} names the same field twice: {', '.join(twice)}",
            fields={name: ["given twice, in snake_case and camelCase"] for name in twice},
        )
    return {snake: row[key] for snake, key in renamed.items()}


def _lower(capital: re.Match[str]) -> str:
    return f"_{capital[0].lower()}"

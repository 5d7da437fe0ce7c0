"""HTTP for models: train, grow and judge them, choose the active one, predict."""

from typing import Any

from flask import Response, jsonify

from app.api.blueprint import Blueprint, IdempotencySchema
from app.api.context import services, user_id
from app.api.fields import page_of
from app.api.jobs import JobSchema, PageQuery, accepted
from app.api.model_schemas import (
    ActivateSchema,
    ActivationSchema,
    AlgorithmSchema,
    AlgorithmsQuery,
    CompareSchema,
    HistorySchema,
    IncrementSchema,
    LineageSettingsSchema,
    LineageStateSchema,
    MetricsSchema,
    PredictionSchema,
    PredictSchema,
    RenameSchema,
    TrainSchema,
    ValidateSchema,
    VersionSchema,
    VersionsQuery,
)
from app.domain import (
    CompareRequest,
    IncrementRequest,
    Job,
    Lineage,
    LineageKey,
    ModelType,
    Page,
    PredictRequest,
    TrainRequest,
    Version,
)
from models_store.activations import Activation

bp = Blueprint("models", __name__, description="Personal models; /model and /ai-model are two doors.")

LINEAGE = f"<path:trackName>/<any({','.join(ModelType)}):modelType>"


@bp.operation(
    "POST",
    "/model/train",
    "/ai-model/train-new",
    json=TrainSchema,
    headers=IdempotencySchema,
    answer=JobSchema,
    status=202,
    errors=(404, 409),
)
def train(request: TrainRequest, headers: dict[str, Any]) -> tuple[Job, dict[str, str]]:
    """Train a lineage's model from scratch: 1.0.0, or the next major number."""
    return accepted(services().training.train(user_id(), request, **headers))


@bp.operation(
    "POST",
    "/model/incremental-training",
    "/ai-model/incremental-training",
    json=IncrementSchema,
    headers=IdempotencySchema,
    answer=JobSchema,
    status=202,
    errors=(404, 409),
)
def increment(request: IncrementRequest, headers: dict[str, Any]) -> tuple[Job, dict[str, str]]:
    """Grow a version by sessions it has not learned; sessions it has are skipped."""
    return accepted(services().training.increment(user_id(), request, **headers))


@bp.operation(
    "POST",
    "/model/validate",
    json=ValidateSchema,
    headers=IdempotencySchema,
    answer=JobSchema,
    status=202,
    errors=(404, 409),
)
def validate(body: dict[str, Any], headers: dict[str, Any]) -> tuple[Job, dict[str, str]]:
    """Measure a version on sessions; the model stays as it is."""
    return accepted(services().training.validate(user_id(), **body, **headers))


@bp.operation(
    "POST",
    "/ai-model/compare",
    json=CompareSchema,
    headers=IdempotencySchema,
    answer=JobSchema,
    status=202,
    errors=(404, 409),
)
def compare(request: CompareRequest, headers: dict[str, Any]) -> tuple[Job, dict[str, str]]:
    """Measure versions of one lineage on the same laps and say which is better."""
    return accepted(services().training.compare(user_id(), request, **headers))


@bp.operation(
    "POST", "/model/predict", "/ai-model/predict", json=PredictSchema, answer=PredictionSchema, errors=(404,)
)
def predict(request: PredictRequest) -> Response:
    """Predict for one row or a list of them, by model or by the active model of a track and type."""
    return jsonify(services().models.predict(user_id(), request))


@bp.operation("GET", "/model/metrics/<id:id>", answer=MetricsSchema)
def get_metrics(id: str) -> Response:
    """All metrics of a version."""
    return jsonify(services().models.metrics(user_id(), id))


@bp.operation(
    "GET", "/model/algorithms", query=AlgorithmsQuery, answer=page_of(AlgorithmSchema, "AlgorithmPage")
)
def list_algorithms(query: dict[str, ModelType]) -> dict[str, Any]:
    """What `algorithm` may name, with the hyperparameters of each."""
    return {"items": services().models.algorithms(**query), "next_cursor": None}


@bp.operation(
    "GET",
    "/ai-model/user/<path:trackName>",
    query=VersionsQuery,
    answer=page_of(VersionSchema, "VersionPage"),
)
def list_versions(query: dict[str, Any], track_name: str) -> Page[Version]:
    """The driver's versions on a track, newest first."""
    return services().models.page(user_id(), track_name, **query)


@bp.operation("GET", f"/ai-model/active/{LINEAGE}", answer=VersionSchema)
def get_active(track_name: str, model_type: str) -> Version:
    """The active version of a lineage."""
    return services().models.active(user_id(), track_name, ModelType(model_type))


@bp.operation("GET", f"/ai-model/performance-history/{LINEAGE}", answer=HistorySchema)
def get_history(track_name: str, model_type: str) -> dict[str, Any]:
    """How a lineage's versions did, oldest first."""
    return {"versions": services().models.history(user_id(), track_name, ModelType(model_type))}


@bp.operation(
    "GET",
    f"/ai-model/activations/{LINEAGE}",
    query=PageQuery,
    answer=page_of(ActivationSchema, "ActivationPage"),
)
def list_activations(query: dict[str, Any], track_name: str, model_type: str) -> Page[Activation]:
    """What was active in a lineage, since when and why, newest first."""
    return services().models.activations(user_id(), track_name, ModelType(model_type), **query)


@bp.operation("GET", f"/ai-model/lineage-settings/{LINEAGE}", answer=LineageStateSchema)
def get_lineage_settings(track_name: str, model_type: str) -> Lineage:
    """Whether a lineage is retrained by itself after drift, the newest drift, and when the next may begin."""
    return services().retraining.settings(_lineage(track_name, model_type))


@bp.operation(
    "PUT", f"/ai-model/lineage-settings/{LINEAGE}", json=LineageSettingsSchema, answer=LineageStateSchema
)
def set_lineage_settings(body: dict[str, bool], track_name: str, model_type: str) -> Lineage:
    """Turn automatic retraining of a lineage on or off."""
    return services().retraining.set_automatic(_lineage(track_name, model_type), **body)


@bp.operation("GET", "/ai-model/<id:id>", answer=VersionSchema)
def get_version(id: str) -> Version:
    """One version."""
    return services().models.get(user_id(), id)


@bp.operation("PUT", "/ai-model/<id:id>", json=RenameSchema, answer=VersionSchema)
def rename(body: dict[str, str], id: str) -> Version:
    """Change a version's name or description."""
    return services().models.rename(user_id(), id, **body)


@bp.operation("DELETE", "/ai-model/<id:id>", status=204)
def remove_version(id: str) -> None:
    """Remove a version and its binary; of the active one, the parent becomes active."""
    services().models.remove(user_id(), id)


@bp.operation("POST", "/ai-model/<id:id>/activate", json=ActivateSchema, answer=VersionSchema, errors=(409,))
def activate(body: dict[str, str], id: str) -> Version:
    """Make a version the active one, back or forward; with `expectedActiveId` only in the place of that."""
    return services().models.activate(user_id(), id, **body)


def _lineage(track_name: str, model_type: str) -> LineageKey:
    return LineageKey(user_id=user_id(), track_name=track_name, model_type=ModelType(model_type))

"""What requests for models hold and what their answers look like."""

import json
from dataclasses import replace
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validates_schema
from marshmallow.validate import Range

from app.api.fields import (
    CamelSchema,
    Flag,
    Id,
    Ids,
    Level,
    Parameters,
    Real,
    Rows,
    Text,
    TrackName,
    Utc,
)
from app.api.jobs import PageQuery
from app.domain import CompareRequest, IncrementRequest, ModelType, PredictRequest, TrainRequest
from app.experiment import Variant
from models_store.activations import ActivationCause

MAX_PREDICT_ROWS = 10_000
MAX_COMPARED = 10
MOST_HEADS, LONGEST_HEAD = 5_000, 1_000
_METRICS = {"accuracy": 0.42, "mae": 0.31, "mse": 0.18, "rmse": 0.42}


class TrainSchema(CamelSchema):
    makes = TrainRequest
    track_name = TrackName(required=True)
    model_type = fields.Enum(ModelType, by_value=True, required=True)
    session_ids = Ids(required=True)
    model_name = Text(100, "My Bahrain")
    description = Text(2_000, "Dry laps only.", lines=True, shortest=0)
    algorithm = Text(100, "linear")
    hyperparameters = Parameters({"learning_rate": 0.01})


class IncrementSchema(CamelSchema):
    makes = IncrementRequest
    model_id = Id(required=True)
    session_ids = Ids(required=True, data_key="newSessionIds")
    validate_model = Flag()
    training_parameters = Parameters({})


class ValidateSchema(CamelSchema):
    model_id = Id(required=True)
    session_ids = Ids(required=True)


class CompareSchema(CamelSchema):
    makes = CompareRequest
    model_ids = Ids(fewest=2, most=MAX_COMPARED, required=True)
    session_ids = Ids(required=True)
    level = Level()


class RenameSchema(CamelSchema):
    model_name = Text(100, "My Bahrain")
    description = Text(2_000, "Dry laps only.", lines=True, shortest=0)


class ActivateSchema(CamelSchema):
    reason = Text(500, "The newest one brakes too early.", lines=True)
    expected_active_id = Id()


class PredictOptions(Schema):
    """Named in snake_case, as clients always did."""

    include_confidence = Flag()
    confidence_level = Real(
        validate=Range(0, 1, min_inclusive=False, max_inclusive=False), metadata={"example": 0.9}
    )
    include_feature_importance = Flag()


class PredictSchema(CamelSchema):
    model_id = Id()
    track_name = TrackName()
    model_type = fields.Enum(ModelType, by_value=True)
    input_data = Rows(MAX_PREDICT_ROWS, or_one=True, required=True)
    prediction_options = fields.Nested(PredictOptions, load_default=dict)
    client_id = Text(200, "pit-wall-3")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heads: dict[str, PredictRequest] = {}

    def load(self, data: Any, **kwargs: Any) -> Any:
        """Apps ask for row after row with all else alike, so what that loads to is kept."""
        if not isinstance(data, dict) or "inputData" not in data:
            return super().load(data, **kwargs)
        rows = data["inputData"]
        try:
            head = json.dumps({name: value for name, value in data.items() if name != "inputData"})
        except RecursionError:  # nested as deep as the parser goes
            return super().load(data, **kwargs)
        known = self._heads.get(head)
        try:
            checked = known and self.fields["input_data"].deserialize(rows)
        except ValidationError:
            checked = None  # the long way says what is wrong
        if known and checked:
            return replace(known, rows=checked, is_list=isinstance(rows, list))
        request: PredictRequest = super().load(data, **kwargs)
        if len(head) <= LONGEST_HEAD:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            self._heads[head] = replace(request, rows=())
        return request

    @validates_schema
    def _check_model(self, data: dict[str, Any], **_: Any) -> None:
        given = {name for name in ("model_id", "track_name", "model_type") if name in data}
        if given not in ({"model_id"}, {"track_name", "model_type"}):
            raise ValidationError({"modelId": ["Give either modelId, or trackName and modelType."]})

    @post_load(pass_original=True)
    def _made(self, data: dict[str, Any], original: Any = None, **_: Any) -> PredictRequest:
        options, rows = data.pop("prediction_options"), data.pop("input_data")
        return PredictRequest(rows=rows, is_list=isinstance(original["inputData"], list), **data, **options)


class PredictionSchema(CamelSchema):
    model_id = Id(required=True)
    model_version = fields.String(required=True, metadata={"example": "1.0.3"})
    predictions = fields.Raw(required=True, metadata={"example": {"lap_time": 93.87}})
    confidence = fields.Raw(metadata={"example": {"lower": 93.2, "upper": 94.5, "level": 0.9}})
    feature_importance = fields.Raw(metadata={"example": {"speed": 0.4, "throttle": 0.2}})
    experiment_id = Id()
    variant = fields.Enum(Variant, by_value=True)


class VersionSchema(CamelSchema):
    id = Id(required=True)
    user_id = Id(required=True)
    track_name = TrackName(required=True)
    model_name = Text(100, "My Bahrain", required=True)
    model_version = fields.String(required=True, metadata={"example": "1.0.3"})
    model_type = fields.Enum(ModelType, by_value=True, required=True)
    algorithm = fields.String(required=True, metadata={"example": "linear"})
    is_active = fields.Boolean(required=True)
    parent_id = Id(required=True, allow_none=True)
    description = Text(2_000, "Dry laps only.", lines=True, shortest=0, required=True)
    model_metadata = fields.Dict(
        required=True,
        metadata={"example": {"trainingSessionsCount": 4, "lapsLearned": 180, **_METRICS}},
    )
    training_session_ids = Ids(required=True, fewest=0)
    validation_results = fields.Dict(required=True, allow_none=True, metadata={"example": _METRICS})
    feature_importance = fields.Dict(required=True, metadata={"example": {"speed": 0.4}})
    model_size = fields.Integer(required=True, metadata={"example": 48211, "description": "bytes"})
    compressed_size = fields.Integer(required=True, metadata={"example": 15302, "description": "bytes"})
    sha256 = fields.String(required=True, metadata={"example": "9f86d081884c7d65…"})
    training_duration = fields.Float(required=True, metadata={"example": 2.4, "description": "seconds"})
    created_at = Utc(required=True)
    updated_at = Utc(required=True)


class VersionsQuery(PageQuery):
    active_only = Flag(load_default=False)
    model_type = fields.Enum(ModelType, by_value=True)


class HistoryItem(CamelSchema):
    version = fields.String(required=True, attribute="model_version", metadata={"example": "1.0.3"})
    model_id = Id(required=True, attribute="id")
    accuracy = fields.Float(
        required=True, allow_none=True, attribute="model_metadata.accuracy", metadata={"example": 0.42}
    )
    mae = fields.Float(
        required=True, allow_none=True, attribute="model_metadata.mae", metadata={"example": 0.31}
    )
    mse = fields.Float(
        required=True, allow_none=True, attribute="model_metadata.mse", metadata={"example": 0.18}
    )
    rmse = fields.Float(
        required=True, allow_none=True, attribute="model_metadata.rmse", metadata={"example": 0.42}
    )
    sessions = fields.Function(
        lambda version: len(version.training_session_ids),
        required=True,
        metadata={"type": "integer", "example": 4},
    )
    created_at = Utc(required=True)


class HistorySchema(CamelSchema):
    versions = fields.List(fields.Nested(HistoryItem), required=True)


class ActivationSchema(CamelSchema):
    """`by` is `driver` or `platform`; `cause` says what made it so, `reason` why in somebody's words."""

    id = Id(required=True)
    model_id = Id(required=True)
    model_version = fields.String(required=True, metadata={"example": "1.0.2"})
    previous_id = Id(required=True, allow_none=True)
    previous_version = fields.String(required=True, allow_none=True, metadata={"example": "1.0.3"})
    by = fields.String(required=True, metadata={"example": "driver"})
    cause = fields.Enum(ActivationCause, by_value=True, required=True)
    reason = fields.String(
        required=True, allow_none=True, metadata={"example": "The newest one brakes too early."}
    )
    job_id = Id(required=True, allow_none=True)
    created_at = Utc(required=True)


class LineageSettingsSchema(CamelSchema):
    automatic_retraining = Flag(required=True)


class DriftSchema(CamelSchema):
    model_id = Id(required=True)
    detected_at = Utc(required=True)
    session_id = Id(required=True)
    lap = fields.Integer(required=True, metadata={"example": 14})
    began_session_id = Id(required=True)
    began_lap = fields.Integer(required=True, metadata={"example": 8})
    direction = fields.String(required=True, metadata={"example": "slower"})
    size = fields.Float(required=True, metadata={"example": 1.04, "description": "seconds a lap"})
    job_id = Id(required=True, allow_none=True)


class LineageStateSchema(CamelSchema):
    track_name = TrackName(required=True)
    model_type = fields.Enum(ModelType, by_value=True, required=True)
    automatic_retraining = Flag(required=True)
    drift = fields.Nested(DriftSchema, required=True, allow_none=True)
    retrain_after = Utc(required=True, allow_none=True)


class MetricsSchema(CamelSchema):
    model_id = Id(required=True)
    model_version = fields.String(required=True, metadata={"example": "1.0.3"})
    model_type = fields.Enum(ModelType, by_value=True, required=True)
    accuracy = fields.Float(required=True, allow_none=True, metadata={"example": 0.42})
    mae = fields.Float(required=True, allow_none=True, metadata={"example": 0.31})
    mse = fields.Float(required=True, allow_none=True, metadata={"example": 0.18})
    rmse = fields.Float(required=True, allow_none=True, metadata={"example": 0.42})
    laps_learned = fields.Integer(required=True, metadata={"example": 180})
    performance_metrics = fields.Dict(required=True, metadata={"example": {"50": {"mae": 0.31}}})
    validation_results = fields.Dict(required=True, allow_none=True, metadata={"example": _METRICS})
    feature_importance = fields.Dict(required=True, metadata={"example": {"speed": 0.4}})


class AlgorithmsQuery(CamelSchema):
    model_type = fields.Enum(ModelType, by_value=True)


class HyperparameterSchema(CamelSchema):
    kind = fields.String(required=True, metadata={"example": "float"})
    default = fields.Raw(required=True, allow_none=True, metadata={"example": 0.01})
    minimum = fields.Raw(required=True, allow_none=True, metadata={"example": 0.0001})
    maximum = fields.Raw(required=True, allow_none=True, metadata={"example": 1})
    choices = fields.Raw(required=True, allow_none=True, metadata={"example": None})
    description = fields.String(required=True, metadata={"example": "How fast it follows new laps."})


class AlgorithmSchema(CamelSchema):
    name = fields.String(required=True, metadata={"example": "linear"})
    model_type = fields.Enum(ModelType, by_value=True, required=True)
    description = fields.String(required=True, metadata={"example": "A straight line."})
    default = fields.Boolean(required=True, metadata={"description": "taken when none is named"})
    hyperparameters = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(HyperparameterSchema),
        required=True,
        metadata={"example": {"learning_rate": {"kind": "float", "default": 0.01}}},
    )

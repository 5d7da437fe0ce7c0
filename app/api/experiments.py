"""HTTP for live experiments: a challenger answers some predictions, and the laps that follow judge."""

from typing import Any

from marshmallow import fields
from marshmallow.validate import Range

from app.api.blueprint import Blueprint
from app.api.context import services, user_id
from app.api.fields import CamelSchema, Count, Flag, Id, Ids, Level, Real, TrackName, Utc
from app.domain import ModelType
from app.experiment import EndReason, Experiment, ExperimentRequest, ExperimentStatus, Outcome
from app.services.experiments import standing

bp = Blueprint("experiments", __name__, url_prefix="/ai-model", description="Live experiments.")

MAX_DAYS = 90
_SECONDS = {"example": 0.31, "description": "seconds"}


class StartSchema(CamelSchema):
    makes = ExperimentRequest
    challenger_id = Id(required=True)
    share = Real(required=True, validate=Range(0, 1, min_inclusive=False), metadata={"example": 0.2})
    level = Level()
    min_laps = Count(1, 10_000, 30, strict=True)
    max_days = Count(1, MAX_DAYS, 30, strict=True)
    auto_promote = Flag()


class IntervalSchema(CamelSchema):
    lower = fields.Float(required=True, allow_none=True, metadata=_SECONDS)
    upper = fields.Float(required=True, allow_none=True, metadata=_SECONDS)
    level = fields.Float(required=True, metadata={"example": 0.95})


class ResultsSchema(CamelSchema):
    sessions = fields.Integer(required=True, metadata={"example": 4})
    laps = fields.Integer(required=True, metadata={"example": 96})
    laps_left_out = fields.Integer(required=True, metadata={"example": 2})
    incumbent_mae = fields.Float(required=True, allow_none=True, metadata=_SECONDS)
    challenger_mae = fields.Float(required=True, allow_none=True, metadata=_SECONDS)
    mean_difference = fields.Float(required=True, allow_none=True, metadata=_SECONDS)
    interval = fields.Nested(IntervalSchema, required=True, allow_none=True)
    evidence = fields.Float(
        required=True, metadata={"example": 7.5, "description": "against the two being equal"}
    )
    evidence_needed = fields.Float(required=True, metadata={"example": 20.0})


class SessionScoreSchema(CamelSchema):
    session_id = Id(required=True)
    incumbent_id = Id(required=True)
    challenger_id = Id(required=True)
    incumbent_mae = fields.Float(required=True, allow_none=True, metadata=_SECONDS)
    challenger_mae = fields.Float(required=True, allow_none=True, metadata=_SECONDS)
    laps_left_out = fields.Integer(required=True, metadata={"example": 2})
    differences = fields.List(fields.Float(), required=True, metadata={"example": [0.12, -0.03]})
    scored_at = Utc(required=True)


class ExperimentSchema(CamelSchema):
    id = Id(required=True)
    track_name = TrackName(required=True)
    model_type = fields.Enum(ModelType, by_value=True, required=True)
    status = fields.Enum(ExperimentStatus, by_value=True, required=True)
    incumbent_id = Id(required=True)
    challenger_id = Id(required=True)
    incumbent_ids = Ids(required=True)
    challenger_ids = Ids(required=True)
    share = fields.Float(required=True, metadata={"example": 0.2})
    level = fields.Float(required=True, metadata={"example": 0.95})
    min_laps = fields.Integer(required=True, metadata={"example": 30})
    max_days = fields.Integer(required=True, metadata={"example": 30})
    auto_promote = fields.Boolean(required=True)
    started_at = Utc(required=True)
    ends_at = Utc(required=True)
    ended_at = Utc(required=True, allow_none=True)
    reason = fields.Enum(EndReason, by_value=True, required=True, allow_none=True)
    outcome = fields.Enum(Outcome, by_value=True, required=True, allow_none=True)
    promoted_id = Id(required=True, allow_none=True)
    results = fields.Nested(ResultsSchema, required=True)
    scores = fields.List(fields.Nested(SessionScoreSchema), required=True)


@bp.operation(
    "POST", "/<id:id>/experiment", json=StartSchema, answer=ExperimentSchema, status=201, errors=(409,)
)
def start_experiment(request: ExperimentRequest, id: str) -> dict[str, Any]:
    """Have a challenger answer a share of what is asked of the active version; both learn what comes."""
    return _shown(services().experiments.start(user_id(), id, request))


@bp.operation("GET", "/<id:id>/experiment", answer=ExperimentSchema)
def get_experiment(id: str) -> dict[str, Any]:
    """The newest experiment that a version takes or took part in, on either side, and how it stands."""
    return _shown(services().experiments.get(user_id(), id))


@bp.operation("DELETE", "/<id:id>/experiment", answer=ExperimentSchema)
def stop_experiment(id: str) -> dict[str, Any]:
    """End the experiment; the incumbent stays active. One that has ended stays as it ended."""
    return _shown(services().experiments.stop(user_id(), id))


@bp.operation("POST", "/<id:id>/experiment/promote", answer=ExperimentSchema, errors=(409,))
def promote_challenger(id: str) -> dict[str, Any]:
    """Make the challenger active and end the experiment at one moment; a repeat changes nothing."""
    return _shown(services().experiments.promote(user_id(), id))


def _shown(experiment: Experiment) -> dict[str, Any]:
    now = standing(experiment)
    sides = {"incumbent_id": experiment.incumbent_id, "challenger_id": experiment.challenger_id}
    found = now.evidence
    results = vars(now) | {
        "mean_difference": found.mean if found else None,
        "interval": found,
        "evidence": found.against_equality if found else 1.0,
        "evidence_needed": 1 / (1 - experiment.level),
    }
    return vars(experiment) | sides | {"results": results}

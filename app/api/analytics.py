"""HTTP for usage: what a driver has done with the platform, day by day."""

from datetime import date, timedelta
from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from app.api.blueprint import Blueprint
from app.api.context import services, user_id
from app.api.fields import CamelSchema, Day, TrackName
from app.domain import ModelType, utc_now
from app.services.analytics import Report

bp = Blueprint("analytics", __name__, url_prefix="/analytics", description="Usage of the platform.")

MOST_DAYS = 366
DAY, USUAL = timedelta(days=1), timedelta(days=30)
FIRST_DAY = date(2000, 1, 1)
_SECONDS = {"example": 0.0021, "description": "seconds"}


class UsageQuery(CamelSchema):
    """From one day to another, both in it; the last 30 days where nothing else is asked."""

    first = Day(data_key="from")
    last = Day(data_key="to")

    @validates_schema
    def _check_order(self, data: dict[str, date], **_: Any) -> None:
        first, last = _between(data)
        if min(data.values(), default=FIRST_DAY) < FIRST_DAY:
            raise ValidationError({"from": [f"Must not be before {FIRST_DAY}."]})
        if first > last:
            raise ValidationError({"from": ["Must not be after `to`, which is today when it is not given."]})
        if (last - first).days >= MOST_DAYS:
            raise ValidationError({"from": [f"Must be at most {MOST_DAYS} days, both counted, before `to`."]})

    @post_load
    def _completed(self, data: dict[str, date], **_: Any) -> dict[str, date]:
        first, last = _between(data)
        return {"first": first, "last": last}


class LatencySchema(CamelSchema):
    mean = fields.Float(required=True, metadata=_SECONDS)
    p50 = fields.Float(required=True, metadata=_SECONDS)
    p95 = fields.Float(required=True, metadata=_SECONDS)


class PredictionsSchema(CamelSchema):
    requests = fields.Integer(required=True, metadata={"example": 120})
    rows = fields.Integer(required=True, metadata={"example": 3400})
    latency = fields.Nested(LatencySchema, required=True)


class ImprovementSchema(CamelSchema):
    track_name = TrackName(required=True)
    model_type = fields.Enum(ModelType, by_value=True, required=True)
    first_version = fields.String(required=True, metadata={"example": "1.0.3"})
    last_version = fields.String(required=True, metadata={"example": "1.0.7"})
    first_mae = fields.Float(required=True, metadata={"example": 0.41, "description": "seconds"})
    last_mae = fields.Float(required=True, metadata={"example": 0.31, "description": "seconds"})
    improvement = fields.Float(required=True, metadata={"example": 0.1, "description": "seconds"})


class TotalsSchema(CamelSchema):
    models_created = fields.Integer(required=True, metadata={"example": 1})
    models_updated = fields.Integer(required=True, metadata={"example": 4})
    predictions = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(PredictionsSchema),
        required=True,
        metadata={"example": {"lap_time_prediction": {"requests": 120, "rows": 3400}}},
    )
    improvements = fields.List(fields.Nested(ImprovementSchema), required=True)


class DaySchema(TotalsSchema):
    date = Day(required=True)


class UsageSchema(CamelSchema):
    first = Day(required=True, data_key="from")
    last = Day(required=True, data_key="to")
    days = fields.List(fields.Nested(DaySchema), required=True)
    totals = fields.Nested(TotalsSchema, required=True)


@bp.operation("GET", "/usage", query=UsageQuery, answer=UsageSchema)
def get_usage(query: dict[str, date]) -> Report:
    """Versions made, predictions with their latency, and improvement, by day and in all."""
    return services().analytics.report(user_id(), **query)


def _between(data: dict[str, date]) -> tuple[date, date]:
    last = data.get("last", utc_now().date())
    usual = max(last, FIRST_DAY + USUAL - DAY) - USUAL + DAY
    return data.get("first", min(usual, last)), last

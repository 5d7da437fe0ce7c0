"""HTTP for analyses of laps."""

from typing import Any

from marshmallow import fields

from app.api.blueprint import Blueprint
from app.api.context import services, user_id
from app.api.fields import CamelSchema, Count, Id
from app.services.analyses import LapAnalysis, ReferenceQuery
from learning.corners import Kind

bp = Blueprint("analyses", __name__, url_prefix="/racing-session", description="Laps explained.")

HIGHEST_LAP = 1_000_000


class AnalysisQuery(CamelSchema):
    reference_session_id = Id()
    reference_lap = Count(0, HIGHEST_LAP, 5)


class FindingSchema(CamelSchema):
    kind = fields.String(
        required=True,
        metadata={
            "example": "braking_point",
            "description": ", ".join(Kind),
        },
    )
    loss = fields.Float(required=True, metadata={"example": 0.21, "description": "s; negative is time won"})
    difference = fields.Float(
        required=True,
        allow_none=True,
        metadata={"example": -12.4, "description": "to the reference; of a point, negative is earlier"},
    )
    unit = fields.String(required=True, allow_none=True, metadata={"example": "m"})
    corner = fields.Integer(required=True, allow_none=True, metadata={"example": 4})


class PartSchema(CamelSchema):
    number = fields.Integer(required=True, metadata={"example": 7})
    start = fields.Float(required=True, allow_none=True, metadata={"example": 0.3})
    end = fields.Float(required=True, allow_none=True, metadata={"example": 0.35})
    time = fields.Float(required=True, metadata={"example": 4.61})
    reference_time = fields.Float(required=True, metadata={"example": 4.37})
    loss = fields.Float(required=True, metadata={"example": 0.24})
    explained_by = fields.String(required=True, allow_none=True, metadata={"example": "braking_point"})
    findings = fields.List(fields.Nested(FindingSchema), required=True)


class ReferenceSchema(CamelSchema):
    session_id = Id(required=True)
    session_name = fields.String(required=True, metadata={"example": "Friday morning"})
    lap = fields.Integer(required=True, metadata={"example": 5})
    lap_time = fields.Float(required=True, metadata={"example": 93.412})


class AnalysisSchema(CamelSchema):
    session_id = Id(required=True)
    lap = fields.Integer(required=True, metadata={"example": 7})
    lap_time = fields.Float(required=True, metadata={"example": 94.021})
    reference = fields.Nested(ReferenceSchema, required=True)
    gap = fields.Float(required=True, metadata={"example": 0.609})
    length = fields.Float(required=True, allow_none=True, metadata={"example": 5412.0, "description": "m"})
    resolution = fields.Float(
        required=True, allow_none=True, metadata={"example": 8.6, "description": "m between two frames"}
    )
    sectors = fields.List(fields.Nested(PartSchema), required=True)
    mini_sectors = fields.List(fields.Nested(PartSchema), required=True)
    untold = fields.List(
        fields.String(), required=True, metadata={"example": ["braking points: a lap has no brake channel"]}
    )


@bp.operation(
    "GET", "/<id:id>/laps/<int:lap>/analysis", query=AnalysisQuery, answer=AnalysisSchema, errors=(422,)
)
def get_analysis(query: dict[str, Any], id: str, lap: int) -> dict[str, Any]:
    """Where a lap won or lost time against another (by default the best with that car), and why."""
    reference = ReferenceQuery(session_id=query.get("reference_session_id"), lap=query.get("reference_lap"))
    return _answer(services().analyses.explain(user_id(), id, lap, reference))


def _answer(analysis: LapAnalysis) -> dict[str, Any]:
    found, reference = analysis.explanation, analysis.reference_session
    return {
        "session_id": analysis.session.id,
        "lap": analysis.lap,
        "lap_time": found.lap_time,
        "reference": {
            "session_id": reference.id,
            "session_name": reference.session_name,
            "lap": analysis.reference_lap,
            "lap_time": found.reference_time,
        },
        **{
            name: getattr(found, name)
            for name in ("gap", "length", "resolution", "sectors", "mini_sectors", "untold")
        },
    }

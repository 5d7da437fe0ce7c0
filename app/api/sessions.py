"""HTTP for racing sessions: upload whole or in chunks, look at laps, remove."""

from pathlib import Path
from typing import Any

from flask import Response, jsonify, url_for
from flask_smorest.fields import Upload
from marshmallow import ValidationError, fields
from werkzeug.datastructures import FileStorage

from app.api.blueprint import Blueprint
from app.api.context import services, user_id
from app.api.fields import CamelSchema, Count, Flag, Id, Rows, Setup, Text, TrackName, Utc, page_of
from app.api.jobs import JobSchema, PageQuery
from app.domain import Job, LapSummary, ModelType, NewSession, Page, Session, UploadStart
from app.errors import Invalid
from app.services.accounts import EMAIL_LENGTH, normalised
from app.services.uploads import MAX_CHUNKS

bp = Blueprint("sessions", __name__, url_prefix="/racing-session", description="Telemetry and its laps.")

CHUNK_ROWS = 200_000
TRACE_POINTS = 2_000


def check_file(value: Any) -> None:
    if not isinstance(value, FileStorage):
        raise ValidationError("Not a file.")


class SetAsideSchema(CamelSchema):
    """That a lineage does without the session, for it could not be learned; retry the job to try again."""

    model_type = fields.Enum(ModelType, by_value=True, required=True)
    job_id = Id(required=True)
    code = fields.String(required=True, metadata={"example": "job_given_up"})
    message = fields.String(required=True, metadata={"example": "…"})
    attempts = fields.Integer(required=True, metadata={"example": 5})
    at = Utc(required=True)


class SessionSchema(CamelSchema):
    id = Id(required=True)
    user_id = Id(required=True)
    track_name = TrackName(required=True)
    session_name = Text(200, "Friday morning", required=True)
    car_model = Text(100, "ferrari_296_gt3", required=True, allow_none=True)
    driver = fields.String(
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "whose laps they are, where the file tells drivers apart"},
    )
    setup = Setup(required=True)
    format = fields.String(required=True, metadata={"example": "csv"})
    size = fields.Integer(required=True, metadata={"example": 4718592, "description": "bytes"})
    sha256 = fields.String(required=True, metadata={"example": "9f86d081884c7d65…"})
    laps_count = fields.Integer(required=True, metadata={"example": 60})
    valid_laps_count = fields.Integer(required=True, metadata={"example": 48})
    best_lap_time = fields.Float(required=True, allow_none=True, metadata={"example": 93.412})
    created_at = Utc(required=True)
    set_aside = fields.List(fields.Nested(SetAsideSchema), required=True)


class Driver(Text):
    """Whose laps to take from a file that tells drivers apart: by name, short name, player id or car."""

    def __init__(self) -> None:
        super().__init__(200, "S76561198000000000")


class UploadedSchema(CamelSchema):
    session = fields.Nested(SessionSchema, required=True)
    jobs = fields.List(fields.Nested(JobSchema), required=True)


class SimulatedSchema(CamelSchema):
    sessions = fields.List(fields.Nested(SessionSchema), required=True)
    jobs = fields.List(fields.Nested(JobSchema), required=True)


class UploadForm(CamelSchema):
    file = Upload(required=True, validate=check_file)
    track_name = TrackName()
    session_name = Text(200, "Friday morning")
    car_model = Text(100, "ferrari_296_gt3")
    driver = Driver()
    setup = Setup()
    auto_train = Flag(load_default=True)


class UploadStartSchema(CamelSchema):
    session_name = Text(200, "Friday morning", required=True)
    map_name = TrackName(required=True)
    user_email = Text(EMAIL_LENGTH, "max@example.org")
    car_model = Text(100, "ferrari_296_gt3")
    driver = Driver()
    setup = Setup()


class UploadIdSchema(CamelSchema):
    upload_id = Id(required=True)


class ChunkSchema(CamelSchema):
    chunk = Rows(CHUNK_ROWS, required=True)
    chunk_index = Count(0, MAX_CHUNKS - 1, 0, strict=True, required=True)


class ReceivedSchema(CamelSchema):
    received_chunks = fields.Integer(required=True, metadata={"example": 3})


class CompleteSchema(CamelSchema):
    auto_train = Flag(load_default=True)
    total_chunks = Count(1, MAX_CHUNKS, 3, strict=True, load_default=None)


class SessionsQuery(PageQuery):
    track_name = TrackName()


class LapSchema(CamelSchema):
    lap = fields.Integer(required=True, metadata={"example": 7})
    lap_time = fields.Float(required=True, allow_none=True, metadata={"example": 94.021})
    sector_times = fields.List(fields.Float(), required=True, metadata={"example": [29.8, 41.2, 23.0]})
    valid = fields.Boolean(required=True)
    reason = fields.String(required=True, allow_none=True, metadata={"example": "incomplete"})
    outing = fields.Integer(required=True, metadata={"example": 1})
    compound = fields.String(required=True, allow_none=True, metadata={"example": "C3"})
    tyre_life = fields.Float(required=True, allow_none=True, metadata={"example": 5.0})


class TraceQuery(CamelSchema):
    points = Count(2, TRACE_POINTS, 200, load_default=500)


class TraceSchema(CamelSchema):
    lap = fields.Integer(required=True, metadata={"example": 7})
    lap_time = fields.Float(required=True, allow_none=True, metadata={"example": 94.021})
    position = fields.List(fields.Float(), required=True, metadata={"example": [0.0, 0.5, 1.0]})
    channels = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.Float(allow_none=True)),
        required=True,
        metadata={"example": {"speed": [287.1, 212.4, 290.0]}},
    )


@bp.operation("POST", "/upload", multipart=UploadForm, answer=UploadedSchema, status=201)
def upload(form: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Upload a session as one file, in any known format; the same file again answers the same session.

    Track and car may be left out where the file names them. Of a file with the laps of several drivers,
    `driver` says whose to take; without it a 422 lists them.
    """
    path, auto_train = Path(form.pop("file").stream.name), form.pop("auto_train")
    session, jobs = services().sessions.add(user_id(), NewSession(path=path, **form), auto_train)
    return _uploaded(session, jobs), {"Location": url_for("sessions.get_session", id=session.id)}


@bp.operation(
    "POST",
    "/upload/init",
    json=UploadStartSchema,
    answer=UploadIdSchema,
)
def start_upload(body: dict[str, Any]) -> dict[str, str]:
    """Start an upload in chunks; `mapName` is the track."""
    _check_own(body.pop("user_email", None))
    start = UploadStart(track_name=body.pop("map_name"), **body)
    return {"upload_id": services().uploads.start(user_id(), start)}


@bp.operation(
    "POST",
    "/upload/chunk",
    query=UploadIdSchema,
    json=ChunkSchema,
    answer=ReceivedSchema,
    errors=(404, 409),
)
def add_chunk(query: dict[str, str], body: dict[str, Any]) -> dict[str, int]:
    """Send rows, in any order of chunks; an index sent again replaces its chunk."""
    received = services().uploads.add_chunk(user_id(), query["upload_id"], body["chunk_index"], body["chunk"])
    return {"received_chunks": received}


@bp.operation(
    "POST",
    "/upload/complete",
    query=UploadIdSchema,
    json=CompleteSchema,
    answer=UploadedSchema,
    status=202,
    errors=(404, 409),
)
def complete_upload(query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """Make a session of the chunks; a repeat answers the same."""
    session, jobs = services().uploads.complete(user_id(), query["upload_id"], **body)
    return _uploaded(session, jobs)


@bp.operation("POST", "/simulated", answer=SimulatedSchema, status=201)
def simulate() -> dict[str, Any]:
    """Have simulated sessions, to see everything work without telemetry; they are learned as uploads are.

    All model types are trained on them. Repeated, it answers the same sessions.
    """
    sessions, jobs = services().simulated.add(user_id())
    return {"sessions": sessions, "jobs": jobs}


@bp.operation("POST", "/<id:id>/learn", answer=UploadedSchema, status=202)
def learn_session(id: str) -> dict[str, Any]:
    """Have a session learned that was uploaded without `autoTrain`; a repeat answers the same jobs."""
    return _uploaded(*services().sessions.learn(user_id(), id))


@bp.operation("GET", "", query=SessionsQuery, answer=page_of(SessionSchema, "SessionPage"))
def list_sessions(query: dict[str, Any]) -> Page[Session]:
    """The driver's sessions, newest first."""
    return services().sessions.page(user_id(), **query)


@bp.operation("GET", "/<id:id>", answer=SessionSchema)
def get_session(id: str) -> Session:
    """One session."""
    return services().sessions.get(user_id(), id)


@bp.operation("DELETE", "/<id:id>", status=204)
def remove_session(id: str) -> None:
    """Remove a session and its telemetry; versions that learned it stay."""
    services().sessions.remove(user_id(), id)


@bp.operation("GET", "/<id:id>/laps", answer=LapSchema(many=True))
def list_laps(id: str) -> list[LapSummary]:
    """The session's laps in the order driven, each invalid one with the reason."""
    return list(services().sessions.laps(user_id(), id))


@bp.operation("GET", "/<id:id>/laps/<int:lap>/trace", query=TraceQuery, answer=TraceSchema)
def get_trace(query: dict[str, int], id: str, lap: int) -> Response:
    """A lap's channels resampled by track position, for charts."""
    return jsonify(services().sessions.trace(user_id(), id, lap, query["points"]))


def _uploaded(session: Session, jobs: tuple[Job, ...]) -> dict[str, Any]:
    return {"session": session, "jobs": jobs}


def _check_own(email: str | None) -> None:
    if email is not None and normalised(email) != services().accounts.get(user_id()).email:
        raise Invalid(userEmail=["Not the signed-in driver's address."])

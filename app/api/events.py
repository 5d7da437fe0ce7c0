"""HTTP for game backends: they sign what they send, and tell of a session that a driver has driven."""

import time
from typing import Any, cast

from flask import current_app, request
from marshmallow import ValidationError, fields, validates_schema

from app.api.blueprint import Blueprint
from app.api.context import services
from app.api.fields import CamelSchema, Id, Rows, Setup, Several, Text, TrackName
from app.api.requests import Request
from app.api.sessions import CHUNK_ROWS, UploadedSchema
from app.domain import ModelType
from app.errors import Overloaded
from app.services.accounts import EMAIL_LENGTH
from app.services.events import SessionEvent
from app.signatures import HEADER, check
from app.stores.events import TakenEvent

bp = Blueprint("events", __name__, url_prefix="/webhooks", description="What game backends tell of.")


class SignatureSchema(CamelSchema):
    """The header that proves who sent the body, and when; checked before anything of the body is read."""

    signature = fields.String(
        data_key=HEADER,
        required=True,
        metadata={"example": f"t=1770802200,v1={'0f' * 32}", "description": "See docs/api.md, Webhooks."},
    )


class ModelTypes(Several):
    """One or more model types."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Enum(ModelType, by_value=True), most=len(ModelType), **kwargs)

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        return tuple(sorted(set(super()._deserialize(*args, **kwargs))))


class SessionEventSchema(CamelSchema):
    makes = SessionEvent

    event_id = Text(200, "race-4711-finished", required=True)
    user_id = Id()
    user_email = Text(EMAIL_LENGTH, "max@example.org")
    track_name = TrackName(required=True)
    session_id = Id()
    telemetry = Rows(CHUNK_ROWS)
    model_types = ModelTypes()
    car_model = Text(100, "ferrari_296_gt3")
    setup = Setup()

    @validates_schema
    def _check_alternatives(self, data: dict[str, Any], **_: Any) -> None:
        for one, other in (("userId", "userEmail"), ("sessionId", "telemetry")):
            given = [name for name in (one, other) if self._given(data, name)]
            if len(given) != 1:
                raise ValidationError(
                    {name: [f"Give either {one} or {other}."] for name in given or (one, other)}
                )
        if "session_id" in data and data.keys() & {"car_model", "setup"}:
            names = [name for name in ("carModel", "setup") if self._given(data, name)]
            raise ValidationError(
                {name: ["Only with telemetry: a session here has its own."] for name in names}
            )

    def _given(self, data: dict[str, Any], key: str) -> bool:
        return any(field.data_key == key and name in data for name, field in self.fields.items())


class TakenSchema(UploadedSchema):
    event_id = Text(200, "race-4711-finished", required=True, attribute="id")


BACKLOG = "lapwise-backlog"  # how many requests wait for a thread of this process; the server puts it there
BACKLOG_AT_MOST = 200  # about a second's work


@bp.before_request  # type: ignore[untyped-decorator]  # flask_smorest has no types
def check_backlog() -> None:
    """Refuses at once what would have to wait for long, and so keeps the wait of the others short."""
    waiting = current_app.extensions.get(BACKLOG)
    if waiting is not None and waiting() > BACKLOG_AT_MOST:
        raise Overloaded


@bp.before_request  # type: ignore[untyped-decorator]  # flask_smorest has no types
def check_signature() -> None:
    """The sender knows the secret and has just sent this very body."""
    header = request.headers.get(HEADER)
    secret, *former = services().settings.webhook_secrets
    check(header, secret, cast(Request, request).raw, time.time(), former=former)


@bp.operation(
    "POST",
    "/session-uploaded",
    headers=SignatureSchema,
    json=SessionEventSchema,
    answer=TakenSchema,
    status=202,
    errors=(401, 404, 409),
    shows="nothing",
)
def session_uploaded(event: SessionEvent, _signature: dict[str, str]) -> TakenEvent:
    """Have a session learned that is here already or comes along; a repeated `eventId` queues nothing."""
    return services().events.take(event)

"""HTTP for jobs: look, list, cancel, and follow one as it happens."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import Any, cast

from flask import Response, current_app
from marshmallow import fields

from app.api.blueprint import Blueprint, IdempotencySchema
from app.api.context import services, user_id
from app.api.fields import CamelSchema, Count, Id, Ids, Text, TrackName, Utc, page_of
from app.domain import Job, JobKind, JobStatus, ModelType, Page
from app.errors import TooManyStreams

bp = Blueprint("jobs", __name__, url_prefix="/jobs", description="Asynchronous work and how far it is.")


STREAMS = "lapwise-streams"
STREAMS_AT_ONCE = 8  # each holds a thread of its process; the others must stay free for requests
STREAMS_OF_ONE_DRIVER = 4


class Streams:
    """Counts a process's open streams, so that watchers cannot take all its threads.

    Parameters
    ----------
    at_once, of_one_driver
        How many there may be.
    refusal
        What one too many is refused with.
    """

    def __init__(
        self,
        at_once: int = STREAMS_AT_ONCE,
        of_one_driver: int = STREAMS_OF_ONE_DRIVER,
        refusal: type[TooManyStreams] = TooManyStreams,
    ) -> None:
        self._at_once, self._of_one_driver, self._refusal = at_once, of_one_driver, refusal
        self._lock = Lock()
        self._by_driver: Counter[str] = Counter()

    def open(self, driver: str) -> None:
        """Counts one more.

        Raises
        ------
        TooManyStreams
        """
        with self._lock:
            mine, all_of_them = self._by_driver[driver], self._by_driver.total()
            if mine >= self._of_one_driver or all_of_them >= self._at_once:
                raise self._refusal
            self._by_driver[driver] += 1

    def close(self, driver: str) -> None:
        with self._lock:
            self._by_driver[driver] -= 1
            self._by_driver += Counter()  # drops who has none left


class PageQuery(CamelSchema):
    limit = Count(1, 200, 50)
    cursor = Text(500, "WyIyMDI2LTAyLTExIl0=")


class JobsQuery(PageQuery):
    status = fields.Enum(JobStatus, by_value=True)
    kind = fields.Enum(JobKind, by_value=True)


class ProgressSchema(CamelSchema):
    done = fields.Integer(required=True, metadata={"example": 24})
    total = fields.Integer(required=True, metadata={"example": 60})
    unit = fields.String(required=True, metadata={"example": "laps"})


class JobSchema(CamelSchema):
    id = Id(required=True)
    kind = fields.Enum(JobKind, by_value=True, required=True)
    status = fields.Enum(JobStatus, by_value=True, required=True)
    progress = fields.Nested(ProgressSchema, required=True, allow_none=True)
    model_type = fields.Enum(ModelType, by_value=True, required=True)
    track_name = TrackName(required=True)
    session_ids = Ids(required=True)
    model_id = Id(required=True, allow_none=True)
    model_version = fields.String(required=True, allow_none=True, metadata={"example": "1.0.3"})
    result = fields.Dict(required=True, allow_none=True, metadata={"example": {"skippedSessionIds": []}})
    error = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"example": {"code": "nothing_to_learn", "message": "…", "details": {}}},
    )
    attempts = fields.Integer(required=True, metadata={"example": 1})
    queued_at = Utc(required=True)
    started_at = Utc(required=True, allow_none=True)
    finished_at = Utc(required=True, allow_none=True)


@bp.operation("GET", "/<id:id>", answer=JobSchema)
def get_job(id: str) -> Job:
    """One job."""
    return services().jobs.get(user_id(), id)


@bp.operation("GET", "", query=JobsQuery, answer=page_of(JobSchema, "JobPage"))
def list_jobs(query: dict[str, Any]) -> Page[Job]:
    """The driver's jobs, newest first."""
    return services().jobs.page(user_id(), **query)


@bp.operation("DELETE", "/<id:id>", answer=JobSchema, errors=(409,))
def cancel_job(id: str) -> Job:
    """Cancel: a running job stops at its next step and leaves no version."""
    return services().jobs.cancel(user_id(), id)


@bp.operation(
    "POST", "/<id:id>/retry", headers=IdempotencySchema, answer=JobSchema, status=202, errors=(409,)
)
def retry_job(once: dict[str, str], id: str) -> tuple[Job, dict[str, str]]:
    """Try a job again that failed or was cancelled, also one that learns a session that was set aside."""
    return accepted(services().training.retry(user_id(), id, **once))


@bp.operation("GET", "/<id:id>/events", content_type="text/event-stream")
def follow_job(id: str) -> Response:
    """The job at each change until it ends, as Server-Sent Events named `job`."""
    changes = services().jobs.watch(user_id(), id)
    first = next(changes)  # an unknown job is a 404 before anything is sent
    driver, streams = user_id(), cast(Streams, current_app.extensions[STREAMS])
    streams.open(driver)
    response = Response(
        _events(itertools.chain([first], changes)),
        mimetype="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # nginx would keep the events back
    )
    response.call_on_close(lambda: streams.close(driver))
    return response


def accepted(job: Job) -> tuple[Job, dict[str, str]]:
    """The answer to a request for work: the job, and where to ask for it."""
    return job, {"Location": f"/jobs/{job.id}"}


def _events(changes: Iterator[Job | None]) -> Iterator[str]:
    schema = JobSchema()
    for job in changes:
        if job is None:
            yield ": nothing new\n\n"
        else:
            yield f"event: job\ndata: {json.dumps(schema.dump(job))}\n\n"

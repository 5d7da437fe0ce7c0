"""Home: a driver's tracks, what runs now, and what to do next; and the way in, by upload."""

from datetime import timedelta

from flask import g, render_template, request

from app.api.context import services
from app.domain import Job, JobStatus, utc_now
from app.web.blueprint import page

LATEST_SESSIONS = 8
RUNNING_JOBS = 20
FAILURES_SHOWN, FAILURES_SHOWN_FOR = 3, timedelta(days=1)


@page("/")
def home() -> str:
    tracks = services().sessions.tracks(g.user.id)
    active: dict[str, dict[str, object]] = {}
    for version in services().models.all_active(g.user.id):
        active.setdefault(version.track_name, {})[version.model_type] = version
    return render_template(
        "pages/home.html",
        tracks=tracks,
        active=active,
        sessions=services().sessions.page(g.user.id, limit=LATEST_SESSIONS).items if tracks else (),
        jobs=_running(g.user.id),
        failed=_failed_lately(g.user.id),
        shared=services().sharing.received(g.user.id).items,
        most_bytes=services().settings.max_upload_bytes,
    )


@page("/upload")
def upload() -> str:
    tracks = services().sessions.tracks(g.user.id)
    most_bytes = services().settings.max_upload_bytes
    track = request.args.get("track", "")
    return render_template("pages/upload.html", tracks=tracks, track=track, most_bytes=most_bytes)


def _failed_lately(user_id: str) -> list[Job]:
    """The newest jobs that failed since yesterday."""
    since = utc_now() - FAILURES_SHOWN_FOR
    newest = services().jobs.page(user_id, JobStatus.FAILED, limit=FAILURES_SHOWN).items
    return [job for job in newest if job.finished_at and job.finished_at > since]


def _running(user_id: str) -> list[Job]:
    """What has not ended, the oldest first, for that one is done first."""
    going = [
        job
        for status in (JobStatus.RUNNING, JobStatus.QUEUED)
        for job in services().jobs.page(user_id, status, limit=RUNNING_JOBS).items
    ]
    return sorted(going, key=lambda job: (job.queued_at, job.id))

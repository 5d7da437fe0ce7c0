"""Jobs as their drivers see them: look, list, watch, cancel; and telling the workers of new ones."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import structlog

from app.domain import Job, JobKind, JobStatus, LineageKey, ModelType, Page, new_id, utc_now
from app.logs import request_ids
from app.stores.job_status import JobStatusStore
from app.stores.jobs import DISPATCH_AFTER, JobStore
from app.stores.queue import JobQueue

log = structlog.get_logger()
WATCH_INTERVAL = 0.25  # seconds between two looks at a watched job
WATCH_QUIET = 10.0  # seconds without news after which a watcher is told so
WATCH_AT_MOST = 900.0  # seconds; a client that still cares connects again


class Jobs:
    """Use cases of jobs."""

    def __init__(self, jobs: JobStore, status: JobStatusStore, queue: JobQueue) -> None:
        self._jobs = jobs
        self._status = status
        self._queue = queue

    def announce(self, *jobs: Job) -> None:
        """Tells the workers of recorded jobs; a message that gets lost is sent again by the sweep.

        A new job need not be shown: whoever asks for it first reads it from MongoDB.
        """
        for job in jobs:
            about = {"user_id": job.user_id, "for_requests": job.request_ids}
            if job.request_ids:  # another request may be doing this for several
                about["request_id"] = job.request_ids[0]
            log.info("job_recorded", job_id=job.id, kind=job.kind.value, **about)
        if jobs:
            self._queue.send_all({job.id: job.request_ids for job in jobs})

    def show(self, *jobs: Job) -> None:
        """Shows jobs that the workers have been told of and that have changed."""
        self._status.save_all(jobs)

    def get(self, user_id: str, job_id: str) -> Job:
        job = self._status.get(job_id, lambda: self._jobs.get(user_id, job_id))
        return job if job.user_id == user_id else self._jobs.get(user_id, job_id)

    def page(
        self,
        user_id: str,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        return self._jobs.page(user_id, status, kind, limit, cursor)

    def cancel(self, user_id: str, job_id: str) -> Job:
        """The job: cancelled if it was waiting; one that runs stops at its next step, leaving no version."""
        job = self._jobs.cancel(user_id, job_id)
        self._status.save(job)
        return job

    def watch(self, user_id: str, job_id: str) -> Iterator[Job | None]:
        """The job now and at each change until it ends; None now and then when nothing changes."""
        return self._changes(self.get(user_id, job_id))

    def _changes(self, shown: Job) -> Iterator[Job | None]:
        yield shown
        started = told = time.monotonic()
        while not shown.status.is_final and time.monotonic() - started < WATCH_AT_MOST:
            time.sleep(WATCH_INTERVAL)
            job = self.get(shown.user_id, shown.id)
            if visible(job) != visible(shown):
                shown, told = job, time.monotonic()
                yield job
            elif time.monotonic() - told > WATCH_QUIET:
                told = time.monotonic()
                yield None


def new_job(kind: JobKind, key: LineageKey, session_ids: tuple[str, ...], **fields: Any) -> Job:
    """A job that waits, due to be sent again if the first message gets lost."""
    now = utc_now()
    return Job(
        id=new_id(),
        user_id=key.user_id,
        kind=kind,
        status=JobStatus.QUEUED,
        track_name=key.track_name,
        model_type=ModelType(key.model_type),
        session_ids=session_ids,
        queued_at=now,
        dispatch_at=now + DISPATCH_AFTER,
        **{"request_ids": request_ids()} | fields,
    )


def visible(job: Job) -> tuple[object, ...]:
    """What a change in makes worth telling a watcher; renewals of the lease are not."""
    return (job.status, job.progress, job.attempts, job.cancel_requested, job.session_ids)


def backoff(attempt: int) -> timedelta:
    """How long to wait after a failed attempt: 2, 4, 8 … at most 60 seconds.

    >>> backoff(1).seconds, backoff(3).seconds, backoff(9).seconds
    (2, 8, 60)
    """
    return timedelta(seconds=min(2**attempt, 60))

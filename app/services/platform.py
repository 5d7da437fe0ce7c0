"""Keeps the platform whole: nothing recorded stays undone, whatever was killed or emptied."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog

from app.domain import Job, utc_now
from app.services.jobs import backoff
from app.services.setbacks import Setbacks
from app.stores.job_status import JobStatusStore
from app.stores.jobs import JobStore
from app.stores.queue import JobQueue
from app.stores.sessions import SessionStore
from app.stores.uploads import UploadStore
from models_store.store import ModelStore

UPLOAD_AGE = timedelta(days=7)  # a client that sends a session in chunks comes back before
ORPHAN_AGE = timedelta(days=1)  # longer than any job takes from its binary to its commit
DISPATCH_AT_ONCE = 1_000  # messages one sweep sends at most
WORKER_LOST = {
    "code": "worker_lost",
    "message": "the job's worker fell silent; another one takes the job over",
    "details": {},
}
GIVEN_UP = {
    "code": "job_given_up",
    "message": "the job's worker died each time it was tried; ask for it again or remove the session",
    "details": {},
}
log = structlog.get_logger()


class Platform:
    """Use cases of the platform as a whole: the sweep, and whether all is well.

    Parameters
    ----------
    is_migrated
        Whether the database has had every migration.
    restore
        Called when Redis has lost its memory: puts back what else MongoDB knows better.
    each_sweep
        Called at every sweep, in this order: what else was cut off, or is due.
    each_tidy
        What is tidied away beside files and uploads, by name; each says how many it removed.
    attempts
        Starts of one job before it is given up.
    """

    def __init__(
        self,
        *,
        jobs: JobStore,
        sessions: SessionStore,
        uploads: UploadStore,
        models: ModelStore,
        status: JobStatusStore,
        queue: JobQueue,
        setbacks: Setbacks,
        is_migrated: Callable[[], bool],
        restore: Callable[[], Any],
        each_sweep: Sequence[Callable[[], Any]],
        each_tidy: Mapping[str, Callable[[], int]],
        attempts: int,
    ) -> None:
        self._jobs = jobs
        self._sessions = sessions
        self._uploads = uploads
        self._models = models
        self._status = status
        self._queue = queue
        self._setbacks = setbacks
        self._is_migrated = is_migrated
        self._restore = restore
        self._each_sweep = each_sweep
        self._each_tidy = each_tidy
        self._attempts = attempts

    def sweep(self) -> None:
        """Takes over the jobs of dead workers, sends again messages that may be lost, does the chores."""
        for job in self._jobs.expired(utc_now()):
            self._take_over(job)
        if self._status.has_forgotten():
            log.warning("redis_forgot", action="everything queued is sent again")
            self._restore()
            self._jobs.make_all_due(utc_now())
            self._status.mark()
        if self._queue.depth() < DISPATCH_AT_ONCE:  # else the workers have been told more than enough
            for job_id in self._jobs.take_to_dispatch(utc_now(), DISPATCH_AT_ONCE):
                self._queue.send(job_id)
        for chore in self._each_sweep:
            chore()

    def tidy(self) -> None:
        """Removes files without a document, old uploads in chunks, and whatever else the chores know."""
        older_than = utc_now() - ORPHAN_AGE
        removed = self._models.sweep(older_than) + self._sessions.sweep(older_than)
        stale = self._uploads.remove_older(utc_now() - UPLOAD_AGE)
        done = {name: chore() for name, chore in self._each_tidy.items()}
        log.info("tidied", files=removed, uploads=stale, **done)

    def readiness(self) -> dict[str, bool]:
        """Whether MongoDB, Redis and a worker answer, and `lapwise migrate` has been run."""
        mongo, redis = self._jobs.answers(), self._status.answers()
        return {
            "mongo": mongo,
            "migrations": mongo and self._is_migrated(),
            "redis": redis,
            "worker": redis and self._status.worker_answered_lately(),
        }

    def count_unreadable(self) -> int:
        """How many versions cannot be read; predictions by them are refused, everything else goes on."""
        return self._models.count_unreadable()

    def job_counts(self) -> dict[str, int]:
        return self._jobs.counts()

    def _take_over(self, job: Job) -> None:
        log.warning("job_worker_lost", job_id=job.id, attempt=job.attempts)
        if job.cancel_requested:
            after = self._jobs.end_cancelled(job)
        elif job.attempts >= self._attempts:
            after = self._setbacks.settle(job, GIVEN_UP, None)
        else:
            delay = backoff(job.attempts) if job.attempts > 1 else timedelta(0)  # once may be chance
            after = self._setbacks.settle(job, WORKER_LOST, delay)
        if after:  # else its worker was slow, not dead, and has just ended it
            self._status.save(after)

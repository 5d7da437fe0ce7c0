"""What goes with every attempt at a job: its progress and lease, and what becomes of it when it fails."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.domain import Job, Progress
from app.errors import AttemptFailed, HandedBack, LapwiseError, LineageChanged, OutOfMemory, Unavailable
from app.services.jobs import backoff
from app.stores.job_status import JobStatusStore
from app.stores.jobs import JobStore
from learning.errors import LearningError

RENEW_SECONDS = 0.5  # how often a running job shows its progress, keeps its lease, learns of a cancellation


class Steps:
    """Counts laps as they are learned; now and then shows the progress and keeps the job's lease.

    Raises what `JobStore.renew` raises, the way a cancelled or taken over job stops in mid-session, and
    `HandedBack` when the process is asked to stop.

    Parameters
    ----------
    total
        Laps to go through.
    postpone
        Called at each lap: the job is getting on.
    is_leaving
        Whether this process stops and another one shall do the job.
    """

    def __init__(
        self,
        job: Job,
        jobs: JobStore,
        status: JobStatusStore,
        total: int,
        *,
        postpone: Callable[[], None] = lambda: None,
        is_leaving: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self._jobs = jobs
        self._status = status
        self._total = total
        self._postpone = postpone
        self._is_leaving = is_leaving
        self._clock = clock
        self._before = 0
        self._shown_at = 0.0
        self._learning: str | None = None

    def begin(self, session_id: str) -> None:
        """Notes durably that a session is about to be learned: if the process dies of it, it is to blame."""
        self._learning = session_id
        self._note()

    def end(self) -> None:
        """What goes wrong from now on is no session's fault."""
        self._learning = None
        self._note()

    def on_lap(self, done: int, total: int) -> None:
        self._postpone()
        if self._clock() - self._shown_at >= RENEW_SECONDS:
            self._show(self._before + done)

    def next_session(self, laps: int) -> None:
        self._before += laps
        self.job = replace(self.job, progress=self._progress(self._before))

    def _note(self) -> None:
        """An upload that is learned alone is to blame whatever is noted, so that two writes can be saved."""
        if not self.job.is_of_one_upload:
            self._show(self._before)
        elif self._is_leaving():
            raise HandedBack
        else:
            self._shown_at = self._clock()

    def _show(self, done: int) -> None:
        if self._is_leaving():
            raise HandedBack
        self._shown_at = self._clock()
        self.job = self._jobs.renew(self.job, self._progress(done), self._learning)
        self._status.save(self.job)

    def _progress(self, done: int) -> Progress:
        return Progress(done=done, total=self._total, unit="laps")


def retry_delay(error: Exception, attempt: int, attempts: int) -> timedelta | None:
    """How long to wait before a failed job is tried again; None gives it up.

    What the input is to blame for fails at once; what the surroundings, or a bug that may depend on them, are
    to blame for is tried again, at growing intervals.

    >>> retry_delay(LearningError(), 1, 5), retry_delay(Unavailable(), 1, 5)
    (None, datetime.timedelta(seconds=2))
    """
    if attempt >= attempts:
        return None
    if isinstance(error, LapwiseError | LearningError) and not isinstance(
        error, Unavailable | LineageChanged | AttemptFailed
    ):
        return None
    return timedelta(0) if isinstance(error, LineageChanged) else backoff(attempt)


def described(exc: Exception) -> dict[str, Any]:
    """What its driver is told of a failed attempt."""
    if isinstance(exc, MemoryError):
        exc = OutOfMemory()
    if isinstance(exc, LapwiseError | LearningError):
        return {"code": exc.code, "message": exc.message, "details": dict(exc.details)}
    return {"code": "internal_error", "message": f"the job failed with {type(exc).__name__}", "details": {}}

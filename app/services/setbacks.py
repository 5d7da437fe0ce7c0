"""What becomes of a job whose attempt failed: tried again, taken apart to find the culprit, or given up.

Before a session is learned its id is noted in the job, so also after a crash it is known which one was being
learned. A job of uploads that fails is split there: those before, which went well, the one to blame, and
those after it go on as jobs of their own. So a session that always crashes its worker ends alone in a job
that is given up, and keeps none of the others from being learned.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pymongo.client_session import ClientSession

from app.domain import Job, JobKind, SetAside, key_of, utc_now
from app.services.jobs import new_job
from app.services.webhooks import Webhooks
from app.stores.accounts import Users
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore

LEARNING = (JobKind.TRAIN, JobKind.INCREMENTAL_TRAINING)
Error = Mapping[str, Any]


class Setbacks:
    """Use cases after a failure."""

    def __init__(self, *, users: Users, jobs: JobStore, sessions: SessionStore, webhooks: Webhooks) -> None:
        self._users = users
        self._jobs = jobs
        self._sessions = sessions
        self._webhooks = webhooks

    def settle(self, job: Job, error: Error, delay: timedelta | None) -> Job | None:
        """The job as it goes on after a failed attempt; None when it is no longer its worker's.

        Parameters
        ----------
        delay
            Until the culprit is tried again; None gives the job up.
        """
        return self._webhooks.told(lambda tx: self._settle(job, error, delay, tx))

    def _settle(self, job: Job, error: Error, delay: timedelta | None, tx: ClientSession) -> Job | None:
        held = self._jobs.find_held(job, tx=tx)
        if held is None or not self._users.hold_all({job.user_id}, tx=tx):
            return None
        told = _naming(held, error)
        if delay is None:
            return self._give_up(held, told, tx)
        if held.automatic and len(held.session_ids) > 1:
            return self._split(held, told, delay, tx)
        if _blamed_again(held):
            return self._leave_out(held, told, tx)
        return self._jobs.put_back(held, told, delay, tx=tx)

    def _give_up(self, job: Job, error: Error, tx: ClientSession) -> Job | None:
        blamed = job.session_ids if job.automatic else (job.learning,)
        self._set_aside(job, tuple(one for one in blamed if one), error, tx)
        return self._jobs.fail(job, error, tx=tx)

    def _split(self, job: Job, error: Error, delay: timedelta, tx: ClientSession) -> Job | None:
        """The job with the first of the parts; the others get jobs of their own."""
        first, *others = parts(job.session_ids, job.learning)
        new = [self._part(job, ids, error, delay) for ids in others]
        self._jobs.write_automatic(new, (), tx=tx)
        moved = {session_id: one.id for one in new for session_id in one.session_ids}
        is_blamed = first == (job.learning,)
        return self._jobs.put_back(
            job,
            {**error, "details": {**error["details"], "movedSessions": moved}},
            delay if is_blamed else timedelta(0),
            tx=tx,
            attempts=job.attempts if is_blamed else 0,  # the others have done nothing yet
            sessionIds=list(first),
            moved={**job.moved, **moved},
        )

    def _part(self, job: Job, session_ids: tuple[str, ...], error: Error, delay: timedelta) -> Job:
        part = new_job(job.kind, key_of(job), session_ids, lineage_id=job.lineage_id, automatic=True)
        now = utc_now()
        if session_ids != (job.learning,):
            return replace(part, dispatch_at=now)
        due = now + delay
        return replace(part, attempts=job.attempts, error=error, not_before=due, dispatch_at=due)

    def _leave_out(self, job: Job, error: Error, tx: ClientSession) -> Job | None:
        """The job goes on without a session that failed it twice running."""
        blamed = job.learning or ""
        self._set_aside(job, (blamed,), error, tx)
        rest = [session_id for session_id in job.session_ids if session_id != blamed]
        left_out = {**job.left_out, blamed: error["message"]}
        return self._jobs.put_back(job, error, timedelta(0), tx=tx, sessionIds=rest, leftOut=left_out)

    def _set_aside(self, job: Job, session_ids: tuple[str, ...], error: Error, tx: ClientSession) -> None:
        if job.kind not in LEARNING or not session_ids:
            return
        why = SetAside(
            model_type=job.model_type,
            job_id=job.id,
            code=error["code"],
            message=error["message"],
            attempts=job.attempts,
            at=utc_now(),
        )
        self._sessions.set_aside(job.user_id, session_ids, why, tx=tx)


def parts(session_ids: tuple[str, ...], culprit: str | None) -> list[tuple[str, ...]]:
    """A failed job's sessions as they are tried next: around the culprit, or in halves where none is known.

    >>> parts(("a", "b", "c", "d"), "b"), parts(("a", "b", "c"), None)
    ([('a',), ('b',), ('c', 'd')], [('a',), ('b', 'c')])
    """
    if culprit in session_ids:
        at = session_ids.index(culprit)
        found = [session_ids[:at], session_ids[at : at + 1], session_ids[at + 1 :]]
    else:
        half = len(session_ids) // 2
        found = [session_ids[:half], session_ids[half:]]
    return [part for part in found if part]


def _naming(job: Job, error: Error) -> dict[str, Any]:
    """The error with the session that was being learned."""
    blamed = job.session_ids[0] if job.is_of_one_upload else job.learning
    named = {"sessionId": blamed} if blamed else {}
    return {**error, "details": {**error["details"], **named}}


def _blamed_again(job: Job) -> bool:
    before = (job.error or {}).get("details", {}).get("sessionId")
    return job.kind in LEARNING and len(job.session_ids) > 1 and bool(before) and before == job.learning

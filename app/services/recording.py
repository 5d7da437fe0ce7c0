"""Records the jobs that drivers ask for, durably and once: those of the same moment by one transaction."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pymongo.client_session import ClientSession

from app.batches import Batches
from app.domain import Job, Session
from app.errors import IdempotencyKeyReused, LapwiseError, SessionNotFound, Unauthorized
from app.mongo import Client, in_transaction
from app.services.admission import Admission
from app.services.jobs import Jobs
from app.stores.accounts import Users
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore

APART = 0.01  # seconds that a batch waits at most for requests that come at the same moment
Check = Callable[[Job, Sequence[Session]], None]  # raises what is wrong with a job's sessions


@dataclass(frozen=True, kw_only=True)
class Once:
    """What makes a request's repeat, under its idempotency key, answer the same job."""

    key: str | None
    digest: str  # of all that was asked


@dataclass(frozen=True, eq=False)  # two that look alike are two
class _Asked:
    """A job as its driver's request made it, and a check of its sessions."""

    job: Job
    check: Check

    @property
    def name(self) -> object:
        """What it shares with its repeats."""
        return (self.job.user_id, self.job.idempotency_key) if self.job.idempotency_key else self


class Recorder:
    """Lets jobs in, records them, and tells the workers.

    Whatever it costs to record a job, little of it is the job's own: a transaction with its round trips costs
    the same for one job and for ten.
    """

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        sessions: SessionStore,
        job_store: JobStore,
        jobs: Jobs,
        admission: Admission,
    ) -> None:
        self._client = client
        self._users = users
        self._sessions = sessions
        self._job_store = job_store
        self._jobs = jobs
        self._admission = admission
        self._batches = Batches(self._record_all, apart=APART)

    def record(self, job: Job, once: Once, check: Check = lambda _job, _sessions: None) -> Job:
        """The job, or that of an earlier request with its idempotency key, whatever has changed since.

        Raises
        ------
        SessionNotFound, IdempotencyKeyReused, TooMuchWaiting, Overloaded, Unauthorized
        """
        marked = replace(job, idempotency_key=once.key, request_digest=once.digest)
        return self._batches.do(_Asked(marked, check))

    def find(self, user_id: str, once: Once) -> Job | None:
        """The job that an earlier request with the idempotency key has made.

        Raises
        ------
        IdempotencyKeyReused
            That request was another.
        """
        if once.key is None:
            return None
        found = self._job_store.find_by_keys([(user_id, once.key)])
        job = found.get((user_id, once.key))
        if job and job.request_digest != once.digest:
            raise IdempotencyKeyReused
        return job

    def _record_all(self, batch: Sequence[_Asked]) -> list[Job | Exception]:
        known = self._known(batch)
        new = [asked for asked in batch if asked.name not in known]
        refused = self._refused(new)
        first: dict[object, Job] = {}
        for asked in new:
            if asked not in refused:
                first.setdefault(asked.name, asked.job)
        try:
            recorded = self._write(list(first.values()))
        except IdempotencyKeyReused:  # the same key at the same moment: another process was first
            return self._record_all(batch)
        self._jobs.announce(*recorded.values())
        known |= {name: recorded[job.id] for name, job in first.items() if job.id in recorded}
        return [refused.get(asked) or _outcome(known.get(asked.name), asked.job) for asked in batch]

    def _known(self, batch: Sequence[_Asked]) -> dict[object, Job]:
        """Jobs that earlier requests have made, by what their repeats are named."""
        keys = {(asked.job.user_id, asked.job.idempotency_key) for asked in batch}
        found = self._job_store.find_by_keys([(user_id, key) for user_id, key in keys if key])
        return {name: job for name, job in found.items()}

    def _refused(self, new: Sequence[_Asked]) -> dict[_Asked, LapwiseError]:
        """Why some are not let in."""
        drivers = {asked.job.user_id for asked in new}
        named = {session_id for asked in new for session_id in asked.job.session_ids}
        sessions = self._sessions.find_of_any(drivers, named) if new else {}
        refused: dict[_Asked, LapwiseError] = {}
        let_in: Counter[str] = Counter()
        names: set[object] = set()
        for asked in new:
            driver = asked.job.user_id
            try:
                asked.check(asked.job, _named(asked.job, sessions))
                if asked.name not in names:  # a repeat makes no job of its own
                    self._admission.check_jobs(driver, besides=let_in[driver])
                    let_in[driver] += 1
                    names.add(asked.name)
            except LapwiseError as exc:
                refused[asked] = exc
        return refused

    def _write(self, jobs: Sequence[Job]) -> dict[str, Job]:
        """Records jobs, by id; not those of accounts that are being removed, or are gone."""

        def write(tx: ClientSession) -> list[Job]:
            held = self._users.hold_all({job.user_id for job in jobs}, tx=tx)
            return self._job_store.add_all([job for job in jobs if job.user_id in held], tx=tx)

        recorded = in_transaction(self._client, write) if jobs else []
        return {job.id: job for job in recorded}


def _named(job: Job, sessions: Mapping[str, Session]) -> list[Session]:
    """The job's sessions, which must all be there and its driver's."""
    found = [sessions.get(session_id) for session_id in job.session_ids]
    mine = [session for session in found if session and session.user_id == job.user_id]
    if len(mine) < len(found):
        there = {session.id for session in mine}
        raise SessionNotFound(sessionIds=[one for one in job.session_ids if one not in there])
    return mine


def _outcome(known: Job | None, asked: Job) -> Job | Exception:
    if known is None:
        return Unauthorized()
    return known if known.request_digest == asked.request_digest else IdempotencyKeyReused()

"""How the platform does, for those who run it: queues, workers, jobs that failed, storage."""

from collections.abc import Mapping
from dataclasses import dataclass

from pymongo.client_session import ClientSession

from app.domain import Job, JobStatus, User, key_of
from app.errors import Conflict, IdempotencyKeyReused
from app.mongo import Client, in_transaction
from app.services.jobs import Jobs, new_job
from app.stores.accounts import Users
from app.stores.jobs import JobStore
from app.stores.queue import JobQueue, Worker
from app.stores.storage import Storage, StorageFigures

SHOWN_JOBS = 50


@dataclass(frozen=True, kw_only=True)
class State:
    """The platform at one moment.

    Parameters
    ----------
    queues
        Messages that wait, by queue; None where the broker does not say.
    failed, running
        The newest jobs of all drivers.
    drivers
        Whose they are, by id.
    """

    counts: Mapping[str, int]
    queues: Mapping[str, int | None]
    workers: tuple[Worker, ...]
    running: tuple[Job, ...]
    failed: tuple[Job, ...]
    drivers: Mapping[str, User]
    storage: StorageFigures


class Operations:
    """Use cases of operators; whoever calls has made sure that it is one."""

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        job_store: JobStore,
        jobs: Jobs,
        queue: JobQueue,
        storage: Storage,
    ) -> None:
        self._client = client
        self._users = users
        self._job_store = job_store
        self._jobs = jobs
        self._queue = queue
        self._storage = storage

    def state(self) -> State:
        """The platform now; asking the workers takes a second."""
        running = self._job_store.newest(JobStatus.RUNNING, SHOWN_JOBS)
        failed = self._job_store.newest(JobStatus.FAILED, SHOWN_JOBS)
        return State(
            counts=self._job_store.counts(),
            queues=self._queue.lengths(),
            workers=self._queue.workers(),
            running=running,
            failed=failed,
            drivers=self._users.find_all({job.user_id for job in running + failed}),
            storage=self._storage.figures(),
        )

    def retry(self, job_id: str) -> Job:
        """A new job, in its driver's name, that does what a failed one was to do; repeated, the same job.

        Raises
        ------
        JobNotFound, Conflict
            It has not failed.
        """
        failed, key = self._job_store.get_of_any(job_id), f"retry-{job_id}"
        if failed.status is not JobStatus.FAILED:
            raise Conflict("only a job that has failed can be tried again")
        again = self._job_store.find_by_key(failed.user_id, key)
        return again or self._record(failed, key)

    def _record(self, failed: Job, key: str) -> Job:
        job = new_job(
            failed.kind,
            key_of(failed),
            failed.session_ids,
            lineage_id=failed.lineage_id,
            automatic=failed.automatic,
            parameters=failed.parameters,
            idempotency_key=key,
        )

        def write(tx: ClientSession) -> Job:
            self._users.hold(job.user_id, tx=tx)
            return self._job_store.add(job, tx=tx)

        try:
            in_transaction(self._client, write)
        except IdempotencyKeyReused:  # another operator was first, this moment
            return self.retry(failed.id)
        self._jobs.announce(job)
        return job

"""How the platform does, for those who run it: queues, workers, jobs that failed, storage."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain import Job, JobStatus, User
from app.services.training import Training
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
        users: Users,
        job_store: JobStore,
        training: Training,
        queue: JobQueue,
        storage: Storage,
    ) -> None:
        self._users = users
        self._job_store = job_store
        self._training = training
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
        JobNotFound, JobNotFailed, SessionNotFound
        """
        job = self._job_store.get_of_any(job_id)
        return self._training.retry(job.user_id, job_id, f"retry-{job_id}")

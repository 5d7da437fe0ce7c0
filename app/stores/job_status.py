"""Job status as clients poll it: one Redis read a poll, rebuilt from the durable record when Redis forgot."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError

from app.domain import Job
from app.errors import Unavailable
from app.mongo import from_document, to_document

REDIS_TIMEOUT = 3.0  # seconds, to connect and for each call
KEPT_SECONDS = 24 * 3600  # a job that has ended
FRESH_SECONDS = 5  # one that has not: a change that could not be shown heals by itself
WORKER_SEEN_SECONDS = 15
EPOCH = "lapwise:epoch"  # gone when Redis has lost its memory
_WORKER = "lapwise:worker-seen"
_TIMES = ("leaseUntil", "dispatchAt", "queuedAt", "startedAt", "finishedAt")
log = structlog.get_logger()


def connect(url: str) -> "Redis":
    """A client whose every call has a time limit."""
    return Redis.from_url(url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)


@contextmanager
def errors_translated() -> Iterator[None]:
    try:
        yield
    except RedisError as exc:
        raise Unavailable("Redis is not answering", dependency="redis") from exc


class JobStatusStore:
    """The newest state of each job, and what Redis knows of itself and of the workers."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    def save(self, job: Job) -> None:
        """Shows a job's new state. MongoDB has it already, so Redis being away loses nothing."""
        self.save_all([job])

    def save_all(self, jobs: Iterable[Job]) -> None:
        """Shows the new state of several jobs by one round trip."""
        shown = {_key(job.id): job for job in jobs}
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for key, job in shown.items():
                    pipeline.set(key, _dumped(job), ex=_kept(job))
                pipeline.execute()
        except RedisError as exc:
            log.warning("job_status_not_shown", job_ids=[job.id for job in shown.values()], error=str(exc))

    def get(self, job_id: str, load: Callable[[], Job]) -> Job:
        """The job's state; where Redis has none, what `load` gives, kept unless a newer one came."""
        with errors_translated():
            found = self._redis.get(_key(job_id))
            if found is not None:
                return _loaded(found)
            job = load()
            self._redis.set(_key(job.id), _dumped(job), ex=_kept(job), nx=True)
        return job

    def has_forgotten(self) -> bool:
        """Whether Redis was emptied, or restarted empty, since `mark` was called."""
        with errors_translated():
            return not self._redis.exists(EPOCH)

    def mark(self) -> None:
        with errors_translated():
            self._redis.set(EPOCH, "1")

    def forget(self) -> None:
        """Makes Redis know nothing of jobs, as if it had been emptied."""
        with errors_translated():
            for key in self._redis.scan_iter(_key("*"), count=1_000):
                self._redis.delete(key)
            self._redis.delete(EPOCH)

    def worker_seen(self) -> None:
        """Called by each worker at every heartbeat."""
        try:
            self._redis.set(_WORKER, "1", ex=WORKER_SEEN_SECONDS)
        except RedisError as exc:
            log.warning("worker_not_shown", error=str(exc))

    def worker_answered_lately(self) -> bool:
        with errors_translated():
            return bool(self._redis.exists(_WORKER))

    def answers(self) -> bool:
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False


def _key(job_id: str) -> str:
    return f"lapwise:job:{job_id}"


def _kept(job: Job) -> int:
    return KEPT_SECONDS if job.status.is_final else FRESH_SECONDS


def _dumped(job: Job) -> str:
    return json.dumps(to_document(job), default=_text)


def _loaded(data: Any) -> Job:
    document = json.loads(data)
    for key in _TIMES:
        if document[key] is not None:
            document[key] = datetime.fromisoformat(document[key])
    return from_document(Job, document)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} does not belong into a job")

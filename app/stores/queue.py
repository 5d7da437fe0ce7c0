"""Sends jobs to the workers; the queue is only the messenger, the durable record is `app.stores.jobs`."""

from typing import Any

import structlog
from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

QUEUE = "lapwise"
RUN_JOB = "lapwise.run_job"
SWEEP = "lapwise.sweep"
TIDY = "lapwise.tidy"
RETRAIN = "lapwise.retrain"
REDIS_OPTIONS = {
    "socket_timeout": 5.0,
    "socket_connect_timeout": 3.0,
    "socket_keepalive": True,
    "visibility_timeout": 3600,
}
# Without an exchange a message goes by the queue's name alone: no binding in Redis that a flush could lose.
TASK_QUEUES = (Queue(QUEUE, Exchange(""), routing_key=QUEUE),)
log = structlog.get_logger()


class JobQueue:
    """A producer for the workers' queue."""

    def __init__(self, broker_url: str) -> None:
        self._celery = Celery("lapwise", broker=broker_url, set_as_current=False)
        self._celery.conf.update(
            task_queues=TASK_QUEUES,
            task_default_queue=QUEUE,
            task_default_exchange="",
            task_ignore_result=True,
            broker_transport_options=transport_options(broker_url),
            broker_connection_timeout=3.0,
        )

    def send(self, job_id: str) -> bool:
        """Whether a worker was told of the job; if not, the sweep tells one later."""
        try:
            self._celery.send_task(RUN_JOB, args=[job_id], retry=False, ignore_result=True)
        except OperationalError as exc:
            log.warning("job_not_sent", job_id=job_id, error=str(exc))
            return False
        return True


def transport_options(broker_url: str) -> dict[str, Any]:
    """What the broker's transport is told; only Redis knows these."""
    return dict(REDIS_OPTIONS) if broker_url.startswith("redis") else {}

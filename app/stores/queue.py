"""Tells workers and the courier of work; the queues are only messengers, MongoDB has the durable record."""

from typing import Any

import structlog
from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

from app.logs import request_ids

QUEUE = "lapwise"
COURIER_QUEUE = (
    "lapwise-courier"  # notifications go their own way: a slow receiver shall not hold up training
)
RUN_JOB = "lapwise.run_job"
SWEEP = "lapwise.sweep"
TIDY = "lapwise.tidy"
DELIVER = "lapwise.deliver"
RETRAIN = "lapwise.retrain"
REDIS_OPTIONS = {
    "socket_timeout": 5.0,
    "socket_connect_timeout": 3.0,
    "socket_keepalive": True,
    "visibility_timeout": 3600,
}
# Without an exchange a message goes by the queue's name alone: no binding in Redis that a flush could lose.
TASK_QUEUES = tuple(Queue(name, Exchange(""), routing_key=name) for name in (QUEUE, COURIER_QUEUE))
log = structlog.get_logger()


class JobQueue:
    """A producer for the queues of workers and courier."""

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
        return self._send(RUN_JOB, QUEUE, job_id)

    def wake_courier(self) -> bool:
        """Whether the courier was told that notifications are due; if not, the sweep tells it later."""
        return self._send(DELIVER, COURIER_QUEUE)

    def _send(self, task: str, queue: str, *arguments: str) -> bool:
        headers = {"request_ids": list(request_ids())}
        try:
            self._celery.send_task(
                task, args=arguments, headers=headers, queue=queue, retry=False, ignore_result=True
            )
        except OperationalError as exc:
            log.warning("task_not_sent", task=task, arguments=arguments, error=str(exc))
            return False
        return True


def transport_options(broker_url: str) -> dict[str, Any]:
    """What the broker's transport is told; only Redis knows these."""
    return dict(REDIS_OPTIONS) if broker_url.startswith("redis") else {}

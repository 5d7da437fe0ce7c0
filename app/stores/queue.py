"""Tells workers and the courier of work; the queues are only messengers, MongoDB has the durable record."""

from dataclasses import dataclass
from typing import Any

import structlog
from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.exceptions import ChannelError, OperationalError

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
WORKERS_SECONDS = 1.0  # in which they must answer
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A Celery worker as it tells of itself; `tasks` are those it has done since its start."""

    name: str
    pid: int
    processes: int
    tasks: int
    uptime: float  # seconds


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

    def lengths(self) -> dict[str, int | None]:
        """How many messages wait in each queue; None where the broker does not answer."""
        try:
            with self._celery.connection_for_read() as connection:
                return {queue.name: _length(connection, queue.name) for queue in TASK_QUEUES}
        except (OperationalError, OSError) as exc:
            log.warning("queues_not_counted", error=str(exc))
            return dict.fromkeys((queue.name for queue in TASK_QUEUES), None)

    def workers(self) -> tuple[Worker, ...]:
        """Those that answer within a second."""
        try:
            answers = self._celery.control.inspect(timeout=WORKERS_SECONDS).stats() or {}
        except (OperationalError, OSError) as exc:
            log.warning("workers_not_asked", error=str(exc))
            return ()
        return tuple(_worker(name, told) for name, told in sorted(answers.items()))

    def wake_courier(self) -> bool:
        """Whether the courier was told that notifications are due; if not, the sweep tells it later."""
        return self._send(DELIVER, COURIER_QUEUE)

    def _send(self, task: str, queue: str, *arguments: str) -> bool:
        try:
            self._celery.send_task(task, args=arguments, queue=queue, retry=False, ignore_result=True)
        except OperationalError as exc:
            log.warning("task_not_sent", task=task, arguments=arguments, error=str(exc))
            return False
        return True


def transport_options(broker_url: str) -> dict[str, Any]:
    """What the broker's transport is told; only Redis knows these."""
    return dict(REDIS_OPTIONS) if broker_url.startswith("redis") else {}


def _length(connection: Connection, queue: str) -> int:
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:  # Redis knows no empty queues
        return 0


def _worker(name: str, told: dict[str, Any]) -> Worker:
    return Worker(
        name=name,
        pid=int(told.get("pid", 0)),
        processes=int(told.get("pool", {}).get("max-concurrency", 0)),
        tasks=sum(told.get("total", {}).values()),
        uptime=float(told.get("uptime", 0)),
    )

"""Tells workers and the courier of work; the queues are only messengers, MongoDB has the durable record."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ssl import CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog
from celery import Celery
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import BatchPublishError, ChannelError, OperationalError
from kombu.utils.uuid import uuid

from app.logs import request_ids

QUEUE = "lapwise"
CHORES_QUEUE = "lapwise-chores"  # so that no flood of jobs holds up the sweep
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
ONCE_MORE = {"max_retries": 1, "interval_start": 0.1}  # who asks for a job does not wait for a dead broker
AMQP_OPTIONS = {"write_timeout": 5.0}  # seconds; a broker that is full stops reading
# How long RabbitMQ, from 3.12 on, waits for a worker to acknowledge a task before it closes the channel. A
# constant: a queue that is there cannot be declared with another. Redis has its visibility timeout instead.
_ARGUMENTS = {"x-consumer-timeout": 24 * 3600 * 1000}  # milliseconds
# Without an exchange a message goes by the queue's name alone: no binding in Redis that a flush could lose.
TASK_QUEUES = tuple(
    Queue(name, Exchange(""), routing_key=name, queue_arguments=_ARGUMENTS)
    for name in (QUEUE, CHORES_QUEUE, COURIER_QUEUE)
)
_VERIFY = {"required": CERT_REQUIRED, "optional": CERT_OPTIONAL, "none": CERT_NONE}
Messages = Iterable[tuple[tuple[str, ...], Sequence[str]]]  # a task's arguments, and ids of requests
PROBE_SECONDS = 3.0
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
        self._celery = Celery("lapwise", set_as_current=False)
        options = broker_options(broker_url)
        options["broker_transport_options"] |= ONCE_MORE
        self._celery.conf.update(
            options,
            task_queues=TASK_QUEUES,
            task_default_queue=QUEUE,
            task_default_exchange="",
            task_ignore_result=True,
            broker_connection_timeout=3.0,
        )

    def send(self, job_id: str) -> bool:
        """Whether a worker was told of the job; if not, the sweep tells one later."""
        return self.send_all({job_id: request_ids()})

    def send_all(self, jobs: Mapping[str, Sequence[str]]) -> bool:
        """Whether workers were told of jobs, each with the ids of the requests that it comes from."""
        return self._send(RUN_JOB, QUEUE, [((job_id,), asked) for job_id, asked in jobs.items()])

    def depth(self) -> int:
        """How many messages for the workers wait; 0 also when the broker has no such queue or cannot tell."""
        return self.lengths()[QUEUE] or 0

    def lengths(self) -> dict[str, int | None]:
        """How many messages wait in each queue; None where the broker does not answer."""
        names = [queue.name for queue in TASK_QUEUES]
        with self._celery.connection_for_read() as connection:
            try:
                return {name: _length(connection, name) for name in names}
            except (OperationalError, *connection.connection_errors) as exc:
                log.warning("queues_not_counted", error=str(exc))
                return dict.fromkeys(names, None)

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
        return self._send(DELIVER, COURIER_QUEUE, [((), request_ids())])

    def _send(self, task: str, queue: str, messages: Messages) -> bool:
        """Sends a task for each of some messages; to Redis by one round trip."""
        try:
            with self._celery.producer_pool.acquire(block=True) as producer, producer.batch():
                self._publish(producer, task, queue, messages)
        except self._failures as exc:
            log.warning("tasks_not_sent", task=task, error=str(exc))
            return False
        return True

    def _publish(self, producer: Producer, task: str, queue: str, messages: Messages) -> None:
        """`Celery.send_task` in half its time: no routes, no results, one look for the queue."""
        amqp = self._celery.amqp
        declare = [amqp.queues[queue]]
        for arguments, asked in messages:
            message = amqp.create_task_message(uuid(), task, arguments, {}, ignore_result=True)
            headers = message.headers | {"request_ids": list(asked)}
            options = {"routing_key": queue, "serializer": "json", "declare": declare} | message.properties
            producer.publish(message.body, headers=headers, **options)
            declare = []

    @cached_property
    def _failures(self) -> tuple[type[Exception], ...]:
        """What a broker that does not answer, or takes nothing, makes of a message."""
        connection = self._celery.connection_for_write()
        return OperationalError, BatchPublishError, *connection.connection_errors, *connection.channel_errors


def broker_options(url: str) -> dict[str, Any]:
    """Celery's settings for the queue at a URL; with `rediss` or `amqps` the server must prove who it is.

    As in redis-py the URL's query may have `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` and `ssl_cert_reqs`.
    kombu would take a URL without them for leave to trust anybody.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    given = {name: value for name, value in query if name.startswith("ssl_")}
    others = urlencode([pair for pair in query if pair[0] not in given])
    options: dict[str, Any] = {
        "broker_url": urlunsplit(parts._replace(query=others)),
        "broker_use_ssl": False,
        "broker_transport_options": dict(REDIS_OPTIONS if url.startswith("redis") else AMQP_OPTIONS),
    }
    verify = _VERIFY[given.pop("ssl_cert_reqs", "required")]
    if parts.scheme == "rediss":
        options["broker_use_ssl"] = {"ssl_cert_reqs": verify, **given}
    elif parts.scheme == "amqps":  # whose transport calls the same things by other names
        named = {name.removeprefix("ssl_"): value for name, value in given.items()}
        options["broker_use_ssl"] = {"cert_reqs": verify, "server_hostname": parts.hostname, **named}
    return options


def broker_answers(url: str) -> bool:
    """Whether there is a queue at a URL that takes us in."""
    celery = Celery("lapwise", set_as_current=False)
    celery.conf.update(broker_options(url))
    try:
        with celery.connection_for_write(connect_timeout=PROBE_SECONDS) as connection:
            connection.ensure_connection(max_retries=1, timeout=PROBE_SECONDS)
    except OperationalError:
        return False
    return True


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

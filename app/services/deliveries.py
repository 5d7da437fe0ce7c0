"""Sending notifications: each until its receiver has it, without letting a slow one hold up the others."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import version
from threading import Lock
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from app.domain import utc_now
from app.errors import DestinationRefused, SecretUnreadable
from app.keys import Seal
from app.signatures import HEADER, sign
from app.stores.deliveries import Delivery, DeliveryStatus, DeliveryStore
from app.stores.queue import JobQueue
from app.stores.receivers import NotDelivered, Receivers
from app.stores.webhooks import Webhook, WebhookStore

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=1)
KEPT_TRYING = timedelta(days=1)
AT_ONCE_TO_ONE_HOST = 4
AT_ONCE_OF_ONE_DRIVER = 2
GONE = 410
DISABLED = "the webhook is disabled"
log = structlog.get_logger()


class Deliveries:
    """What the courier does, in several threads at once.

    Parameters
    ----------
    seal
        Opens the secrets of webhooks.
    chance
        Gives numbers from 0 to 1, by which waits differ.
    """

    def __init__(
        self,
        *,
        hooks: WebhookStore,
        deliveries: DeliveryStore,
        receivers: Receivers,
        queue: JobQueue,
        seal: Seal,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._hooks = hooks
        self._deliveries = deliveries
        self._receivers = receivers
        self._queue = queue
        self._seal = seal
        self._chance = chance
        self._choosing = Lock()
        self._hosts: Counter[str] = Counter()  # of attempts under way
        self._users: Counter[str] = Counter()

    def deliver(self) -> None:
        """Sends what is due, one after the other, until nothing is; calls another thread to help."""
        while True:
            with self._taken() as delivery:
                if delivery is None:
                    return
                if self._deliveries.is_any_due(utc_now()):
                    self._queue.wake_courier()
                with bound_contextvars(request_ids=delivery.request_ids):
                    self._attempt(delivery)

    @contextmanager
    def _taken(self) -> Iterator[Delivery | None]:
        """A due delivery, of a host and a driver for which not too many are under way; it counts as one."""
        with self._choosing:
            delivery = self._deliveries.take(
                utc_now(),
                hosts=[host for host, count in self._hosts.items() if count >= AT_ONCE_TO_ONE_HOST],
                users=[user for user, count in self._users.items() if count >= AT_ONCE_OF_ONE_DRIVER],
            )
            self._count(delivery, 1)
        try:
            yield delivery
        finally:
            with self._choosing:
                self._count(delivery, -1)

    def _count(self, delivery: Delivery | None, change: int) -> None:
        if delivery is not None:
            for counter, key in ((self._hosts, delivery.host), (self._users, delivery.user_id)):
                counter[key] += change
                if not counter[key]:
                    del counter[key]

    def _attempt(self, delivery: Delivery) -> None:
        hook = self._hooks.find(delivery.webhook_id)
        if hook is None:  # removed, with all that was to be sent to it
            self._deliveries.remove_of(delivery.webhook_id)
        elif hook.disabled_at is not None:
            self._deliveries.fail_pending(hook.id, DISABLED, utc_now())
        else:
            status, error = self._sent(hook, delivery)
            self._record(hook, delivery, status, error)

    def _sent(self, hook: Webhook, delivery: Delivery) -> tuple[int | None, str | None]:
        """The receiver's status, and what was wrong."""
        body = delivery.body.encode()
        try:
            secret = self._seal.open(hook.secret)
        except SecretUnreadable as exc:
            log.error("webhook_secret_unreadable", webhook_id=hook.id)
            return None, exc.message
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Lapwise/{version('lapwise')}",
            "X-Lapwise-Event": delivery.event,
            "X-Lapwise-Delivery": delivery.id,
            **_request_id(delivery),
            HEADER: sign(secret, body, int(time.time())),
        }
        try:
            status = self._receivers.post(hook.url, body, headers)
        except (NotDelivered, DestinationRefused) as exc:
            return None, exc.message
        return status, None if 200 <= status < 300 else f"the receiver answered {status}"

    def _record(self, hook: Webhook, delivery: Delivery, status: int | None, error: str | None) -> None:
        now = utc_now()
        after = _after(delivery, status, error, now, self._chance())
        is_recorded = self._deliveries.record(after)
        log.info(
            "notification_sent" if error is None else "notification_not_delivered",
            taken_over=not is_recorded,
            delivery_id=delivery.id,
            webhook_id=hook.id,
            host=delivery.host,
            attempt=delivery.attempts,
            response_status=status,
            error=error,
        )
        if status == GONE:
            self._hooks.disable(hook.id, "the receiver answered 410 Gone", now)
            self._deliveries.fail_pending(hook.id, DISABLED, now)


def _request_id(delivery: Delivery) -> dict[str, str]:
    """The request that the event came from, where it is one, for the receiver's own logs."""
    ids = delivery.request_ids
    return {"X-Request-Id": ids[0]} if len(ids) == 1 else {}


def next_attempt(created_at: datetime, attempts: int, now: datetime, chance: float) -> datetime | None:
    """When a delivery that failed is tried again; None once it would be a day old.

    Waits double from 5 seconds to an hour, each lengthened by up to a half, so that what failed together does
    not come again together.

    >>> start = datetime(2026, 1, 1)
    >>> [(next_attempt(start, attempts, start, 0.0) - start).seconds for attempts in (1, 2, 3, 20)]
    [5, 10, 20, 3600]
    >>> next_attempt(start, 30, start + timedelta(hours=23, minutes=30), 0.0) is None
    True
    """
    wait = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT) * (1 + chance / 2)
    return now + wait if now + wait <= created_at + KEPT_TRYING else None


def _after(
    delivery: Delivery, status: int | None, error: str | None, now: datetime, chance: float
) -> Delivery:
    known: dict[str, Any] = {"response_status": status, "error": error}
    if error is None:
        return replace(delivery, status=DeliveryStatus.SUCCEEDED, next_at=None, finished_at=now, **known)
    again = None if status == GONE else next_attempt(delivery.created_at, delivery.attempts, now, chance)
    if again is None:
        return replace(delivery, status=DeliveryStatus.FAILED, next_at=None, finished_at=now, **known)
    return replace(delivery, next_at=again, **known)

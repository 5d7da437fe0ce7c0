"""Telling drivers what happened: where they want to be told, and the notifications, recorded to be sent."""

import json
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import httpx
import structlog
from pymongo.client_session import ClientSession

from app.destinations import checked_url
from app.domain import Job, JobStatus, Page, Version, iso, new_id, utc_now
from app.errors import DestinationRefused, Invalid, TooManyWebhooks, WebhookDisabled
from app.keys import Seal
from app.logs import request_ids
from app.mongo import Client, after_commit, field_key, in_transaction
from app.stores.accounts import Users
from app.stores.deliveries import Delivery, DeliveryStatus, DeliveryStore
from app.stores.queue import JobQueue
from app.stores.webhooks import SECRET_PREFIX, HookEvent, Webhook, WebhookStore
from models_store.activations import Why

J = TypeVar("J", bound=Job | None)
HOOKS_OF_ONE_DRIVER = 10
TEST = "webhook.test"
ENDS = {JobStatus.SUCCEEDED: HookEvent.JOB_SUCCEEDED, JobStatus.FAILED: HookEvent.JOB_FAILED}
_JOB = tuple(
    "id kind status model_type track_name session_ids model_id model_version result error attempts "
    "queued_at started_at finished_at".split()
)
# Of the transaction under way, by driver; None outside of `Webhooks.told`.
_ENABLED: ContextVar[dict[str, tuple[Webhook, ...]] | None] = ContextVar("_ENABLED", default=None)
log = structlog.get_logger()


class Webhooks:
    """Use cases of outgoing webhooks.

    Parameters
    ----------
    seal
        Closes the secrets of webhooks before they are stored.
    allow_private
        Whether a driver may register an address outside the public internet.
    """

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        hooks: WebhookStore,
        deliveries: DeliveryStore,
        queue: JobQueue,
        seal: Seal,
        allow_private: bool,
    ) -> None:
        self._client = client
        self._users = users
        self._hooks = hooks
        self._deliveries = deliveries
        self._queue = queue
        self._seal = seal
        self._allow_private = allow_private

    def register(
        self, user_id: str, url: str, events: tuple[HookEvent, ...] = (), description: str = ""
    ) -> Webhook:
        """A new webhook, with the secret that signs what is sent to it; all events where none are named.

        Raises
        ------
        Invalid, TooManyWebhooks
        """
        try:
            checked_url(url, allow_private=self._allow_private)
        except DestinationRefused as exc:
            raise Invalid(exc.message, url=[exc.message]) from exc
        hook = Webhook(
            id=new_id(),
            user_id=user_id,
            url=url,
            events=tuple(dict.fromkeys(events)) or tuple(HookEvent),
            description=description,
            secret=f"{SECRET_PREFIX}{secrets.token_urlsafe(32)}",
            created_at=utc_now(),
        )
        in_transaction(self._client, lambda tx: self._add(hook, tx))
        return hook

    def page(self, user_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Webhook]:
        return self._hooks.page(user_id, limit, cursor)

    def get(self, user_id: str, hook_id: str) -> Webhook:
        return self._hooks.get(user_id, hook_id)

    def remove(self, user_id: str, hook_id: str) -> None:
        """Removes a webhook; what was still to be sent to it is not sent."""
        self._hooks.remove(user_id, hook_id)
        self._deliveries.remove_of(hook_id)

    def test(self, user_id: str, hook_id: str) -> Delivery:
        """A notification that says nothing; while one waits to be sent, that one.

        Raises
        ------
        WebhookNotFound, WebhookDisabled
        """
        hook = self._hooks.get(user_id, hook_id)
        if hook.disabled_at is not None:
            raise WebhookDisabled
        waiting = self._deliveries.find_pending(hook_id, TEST)
        if waiting is not None:
            return waiting
        delivery = _delivery(hook, TEST, {"webhookId": hook_id, "message": "Notifications arrive here."})
        self._deliveries.add([delivery])
        self.wake()
        return delivery

    def deliveries(
        self,
        user_id: str,
        hook_id: str,
        status: DeliveryStatus | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Delivery]:
        return self._deliveries.page(self._hooks.get(user_id, hook_id).id, status, limit, cursor)

    def notify(
        self, user_id: str, event: str, data: Mapping[str, Any], *, tx: ClientSession | None = None
    ) -> None:
        """Records one delivery for each webhook of the driver that wants the event, and has it sent.

        Within a transaction that is once it is committed.

        Parameters
        ----------
        event
            One of `HookEvent`.
        data
            What happened, as JSON with camelCase keys; times may be datetimes.
        """
        hooks = [hook for hook in self._enabled(user_id, tx) if HookEvent(event) in hook.events]
        self._deliveries.add([_delivery(hook, event, data) for hook in hooks], tx=tx)
        if hooks and tx is None:
            self.wake()
        elif hooks:
            after_commit(self.wake)

    def told(self, end: Callable[[ClientSession], J]) -> J:
        """The job that `end` ends, told in the same transaction if it succeeded or was given up."""

        def work(tx: ClientSession) -> J:
            before = _ENABLED.set({})
            try:
                job = end(tx)
                if job is not None and job.status in ENDS:
                    data = {field_key(name).lstrip("_"): getattr(job, name) for name in _JOB}
                    self.notify(job.user_id, ENDS[job.status], data, tx=tx)
                return job
            finally:
                _ENABLED.reset(before)

        return in_transaction(self._client, work)

    def model_activated(self, version: Version, why: Why, tx: ClientSession) -> None:
        """Tells that another version is the active one, and why."""
        data = {
            "modelId": version.id,
            "modelVersion": version.model_version,
            "modelType": version.model_type,
            "trackName": version.track_name,
            "cause": why.cause,
            "reason": why.reason,
        }
        self.notify(version.user_id, HookEvent.MODEL_ACTIVATED, data, tx=tx)

    def wake(self) -> None:
        """Has what is due sent at once."""
        self._queue.wake_courier()

    def wake_if_due(self) -> None:
        """Has what is due sent, where there is anything: the courier may not have heard of it."""
        if self._deliveries.is_any_due(utc_now()):
            self.wake()

    def remove_all(self, user_id: str) -> None:
        """Removes a driver's webhooks and what is kept of their deliveries."""
        self._hooks.remove_all(user_id)
        self._deliveries.remove_all(user_id)

    def _enabled(self, user_id: str, tx: ClientSession | None) -> tuple[Webhook, ...]:
        """The driver's webhooks as a transaction sees them; one of `told` looks them up once."""
        known = _ENABLED.get() if tx else None
        if known is None:
            return self._hooks.enabled(user_id, tx=tx)
        if user_id not in known:
            known[user_id] = self._hooks.enabled(user_id, tx=tx)
        return known[user_id]

    def _add(self, hook: Webhook, tx: ClientSession) -> None:
        self._users.hold(hook.user_id, tx=tx)  # of two calls at once, one counts the other's
        if self._hooks.count(hook.user_id, tx=tx) >= HOOKS_OF_ONE_DRIVER:
            raise TooManyWebhooks
        self._hooks.add(replace(hook, secret=self._seal.close(hook.secret)), tx=tx)


def _delivery(hook: Webhook, event: str, data: Mapping[str, Any]) -> Delivery:
    now, delivery_id = utc_now(), new_id()
    body = {"id": delivery_id, "event": event, "createdAt": now, "data": data}
    return Delivery(
        id=delivery_id,
        user_id=hook.user_id,
        webhook_id=hook.id,
        host=httpx.URL(hook.url).host,
        event=event,
        body=json.dumps(body, default=_text),
        request_ids=request_ids(),
        next_at=now,
        created_at=now,
    )


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return iso(value)
    raise TypeError(f"{type(value).__name__} does not belong into a notification")

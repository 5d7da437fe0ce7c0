"""Keeps each notification until it is delivered or given up: written with what caused it, sent afterwards.

A delivery is due at `nextAt`. Whoever takes it moves that on and leaves a token, so nobody else takes it
meanwhile, and if the taker dies it is due again by itself.
"""

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import Page
from app.mongo import Document, errors_translated, from_document, to_document
from app.paging import page_of

LEASE = timedelta(seconds=60)  # longer than any attempt takes, a slow look-up of the host's name included


class DeliveryStatus(StrEnum):
    """Where a delivery is in its life."""

    PENDING = "pending"  # to be sent, at first or again
    SUCCEEDED = "succeeded"  # the receiver answered 2xx
    FAILED = "failed"  # given up


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One notification for one webhook; `body` is sent as it stands at every attempt."""

    id: str
    user_id: str
    webhook_id: str
    host: str
    event: str
    body: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    response_status: int | None = None
    error: str | None = None
    token: str | None = None
    request_ids: tuple[str, ...] = ()  # of the requests that what it tells of came from
    next_at: datetime | None
    created_at: datetime
    finished_at: datetime | None = None


class DeliveryStore:
    """Deliveries of all drivers; an index removes them a week after they were made."""

    def __init__(self, database: Database[Document]) -> None:
        self._deliveries = database["webhookdeliveries"]

    def add(self, deliveries: Iterable[Delivery], *, tx: ClientSession | None = None) -> None:
        documents = [to_document(delivery) for delivery in deliveries]
        if documents:
            with errors_translated(tx):
                self._deliveries.insert_many(documents, session=tx)

    def take(self, now: datetime, *, hosts: Collection[str], users: Collection[str]) -> Delivery | None:
        """The delivery due for longest, now the caller's to send; none of the given hosts and users."""
        due = _due(now) | {"host": {"$nin": list(hosts)}, "userId": {"$nin": list(users)}}
        taken = {"$set": {"token": secrets.token_hex(8), "nextAt": now + LEASE}, "$inc": {"attempts": 1}}
        with errors_translated():
            found = self._deliveries.find_one_and_update(
                due, taken, sort=[("nextAt", 1)], return_document=ReturnDocument.AFTER
            )
        return from_document(Delivery, found) if found else None

    def is_any_due(self, now: datetime) -> bool:
        with errors_translated():
            return self._deliveries.find_one(_due(now), {"_id": 1}) is not None

    def record(self, delivery: Delivery) -> bool:
        """Keeps what became of an attempt; False when it took so long that another has begun."""
        held = {"_id": delivery.id, "token": delivery.token, "status": DeliveryStatus.PENDING.value}
        with errors_translated():
            kept = self._deliveries.replace_one(held, to_document(delivery))
        return kept.matched_count == 1

    def fail_pending(self, webhook_id: str, error: str, now: datetime) -> None:
        """Gives up all that is still to be sent to a webhook."""
        pending = {"webhookId": webhook_id, "status": DeliveryStatus.PENDING.value}
        failed = {"status": DeliveryStatus.FAILED.value, "error": error, "nextAt": None, "finishedAt": now}
        with errors_translated():
            self._deliveries.update_many(pending, {"$set": failed})

    def find_pending(self, webhook_id: str, event: str) -> Delivery | None:
        query = {"webhookId": webhook_id, "event": event, "status": DeliveryStatus.PENDING.value}
        with errors_translated():
            found = self._deliveries.find_one(query)
        return from_document(Delivery, found) if found else None

    def page(
        self, webhook_id: str, status: DeliveryStatus | None, limit: int, cursor: str | None
    ) -> Page[Delivery]:
        """Newest first."""
        query: Document = {"webhookId": webhook_id} | ({"status": status.value} if status else {})
        return page_of(self._deliveries, Delivery, query, limit=limit, cursor=cursor)

    def remove_of(self, webhook_id: str) -> None:
        with errors_translated():
            self._deliveries.delete_many({"webhookId": webhook_id})

    def remove_all(self, user_id: str) -> None:
        with errors_translated():
            self._deliveries.delete_many({"userId": user_id})


def _due(now: datetime) -> Document:
    return {"status": DeliveryStatus.PENDING.value, "nextAt": {"$lte": now}}

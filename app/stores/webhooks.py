"""Keeps the addresses at which drivers want to be told of events."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import Page
from app.errors import WebhookNotFound
from app.keys import Seal
from app.mongo import Document, errors_translated, from_document, to_document
from app.paging import page_of

SEALED_FOR = "webhook secrets"
SECRET_PREFIX = "whsec_"  # noqa: S105  # how one begins that is not sealed


class HookEvent(StrEnum):
    """What a driver can be told of."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"  # given up; an attempt that is repeated is not told
    MODEL_ACTIVATED = "model.activated"  # another version of a lineage answers now
    DRIFT_DETECTED = "drift.detected"  # a lineage's error has grown
    MODEL_RETRAINED = "model.retrained"  # a lineage was retrained by itself


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """An address that a driver registered.

    The secret signs what is sent there. It is shown only once, at the registration, and stored sealed.
    """

    id: str
    user_id: str
    url: str
    events: tuple[HookEvent, ...]
    description: str = ""
    secret: str = field(repr=False)
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    created_at: datetime


class WebhookStore:
    """Webhooks of all drivers."""

    def __init__(self, database: Database[Document]) -> None:
        self._hooks = database["webhooks"]

    def add(self, hook: Webhook, *, tx: ClientSession) -> None:
        self._hooks.insert_one(to_document(hook), session=tx)

    def count(self, user_id: str, *, tx: ClientSession) -> int:
        return self._hooks.count_documents({"userId": user_id}, session=tx)

    def get(self, user_id: str, hook_id: str) -> Webhook:
        hook = self.find(hook_id)
        if hook is None or hook.user_id != user_id:
            raise WebhookNotFound
        return hook

    def find(self, hook_id: str) -> Webhook | None:
        with errors_translated():
            found = self._hooks.find_one({"_id": hook_id})
        return from_document(Webhook, found) if found else None

    def page(self, user_id: str, limit: int, cursor: str | None) -> Page[Webhook]:
        """Newest first."""
        return page_of(self._hooks, Webhook, {"userId": user_id}, limit=limit, cursor=cursor)

    def enabled(self, user_id: str, *, tx: ClientSession | None = None) -> tuple[Webhook, ...]:
        """A driver's webhooks, but for disabled ones."""
        query = {"userId": user_id, "disabledAt": None}
        with errors_translated(tx):
            return tuple(from_document(Webhook, found) for found in self._hooks.find(query, session=tx))

    def disable(self, hook_id: str, reason: str, at: datetime) -> None:
        with errors_translated():
            self._hooks.update_one(
                {"_id": hook_id, "disabledAt": None}, {"$set": {"disabledReason": reason, "disabledAt": at}}
            )

    def remove(self, user_id: str, hook_id: str) -> None:
        with errors_translated():
            removed = self._hooks.delete_one({"_id": hook_id, "userId": user_id})
        if not removed.deleted_count:
            raise WebhookNotFound

    def remove_all(self, user_id: str) -> None:
        with errors_translated():
            self._hooks.delete_many({"userId": user_id})

    def reseal(self, seal: Seal) -> int:
        """Seals anew what a former key has sealed, and what never was; how many secrets.

        Raises
        ------
        SecretUnreadable
        """
        count = 0
        with errors_translated():
            for found in self._hooks.find({}, {"secret": 1}):
                stored = found["secret"]
                if not seal.is_current(stored):
                    secret = stored if stored.startswith(SECRET_PREFIX) else seal.open(stored)
                    which = {"_id": found["_id"], "secret": stored}
                    count += self._hooks.update_one(
                        which, {"$set": {"secret": seal.close(secret)}}
                    ).modified_count
        return count

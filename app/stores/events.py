"""Remembers the events that game backends sent, with the answer each got, so that a repeat gets the same."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from app.domain import Job, Session
from app.errors import EventIdReused
from app.mongo import Document, are_duplicates, errors_translated, from_document, to_document


@dataclass(frozen=True, kw_only=True)
class TakenEvent:
    """An event that was taken, its id the sender's; `digest` tells whether a repeat is the same event."""

    id: str
    user_id: str
    digest: str
    session: Session
    jobs: tuple[Job, ...]
    created_at: datetime


class EventStore:
    """Events of all senders; an index removes them a month after they came."""

    def __init__(self, database: Database[Document]) -> None:
        self._events = database["webhookevents"]

    def find_all(
        self, event_ids: Collection[str], *, tx: ClientSession | None = None
    ) -> dict[str, TakenEvent]:
        """Those of the events that were taken, by id."""
        with errors_translated(tx):
            found = list(self._events.find({"_id": {"$in": list(event_ids)}}, session=tx))
        return {event["_id"]: from_document(TakenEvent, event) for event in found}

    def add(self, events: Iterable[TakenEvent], *, tx: ClientSession) -> None:
        """Keeps events.

        Raises
        ------
        EventIdReused
            One of them was taken a moment ago.
        """
        documents = [to_document(event) for event in events]
        try:
            if documents:
                self._events.insert_many(documents, session=tx)
        except BulkWriteError as exc:
            if are_duplicates(exc):
                raise EventIdReused from exc
            raise

    def remove_all(self, user_id: str) -> None:
        with errors_translated():
            self._events.delete_many({"userId": user_id})

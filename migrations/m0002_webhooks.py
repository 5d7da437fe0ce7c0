"""Webhooks: events that came in, addresses drivers registered, and the notifications sent to them."""

from typing import Any

from pymongo import ASCENDING as UP
from pymongo import DESCENDING as DOWN
from pymongo import IndexModel
from pymongo.database import Database

name = "m0002_webhooks"
dependencies = ["m0001_indexes"]

DAY = 24 * 3600
EVENTS_KEPT = 30 * DAY  # how long an eventId is remembered
DELIVERIES_KEPT = 7 * DAY

INDEXES = {
    "webhookevents": [
        IndexModel([("userId", UP)], name="user"),
        IndexModel([("createdAt", UP)], name="expiry", expireAfterSeconds=EVENTS_KEPT),
    ],
    "webhooks": [
        IndexModel([("userId", UP), ("createdAt", DOWN), ("_id", DOWN)], name="newest"),
    ],
    "webhookdeliveries": [
        IndexModel([("nextAt", UP)], name="due", partialFilterExpression={"status": "pending"}),
        IndexModel([("webhookId", UP), ("createdAt", DOWN), ("_id", DOWN)], name="newest"),
        IndexModel([("userId", UP)], name="user"),
        IndexModel([("createdAt", UP)], name="expiry", expireAfterSeconds=DELIVERIES_KEPT),
    ],
}


def upgrade(db: Database[dict[str, Any]]) -> None:
    """Creates the collections too: a transaction does not wait for one to be made."""
    present = set(db.list_collection_names())
    for collection, indexes in INDEXES.items():
        if collection not in present:
            db.create_collection(collection)
        db[collection].create_indexes(indexes)

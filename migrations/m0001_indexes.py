"""The first indexes: what the contract names, and what makes a duplicate impossible rather than unlikely."""

from typing import Any

from pymongo import ASCENDING as UP
from pymongo import DESCENDING as DOWN
from pymongo import IndexModel
from pymongo.database import Database

name = "m0001_indexes"
dependencies: list[str] = []

LINEAGE = [("userId", UP), ("trackName", UP), ("modelType", UP)]

INDEXES = {
    "users": [IndexModel([("email", UP)], name="email", unique=True)],
    "tokenfamilies": [
        IndexModel([("userId", UP)], name="user"),
        IndexModel([("revokedAt", UP)], name="revoked", sparse=True),
        IndexModel([("expiresAt", UP)], name="expiry", expireAfterSeconds=0),
    ],
    "sessions": [
        IndexModel([("userId", UP), ("trackName", UP), ("sha256", UP)], name="same_bytes", unique=True),
        IndexModel([("userId", UP), ("createdAt", DOWN), ("_id", DOWN)], name="newest"),
        IndexModel(
            [("userId", UP), ("trackName", UP), ("createdAt", DOWN), ("_id", DOWN)], name="newest_of_track"
        ),
    ],
    "uploads": [IndexModel([("userId", UP)], name="user"), IndexModel([("createdAt", UP)], name="age")],
    "uploadchunks": [IndexModel([("uploadId", UP), ("index", UP)], name="order", unique=True)],
    "jobs": [
        IndexModel(
            [("lineageId", UP)],
            name="one_runs",
            unique=True,
            partialFilterExpression={"lineageId": {"$exists": True}, "status": "running"},
        ),
        IndexModel(
            [("userId", UP), ("idempotencyKey", UP)],
            name="idempotency",
            unique=True,
            partialFilterExpression={"idempotencyKey": {"$exists": True}},
        ),
        IndexModel([("lineageId", UP), ("status", UP), ("queuedAt", UP), ("_id", UP)], name="first_in_line"),
        IndexModel([("status", UP), ("queuedAt", UP), ("_id", UP)], name="by_status"),
        IndexModel([("status", UP), ("leaseUntil", UP)], name="expired"),
        IndexModel([("userId", UP), ("queuedAt", DOWN), ("_id", DOWN)], name="newest"),
        IndexModel([("userId", UP), ("sessionIds", UP)], name="of_session"),
    ],
    "lineages": [IndexModel([("userId", UP), ("trackName", UP)], name="of_track")],
    "aimodels": [
        IndexModel([*LINEAGE, ("isActive", UP)], name="active"),
        IndexModel([("userId", UP), ("trackName", UP), ("modelVersion", DOWN)], name="versions"),
        IndexModel([*LINEAGE, ("modelVersion", UP)], name="one_of_each_version", unique=True),
        IndexModel(LINEAGE, name="one_active", unique=True, partialFilterExpression={"isActive": True}),
        IndexModel(
            [("jobId", UP)],
            name="one_a_job",
            unique=True,
            partialFilterExpression={"jobId": {"$type": "string"}},
        ),
        IndexModel([("userId", UP), ("trackName", UP), ("createdAt", DOWN), ("_id", DOWN)], name="newest"),
    ],
}


def upgrade(db: Database[dict[str, Any]]) -> None:
    """Creates the collections too: a transaction does not wait for one to be made."""
    present = set(db.list_collection_names())
    for collection, indexes in INDEXES.items():
        if collection not in present:
            db.create_collection(collection)
        db[collection].create_indexes(indexes)

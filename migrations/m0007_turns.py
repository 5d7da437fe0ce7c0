"""The next job in turn, and how much is waiting, are found by small indexes, however much there is."""

from typing import Any

from pymongo import ASCENDING as UP
from pymongo import DESCENDING as DOWN
from pymongo import IndexModel
from pymongo.database import Database

name = "m0007_turns"
dependencies: list[str] = ["m0001_indexes"]

JOBS = [
    IndexModel(
        [("turn", UP), ("queuedAt", UP), ("_id", UP), ("lineageId", UP)],
        name="in_turn",
        partialFilterExpression={"status": "queued"},
    ),
    IndexModel([("userId", UP), ("automatic", UP), ("turn", DOWN)], name="last_turn"),
    IndexModel([("userId", UP)], name="queued_of_driver", partialFilterExpression={"status": "queued"}),
]
UPLOADS = [
    IndexModel([("userId", UP), ("bytes", UP)], name="waiting", partialFilterExpression={"bytes": {"$gt": 0}})
]


def upgrade(db: Database[dict[str, Any]]) -> None:
    db["jobs"].create_indexes(JOBS)
    db["uploads"].create_indexes(UPLOADS)
    if "turns" not in db.list_collection_names():
        db.create_collection("turns")

"""Live experiments: at most one runs in a lineage."""

from typing import Any

from pymongo import ASCENDING as UP
from pymongo import DESCENDING as DOWN
from pymongo import IndexModel
from pymongo.database import Database

name = "m0005_experiments"
dependencies = ["m0001_indexes"]

INDEXES = [
    IndexModel(
        [("lineageId", UP)], name="one_runs", unique=True, partialFilterExpression={"status": "running"}
    ),
    IndexModel([("status", UP), ("endsAt", UP)], name="overdue"),
    IndexModel([("userId", UP), ("startedAt", DOWN), ("_id", DOWN)], name="newest"),
]


def upgrade(db: Database[dict[str, Any]]) -> None:
    """Creates the collection too: a transaction does not wait for one to be made."""
    if "experiments" not in db.list_collection_names():
        db.create_collection("experiments")
    db["experiments"].create_indexes(INDEXES)

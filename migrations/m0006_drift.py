"""The sweep for retrainings looks only at the few lineages in which drift was found."""

from typing import Any

from pymongo import ASCENDING as UP
from pymongo import IndexModel
from pymongo.database import Database

name = "m0006_drift"
dependencies: list[str] = ["m0001_indexes"]

DRIFT = IndexModel(
    [("drift.jobId", UP)], name="drift", partialFilterExpression={"drift._id": {"$exists": True}}
)


def upgrade(db: Database[dict[str, Any]]) -> None:
    db["lineages"].create_indexes([DRIFT])

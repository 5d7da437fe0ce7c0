"""The indexes of GridFS are there before the first file, so that writing one need not look for them."""

from typing import Any

from pymongo import ASCENDING as UP
from pymongo import IndexModel
from pymongo.database import Database

name = "m0011_buckets"
dependencies: list[str] = ["m0001_indexes"]

BUCKETS = ("telemetry", "laps", "models")
# as the driver makes them, to the letter: it would make its own beside others
FILES = IndexModel([("filename", UP), ("uploadDate", UP)])
CHUNKS = IndexModel([("files_id", UP), ("n", UP)], unique=True)


def upgrade(db: Database[dict[str, Any]]) -> None:
    """Creates the collections too: a transaction does not wait for one to be made."""
    for bucket in BUCKETS:
        db[f"{bucket}.files"].create_indexes([FILES])
        db[f"{bucket}.chunks"].create_indexes([CHUNKS])

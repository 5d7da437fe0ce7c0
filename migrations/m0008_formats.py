"""Operators are told of versions that cannot be read, without a look at all the others."""

from typing import Any

from pymongo import ASCENDING as UP
from pymongo import IndexModel
from pymongo.database import Database

name = "m0008_formats"
dependencies: list[str] = ["m0001_indexes"]

INDEXES = [
    IndexModel([("format", UP)], name="format", sparse=True),
    IndexModel(
        [("unreadable", UP)], name="unreadable", partialFilterExpression={"unreadable": {"$type": "string"}}
    ),
]


def upgrade(db: Database[dict[str, Any]]) -> None:
    db["aimodels"].create_indexes(INDEXES)

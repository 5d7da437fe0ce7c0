"""Shares, the history of activations and usage: their indexes, and what earlier data lacks of them."""

from typing import Any

from bson import ObjectId
from pymongo import ASCENDING as UP
from pymongo import DESCENDING as DOWN
from pymongo import IndexModel
from pymongo.database import Database

name = "m0004_sharing"
dependencies = ["m0001_indexes"]

YEAR = 365 * 24 * 3600
INDEXES = {
    "shares": [
        IndexModel([("modelId", UP), ("readerId", UP)], name="once", unique=True),
        IndexModel([("modelId", UP), ("createdAt", DOWN), ("_id", DOWN)], name="given"),
        IndexModel([("readerId", UP), ("createdAt", DOWN), ("_id", DOWN)], name="received"),
        IndexModel([("ownerId", UP)], name="owner"),
    ],
    "addresses": [IndexModel([("userId", UP)], name="user", unique=True)],
    "activations": [
        IndexModel([("lineageId", UP), ("createdAt", DOWN), ("_id", DOWN)], name="newest"),
        IndexModel([("userId", UP)], name="user"),
    ],
    "usage": [IndexModel([("userId", UP), ("day", UP)], name="days")],
    "usagebatches": [IndexModel([("createdAt", UP)], name="age", expireAfterSeconds=YEAR)],
    "users": [IndexModel([("removedAt", UP)], name="removed", sparse=True)],
    "jobs": [IndexModel([("userId", UP), ("finishedAt", UP)], name="finished")],
    "aimodels": [IndexModel([("activatedAt", UP)], name="activated")],
}
Documents = Database[dict[str, Any]]


def upgrade(db: Documents) -> None:
    """Safe to repeat: each step looks for what it has not done yet."""
    present = set(db.list_collection_names())
    for collection, indexes in INDEXES.items():
        if collection not in present:
            db.create_collection(collection)
        db[collection].create_indexes(indexes)
    _give_addresses(db)
    _close_gaps(db)
    _write_history(db)


def _give_addresses(db: Documents) -> None:
    for user in db["users"].find({}, {"email": 1, "createdAt": 1}):
        known = {"userId": user["_id"], "askedAt": user.get("createdAt"), "opened": True}
        db["addresses"].update_one({"_id": user["email"]}, {"$set": known}, upsert=True)


def _close_gaps(db: Documents) -> None:
    """A version whose parent was removed becomes the child of its nearest ancestor left."""
    for lineage in db["lineages"].find({"removed": {"$exists": True}}):
        gone = lineage["removed"]
        for version in db["aimodels"].find({"userId": lineage["userId"], "parentId": {"$in": list(gone)}}):
            parent = version["parentId"]
            while parent in gone:
                parent = gone[parent]
            db["aimodels"].update_one({"_id": version["_id"]}, {"$set": {"parentId": parent}})
        db["lineages"].update_one({"_id": lineage["_id"]}, {"$unset": {"removed": 1}})


def _write_history(db: Documents) -> None:
    """Until now every version became active when it was made."""
    for version in db["aimodels"].find({"activatedAt": {"$exists": False}}):
        entry = {
            "userId": version["userId"],
            "lineageId": f"{version['userId']}:{version['modelType']}:{version['trackName']}",
            "modelId": version["_id"],
            "modelVersion": version["modelVersion"],
            "previousId": None,
            "previousVersion": None,
            "cause": "trained",
            "reason": None,
            "jobId": version["jobId"],
            "createdAt": version["createdAt"],
        }
        db["activations"].update_one(
            {"modelId": version["_id"], "lineageId": entry["lineageId"]},
            {"$set": entry, "$setOnInsert": {"_id": str(ObjectId())}},
            upsert=True,
        )
        done = {"$set": {"activatedAt": version["createdAt"]}}
        db["aimodels"].update_one({"_id": version["_id"]}, done)

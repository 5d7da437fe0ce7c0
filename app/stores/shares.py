"""Keeps which driver may read which version of another."""

from dataclasses import dataclass
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import Page
from app.mongo import Document, errors_translated, from_document, to_document
from app.paging import page_of


@dataclass(frozen=True, kw_only=True)
class Share:
    """The right of one driver to read a version of another and to predict with it.

    `reader_id` is that of the account with the address, or the one it will have when it is opened.
    """

    id: str
    model_id: str
    owner_id: str
    reader_id: str
    email: str
    created_at: datetime


class ShareStore:
    """Shares of all drivers; collection `shares`."""

    def __init__(self, database: Database[Document]) -> None:
        self._shares = database["shares"]

    def add(self, share: Share, *, tx: ClientSession) -> Share:
        """Adds a share; where the reader has one of this version already, that one."""
        found: Document = self._shares.find_one_and_update(  # type: ignore[assignment]  # an upsert finds one
            {"modelId": share.model_id, "readerId": share.reader_id},
            {"$setOnInsert": to_document(share)},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=tx,
        )
        return from_document(Share, found)

    def count_others(self, model_id: str, reader_id: str, *, tx: ClientSession) -> int:
        """With how many drivers besides this one the version is shared."""
        others = {"modelId": model_id, "readerId": {"$ne": reader_id}}
        return self._shares.count_documents(others, session=tx)

    def find(self, model_id: str, reader_id: str) -> Share | None:
        with errors_translated():
            found = self._shares.find_one({"modelId": model_id, "readerId": reader_id})
        return from_document(Share, found) if found else None

    def given(self, owner_id: str, model_id: str, limit: int, cursor: str | None) -> Page[Share]:
        """The shares of a driver's version, newest first."""
        query = {"modelId": model_id, "ownerId": owner_id}
        return page_of(self._shares, Share, query, limit=limit, cursor=cursor)

    def received(self, reader_id: str, limit: int, cursor: str | None) -> Page[Share]:
        """What is shared with a driver, newest first."""
        return page_of(self._shares, Share, {"readerId": reader_id}, limit=limit, cursor=cursor)

    def shared_models(self, owner_id: str) -> set[str]:
        """Ids of the driver's versions that are shared."""
        with errors_translated():
            return set(self._shares.distinct("modelId", {"ownerId": owner_id}))

    def remove(self, owner_id: str, model_id: str, reader_id: str) -> bool:
        """Whether there was such a share."""
        share = {"modelId": model_id, "readerId": reader_id, "ownerId": owner_id}
        with errors_translated():
            return self._shares.delete_one(share).deleted_count == 1

    def remove_of_model(self, model_id: str) -> None:
        with errors_translated():
            self._shares.delete_many({"modelId": model_id})

    def remove_all(self, user_id: str) -> None:
        """Removes what a driver has shared and what was shared with them."""
        with errors_translated():
            self._shares.delete_many({"$or": [{"ownerId": user_id}, {"readerId": user_id}]})

    def sweep(self, older_than: datetime) -> int:
        """Removes shares made before a time whose version is gone; how many."""
        stages: list[Document] = [
            {"$match": {"createdAt": {"$lt": older_than}}},
            {"$lookup": {"from": "aimodels", "localField": "modelId", "foreignField": "_id", "as": "models"}},
            {"$match": {"models": []}},
            {"$project": {"_id": 1}},
        ]
        with errors_translated():
            lost = [found["_id"] for found in self._shares.aggregate(stages)]
            return self._shares.delete_many({"_id": {"$in": lost}}).deleted_count

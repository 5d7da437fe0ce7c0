"""Tells how a driver's versions did, without the weight of whole versions."""

from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database

from app.domain import ModelType
from app.mongo import Document, errors_translated, from_document


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A version that is or was active; `mae` in seconds, of all its lineage had learned until then."""

    track_name: str
    model_type: ModelType
    model_version: str
    mae: float
    created_at: datetime


class Performance:
    """Reads collection `aimodels`."""

    def __init__(self, database: Database[Document]) -> None:
        self._versions = database["aimodels"]

    def measured(self, user_id: str, since: datetime, until: datetime) -> tuple[Measured, ...]:
        """A driver's versions made in a time that ever were active and have an error, oldest first.

        `until` is not in the time.
        """
        made = {
            "userId": user_id,
            "createdAt": {"$gte": since, "$lt": until},
            "activatedAt": {"$ne": None},
            "modelMetadata.mae": {"$ne": None},
        }
        shown: Document = dict.fromkeys(("trackName", "modelType", "modelVersion", "createdAt"), 1)
        shown["mae"] = "$modelMetadata.mae"
        stages: list[Document] = [
            {"$match": made},
            {"$sort": {"createdAt": 1, "_id": 1}},
            {"$project": shown},
        ]
        with errors_translated():
            return tuple(from_document(Measured, found) for found in self._versions.aggregate(stages))

"""What a lineage knows of drift: the newest found, the job that answers it, and whether and when one may."""

from datetime import datetime

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import FoundDrift, Lineage, LineageKey
from app.errors import LineageNotFound
from app.mongo import Document, errors_translated, from_document, to_document


class DriftStore:
    """The part of collection `lineages` that is about drift; a lineage's revision stays as it is."""

    def __init__(self, database: Database[Document]) -> None:
        self._lineages = database["lineages"]

    def get(self, key: LineageKey) -> Lineage:
        """A lineage.

        Raises
        ------
        LineageNotFound
        """
        with errors_translated():
            return _lineage(self._lineages.find_one({"_id": key.id}))

    def note(self, key: LineageKey, drift: FoundDrift, *, tx: ClientSession) -> None:
        """Puts a drift in the place of the one found before, answered or not."""
        self._lineages.update_one({"_id": key.id}, {"$set": {"drift": to_document(drift)}}, session=tx)

    def drop(self, key: LineageKey, drift: FoundDrift) -> None:
        """Forgets a drift that calls for nothing any more, unless a job or a newer one has come."""
        with errors_translated():
            self._lineages.update_one(_unanswered(key, drift), {"$unset": {"drift": ""}})

    def waiting(self, now: datetime) -> tuple[Lineage, ...]:
        """Lineages with a drift that a job may answer now."""
        query = {"drift._id": {"$exists": True}, "drift.jobId": None} | _may_retrain(now)
        with errors_translated():
            return tuple(from_document(Lineage, found) for found in self._lineages.find(query))

    def answer(
        self,
        key: LineageKey,
        drift: FoundDrift,
        job_id: str,
        *,
        now: datetime,
        until: datetime,
        tx: ClientSession,
    ) -> bool:
        """Whether the job is now the one that answers the drift; no other job answers one before `until`."""
        taken = self._lineages.update_one(
            _unanswered(key, drift) | _may_retrain(now),
            {"$set": {"drift.jobId": job_id, "retrainAfter": until}},
            session=tx,
        )
        return bool(taken.matched_count)

    def set_automatic_retraining(self, key: LineageKey, *, wanted: bool) -> Lineage:
        """Raises as `get` does."""
        with errors_translated():
            return _lineage(
                self._lineages.find_one_and_update(
                    {"_id": key.id},
                    {"$set": {"automaticRetraining": wanted}},
                    return_document=ReturnDocument.AFTER,
                )
            )


def _lineage(found: Document | None) -> Lineage:
    if found is None:
        raise LineageNotFound
    return from_document(Lineage, found)


def _unanswered(key: LineageKey, drift: FoundDrift) -> Document:
    return {"_id": key.id, "drift._id": drift.id, "drift.jobId": None}


def _may_retrain(now: datetime) -> Document:
    return {
        "activeModelId": {"$ne": None},
        "automaticRetraining": {"$ne": False},
        "$or": [{"retrainAfter": None}, {"retrainAfter": {"$lte": now}}],
    }

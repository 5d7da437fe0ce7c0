"""Keeps the history of what was active in a lineage, since when, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import Activation, ActivationCause, LineageKey, Page, Version, new_id
from app.mongo import Document, to_document
from app.paging import page_of


@dataclass(frozen=True)
class Why:
    """Why a version becomes active; `reason` in the words of whoever decided."""

    cause: ActivationCause
    reason: str | None = None


class Activations:
    """Histories of all lineages; an entry is written with the change it tells of, and stays."""

    def __init__(self, database: Database[Document]) -> None:
        self._activations = database["activations"]

    def add(
        self, version: Version, before: Mapping[str, Any] | None, why: Why, at: datetime, *, tx: ClientSession
    ) -> None:
        """Notes that a version became active; `before` is the document of the one that was."""
        key = LineageKey(
            user_id=version.user_id, track_name=version.track_name, model_type=version.model_type
        )
        entry = Activation(
            id=new_id(),
            user_id=version.user_id,
            lineage_id=key.id,
            model_id=version.id,
            model_version=version.model_version,
            previous_id=before["_id"] if before else None,
            previous_version=before["modelVersion"] if before else None,
            cause=why.cause,
            reason=why.reason,
            job_id=version.job_id if why.cause is ActivationCause.TRAINED else None,
            created_at=at,
        )
        self._activations.insert_one(to_document(entry), session=tx)

    def page(self, key: LineageKey, *, limit: int, cursor: str | None) -> Page[Activation]:
        """A lineage's history, newest first."""
        return page_of(self._activations, Activation, {"lineageId": key.id}, limit=limit, cursor=cursor)

    def remove_all(self, user_id: str, *, tx: ClientSession) -> None:
        self._activations.delete_many({"userId": user_id}, session=tx)

"""Keeps the history of what was active in a lineage, since when, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import LineageKey, Page, Version, key_of, new_id
from app.mongo import Document, to_document
from app.paging import page_of


class ActivationCause(StrEnum):
    """Why a version became the active one of its lineage."""

    TRAINED = "trained"  # a training job made it
    CHOSEN = "chosen"  # its driver activated it
    RETRAINED = "retrained"  # after drift it was trained anew and did better
    PROMOTED = "promoted"  # its driver ended a live experiment by it
    WON = "won"  # a live experiment that promotes by itself found it better
    IMPORTED = "imported"  # its driver brought it in from a file
    INHERITED = "inherited"  # the active version was removed and this one was next

    @property
    def by(self) -> str:
        """Who decided: the driver or the platform."""
        chosen = (ActivationCause.CHOSEN, ActivationCause.PROMOTED, ActivationCause.IMPORTED)
        return "driver" if self in chosen else "platform"


_BY_JOBS = (ActivationCause.TRAINED, ActivationCause.RETRAINED)


@dataclass(frozen=True, kw_only=True)
class Activation:
    """One entry of a lineage's history of active versions; it stays when the version is removed.

    `previous_id` was active before, None where nothing was. `reason` is in the words of whoever decided.
    """

    id: str
    user_id: str
    lineage_id: str
    model_id: str
    model_version: str
    previous_id: str | None
    previous_version: str | None
    cause: ActivationCause
    reason: str | None
    job_id: str | None
    created_at: datetime

    @property
    def by(self) -> str:
        return self.cause.by


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
        entry = Activation(
            id=new_id(),
            user_id=version.user_id,
            lineage_id=key_of(version).id,
            model_id=version.id,
            model_version=version.model_version,
            previous_id=before["_id"] if before else None,
            previous_version=before["modelVersion"] if before else None,
            cause=why.cause,
            reason=why.reason,
            job_id=version.job_id if why.cause in _BY_JOBS else None,
            created_at=at,
        )
        self._activations.insert_one(to_document(entry), session=tx)

    def page(self, key: LineageKey, *, limit: int, cursor: str | None) -> Page[Activation]:
        """A lineage's history, newest first."""
        return page_of(self._activations, Activation, {"lineageId": key.id}, limit=limit, cursor=cursor)

    def remove_all(self, user_id: str, *, tx: ClientSession) -> None:
        self._activations.delete_many({"userId": user_id}, session=tx)

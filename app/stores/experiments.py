"""Keeps live experiments; that one runs in a lineage at most is seen to by a unique partial index."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.domain import Version, key_of, utc_now
from app.errors import ExperimentNotFound, ExperimentRunning
from app.experiment import EndReason, Experiment, ExperimentStatus, Outcome, SessionScore
from app.mongo import Document, errors_translated, from_document, to_document

_RUNNING = ExperimentStatus.RUNNING.value


class ExperimentStore:
    """Experiments of all drivers; collection `experiments`."""

    def __init__(self, database: Database[Document]) -> None:
        self._experiments = database["experiments"]

    def add(self, experiment: Experiment, *, tx: ClientSession) -> None:
        """Records an experiment.

        Raises
        ------
        ExperimentRunning
            Another runs in its lineage.
        """
        try:
            self._experiments.insert_one(to_document(experiment), session=tx)
        except DuplicateKeyError as exc:
            raise ExperimentRunning from exc

    def find_running(self, lineage_id: str, *, tx: ClientSession | None = None) -> Experiment | None:
        with errors_translated(tx):
            found = self._experiments.find_one({"lineageId": lineage_id, "status": _RUNNING}, session=tx)
        return from_document(Experiment, found) if found else None

    def get(self, experiment_id: str, *, tx: ClientSession | None = None) -> Experiment:
        """An experiment that was found before; `ExperimentNotFound` when it was removed meanwhile."""
        with errors_translated(tx):
            found = self._experiments.find_one({"_id": experiment_id}, session=tx)
        if found is None:
            raise ExperimentNotFound
        return from_document(Experiment, found)

    def newest_of(self, user_id: str, model_id: str, *, tx: ClientSession | None = None) -> Experiment:
        """The newest experiment of a driver that a version takes or took part in, on either side.

        Raises
        ------
        ExperimentNotFound
        """
        sides = [{"incumbentIds": model_id}, {"challengerIds": model_id}]
        with errors_translated(tx):
            found = self._experiments.find_one(
                {"userId": user_id, "$or": sides}, sort=[("startedAt", -1), ("_id", -1)], session=tx
            )
        if found is None:
            raise ExperimentNotFound
        return from_document(Experiment, found)

    def advance(
        self,
        experiment: Experiment,
        *,
        incumbent_id: str,
        challenger_id: str,
        scores: Sequence[SessionScore],
        tx: ClientSession,
    ) -> Experiment | None:
        """Puts grown versions in the place of the two and notes the scores; None when it is not as it was."""
        ids = {"incumbentIds": [*experiment.incumbent_ids], "challengerIds": [*experiment.challenger_ids]}
        new = {"incumbentIds": incumbent_id, "challengerIds": challenger_id}
        grown = {side: model_id for side, model_id in new.items() if model_id != ids[side][-1]}
        noted = {"scores": {"$each": [to_document(score) for score in scores]}}
        found = self._experiments.find_one_and_update(
            {"_id": experiment.id, "status": _RUNNING} | ids,
            {"$push": grown | noted},
            return_document=ReturnDocument.AFTER,
            session=tx,
        )
        return from_document(Experiment, found) if found else None

    def end(
        self,
        experiment_id: str,
        reason: EndReason,
        *,
        outcome: Outcome | None = None,
        promoted_id: str | None = None,
        tx: ClientSession | None = None,
    ) -> Experiment | None:
        """Ends a running experiment; None when it was over."""
        ended = {
            "status": ExperimentStatus.ENDED.value,
            "reason": reason.value,
            "outcome": outcome and outcome.value,
            "promotedId": promoted_id,
            "endedAt": utc_now(),
        }
        with errors_translated(tx):
            found = self._experiments.find_one_and_update(
                {"_id": experiment_id, "status": _RUNNING},
                {"$set": ended},
                return_document=ReturnDocument.AFTER,
                session=tx,
            )
        return from_document(Experiment, found) if found else None

    def promote(self, experiment: Experiment, *, tx: ClientSession) -> None:
        """Notes that the challenger becomes active, which ends a running experiment."""
        promoted_id = experiment.challenger_id
        if experiment.is_running:
            self.end(experiment.id, EndReason.PROMOTED, promoted_id=promoted_id, tx=tx)
        else:
            self._experiments.update_one(
                {"_id": experiment.id}, {"$set": {"promotedId": promoted_id}}, session=tx
            )

    def version_activated(self, version: Version, _why: object, tx: ClientSession) -> None:
        """Ends the lineage's experiment when another version than its incumbent became active."""
        running = self.find_running(key_of(version).id, tx=tx)
        if running and running.incumbent_id != version.id:
            self.end(running.id, EndReason.ANOTHER_ACTIVATED, tx=tx)

    def version_removed(self, version: Version, tx: ClientSession) -> None:
        """Ends the lineage's experiment when one of its sides is removed."""
        running = self.find_running(key_of(version).id, tx=tx)
        if running and version.id == running.challenger_id:
            self.end(running.id, EndReason.CHALLENGER_REMOVED, tx=tx)
        elif running and version.id == running.incumbent_id:
            self.end(running.id, EndReason.INCUMBENT_REMOVED, tx=tx)

    def models_in_use(self, user_id: str) -> set[str]:
        """Ids of the versions that a driver's running experiments are between."""
        with errors_translated():
            found = self._experiments.find({"userId": user_id, "status": _RUNNING})
            running = [from_document(Experiment, document) for document in found]
        return {model_id for one in running for model_id in (one.incumbent_id, one.challenger_id)}

    def overdue(self, now: datetime) -> list[str]:
        """Ids of running experiments whose time is over."""
        with errors_translated():
            found = self._experiments.find({"status": _RUNNING, "endsAt": {"$lte": now}}, {"_id": 1})
            return [experiment["_id"] for experiment in found]

    def remove_all(self, user_id: str) -> None:
        with errors_translated():
            self._experiments.delete_many({"userId": user_id})

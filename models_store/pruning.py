"""Removes old versions that nobody will miss: those that never were active."""

from collections.abc import Collection

from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import LineageKey, Version
from app.mongo import Client, Document, errors_translated, from_document, in_transaction
from models_store.artifacts import Artifacts
from models_store.registry import ModelRegistry, number_of, of_lineage


class Pruning:
    """Removes versions and their binaries.

    Parameters
    ----------
    client, database
        Collection `aimodels` and bucket `models`.
    """

    def __init__(self, client: Client, database: Database[Document], registry: ModelRegistry) -> None:
        self._client = client
        self._versions = database["aimodels"]
        self._artifacts = Artifacts(database)
        self._registry = registry

    def lineages(self) -> tuple[LineageKey, ...]:
        """Those that have versions which never were active."""
        key = {name: f"${name}" for name in ("userId", "trackName", "modelType")}
        stages: list[Document] = [{"$match": {"activatedAt": None}}, {"$group": {"_id": key}}]
        with errors_translated():
            found = self._versions.aggregate(stages)
            return tuple(from_document(LineageKey, row["_id"]) for row in found)

    def prune(self, key: LineageKey, *, keep: int, used: Collection[str]) -> int:
        """Removes a lineage's versions that never were active, but not the newest `keep`; how many.

        Parameters
        ----------
        used
            Versions that stay in any case.
        """

        def work(tx: ClientSession) -> list[str]:
            found = list(self._versions.find(of_lineage(key), session=tx))
            found.sort(key=lambda document: number_of(document["modelVersion"]), reverse=True)
            old = [
                document
                for document in found[keep:]
                if document.get("activatedAt") is None and document["_id"] not in used
            ]
            for document in old:
                self._registry.drop(from_document(Version, document), tx=tx)
            return [document["_id"] for document in old]

        removed = in_transaction(self._client, work)
        for model_id in removed:
            self._artifacts.remove(model_id)
        return len(removed)

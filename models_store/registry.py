"""Keeps the versions of every lineage, and which of them is active, right whatever races."""

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from app.domain import Job, Lineage, LineageKey, ModelType, Page, Version, utc_now
from app.errors import LineageChanged, ModelNotFound
from app.mongo import Client, Document, errors_translated, from_document, in_transaction, to_document
from app.paging import page_of


class ModelRegistry:
    """Versions and lineages of all drivers; every read names the driver.

    Each change of a lineage raises its revision in the same transaction, so that whoever decided on an older
    state cannot write.

    Parameters
    ----------
    client, database
        Collections `aimodels` and `lineages`. Beside what `Lineage` says, a lineage's document holds
        `removed`: the parents of its removed versions by id, so that ancestry survives removal.
    """

    def __init__(self, client: Client, database: Database[Document]) -> None:
        self._client = client
        self._versions = database["aimodels"]
        self._at_one_moment = self._versions.with_options(read_concern=ReadConcern("snapshot"))
        self._lineages = database["lineages"]

    def get_version(self, user_id: str, model_id: str) -> Version:
        """A driver's version.

        Raises
        ------
        ModelNotFound
            Also when it is another driver's.
        """
        with errors_translated():
            return self._get(user_id, model_id)

    def versions(
        self,
        user_id: str,
        track_name: str,
        model_type: ModelType | None = None,
        *,
        active_only: bool = False,
        limit: int,
        cursor: str | None = None,
    ) -> Page[Version]:
        """A driver's versions on a track, newest first."""
        query: Document = {"userId": user_id, "trackName": track_name}
        if model_type is not None:
            query["modelType"] = model_type.value
        if active_only:
            query["isActive"] = True
        return page_of(self._versions, Version, query, limit=limit, cursor=cursor)

    def history(self, key: LineageKey) -> tuple[Version, ...]:
        """A lineage's versions, oldest first."""
        with errors_translated():
            found = [from_document(Version, document) for document in self._versions.find(_of(key))]
        return tuple(sorted(found, key=lambda version: _number(version.model_version)))

    def find_active(self, key: LineageKey) -> Version | None:
        # read at one moment, else a scan in the midst of an activation may miss the old and the new one
        with errors_translated():
            found = self._at_one_moment.find_one(_of(key) | {"isActive": True})
        return from_document(Version, found) if found else None

    def find_lineage(self, key: LineageKey) -> Lineage | None:
        with errors_translated():
            found = self._lineages.find_one({"_id": key.id})
        return from_document(Lineage, found) if found else None

    def active_lineages(self, user_id: str, track_name: str) -> tuple[Lineage, ...]:
        """A driver's lineages on a track that have an active version."""
        query = {"userId": user_id, "trackName": track_name, "activeModelId": {"$ne": None}}
        with errors_translated():
            return tuple(from_document(Lineage, found) for found in self._lineages.find(query))

    def add_version(self, version: Version, *, expected_revision: int, tx: ClientSession) -> None:
        """Adds a version as the newest of its lineage, and as the active one unless it says that it is not.

        Parameters
        ----------
        expected_revision
            Of the lineage when the version was decided on; 0 for a lineage that was not there.

        Raises
        ------
        LineageChanged
            The lineage has moved on since.
        """
        key = key_of(version)
        changes = {"newestVersion": version.model_version}
        if version.is_active:
            changes["activeModelId"] = version.id
        try:
            moved = self._lineages.update_one(
                {"_id": key.id, "revision": expected_revision},
                {"$set": _of(key) | changes, "$inc": {"revision": 1}},
                upsert=expected_revision == 0,
                session=tx,
            )
            if not (moved.matched_count or moved.upserted_id):
                raise LineageChanged
            if version.is_active:
                self._deactivate(key, tx)
            self._versions.insert_one(to_document(version), session=tx)
        except DuplicateKeyError as exc:
            raise LineageChanged from exc

    def activate(self, user_id: str, model_id: str) -> Version:
        """Makes a version the active one of its lineage; of two calls that race, one comes after the other.

        Raises
        ------
        ModelNotFound
        """

        def work(tx: ClientSession) -> Version:
            version = self._get(user_id, model_id, tx)
            if version.is_active:
                return version
            self._move(key_of(version), {"activeModelId": model_id}, tx)
            self._deactivate(key_of(version), tx)
            self._activate(model_id, tx)
            return self._get(user_id, model_id, tx)

        return in_transaction(self._client, work)

    def rename(
        self, user_id: str, model_id: str, *, model_name: str | None = None, description: str | None = None
    ) -> Version:
        """Changes the given ones of name and description.

        Raises
        ------
        ModelNotFound
        """
        given = {"modelName": model_name, "description": description}
        changes = {name: text for name, text in given.items() if text is not None}
        with errors_translated():
            self._versions.update_one(
                {"_id": model_id, "userId": user_id}, {"$set": changes | {"updatedAt": utc_now()}}
            )
            return self._get(user_id, model_id)

    def remove(self, user_id: str, model_id: str) -> None:
        """Removes a version; of the active one, its nearest ancestor left, else the newest, becomes active.

        Raises
        ------
        ModelNotFound
        """

        def work(tx: ClientSession) -> None:
            version = self._get(user_id, model_id, tx)
            self._versions.delete_one({"_id": model_id}, session=tx)
            changes: Document = {f"removed.{model_id}": version.parent_id}
            if version.is_active:
                changes["activeModelId"] = self._successor(version, tx)
            self._move(key_of(version), changes, tx)
            if version.is_active:
                self._activate(changes["activeModelId"], tx)

        in_transaction(self._client, work)

    def remove_all(self, user_id: str) -> tuple[str, ...]:
        """Removes a driver's versions and lineages; the versions' ids."""

        def work(tx: ClientSession) -> tuple[str, ...]:
            ids = tuple(self._versions.distinct("_id", {"userId": user_id}, session=tx))
            self._versions.delete_many({"userId": user_id}, session=tx)
            self._lineages.delete_many({"userId": user_id}, session=tx)
            return ids

        return in_transaction(self._client, work)

    def _get(self, user_id: str, model_id: str, tx: ClientSession | None = None) -> Version:
        found = self._versions.find_one({"_id": model_id, "userId": user_id}, session=tx)
        if found is None:
            raise ModelNotFound
        return from_document(Version, found)

    def _move(self, key: LineageKey, changes: Document, tx: ClientSession) -> None:
        self._lineages.update_one({"_id": key.id}, {"$set": changes, "$inc": {"revision": 1}}, session=tx)

    def _activate(self, model_id: str | None, tx: ClientSession) -> None:
        self._versions.update_one({"_id": model_id}, _now(is_active=True), session=tx)

    def _deactivate(self, key: LineageKey, tx: ClientSession) -> None:
        self._versions.update_many(_of(key) | {"isActive": True}, _now(is_active=False), session=tx)

    def _successor(self, removed: Version, tx: ClientSession) -> str | None:
        key = key_of(removed)
        left = {
            document["_id"]: _number(document["modelVersion"])
            for document in self._versions.find(_of(key), {"modelVersion": 1}, session=tx)
        }
        lineage = self._lineages.find_one({"_id": key.id}, session=tx) or {}
        ancestor = removed.parent_id
        while ancestor is not None and ancestor not in left:
            ancestor = lineage.get("removed", {}).get(ancestor)
        return ancestor or max(left, key=lambda model_id: left[model_id], default=None)


def key_of(one: Version | Lineage | Job) -> LineageKey:
    """The lineage that a version or a job belongs to."""
    return LineageKey(user_id=one.user_id, track_name=one.track_name, model_type=one.model_type)


def _of(key: LineageKey) -> Document:
    return {"userId": key.user_id, "trackName": key.track_name, "modelType": key.model_type.value}


def _now(*, is_active: bool) -> Document:
    return {"$set": {"isActive": is_active, "updatedAt": utc_now()}}


def _number(model_version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in model_version.split("."))

"""Keeps the versions of every lineage, and which of them is active, right whatever races."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from app.domain import Lineage, LineageKey, ModelType, Page, Version, key_of, utc_now
from app.errors import LineageChanged, ModelNotFound
from app.mongo import (
    Client,
    Document,
    after_commit,
    errors_translated,
    from_document,
    in_transaction,
    to_document,
)
from app.paging import page_of
from models_store.activations import ActivationCause, Activations, Why
from models_store.listed import IN_LISTS

OnActivation = Callable[[Version, Why, ClientSession], None]
OnRemoval = Callable[[Version, ClientSession], None]
OnChange = Callable[[str], None]


class ModelRegistry:
    """Versions and lineages of all drivers; every read names the driver.

    What answers several versions leaves out the `predictions` of their validation results.

    Each change of a lineage raises its revision in the same transaction, so that whoever decided on an older
    state cannot write.

    Parameters
    ----------
    client, database
        Collections `aimodels`, `lineages` and `activations`. Beside what `Version` says, a version's document
        has `activatedAt`, when it first became active, or None.
    on_activation
        Told, within the transaction, of each version that has become active, and why.
    on_switch
        Told so too, but not of a new version that was grown from the one that was active.
    on_removal
        Told, within the transaction, of each version that is about to be removed, before another one takes
        over from it.
    on_change
        Told the driver's id after one of their versions has become active or was removed.
    """

    def __init__(
        self,
        client: Client,
        database: Database[Document],
        *,
        on_activation: Sequence[OnActivation] = (),
        on_switch: Sequence[OnActivation] = (),
        on_removal: Sequence[OnRemoval] = (),
        on_change: OnChange = lambda _user_id: None,
    ) -> None:
        self._client = client
        self._on_activation = on_activation
        self._on_switch = on_switch
        self._on_removal = on_removal
        self._on_change = on_change
        self._versions = database["aimodels"]
        self._at_one_moment = self._versions.with_options(read_concern=ReadConcern("snapshot"))
        self._lineages = database["lineages"]
        self.activations = Activations(database)

    def get_version(self, user_id: str, model_id: str, *, tx: ClientSession | None = None) -> Version:
        """A driver's version.

        Raises
        ------
        ModelNotFound
            Also when it is another driver's.
        """
        with errors_translated(tx):
            return self._get(user_id, model_id, tx)

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
        return page_of(self._versions, Version, query, limit=limit, cursor=cursor, projection=IN_LISTS)

    def active_versions(self, user_id: str) -> tuple[Version, ...]:
        """The active versions of all lineages of a driver, newest first."""
        with errors_translated():
            found = self._versions.find({"userId": user_id, "isActive": True}, IN_LISTS)
            return tuple(from_document(Version, document) for document in found.sort("createdAt", -1))

    def find_all(self, owners: Mapping[str, str]) -> dict[str, Version]:
        """Those of the versions that are there, by id, of the drivers that `owners` names for each."""
        with errors_translated():
            found = self._versions.find({"_id": {"$in": list(owners)}}, IN_LISTS)
            return {
                document["_id"]: from_document(Version, document)
                for document in found
                if owners[document["_id"]] == document["userId"]
            }

    def history(self, key: LineageKey) -> tuple[Version, ...]:
        """A lineage's versions, oldest first."""
        with errors_translated():
            found = self._versions.find(of_lineage(key), IN_LISTS)
            versions = [from_document(Version, document) for document in found]
        return tuple(sorted(versions, key=lambda version: number_of(version.model_version)))

    def find_before(self, version: Version) -> Version | None:
        """The version of the same lineage that was made last before one."""
        earlier = of_lineage(key_of(version)) | {"createdAt": {"$lt": version.created_at}}
        with errors_translated():
            found = self._versions.find_one(earlier, sort=[("createdAt", -1), ("_id", -1)])
        return from_document(Version, found) if found else None

    def find_active(self, key: LineageKey, *, tx: ClientSession | None = None) -> Version | None:
        # read at one moment, else a scan in the midst of an activation may miss the old and the new one
        with errors_translated(tx):
            found = self._at_one_moment.find_one(of_lineage(key) | {"isActive": True}, session=tx)
        return from_document(Version, found) if found else None

    def find_lineage(self, key: LineageKey) -> Lineage | None:
        with errors_translated():
            found = self._lineages.find_one({"_id": key.id})
        return from_document(Lineage, found) if found else None

    def find_twin(self, key: LineageKey, sha256: str, *, tx: ClientSession) -> Version | None:
        """A version of the lineage with this very binary."""
        found = self._versions.find_one(of_lineage(key) | {"sha256": sha256}, session=tx)
        return from_document(Version, found) if found else None

    def active_among(self, lineage_ids: Collection[str], *, tx: ClientSession | None = None) -> set[str]:
        """Those of the lineages that have an active version."""
        query = {"_id": {"$in": list(lineage_ids)}, "activeModelId": {"$ne": None}}
        return {found["_id"] for found in self._lineages.find(query, {"_id": 1}, session=tx)}

    def add_version(
        self,
        version: Version,
        *,
        expected_revision: int,
        tx: ClientSession,
        why: Why | None = Why(ActivationCause.TRAINED),  # noqa: B008  # frozen
    ) -> None:
        """Adds a version as the newest of its lineage, and as the active one.

        Parameters
        ----------
        expected_revision
            Of the lineage when the version was decided on; 0 for a lineage that was not there.
        why
            It becomes the active one; None leaves the active one as it is.

        Raises
        ------
        LineageChanged
            The lineage has moved on since.
        """
        now = utc_now()
        try:
            self._move_on(version, expected_revision, tx, active=why is not None)
            before = self._retire(key_of(version), now, tx) if why else None
            state = {"isActive": why is not None, "activatedAt": now if why else None}
            self._versions.insert_one(to_document(version) | state, session=tx)
        except DuplicateKeyError as exc:
            raise LineageChanged from exc
        if why is not None:
            is_grown = before is not None and before["_id"] == version.parent_id
            self._tell(version, before, why, now, tx, is_grown=is_grown)

    def hold(self, key: LineageKey, *, active_id: str, tx: ClientSession) -> bool:
        """Whether the version is the active one; if so the revision rises, and nobody moves on unaware."""
        held = self._lineages.update_one(
            {"_id": key.id, "activeModelId": active_id}, {"$inc": {"revision": 1}}, session=tx
        )
        return held.matched_count == 1

    def activate(
        self,
        user_id: str,
        model_id: str,
        why: Why = Why(ActivationCause.CHOSEN),  # noqa: B008  # frozen
        *,
        expected_active_id: str | None = None,
        tx: ClientSession | None = None,
    ) -> Version:
        """Makes a version the active one of its lineage; of two calls that race, one comes after the other.

        Parameters
        ----------
        expected_active_id
            What must be active before; None takes what is.

        Raises
        ------
        ModelNotFound
        LineageChanged
            Another version is active than the one expected.
        """

        def work(tx: ClientSession) -> Version:
            version = self._get(user_id, model_id, tx)
            if version.is_active:
                return version
            lineage = self._lineages.find_one({"_id": key_of(version).id}, session=tx) or {}
            if expected_active_id not in (None, lineage.get("activeModelId")):
                raise LineageChanged(activeModelId=lineage.get("activeModelId"))
            self._switch(version, why, tx)
            self._touch(key_of(version), tx)
            return self._get(user_id, model_id, tx)

        return work(tx) if tx else in_transaction(self._client, work)

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
        """Removes a version; its children become its parent's.

        Of the active one the parent, else the newest version left, becomes active.

        Raises
        ------
        ModelNotFound
        """
        in_transaction(self._client, lambda tx: self.drop(self._get(user_id, model_id, tx), tx=tx))

    def drop(self, version: Version, *, tx: ClientSession) -> None:
        """Removes a version as `remove` does."""
        key = key_of(version)
        after_commit(lambda: self._on_change(version.user_id))
        for tell in self._on_removal:
            tell(version, tx)
        if version.is_active:
            self._hand_over(version, tx)
        self._versions.delete_one({"_id": version.id}, session=tx)
        self._versions.update_many(
            of_lineage(key) | {"parentId": version.id}, {"$set": {"parentId": version.parent_id}}, session=tx
        )
        self._touch(key, tx)

    def remove_all(self, user_id: str) -> tuple[str, ...]:
        """Removes a driver's versions, lineages and history; the versions' ids."""

        def work(tx: ClientSession) -> tuple[str, ...]:
            after_commit(lambda: self._on_change(user_id))
            ids = tuple(self._versions.distinct("_id", {"userId": user_id}, session=tx))
            self._versions.delete_many({"userId": user_id}, session=tx)
            self._lineages.delete_many({"userId": user_id}, session=tx)
            self.activations.remove_all(user_id, tx=tx)
            return ids

        return in_transaction(self._client, work)

    def _get(self, user_id: str, model_id: str, tx: ClientSession | None = None) -> Version:
        found = self._versions.find_one({"_id": model_id, "userId": user_id}, session=tx)
        if found is None:
            raise ModelNotFound
        return from_document(Version, found)

    def _move_on(self, version: Version, expected_revision: int, tx: ClientSession, *, active: bool) -> None:
        """Makes a version the newest of its lineage, if that is still of the revision."""
        key = key_of(version)
        found: Document = of_lineage(key) | {"newestVersion": version.model_version}
        change: Document = {"$inc": {"revision": 1}, "$set": found}
        if active:
            found["activeModelId"] = version.id
        else:
            change["$setOnInsert"] = {"activeModelId": None}
        moved = self._lineages.update_one(
            {"_id": key.id, "revision": expected_revision}, change, upsert=expected_revision == 0, session=tx
        )
        if not (moved.matched_count or moved.upserted_id):
            raise LineageChanged

    def _switch(self, version: Version, why: Why, tx: ClientSession) -> None:
        """Makes a version active in the place of the one that is, and writes it into the history."""
        key, now = key_of(version), utc_now()
        before = self._retire(key, now, tx)
        self._versions.update_one(
            {"_id": version.id}, {"$set": {"isActive": True, "updatedAt": now}}, session=tx
        )
        self._versions.update_one(
            {"_id": version.id, "activatedAt": None}, {"$set": {"activatedAt": now}}, session=tx
        )
        self._set(key, {"activeModelId": version.id}, tx)
        self._tell(version, before, why, now, tx, is_grown=False)

    def _retire(self, key: LineageKey, now: datetime, tx: ClientSession) -> Document | None:
        """Makes no version of the lineage active; what is known of the one that was."""
        return self._versions.find_one_and_update(
            of_lineage(key) | {"isActive": True},
            {"$set": {"isActive": False, "updatedAt": now}},
            {"modelVersion": 1},
            session=tx,
        )

    def _tell(
        self,
        version: Version,
        before: Document | None,
        why: Why,
        at: datetime,
        tx: ClientSession,
        *,
        is_grown: bool,
    ) -> None:
        """Tells whom it concerns that a version has become active; `before` was it until then."""
        after_commit(lambda: self._on_change(version.user_id))
        self.activations.add(version, before, why, at, tx=tx)
        for tell in self._on_activation if is_grown else (*self._on_switch, *self._on_activation):
            tell(version, why, tx)

    def _hand_over(self, leaving: Version, tx: ClientSession) -> None:
        """Makes another version active before the active one is removed, or none if there is no other."""
        key = key_of(leaving)
        others = of_lineage(key) | {"_id": {"$ne": leaving.id}}
        left = {
            found["_id"]: number_of(found["modelVersion"])
            for found in self._versions.find(others, {"modelVersion": 1}, session=tx)
        }
        if not left:
            self._set(key, {"activeModelId": None}, tx)
            return
        newest = max(left, key=lambda model_id: left[model_id])
        heir = leaving.parent_id if leaving.parent_id and leaving.parent_id in left else newest
        why = Why(ActivationCause.INHERITED, reason=f"{leaving.model_version} was removed")
        self._switch(self._get(leaving.user_id, heir, tx), why, tx)

    def _touch(self, key: LineageKey, tx: ClientSession) -> None:
        self._lineages.update_one({"_id": key.id}, {"$inc": {"revision": 1}}, session=tx)

    def _set(self, key: LineageKey, values: Document, tx: ClientSession) -> None:
        self._lineages.update_one({"_id": key.id}, {"$set": values}, session=tx)


def of_lineage(key: LineageKey) -> Document:
    """What finds the versions of a lineage."""
    return {"userId": key.user_id, "trackName": key.track_name, "modelType": key.model_type.value}


def number_of(model_version: str) -> tuple[int, ...]:
    """A version number as versions are ordered by.

    >>> number_of("1.0.10") > number_of("1.0.9")
    True
    """
    return tuple(int(part) for part in model_version.split("."))

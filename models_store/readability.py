"""Notes which versions' binaries cannot be read, so that operators learn of it and drivers of what to do."""

from collections.abc import Iterator

from pymongo.database import Database

from app.domain import Version
from app.errors import ArtifactRefused, ModelUnreadable
from app.mongo import Document, errors_translated, from_document
from models_store import formats


class Readability:
    """Keeps `unreadable` in collection `aimodels`: why a binary could not be read when last tried."""

    def __init__(self, database: Database[Document]) -> None:
        self._versions = database["aimodels"]

    def every(self) -> Iterator[Version]:
        """The versions of all drivers, for operators."""
        with errors_translated():
            for document in self._versions.find({}):
                yield from_document(Version, document)

    def note(self, version: Version, reason: str | None) -> None:
        """Notes why a version's binary cannot be read, or that it can be again."""
        if version.unreadable != reason:
            with errors_translated():
                self._versions.update_one({"_id": version.id}, {"$set": {"unreadable": reason}})

    def count(self) -> int:
        """How many versions could not be read, or are of a newer format than this release reads."""
        newer = {"format": {"$gt": formats.CURRENT}}
        with errors_translated():
            return self._versions.count_documents({"$or": [{"unreadable": {"$type": "string"}}, newer]})


def unreadable(version: Version, exc: ArtifactRefused) -> ModelUnreadable:
    """The error that says which version cannot be used, and why."""
    return ModelUnreadable(
        f"version {version.model_version} is unreadable: {exc.message}; activate another version, or train"
        " the model again from its sessions",
        modelId=version.id,
        modelVersion=version.model_version,
        reason=exc.message,
    )

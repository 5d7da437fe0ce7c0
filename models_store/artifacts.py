"""Keeps the binaries of versions in GridFS, each under its version's id."""

from datetime import datetime

import structlog
from bson import ObjectId
from gridfs import GridFSBucket
from gridfs.errors import CorruptGridFile, NoFile
from pymongo.database import Database

from app.errors import ArtifactRefused, ModelNotFound
from app.mongo import MAJORITY, Document, errors_translated

BUCKET = "models"
log = structlog.get_logger()


class Artifacts:
    """Binaries of all versions; what they hold is signed and checked elsewhere."""

    def __init__(self, database: Database[Document]) -> None:
        self._files = GridFSBucket(database, bucket_name=BUCKET, write_concern=MAJORITY)
        self._chunks = database[f"{BUCKET}.chunks"]

    def put(self, model_id: str, data: bytes) -> None:
        with errors_translated():
            self._files.upload_from_stream_with_id(model_id, model_id, data)

    def read(self, model_id: str, *, size: int) -> bytes:
        """The version's binary.

        Raises
        ------
        ModelNotFound
            It is removed, as its version is first.
        ArtifactRefused
            It has another size, or a part is missing; also logged.
        """
        with errors_translated():
            try:
                stream = self._files.open_download_stream(model_id)
                if stream.length != size:
                    raise _refused(model_id, f"it has {stream.length} bytes instead of {size}")
                return stream.read()
            except NoFile as exc:
                raise ModelNotFound from exc
            except CorruptGridFile as exc:
                raise _refused(model_id, f"it cannot be read: {exc}") from exc

    def remove(self, model_id: str) -> None:
        """Removes the binary, or what an earlier removal or a broken-off upload left of it."""
        with errors_translated():
            try:
                self._files.delete(model_id)
            except NoFile:
                return  # delete has removed what chunks there were

    def sweep(self, older_than: datetime) -> int:
        """Removes binaries that no version refers to; how many.

        Ids tell when they were made, so a broken-off upload, which has no date, is found like the rest.

        Parameters
        ----------
        older_than
            Must lie further back than any binary may wait for its version to be committed.
        """
        with errors_translated():
            orphans = [found["_id"] for found in self._chunks.aggregate(_orphans(older_than))]
        for model_id in orphans:
            self.remove(model_id)
        return len(orphans)


def _refused(model_id: str, reason: str) -> ArtifactRefused:
    log.warning("artifact_refused", model_id=model_id, reason=reason)
    return ArtifactRefused(reason)


def _orphans(older_than: datetime) -> list[Document]:
    newest = str(ObjectId.from_datetime(older_than))
    return [
        {"$match": {"files_id": {"$lt": newest}}},
        {"$group": {"_id": "$files_id"}},
        {"$lookup": {"from": "aimodels", "localField": "_id", "foreignField": "_id", "as": "versions"}},
        {"$match": {"versions": []}},
        {"$project": {"_id": 1}},
    ]

"""GridFS buckets whose files each belong to the document of the same id in another collection."""

import hashlib
from datetime import datetime
from typing import BinaryIO

from bson import Int64, ObjectId
from gridfs import DEFAULT_CHUNK_SIZE, GridFSBucket, NoFile
from gridfs.errors import CorruptGridFile
from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import utc_now
from app.mongo import MAJORITY, Document, errors_translated


class Bucket:
    """Files of all drivers.

    Parameters
    ----------
    name
        Of the bucket.
    owners
        The collection whose documents the files belong to; a file is written before its document, or with it.
    """

    def __init__(self, database: Database[Document], name: str, *, owners: str) -> None:
        self._files = GridFSBucket(database, bucket_name=name, write_concern=MAJORITY)
        self._heads = database.get_collection(f"{name}.files", write_concern=MAJORITY)
        self._chunks = database.get_collection(f"{name}.chunks", write_concern=MAJORITY)
        self._owners = owners

    def put(self, file_id: str, source: bytes | BinaryIO) -> None:
        with errors_translated():
            if isinstance(source, bytes) and is_small(source):
                self.put_small(file_id, source)
            else:
                self._files.upload_from_stream_with_id(file_id, file_id, source)

    def put_small(self, file_id: str, data: bytes, *, tx: ClientSession | None = None) -> None:
        """Writes a file that `is_small` as GridFS would, which looks for its indexes each time and takes no
        part in transactions."""
        self._chunks.insert_one({"files_id": file_id, "n": 0, "data": data}, session=tx)
        head = {"filename": file_id, "chunkSize": DEFAULT_CHUNK_SIZE, "length": Int64(len(data))}
        self._heads.insert_one({"_id": file_id, "uploadDate": utc_now()} | head, session=tx)

    def get(self, file_id: str) -> bytes | None:
        """The whole file; None where there is none."""
        with errors_translated():
            parts = self._parts(file_id)
            if parts and len(parts[-1]) < DEFAULT_CHUNK_SIZE:  # only the last one is not full
                return b"".join(parts)
            try:
                return self._files.open_download_stream(file_id).read()
            except NoFile:
                return None

    def digest(self, file_id: str) -> str | None:
        """The SHA-256 of the file, read bit by bit; None where there is none, or a part of it is missing."""
        digest = hashlib.sha256()
        with errors_translated():
            try:
                stream = self._files.open_download_stream(file_id)
                while part := stream.readchunk():
                    digest.update(part)
            except (NoFile, CorruptGridFile):
                return None
        return digest.hexdigest()

    def remove(self, file_id: str) -> None:
        """Removes the file, or what an earlier removal or a broken-off upload left of it."""
        with errors_translated():
            try:
                self._files.delete(file_id)
            except NoFile:
                return  # delete has removed what chunks there were

    def sweep(self, older_than: datetime) -> int:
        """Removes files that no document has; how many.

        Ids tell when they were made, so a broken-off upload, which has no date, is found like the rest.

        Parameters
        ----------
        older_than
            Must lie further back than any file may wait for its document to be committed.
        """
        with errors_translated():
            orphans = [found["_id"] for found in self._chunks.aggregate(self._orphans(older_than))]
        for file_id in orphans:
            self.remove(file_id)
        return len(orphans)

    def _parts(self, file_id: str) -> list[bytes]:
        """The file's parts in order by one query, where GridFS makes two; none if one between is missing."""
        found = list(self._chunks.find({"files_id": file_id}, {"n": 1, "data": 1}).sort("n", 1))
        is_whole = [part["n"] for part in found] == list(range(len(found)))
        return [part["data"] for part in found] if is_whole else []

    def _orphans(self, older_than: datetime) -> list[Document]:
        newest = str(ObjectId.from_datetime(older_than))
        owner = {"from": self._owners, "localField": "_id", "foreignField": "_id", "as": "owners"}
        return [
            {"$match": {"files_id": {"$lt": newest}}},
            {"$group": {"_id": "$files_id"}},
            {"$lookup": owner},
            {"$match": {"owners": []}},
            {"$project": {"_id": 1}},
        ]


def is_small(data: bytes) -> bool:
    """Whether a file has one part, and so may be written within a transaction."""
    return 0 < len(data) <= DEFAULT_CHUNK_SIZE

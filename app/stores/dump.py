"""Reads a whole database into a backup while the platform runs, and back into an empty one.

All documents are read as they were at one moment. The parts of files are not: they never change, are written
before their document or with it, and removed after it, so whatever the documents of that moment need is there
but for what was removed since; the backup names that.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, Any

from bson import decode_all
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from app.errors import BackupFailed
from app.mongo import Client, Document, errors_translated
from app.stores.archive import Writer
from app.stores.migrating import LOCK, RESTORING, STATES

OWNERS = ("aimodels", "sessions")  # the collections whose documents have files
_CHUNKS = ".chunks"  # the parts of files
_LEFT_OUT = {LOCK, RESTORING}
_RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
_HISTORY_GONE = {239, 246}  # SnapshotTooOld, SnapshotUnavailable
_AT_ONCE = 1_000
OnDocuments = Callable[[int], None]


class Dump:
    """The contents of one database."""

    def __init__(self, client: Client, database: Database[Document]) -> None:
        self._client = client
        self._database = database

    def count(self) -> int:
        """About how many documents there are, parts of files among them."""
        with errors_translated():
            return sum(self._database[name].estimated_document_count() for name in self._names())

    def is_empty(self) -> bool:
        """Whether there is nothing but what migrations make."""
        with errors_translated():
            names = (name for name in self._names() if name != STATES)
            return all(self._database[name].find_one({}, {"_id": 1}) is None for name in names)

    def write(self, archive: Writer, on_documents: OnDocuments) -> dict[str, list[str]]:
        """Adds everything to a backup; the ids, by collection, of what was removed while it did.

        Raises
        ------
        BackupFailed
            Reading took longer than MongoDB keeps what has changed since.
        """
        names = self._names()
        with errors_translated(), TemporaryFile("w+") as owners:
            try:
                with self._client.start_session(snapshot=True) as moment:
                    for name in names:
                        if not name.endswith(_CHUNKS):
                            found = self._raw(name).find(session=moment)
                            archive.add(name, self._documents(name, found, on_documents, owners))
            except OperationFailure as exc:
                if exc.code not in _HISTORY_GONE:
                    raise
                raise BackupFailed(
                    "reading the documents took longer than MongoDB keeps their history; raise its parameter"
                    " minSnapshotHistoryWindowInSeconds (300 s), or back up at a quieter time"
                ) from exc
            for name in names:
                if name.endswith(_CHUNKS):
                    found = self._raw(name).find(batch_size=32).sort([("files_id", 1), ("n", 1)])
                    archive.add(name, self._documents(name, found, on_documents, owners))
            return self._removed(owners)

    def read(self, parts: Iterator[tuple[str, bytes]]) -> None:
        """Adds a backup's documents."""
        with errors_translated():
            for name, data in parts:
                if data and name != STATES:
                    self._database[name].insert_many(decode_all(data, _RAW), ordered=False)

    def owned(self, name: str, ids: Sequence[str]) -> list[tuple[str, str]]:
        """Those of a collection's documents that are there: their drivers and ids."""
        with errors_translated():
            found = self._database[name].find({"_id": {"$in": list(ids)}}, {"userId": 1})
            return [(document["userId"], document["_id"]) for document in found]

    def clear(self) -> None:
        """Removes everything but the note that a restore is under way."""
        with errors_translated():
            for name in self._names():
                self._database.drop_collection(name)

    def _names(self) -> list[str]:
        found = self._database.list_collection_names()
        return sorted(name for name in found if name not in _LEFT_OUT and not name.startswith("system."))

    def _raw(self, name: str) -> Collection[Any]:
        return self._database.get_collection(name, codec_options=_RAW)

    def _documents(
        self, name: str, found: Iterator[Any], on_documents: OnDocuments, owners: IO[str]
    ) -> Iterator[bytes]:
        for document in found:
            if name in OWNERS:
                owners.write(f"{name} {document['_id']}\n")
            on_documents(1)
            yield document.raw

    def _removed(self, owners: IO[str]) -> dict[str, list[str]]:
        removed: dict[str, list[str]] = {name: [] for name in OWNERS}
        owners.seek(0)
        while lines := [line.split() for line in islice(owners, _AT_ONCE)]:
            for name in OWNERS:
                ids = [one for collection, one in lines if collection == name]
                there = {
                    found["_id"] for found in self._database[name].find({"_id": {"$in": ids}}, {"_id": 1})
                }
                removed[name] += [one for one in ids if one not in there]
        return removed

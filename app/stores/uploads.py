"""Keeps uploads that arrive in chunks, in MongoDB, so that they outlive a restart of the API."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.domain import UploadStart, new_id, utc_now
from app.errors import Unavailable, UploadFinished, UploadNotFound
from app.mongo import Document, errors_translated, from_document, to_document


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A session on its way; `session_id` and `job_ids` are set once it is complete."""

    id: str
    user_id: str
    session_name: str
    track_name: str
    car_model: str | None
    driver: str | None = None
    setup: Mapping[str, float] = field(default_factory=dict)
    session_id: str | None = None
    job_ids: tuple[str, ...] = ()
    completing_until: datetime | None = None
    created_at: datetime


COMPLETING = timedelta(seconds=15)  # without a sign of life, then a call no longer keeps others out


class UploadStore:
    """Uploads and their chunks; a chunk's rows are kept as compressed JSON lines."""

    def __init__(self, database: Database[Document]) -> None:
        self._uploads = database["uploads"]
        self._chunks = database["uploadchunks"]

    def add(self, user_id: str, start: UploadStart, now: datetime, *, tx: ClientSession) -> Upload:
        upload = Upload(
            id=new_id(),
            user_id=user_id,
            session_name=start.session_name,
            track_name=start.track_name,
            car_model=start.car_model,
            driver=start.driver,
            setup=start.setup,
            created_at=now,
        )
        self._uploads.insert_one(to_document(upload), session=tx)
        return upload

    def get(self, user_id: str, upload_id: str) -> Upload:
        with errors_translated():
            found = self._uploads.find_one({"_id": upload_id, "userId": user_id})
        if found is None:
            raise UploadNotFound
        return from_document(Upload, found)

    def put_chunk(self, upload: Upload, index: int, data: bytes, size: int, *, tx: ClientSession) -> None:
        """Keeps a chunk, in place of an earlier one of the same index; `size` is before compression.

        Raises
        ------
        UploadFinished
            It is complete, or being completed: a chunk that is taken is never lost.
        """
        chunk: dict[str, Any] = {"uploadId": upload.id, "index": index, "data": data, "size": size}
        chunk["bytes"] = len(data)
        former = self._chunks.find_one_and_replace(
            {"_id": f"{upload.id}:{index}"}, chunk, {"bytes": 1}, upsert=True, session=tx
        )
        more = len(data) - (former or {}).get("bytes", 0)
        taken = self._uploads.update_one(_open(upload.id), {"$inc": {"writes": 1, "bytes": more}}, session=tx)
        if not taken.matched_count:
            raise UploadFinished

    @contextmanager
    def completing(self, upload: Upload) -> Iterator[bool]:
        """Whether this call may complete the upload; within it no other may, nor can chunks change."""
        ours = {"_id": upload.id, "completingBy": secrets.token_hex(16)}
        with errors_translated():
            claimed = self._uploads.update_one(_open(upload.id), {"$set": ours | _for_a_while()})
        if not claimed.matched_count:
            yield False
            return
        is_over = Event()
        keeper = Thread(target=self._keep, args=(ours, is_over), daemon=True)
        keeper.start()
        try:
            yield True
        finally:
            is_over.set()
            keeper.join()
            with suppress(Unavailable), errors_translated():  # then it ends by itself
                self._uploads.update_one(ours, {"$set": {"completingUntil": None}})

    def _keep(self, claim: Document, is_over: Event) -> None:
        while not is_over.wait(COMPLETING.total_seconds() / 3):
            with suppress(Unavailable), errors_translated():
                self._uploads.update_one(claim, {"$set": _for_a_while()})

    def chunk_sizes(self, upload: Upload) -> dict[int, int]:
        """The size before compression of each chunk that is there, by index."""
        with errors_translated():
            found = self._chunks.find({"uploadId": upload.id}, {"index": 1, "size": 1}).sort("index", 1)
            return {chunk["index"]: chunk["size"] for chunk in found}

    def waiting_bytes(self, user_id: str | None = None) -> int:
        """Bytes of the chunks, as they are kept, of uploads that are not complete: of a driver, or of all."""
        waiting: Document = {"bytes": {"$gt": 0}} | ({"userId": user_id} if user_id else {})
        total: Document = {"_id": None, "bytes": {"$sum": "$bytes"}}
        with errors_translated():
            found = list(self._uploads.aggregate([{"$match": waiting}, {"$group": total}]))
        return int(found[0]["bytes"]) if found else 0

    def chunks(self, upload: Upload) -> Iterator[bytes]:
        """The chunks in order of index, as `put_chunk` got them, one at a time."""
        with errors_translated():
            for chunk in self._chunks.find({"uploadId": upload.id}).sort("index", 1).batch_size(1):
                yield chunk["data"]

    def finish(self, upload: Upload, session_id: str, job_ids: Sequence[str]) -> None:
        with errors_translated():
            self._uploads.update_one(
                {"_id": upload.id}, {"$set": {"sessionId": session_id, "jobIds": list(job_ids), "bytes": 0}}
            )
            self._chunks.delete_many({"uploadId": upload.id})

    def remove_older(self, than: datetime) -> int:
        """Removes uploads begun before a time, complete or given up, and what there is of their chunks.

        One that is being completed at this moment is left for the next time.
        """
        old = {"createdAt": {"$lt": than}, "$or": _nobody_completes()}
        with errors_translated():
            ids = [found["_id"] for found in self._uploads.find(old, {"_id": 1})]
            self._chunks.delete_many({"uploadId": {"$in": ids}})
            self._uploads.delete_many({"_id": {"$in": ids}})
        return len(ids)

    def remove_all(self, user_id: str) -> None:
        with errors_translated():
            ids = self._uploads.distinct("_id", {"userId": user_id})
            self._chunks.delete_many({"uploadId": {"$in": ids}})
            self._uploads.delete_many({"userId": user_id})


def _open(upload_id: str) -> Document:
    return {"_id": upload_id, "sessionId": None, "$or": _nobody_completes()}


def _for_a_while() -> Document:
    return {"completingUntil": utc_now() + COMPLETING}


def _nobody_completes() -> list[Document]:
    return [{"completingUntil": None}, {"completingUntil": {"$lt": utc_now()}}]

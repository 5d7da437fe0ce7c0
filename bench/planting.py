"""Writes many lineages into a platform's database at once, each version with a binary that loads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

from bson import ObjectId
from gridfs import DEFAULT_CHUNK_SIZE
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

from app.domain import LineageKey, ModelType, Version, new_id, utc_now
from app.mongo import Document, from_document
from bench.stage import LAP_TIME
from models_store.codec import Owner, signed_for
from models_store.store import artifact_of

T = TypeVar("T")
BATCH = 1_000
FAST = WriteConcern(1, j=False)  # what is planted need not survive


@dataclass(frozen=True)
class Seed:
    """A version that was trained, and its binary: what is planted are copies of it."""

    document: Document
    data: bytes

    @classmethod
    def of(cls, database: Any, model_id: str) -> "Seed":
        """A version of a database."""
        parts = database["models.chunks"].find({"files_id": model_id}).sort("n", 1)
        return cls(database["aimodels"].find_one({"_id": model_id}), b"".join(part["data"] for part in parts))


def plant(
    database: Any, seed: Seed, lineages: Sequence[tuple[str, str]], *, versions: int, key: bytes
) -> list[str]:
    """Lineages with so many versions each, the newest active; the ids of the active ones.

    Parameters
    ----------
    lineages
        The driver and the track of each.
    key
        Signs the binaries.
    """
    artifact = artifact_of(from_document(Version, seed.document), seed.data)
    active = []
    for some in _batches(iter(lineages), max(BATCH // versions, 1)):
        documents, states = [], []
        for user_id, track_name in some:
            ids = [new_id() for _ in range(versions)]
            active.append(ids[-1])
            states.append(_lineage(user_id, track_name, ids))
            for number, model_id in enumerate(ids):
                owner = Owner(user_id=user_id, model_id=model_id)
                signed = signed_for(artifact, owner, key=key)
                documents.append(
                    _version(seed.document, owner, track_name, number, ids) | {"hmac": signed.hmac}
                )
        _insert(database["lineages"], states)
        _insert(database["aimodels"], documents)
        _insert(database["models.files"], [_file(one["_id"], len(seed.data)) for one in documents])
        _insert(database["models.chunks"], [_chunk(one["_id"], seed.data) for one in documents])
    return active


def _lineage(user_id: str, track_name: str, ids: Sequence[str]) -> Document:
    key = LineageKey(user_id=user_id, track_name=track_name, model_type=ModelType(LAP_TIME))
    return {
        "_id": key.id,
        "userId": user_id,
        "trackName": track_name,
        "modelType": LAP_TIME,
        "revision": len(ids),
        "newestVersion": f"1.0.{len(ids) - 1}",
        "activeModelId": ids[-1],
    }


def _version(trained: Document, owner: Owner, track_name: str, number: int, ids: Sequence[str]) -> Document:
    return trained | {
        "_id": owner.model_id,
        "userId": owner.user_id,
        "trackName": track_name,
        "modelVersion": f"1.0.{number}",
        "jobId": new_id(),
        "parentId": ids[number - 1] if number else None,
        "isActive": number == len(ids) - 1,
        "createdAt": trained["createdAt"] + timedelta(minutes=number),
    }


def _file(model_id: str, length: int) -> Document:
    return {
        "_id": model_id,
        "filename": model_id,
        "length": length,
        "chunkSize": DEFAULT_CHUNK_SIZE,
        "uploadDate": utc_now(),
    }


def _chunk(model_id: str, data: bytes) -> Document:
    return {"_id": ObjectId(), "files_id": model_id, "n": 0, "data": data}


def _insert(collection: Collection[Document], documents: Sequence[Document]) -> None:
    collection.with_options(write_concern=FAST).insert_many(documents, ordered=False)


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch

"""Signs binaries anew after the key that signs was replaced, while the platform goes on working."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from pymongo.database import Database

from app.domain import Version
from app.errors import ArtifactRefused, ModelNotFound
from app.keys import KeyRing
from app.mongo import Document, errors_translated, from_document
from models_store.artifacts import Artifacts
from models_store.codec import check, signed_for
from models_store.store import artifact_of, owner_of

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Rekeyed:
    """How many binaries were signed anew, and the ids of versions whose binaries were refused."""

    signed: int
    refused: tuple[str, ...]


class Rekeying:
    """Brings all binaries to the key of today; what was done is in the versions, so it can stop at any time.

    Parameters
    ----------
    keys
        A binary signed with none of them is refused and stays as it is.
    max_bytes
        Of one model's pickle.
    """

    def __init__(self, database: Database[Document], *, keys: KeyRing, max_bytes: int) -> None:
        self._versions = database["aimodels"]
        self._artifacts = Artifacts(database)
        self._keys = keys
        self._max_bytes = max_bytes

    def left(self) -> int:
        """How many binaries are still signed with another key."""
        with errors_translated():
            return self._versions.count_documents(self._others())

    def run(self, on_each: Callable[[], object] = lambda: None) -> Rekeyed:
        """Signs all that are left, each once its old signature has been found good."""
        signed, refused = 0, []
        with errors_translated():
            ids = self._versions.find(self._others(), {"_id": 1}).sort("_id", 1)
            for model_id in [found["_id"] for found in ids]:
                try:
                    signed += self._sign(model_id)
                except ModelNotFound:
                    pass  # removed meanwhile
                except ArtifactRefused as exc:
                    log.warning("artifact_not_signed_anew", model_id=model_id, reason=exc.message)
                    refused.append(model_id)
                on_each()
        return Rekeyed(signed=signed, refused=tuple(refused))

    def _sign(self, model_id: str) -> int:
        found = self._versions.find_one({"_id": model_id})
        if found is None:
            raise ModelNotFound
        version = from_document(Version, found)
        data = self._artifacts.read(model_id, size=version.compressed_size)
        artifact, owner = artifact_of(version, data), owner_of(version)
        check(artifact, owner=owner, keys=self._keys.all, max_size=self._max_bytes)
        anew = signed_for(artifact, owner, key=self._keys.current)
        changed = self._versions.update_one(
            {"_id": model_id, "hmac": version.hmac}, {"$set": {"hmac": anew.hmac, "keyId": anew.key_id}}
        )
        return changed.modified_count

    def _others(self) -> Document:
        return {"keyId": {"$ne": self._keys.current_id}}

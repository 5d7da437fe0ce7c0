"""Makes bundles of versions, and opens those that come in."""

from typing import IO, Any

from pymongo.database import Database

from app.domain import Version, iso, utc_now
from app.errors import ArtifactRefused
from app.keys import KeyRing
from app.mongo import Document
from learning.model import RacingModel
from models_store.artifacts import Artifacts
from models_store.bundle import Bundle, Exported, pack, refused, unpack
from models_store.codec import Artifact, Owner, check, decode, signed_for
from models_store.readability import unreadable
from models_store.store import artifact_of, owner_of


class Bundles:
    """Bundles of this platform: only its key opens them.

    Parameters
    ----------
    keys
        Sign binaries and bundles.
    max_bytes
        Of one model's pickle.
    """

    def __init__(self, database: Database[Document], *, keys: KeyRing, max_bytes: int) -> None:
        self._artifacts = Artifacts(database)
        self._keys = keys
        self._max_bytes = max_bytes

    def write(self, version: Version, file: IO[bytes]) -> None:
        """Writes a version's bundle.

        Raises
        ------
        ModelNotFound
            It was removed meanwhile.
        ModelUnreadable
            What is stored is not what was signed: it must not be signed anew.
        """
        try:
            artifact = artifact_of(version, self._artifacts.read(version.id, size=version.compressed_size))
            check(artifact, owner=owner_of(version), keys=self._keys.all, max_size=self._max_bytes)
        except ArtifactRefused as exc:
            raise unreadable(version, exc) from exc
        signed = signed_for(
            artifact, owner_of(version), key=self._keys.current
        )  # perhaps it was a former key
        pack(Bundle(exported=_exported(version), artifact=signed), file, key=self._keys.current)

    def read(self, file: IO[bytes]) -> tuple[Bundle, RacingModel[Any]]:
        """A bundle, all its signatures checked, and the model in it.

        Raises
        ------
        BundleRefused
        """
        bundle = unpack(file, keys=self._keys.all)
        exported = bundle.exported
        owner = Owner(user_id=exported.user_id, model_id=exported.model_id)
        try:
            model = decode(bundle.artifact, owner=owner, keys=self._keys.all, max_size=self._max_bytes)
        except ArtifactRefused as exc:
            made = bundle.artifact.river_version
            raise refused(f"its model, made with River {made}, is refused: {exc.message}") from exc
        if not isinstance(model, RacingModel) or model.model_type != exported.model_type:
            raise refused("it holds something else than the model it tells of")
        return bundle, model

    def adopt(self, bundle: Bundle, owner: Owner) -> Artifact:
        """Stores the binary of a bundle just read as that of a new version, signed for it."""
        artifact = signed_for(bundle.artifact, owner, key=self._keys.current)
        self._artifacts.put(owner.model_id, artifact.data)
        return artifact

    def discard(self, model_id: str) -> None:
        """Removes a binary that was adopted for a version that will not be added."""
        self._artifacts.remove(model_id)


def _exported(version: Version) -> Exported:
    return Exported(
        model_id=version.id,
        user_id=version.user_id,
        track_name=version.track_name,
        model_type=version.model_type,
        model_name=version.model_name,
        model_version=version.model_version,
        algorithm=version.algorithm,
        description=version.description,
        model_metadata=version.model_metadata,
        training_session_ids=version.training_session_ids,
        validation_results=version.validation_results,
        feature_importance=version.feature_importance,
        training_duration=version.training_duration,
        created_at=iso(version.created_at),
        exported_at=iso(utc_now()),
    )

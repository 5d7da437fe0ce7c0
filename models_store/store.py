"""Brings models to disk and back: what services use to make, load and remove the binaries of versions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from app.buckets import is_small
from app.domain import Job, LineageKey, Version, iso, new_id, utc_now
from app.errors import ArtifactRefused
from app.keys import KeyRing
from app.mongo import Document
from learning.model import RacingModel
from models_store.artifacts import Artifacts
from models_store.cache import ModelCache
from models_store.codec import Artifact, Owner, decode, encode
from models_store.readability import Readability, unreadable
from models_store.registry import ModelRegistry
from models_store.weight import weight

_IN_USE = 1.1  # of its weight when loaded: it then remembers steps of its last answers


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model came to be: what its version says besides what the model knows itself.

    `session_ids` are all that the model and its ancestors learned, `duration` is in seconds.
    """

    key: LineageKey
    number: str
    parent: Version | None
    job: Job
    session_ids: tuple[str, ...]
    validation: Mapping[str, Any] | None
    duration: float


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A version that is not in the registry yet, and its binary."""

    version: Version
    data: bytes = field(repr=False)


class ModelStore:
    """The binaries of versions, and the models in them.

    Parameters
    ----------
    keys
        Sign binaries.
    max_bytes
        Of one model's pickle.
    """

    def __init__(
        self,
        database: Database[Document],
        *,
        registry: ModelRegistry,
        cache: ModelCache,
        keys: KeyRing,
        max_bytes: int,
    ) -> None:
        self._artifacts = Artifacts(database)
        self._readability = Readability(database)
        self._registry = registry
        self._cache = cache
        self._keys = keys
        self._max_bytes = max_bytes

    def prepare(self, model: RacingModel[Any], training: Training) -> Version:
        """Writes the model's binary; the version to add to the registry, or to `discard`.

        Raises
        ------
        TooLarge, ArtifactRefused
            The binary could not be loaded again.
        """
        draft = self._drafted(model, training)
        self._artifacts.put(draft.version.id, draft.data)
        return draft.version

    def draft(self, model: RacingModel[Any], training: Training) -> Draft:
        """As `prepare`, but a small binary is not written before `write`."""
        draft = self._drafted(model, training)
        if not is_small(draft.data):
            self._artifacts.put(draft.version.id, draft.data)
        return draft

    def write(self, draft: Draft, *, tx: ClientSession) -> None:
        """Writes a binary in the transaction that adds its version, if it is not there already."""
        if is_small(draft.data):
            self._artifacts.put_small(draft.version.id, draft.data, tx=tx)

    def _drafted(self, model: RacingModel[Any], training: Training) -> Draft:
        key, parent, asked, now = training.key, training.parent, training.job.parameters, utc_now()
        owner = Owner(user_id=key.user_id, model_id=new_id())
        artifact = encode(model, owner=owner, key=self._keys.current, max_size=self._max_bytes)
        version = Version(
            id=owner.model_id,
            user_id=key.user_id,
            track_name=key.track_name,
            model_type=key.model_type,
            model_name=asked.get("modelName") or (parent.model_name if parent else _name(key)),
            model_version=training.number,
            algorithm=model.algorithm,
            is_active=True,
            parent_id=parent.id if parent else None,
            description=asked.get("description") or (parent.description if parent else ""),
            model_metadata=_metadata(model, training, artifact, now),
            training_session_ids=training.session_ids,
            validation_results=training.validation,
            feature_importance=model.feature_importance(),
            model_size=artifact.size,
            compressed_size=artifact.compressed_size,
            sha256=artifact.sha256,
            hmac=artifact.hmac,
            format=artifact.format,
            training_duration=training.duration,
            job_id=training.job.id,
            key_id=artifact.key_id,
            created_at=now,
            updated_at=now,
        )
        return Draft(version=version, data=artifact.data)

    def discard(self, version: Version) -> None:
        """Removes the binary of a version that was prepared and will not be added."""
        self._artifacts.remove(version.id)

    def load(self, version: Version) -> RacingModel[Any]:
        """The version's model to predict with; all callers share it, so never learn with it.

        Raises
        ------
        ModelNotFound
            The version was removed meanwhile.
        ModelUnreadable
        """
        loaded: RacingModel[Any] = self._cache.get(
            version.id, lambda: self.load_copy(version), size=lambda model: int(_IN_USE * weight(model))
        )
        return loaded

    def load_copy(self, version: Version) -> RacingModel[Any]:
        """The version's model as an object of the caller's own, to learn with.

        Raises
        ------
        ModelNotFound
            The version was removed meanwhile.
        ModelUnreadable
            Also noted with the version, for operators to see.
        """
        try:
            artifact = artifact_of(version, self._artifacts.read(version.id, size=version.compressed_size))
            model = decode(artifact, owner=owner_of(version), keys=self._keys.all, max_size=self._max_bytes)
            if not isinstance(model, RacingModel) or model.model_type != version.model_type:
                raise ArtifactRefused("it holds something else than the model its version tells of")
        except ArtifactRefused as exc:
            self._readability.note(version, exc.message)
            raise unreadable(version, exc) from exc
        self._readability.note(version, None)
        return model

    def remove(self, user_id: str, model_id: str) -> None:
        """Removes a version, then its binary.

        Raises
        ------
        ModelNotFound
        """
        self._registry.remove(user_id, model_id)
        self._remove_binary(model_id)

    def remove_all(self, user_id: str) -> None:
        """Removes a driver's versions, lineages and binaries."""
        for model_id in self._registry.remove_all(user_id):
            self._remove_binary(model_id)

    def sweep(self, older_than: datetime) -> int:
        """Removes binaries that no version refers to; how many. See `Artifacts.sweep`."""
        return self._artifacts.sweep(older_than)

    def every(self) -> Iterator[Version]:
        """See `Readability.every`."""
        return self._readability.every()

    def count_unreadable(self) -> int:
        """See `Readability.count`."""
        return self._readability.count()

    def _remove_binary(self, model_id: str) -> None:
        self._artifacts.remove(model_id)
        self._cache.drop(model_id)


def artifact_of(version: Version, data: bytes) -> Artifact:
    """A version's binary with what its document says must hold of it."""
    return Artifact(
        data=data,
        size=version.model_size,
        compressed_size=version.compressed_size,
        sha256=version.sha256,
        hmac=version.hmac,
        river_version=version.model_metadata["riverVersion"],
        format=version.format,
        key_id=version.key_id,
    )


def owner_of(version: Version) -> Owner:
    """For whom a version's binary is signed."""
    return Owner(user_id=version.user_id, model_id=version.id)


def _name(key: LineageKey) -> str:
    return f"{key.track_name} {key.model_type.replace('_', ' ')}"


def _metadata(
    model: RacingModel[Any], training: Training, artifact: Artifact, now: datetime
) -> dict[str, Any]:
    metrics = model.metrics()
    return {
        "modelType": training.key.model_type.value,
        "trainingSessionsCount": len(training.session_ids),
        "lapsLearned": model.laps_learned,
        **{name: metrics[name] for name in ("accuracy", "mse", "mae", "rmse")},
        "features": list(model.features),
        "hyperparameters": dict(model.hyperparameters),
        "lastTrainingDate": iso(now),
        "performanceMetrics": metrics,
        "riverVersion": artifact.river_version,
    }

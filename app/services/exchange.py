"""Versions as files: taken out as a bundle, a description or an ONNX graph, and brought in again."""

from dataclasses import replace
from typing import IO, Any

from pymongo.client_session import ClientSession

from app.domain import Lineage, Version, iso, key_of, new_id, next_version, utc_now
from app.errors import LineageChanged, ModelExists, Unauthorized, Unavailable
from app.mongo import Client, field_key, in_transaction
from app.stores.accounts import Users
from app.stores.sessions import SessionStore
from learning.fields import Field
from learning.zoo import algorithms
from models_store.activations import ActivationCause, Why
from models_store.bundle import Bundle
from models_store.bundles import Bundles
from models_store.codec import Owner
from models_store.registry import ModelRegistry
from models_store.store import ModelStore

DESCRIPTION = "lapwise-description-1"
_ATTEMPTS = 10  # of adding a version while trainings move the lineage on


class Exchange:
    """Use cases of export and import; only a version's owner may export it."""

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        sessions: SessionStore,
        registry: ModelRegistry,
        models: ModelStore,
        bundles: Bundles,
    ) -> None:
        self._client = client
        self._users = users
        self._sessions = sessions
        self._registry = registry
        self._models = models
        self._bundles = bundles

    def export_bundle(self, user_id: str, model_id: str, file: IO[bytes]) -> Version:
        """Writes a version's bundle to a file.

        Raises
        ------
        ModelNotFound, ModelUnreadable
        """
        version = self._registry.get_version(user_id, model_id)
        self._bundles.write(version, file)
        return version

    def describe(self, user_id: str, model_id: str) -> tuple[Version, dict[str, Any]]:
        """A version, and what it is and has learned in words and figures.

        Raises
        ------
        ModelNotFound, ModelUnreadable
        """
        version = self._registry.get_version(user_id, model_id)
        model = self._models.load(version)
        metadata = version.model_metadata
        metrics = {name: metadata[name] for name in ("accuracy", "mae", "mse", "rmse")}
        return version, {
            "format": DESCRIPTION,
            "exportedAt": iso(utc_now()),
            "model": _identity(version),
            "algorithm": _algorithm(version),
            "features": {name: _field(field) for name, field in model.fields.items()},
            "metrics": metrics | {"performanceMetrics": metadata["performanceMetrics"]},
            "featureImportance": version.feature_importance,
            "validationResults": version.validation_results,
            "learned": model.described() | {"sessionIds": list(version.training_session_ids)},
        }

    def export_onnx(self, user_id: str, model_id: str, car_model: str | None) -> tuple[Version, bytes]:
        """A version, and its ONNX model: of the car and the weather learned last, or of a named car.

        Raises
        ------
        ModelNotFound, ModelUnreadable
        learning.errors.ExportNotSupported, learning.errors.InvalidInput
        """
        version = self._registry.get_version(user_id, model_id)
        model = self._models.load(version)
        try:
            from learning.export_onnx import onnx_of  # here, for onnx is an extra and takes a while to load
        except ModuleNotFoundError as exc:
            said = "this platform was installed without its extra `onnx`"
            raise Unavailable(said, dependency="onnx") from exc
        names = ("id", "track_name", "model_type", "model_version", "algorithm")
        about = {field_key(name).replace("_id", "modelId"): str(getattr(version, name)) for name in names}
        return version, onnx_of(model, about, car_model=car_model)

    def import_bundle(self, user_id: str, file: IO[bytes], *, activate: bool) -> Version:
        """The version made of a bundle: of the driver's own lineage of its track and type, without a parent.

        Of the sessions it was trained on, those that are the driver's own count as learned.

        Parameters
        ----------
        activate
            It becomes the active version; where none is active it does so in any case.

        Raises
        ------
        BundleRefused
        ModelExists
            The lineage has a version with this very binary.
        LineageChanged
            The lineage kept moving on.
        """
        bundle, _ = self._bundles.read(file)
        owner = Owner(user_id=user_id, model_id=new_id())
        version = self._adopted(bundle, owner)
        try:
            self._add(version, activate)
        except (LineageChanged, ModelExists, Unauthorized):
            self._bundles.discard(version.id)
            raise
        return self._registry.get_version(user_id, version.id)

    def _adopted(self, bundle: Bundle, owner: Owner) -> Version:
        """The version to add, its binary stored; it has no number yet."""
        exported, artifact, now = bundle.exported, self._bundles.adopt(bundle, owner), utc_now()
        own = self._sessions.find_all(owner.user_id, exported.training_session_ids)
        origin = {
            "modelId": exported.model_id,
            "modelVersion": exported.model_version,
            "exportedAt": exported.exported_at,
            "own": exported.user_id == owner.user_id,
        }
        words = f"Imported: version {exported.model_version} of {exported.created_at[:10]}."
        return Version(
            id=owner.model_id,
            user_id=owner.user_id,
            track_name=exported.track_name,
            model_type=exported.model_type,
            model_name=exported.model_name,
            model_version="",
            algorithm=exported.algorithm,
            is_active=False,
            parent_id=None,
            description=exported.description or words,
            model_metadata={**exported.model_metadata, "importedFrom": origin},
            training_session_ids=tuple(one for one in exported.training_session_ids if one in own),
            validation_results=exported.validation_results if origin["own"] else None,
            feature_importance=exported.feature_importance,
            model_size=artifact.size,
            compressed_size=artifact.compressed_size,
            sha256=artifact.sha256,
            hmac=artifact.hmac,
            format=artifact.format,
            key_id=artifact.key_id,
            training_duration=exported.training_duration,
            job_id=None,
            created_at=now,
            updated_at=now,
        )

    def _add(self, version: Version, activate: bool) -> None:
        """Adds the version at the end of its lineage, after whatever trainings add meanwhile."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                return self._add_to(self._registry.find_lineage(key_of(version)), version, activate)
            except LineageChanged:
                if not left:
                    raise

    def _add_to(self, lineage: Lineage | None, version: Version, activate: bool) -> None:
        number = next_version(lineage.newest_version if lineage else None, from_scratch=False)
        wanted = activate or lineage is None or lineage.active_model_id is None
        why = Why(ActivationCause.IMPORTED) if wanted else None

        def write(tx: ClientSession) -> None:
            self._users.hold(version.user_id, tx=tx)
            self._check_new(version, tx)
            self._registry.add_version(
                replace(version, model_version=number),
                expected_revision=lineage.revision if lineage else 0,
                why=why,
                tx=tx,
            )

        in_transaction(self._client, write)

    def _check_new(self, version: Version, tx: ClientSession) -> None:
        twin = self._registry.find_twin(key_of(version), version.sha256, tx=tx)
        if twin:
            said = f"this model is version {twin.model_version} already"
            raise ModelExists(said, modelId=twin.id, modelVersion=twin.model_version)


def _identity(version: Version) -> dict[str, Any]:
    names = ("id", "track_name", "model_type", "model_name", "model_version", "description", "parent_id")
    known = {field_key(name): getattr(version, name) for name in names[1:]}
    sizes = {"modelSize": version.model_size, "sha256": version.sha256}
    origin = {
        name: version.model_metadata[name] for name in ("importedFrom",) if name in version.model_metadata
    }
    return {"id": version.id, **known, "createdAt": iso(version.created_at), **sizes, **origin}


def _algorithm(version: Version) -> dict[str, Any]:
    """The algorithm in the zoo's words, with the values that this version has."""
    entry = next((one for one in algorithms(version.model_type) if one.name == version.algorithm), None)
    told = {name: one.description for name, one in entry.hyperparameters.items()} if entry else {}
    return {
        "name": version.algorithm,
        "description": entry.description if entry else None,
        "hyperparameters": {
            name: {"value": value, "description": told.get(name)}
            for name, value in version.model_metadata["hyperparameters"].items()
        },
        "riverVersion": version.model_metadata["riverVersion"],
    }


def _field(field: Field) -> dict[str, Any]:
    bounds = {"minimum": field.minimum, "maximum": field.maximum} if field.kind != "text" else {}
    return {"description": field.description, "kind": field.kind, "required": field.required, **bounds}

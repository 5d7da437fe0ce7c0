"""Asking for training: checks a request, records it durably, then tells the workers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pymongo.client_session import ClientSession

from app.domain import (
    IncrementRequest,
    Job,
    JobKind,
    LineageKey,
    ModelType,
    Session,
    TrainRequest,
)
from app.errors import IdempotencyKeyReused, Invalid, SetupMissing
from app.mongo import Client, in_transaction
from app.services.jobs import Jobs, new_job
from app.stores.accounts import Users
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore
from learning.setups import parameters_of
from learning.zoo import create_model
from models_store.registry import ModelRegistry, key_of


class Training:
    """Use cases that end in a training job."""

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        sessions: SessionStore,
        registry: ModelRegistry,
        job_store: JobStore,
        jobs: Jobs,
    ) -> None:
        self._client = client
        self._users = users
        self._sessions = sessions
        self._registry = registry
        self._job_store = job_store
        self._jobs = jobs

    def train(self, user_id: str, request: TrainRequest, idempotency_key: str | None = None) -> Job:
        """A job that trains a lineage's model from scratch.

        Raises
        ------
        SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        learning.errors.UnknownAlgorithm, learning.errors.InvalidHyperparameters
        """
        once = _Once(user_id, idempotency_key, _digest(JobKind.TRAIN, asdict(request)))
        return self._repeated(once) or self._record(once, self._train_job(user_id, request))

    def increment(self, user_id: str, request: IncrementRequest, idempotency_key: str | None = None) -> Job:
        """A job that grows a version by the sessions it has not learned.

        Raises
        ------
        ModelNotFound, SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        """
        once = _Once(user_id, idempotency_key, _digest(JobKind.INCREMENTAL_TRAINING, asdict(request)))
        return self._repeated(once) or self._record(once, self._increment_job(user_id, request))

    def validate(
        self, user_id: str, model_id: str, session_ids: tuple[str, ...], idempotency_key: str | None = None
    ) -> Job:
        """A job that measures a version on sessions without changing it.

        Raises
        ------
        ModelNotFound, SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        """
        once = _Once(user_id, idempotency_key, _digest(JobKind.VALIDATE, [model_id, session_ids]))
        return self._repeated(once) or self._record(once, self._validate_job(user_id, model_id, session_ids))

    def record_automatic(self, session: Session, *, tx: ClientSession) -> tuple[Job, ...]:
        """The jobs that learn a new upload, recorded in its transaction.

        Every active lineage of the driver and track grows by it, and lap time prediction is started where it
        is not active. A job that still waits takes the session along.
        """
        active = {lineage.model_type for lineage in self._registry.active_lineages(*_place(session))}
        wanted = sorted(active | {ModelType.LAP_TIME_PREDICTION})
        return tuple(
            self._automatic_job(session, model_type, model_type in active, tx)
            for model_type in wanted
            if parameters_of(session.setup) or model_type != ModelType.SETUP_OPTIMIZATION
        )

    def _automatic_job(
        self, session: Session, model_type: ModelType, is_active: bool, tx: ClientSession
    ) -> Job:
        user_id, track_name = _place(session)
        key = LineageKey(user_id=user_id, track_name=track_name, model_type=model_type)
        waiting = self._job_store.join_queued(key.id, session.id, tx=tx)
        if waiting is not None:
            return waiting
        kind = JobKind.INCREMENTAL_TRAINING if is_active else JobKind.TRAIN
        job = new_job(kind, key, (session.id,), lineage_id=key.id, automatic=True)
        return self._job_store.add(job, tx=tx)

    def _train_job(self, user_id: str, request: TrainRequest) -> Job:
        sessions = self._sessions.get_all(user_id, request.session_ids)
        _check_sessions(sessions, request.track_name, request.model_type)
        create_model(request.model_type, request.algorithm, request.hyperparameters)
        key = LineageKey(user_id=user_id, track_name=request.track_name, model_type=request.model_type)
        parameters = {
            "modelName": request.model_name,
            "description": request.description,
            "algorithm": request.algorithm,
            "hyperparameters": dict(request.hyperparameters),
        }
        ids = _unique(request.session_ids)
        return new_job(JobKind.TRAIN, key, ids, lineage_id=key.id, parameters=parameters)

    def _increment_job(self, user_id: str, request: IncrementRequest) -> Job:
        base = self._registry.get_version(user_id, request.model_id)
        sessions = self._sessions.get_all(user_id, request.session_ids)
        _check_sessions(sessions, base.track_name, base.model_type)
        _check_unchanged(request.training_parameters, base.model_metadata["hyperparameters"])
        key, ids = key_of(base), _unique(request.session_ids)
        parameters = {"baseModelId": base.id, "validateModel": request.validate_model}
        return new_job(JobKind.INCREMENTAL_TRAINING, key, ids, lineage_id=key.id, parameters=parameters)

    def _validate_job(self, user_id: str, model_id: str, session_ids: tuple[str, ...]) -> Job:
        version = self._registry.get_version(user_id, model_id)
        sessions = self._sessions.get_all(user_id, session_ids)
        _check_sessions(sessions, version.track_name, version.model_type)
        parameters = {"modelId": model_id}
        return new_job(JobKind.VALIDATE, key_of(version), _unique(session_ids), parameters=parameters)

    def _repeated(self, once: "_Once") -> Job | None:
        """The job of an earlier request with the same key, whatever has changed since."""
        if once.key is None:
            return None
        found = self._job_store.find_by_key(once.user_id, once.key)
        if found and found.request_digest != once.digest:
            raise IdempotencyKeyReused
        return found

    def _record(self, once: "_Once", job: Job) -> Job:
        marked = replace(job, idempotency_key=once.key, request_digest=once.digest)

        def write(tx: ClientSession) -> Job:
            self._users.hold(once.user_id, tx=tx)
            return self._job_store.add(marked, tx=tx)

        try:
            recorded = in_transaction(self._client, write)
        except IdempotencyKeyReused:  # the same key at the same moment: the other one was first
            return self._repeated(once) or self._record(once, job)
        self._jobs.announce(recorded)
        return recorded


@dataclass(frozen=True)
class _Once:
    """A request that, repeated under its idempotency key, must answer the same job."""

    user_id: str
    key: str | None
    digest: str


def _digest(kind: JobKind, request: Any) -> str:
    return hashlib.sha256(json.dumps([kind, request], sort_keys=True).encode()).hexdigest()


def _place(session: Session) -> tuple[str, str]:
    return session.user_id, session.track_name


def _unique(session_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(session_ids))


def _check_sessions(sessions: list[Session], track_name: str, model_type: ModelType) -> None:
    elsewhere = [session.id for session in sessions if session.track_name != track_name]
    if elsewhere:
        raise Invalid(
            f"these sessions were not driven on {track_name!r}: {', '.join(elsewhere)}",
            sessionIds=[f"session {session_id} is of another track" for session_id in elsewhere],
        )
    if model_type == ModelType.SETUP_OPTIMIZATION and not any(
        parameters_of(session.setup) for session in sessions
    ):
        raise SetupMissing(
            "none of these sessions has a setup; remove them and upload them again with the field `setup`",
            sessionIds=["no session with a setup"],
        )


def _check_unchanged(asked: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    changed = {name: ["fixed for this model"] for name, value in asked.items() if current.get(name) != value}
    if changed:
        raise Invalid(
            "incremental training keeps a model's hyperparameters; train a new model to change them",
            trainingParameters=changed,
        )

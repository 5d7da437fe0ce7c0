"""Asking for training: checks a request, records it durably, then tells the workers."""

from collections.abc import Mapping
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
from app.services.jobs import Jobs, new_job
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore
from learning.zoo import create_model
from models_store.registry import ModelRegistry


class Training:
    """Use cases that end in a training job."""

    def __init__(
        self, *, sessions: SessionStore, registry: ModelRegistry, job_store: JobStore, jobs: Jobs
    ) -> None:
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
        return self._record(
            new_job(
                JobKind.TRAIN,
                key,
                _unique(request.session_ids),
                lineage_id=key.id,
                parameters=parameters,
                idempotency_key=idempotency_key,
            )
        )

    def increment(self, user_id: str, request: IncrementRequest, idempotency_key: str | None = None) -> Job:
        """A job that grows a version by the sessions it has not learned.

        Raises
        ------
        ModelNotFound, SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        """
        base = self._registry.get_version(user_id, request.model_id)
        sessions = self._sessions.get_all(user_id, request.session_ids)
        _check_sessions(sessions, base.track_name, base.model_type)
        _check_unchanged(request.training_parameters, base.model_metadata["hyperparameters"])
        key = LineageKey(user_id=user_id, track_name=base.track_name, model_type=base.model_type)
        parameters = {"baseModelId": base.id, "validateModel": request.validate_model}
        return self._record(
            new_job(
                JobKind.INCREMENTAL_TRAINING,
                key,
                _unique(request.session_ids),
                lineage_id=key.id,
                parameters=parameters,
                idempotency_key=idempotency_key,
            )
        )

    def validate(
        self, user_id: str, model_id: str, session_ids: tuple[str, ...], idempotency_key: str | None = None
    ) -> Job:
        """A job that measures a version on sessions without changing it."""
        version = self._registry.get_version(user_id, model_id)
        sessions = self._sessions.get_all(user_id, session_ids)
        _check_sessions(sessions, version.track_name, version.model_type)
        key = LineageKey(user_id=user_id, track_name=version.track_name, model_type=version.model_type)
        return self._record(
            new_job(
                JobKind.VALIDATE,
                key,
                _unique(session_ids),
                parameters={"modelId": model_id},
                idempotency_key=idempotency_key,
            )
        )

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
            if session.setup or model_type != ModelType.SETUP_OPTIMIZATION
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

    def _record(self, job: Job) -> Job:
        recorded = self._job_store.add(job)
        if recorded.id == job.id:
            self._jobs.announce(job)
        elif _asked(recorded) != _asked(job):
            raise IdempotencyKeyReused
        return recorded


def _place(session: Session) -> tuple[str, str]:
    return session.user_id, session.track_name


def _unique(session_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(session_ids))


def _asked(job: Job) -> tuple[object, ...]:
    return job.kind, job.track_name, job.model_type, job.session_ids, job.parameters


def _check_sessions(sessions: list[Session], track_name: str, model_type: ModelType) -> None:
    elsewhere = [session.id for session in sessions if session.track_name != track_name]
    if elsewhere:
        raise Invalid(
            f"these sessions were not driven on {track_name!r}: {', '.join(elsewhere)}",
            sessionIds=[f"session {session_id} is of another track" for session_id in elsewhere],
        )
    if model_type == ModelType.SETUP_OPTIMIZATION and not any(session.setup for session in sessions):
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

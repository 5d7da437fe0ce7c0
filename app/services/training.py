"""Asking for training: checks a request, records it durably, then tells the workers."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.client_session import ClientSession

from app.domain import (
    CompareRequest,
    IncrementRequest,
    Job,
    JobKind,
    JobStatus,
    LineageKey,
    ModelType,
    Session,
    TrainRequest,
    Version,
    key_of,
)
from app.errors import Invalid, JobNotFailed, SetupMissing
from app.services.automatic import AutomaticJobs, Wish
from app.services.jobs import new_job
from app.services.recording import Once, Recorder
from app.stores.jobs import JobStore
from learning import zoo
from learning.setups import parameters_of
from models_store.registry import ModelRegistry


class Training:
    """Use cases that end in a training job.

    A new job may be refused (`TooMuchWaiting`, `Overloaded`); a repeat under its idempotency key never is.
    """

    def __init__(
        self,
        *,
        registry: ModelRegistry,
        job_store: JobStore,
        automatic: AutomaticJobs,
        recorder: Recorder,
    ) -> None:
        self._registry = registry
        self._job_store = job_store
        self._automatic = automatic
        self._recorder = recorder

    def train(self, user_id: str, request: TrainRequest, idempotency_key: str | None = None) -> Job:
        """A job that trains a lineage's model from scratch.

        Raises
        ------
        SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        learning.errors.UnknownAlgorithm, learning.errors.InvalidHyperparameters
        """
        once = _once(idempotency_key, JobKind.TRAIN, vars(request))
        return self._recorder.record(_train_job(user_id, request), once, _check_sessions)

    def increment(self, user_id: str, request: IncrementRequest, idempotency_key: str | None = None) -> Job:
        """A job that grows a version by the sessions it has not learned.

        Raises
        ------
        ModelNotFound, SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        """
        once = _once(idempotency_key, JobKind.INCREMENTAL_TRAINING, vars(request))
        return self._recorder.find(user_id, once) or self._recorder.record(
            self._increment_job(user_id, request), once, _check_sessions
        )

    def validate(
        self, user_id: str, model_id: str, session_ids: tuple[str, ...], idempotency_key: str | None = None
    ) -> Job:
        """A job that measures a version on sessions without changing it.

        Raises
        ------
        ModelNotFound, SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        """
        once = _once(idempotency_key, JobKind.VALIDATE, [model_id, session_ids])
        return self._recorder.find(user_id, once) or self._recorder.record(
            self._validate_job(user_id, model_id, session_ids), once, _check_sessions
        )

    def compare(self, user_id: str, request: CompareRequest, idempotency_key: str | None = None) -> Job:
        """A job that measures versions of one lineage on the same sessions and says which is better.

        Raises
        ------
        ModelNotFound, SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        """
        once = _once(idempotency_key, JobKind.COMPARE, vars(request))
        return self._recorder.find(user_id, once) or self._recorder.record(
            self._compare_job(user_id, request), once, _check_sessions
        )

    def retry(self, user_id: str, job_id: str, idempotency_key: str | None = None) -> Job:
        """A new job that does what one was to do that failed or was cancelled.

        Raises
        ------
        JobNotFound, JobNotFailed, SessionNotFound, IdempotencyKeyReused
        """
        once = _once(idempotency_key, "retry", job_id)
        return self._recorder.find(user_id, once) or self._recorder.record(
            self._retry_job(user_id, job_id), once
        )

    def record_automatic(self, session: Session, *, tx: ClientSession) -> tuple[Job, ...]:
        """The jobs that learn a new upload, recorded in its transaction. See `AutomaticJobs`."""
        (jobs,), _, _ = self._automatic.record([Wish(session=session)], tx=tx)
        return jobs

    def _increment_job(self, user_id: str, request: IncrementRequest) -> Job:
        base = self._registry.get_version(user_id, request.model_id)
        _check_unchanged(request.training_parameters, base.model_metadata["hyperparameters"])
        key, ids = key_of(base), _unique(request.session_ids)
        parameters = {"baseModelId": base.id, "validateModel": request.validate_model}
        return new_job(JobKind.INCREMENTAL_TRAINING, key, ids, lineage_id=key.id, parameters=parameters)

    def _validate_job(self, user_id: str, model_id: str, session_ids: tuple[str, ...]) -> Job:
        version = self._registry.get_version(user_id, model_id)
        parameters = {"modelId": model_id}
        return new_job(JobKind.VALIDATE, key_of(version), _unique(session_ids), parameters=parameters)

    def _compare_job(self, user_id: str, request: CompareRequest) -> Job:
        versions = [self._registry.get_version(user_id, model_id) for model_id in request.model_ids]
        key = key_of(versions[0])
        _check_comparable(versions)
        parameters = {"modelIds": list(request.model_ids), "level": request.level}
        return new_job(JobKind.COMPARE, key, _unique(request.session_ids), parameters=parameters)

    def _retry_job(self, user_id: str, job_id: str) -> Job:
        failed = self._job_store.get(user_id, job_id)
        if failed.status not in (JobStatus.FAILED, JobStatus.CANCELLED):
            raise JobNotFailed(status=failed.status)
        return new_job(
            failed.kind,
            key_of(failed),
            failed.session_ids,
            lineage_id=failed.lineage_id,
            automatic=failed.automatic,
            parameters=failed.parameters,
        )


def _train_job(user_id: str, request: TrainRequest) -> Job:
    zoo.check(request.model_type, request.algorithm, request.hyperparameters)
    key = LineageKey(user_id=user_id, track_name=request.track_name, model_type=request.model_type)
    parameters = {
        "modelName": request.model_name,
        "description": request.description,
        "algorithm": request.algorithm,
        "hyperparameters": dict(request.hyperparameters),
    }
    ids = _unique(request.session_ids)
    return new_job(JobKind.TRAIN, key, ids, lineage_id=key.id, parameters=parameters)


def _once(key: str | None, kind: str, request: Any) -> Once:
    digest = hashlib.sha256(json.dumps([kind, request], sort_keys=True).encode()).hexdigest()
    return Once(key=key, digest=digest)


def _unique(session_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(session_ids))


def _check_sessions(job: Job, sessions: Sequence[Session]) -> None:
    elsewhere = [session.id for session in sessions if session.track_name != job.track_name]
    if elsewhere:
        raise Invalid(
            f"these sessions were not driven on {job.track_name!r}: {', '.join(elsewhere)}",
            sessionIds=[f"session {session_id} is of another track" for session_id in elsewhere],
        )
    needs_setup = job.model_type == ModelType.SETUP_OPTIMIZATION
    if needs_setup and not any(parameters_of(session.setup) for session in sessions):
        raise SetupMissing(
            "none of these sessions has a setup; remove them and upload them again with the field `setup`",
            sessionIds=["no session with a setup"],
        )


def _check_comparable(versions: list[Version]) -> None:
    if len({version.id for version in versions}) < len(versions):
        raise Invalid("each version can be named once", modelIds=["named twice"])
    key = key_of(versions[0])
    others = [version.id for version in versions if key_of(version) != key]
    if others:
        raise Invalid(
            f"only versions of one lineage can be compared; the first is a {key.model_type} model of "
            f"{key.track_name!r}, these are of others: {', '.join(others)}",
            modelIds=[f"model {model_id} is of another track or model type" for model_id in others],
        )


def _check_unchanged(asked: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    changed = {name: ["fixed for this model"] for name, value in asked.items() if current.get(name) != value}
    if changed:
        raise Invalid(
            "incremental training keeps a model's hyperparameters; train a new model to change them",
            trainingParameters=changed,
        )

"""Asking for training: checks a request, records it durably, then tells the workers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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
from app.errors import IdempotencyKeyReused, Invalid, JobNotFailed, SetupMissing
from app.mongo import Client, in_transaction
from app.services.admission import Admission
from app.services.automatic import AutomaticJobs, Wish
from app.services.jobs import Jobs, new_job
from app.stores.accounts import Users
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore
from learning.setups import parameters_of
from learning.zoo import create_model
from models_store.registry import ModelRegistry


class Training:
    """Use cases that end in a training job.

    A new job may be refused (`TooMuchWaiting`, `Overloaded`); a repeat under its idempotency key never is.
    """

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        sessions: SessionStore,
        registry: ModelRegistry,
        job_store: JobStore,
        jobs: Jobs,
        automatic: AutomaticJobs,
        admission: Admission,
    ) -> None:
        self._client = client
        self._users = users
        self._sessions = sessions
        self._registry = registry
        self._job_store = job_store
        self._jobs = jobs
        self._automatic = automatic
        self._admission = admission

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

    def compare(self, user_id: str, request: CompareRequest, idempotency_key: str | None = None) -> Job:
        """A job that measures versions of one lineage on the same sessions and says which is better.

        Raises
        ------
        ModelNotFound, SessionNotFound, SetupMissing, Invalid, IdempotencyKeyReused
        """
        once = _Once(user_id, idempotency_key, _digest(JobKind.COMPARE, asdict(request)))
        return self._repeated(once) or self._record(once, self._compare_job(user_id, request))

    def retry(self, user_id: str, job_id: str, idempotency_key: str | None = None) -> Job:
        """A new job that does what one was to do that failed or was cancelled.

        Raises
        ------
        JobNotFound, JobNotFailed, SessionNotFound, IdempotencyKeyReused
        """
        once = _Once(user_id, idempotency_key, _digest("retry", job_id))
        return self._repeated(once) or self._record(once, self._retry_job(user_id, job_id))

    def record_automatic(self, session: Session, *, tx: ClientSession) -> tuple[Job, ...]:
        """The jobs that learn a new upload, recorded in its transaction. See `AutomaticJobs`."""
        (jobs,), _, _ = self._automatic.record([Wish(session=session)], tx=tx)
        return jobs

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

    def _compare_job(self, user_id: str, request: CompareRequest) -> Job:
        versions = [self._registry.get_version(user_id, model_id) for model_id in request.model_ids]
        key = key_of(versions[0])
        _check_comparable(versions)
        sessions = self._sessions.get_all(user_id, request.session_ids)
        _check_sessions(sessions, key.track_name, key.model_type)
        parameters = {"modelIds": list(request.model_ids), "level": request.level}
        return new_job(JobKind.COMPARE, key, _unique(request.session_ids), parameters=parameters)

    def _retry_job(self, user_id: str, job_id: str) -> Job:
        failed = self._job_store.get(user_id, job_id)
        if failed.status not in (JobStatus.FAILED, JobStatus.CANCELLED):
            raise JobNotFailed(status=failed.status)
        self._sessions.get_all(user_id, failed.session_ids)
        return new_job(
            failed.kind,
            key_of(failed),
            failed.session_ids,
            lineage_id=failed.lineage_id,
            automatic=failed.automatic,
            parameters=failed.parameters,
        )

    def _repeated(self, once: "_Once") -> Job | None:
        """The job of an earlier request with the same key, whatever has changed since."""
        if once.key is None:
            return None
        found = self._job_store.find_by_key(once.user_id, once.key)
        if found and found.request_digest != once.digest:
            raise IdempotencyKeyReused
        return found

    def _record(self, once: "_Once", job: Job) -> Job:
        self._admission.check_jobs(once.user_id)
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


def _digest(kind: str, request: Any) -> str:
    return hashlib.sha256(json.dumps([kind, request], sort_keys=True).encode()).hexdigest()


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

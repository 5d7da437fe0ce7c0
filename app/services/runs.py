"""Running jobs: a worker takes one, learns or measures, and commits the outcome exactly once.

What makes it exactly once is not the queue but the commit: the new version, the lineage's compare-and-set and
the end of the job are one transaction, which only the holder of the job's lease can make.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pymongo.client_session import ClientSession

from app.domain import Job, JobKind, Lineage, LineageKey, Session, Version, next_version
from app.errors import (
    JobCancelled,
    LapwiseError,
    LeaseLost,
    LineageChanged,
    ModelNotFound,
    SessionNotFound,
    Unavailable,
)
from app.mongo import Client, in_transaction
from app.services.attempts import Steps, described, retry_delay
from app.stores.job_status import JobStatusStore
from app.stores.jobs import JobStore
from app.stores.queue import JobQueue
from app.stores.sessions import SessionStore
from learning import laps as lap_files
from learning.errors import LearningError, NothingToLearn
from learning.laps import SessionLaps
from learning.model import RacingModel, Report
from learning.zoo import create_model
from models_store.registry import ModelRegistry
from models_store.store import ModelStore, Training

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What became of a job's sessions."""

    reports: Mapping[str, Report]  # by session id, of those learned, in order
    skipped: tuple[str, ...] = ()  # learned by the base version already
    missing: tuple[str, ...] = ()  # removed since the job was asked for
    unusable: Mapping[str, str] | None = None  # why, by session id

    def as_dict(self) -> dict[str, Any]:
        return {
            "learnedSessionIds": list(self.reports),
            "skippedSessionIds": list(self.skipped),
            "missingSessionIds": list(self.missing),
            "unusableSessions": dict(self.unusable or {}),
        }


class Runs:
    """Use cases of the workers."""

    def __init__(
        self,
        *,
        client: Client,
        sessions: SessionStore,
        registry: ModelRegistry,
        models: ModelStore,
        jobs: JobStore,
        status: JobStatusStore,
        queue: JobQueue,
        attempts: int,
    ) -> None:
        self._client = client
        self._sessions = sessions
        self._registry = registry
        self._models = models
        self._jobs = jobs
        self._status = status
        self._queue = queue
        self._attempts = attempts

    def run(self, job_id: str) -> None:
        """Runs the job, or the one of its lineage that is first in line; nothing when the work is done."""
        job = self._jobs.claim(job_id)
        if job is None:
            return
        self._status.save(job)
        ended: Job | None = None
        with structlog.contextvars.bound_contextvars(job_id=job.id, attempt=job.attempts):
            try:
                ended = self._perform(job)
            except LeaseLost:
                log.warning("job_taken_over")
            except JobCancelled:
                ended = self._jobs.end_cancelled(job)
            except Exception as exc:  # recorded for the driver, then left to the task to report
                ended = self._record_failure(job, exc)
                if not isinstance(exc, LapwiseError | LearningError):
                    raise
            finally:
                if ended:
                    self._status.save(ended)
                    log.info("job_left", status=ended.status.value, model_version=ended.model_version)
                self._wake_next(job)

    def _perform(self, job: Job) -> Job:
        return self._validate(job) if job.kind is JobKind.VALIDATE else self._train(job)

    def _train(self, job: Job) -> Job:
        started = time.monotonic()
        key = LineageKey(user_id=job.user_id, track_name=job.track_name, model_type=job.model_type)
        lineage = self._registry.find_lineage(key)
        base = self._base(job, lineage)
        known = set(base.training_session_ids) if base else set()
        skipped = tuple(session_id for session_id in job.session_ids if session_id in known)
        wanted = tuple(session_id for session_id in job.session_ids if session_id not in known)
        if base and not wanted:
            return self._succeed(job, base, Learned(reports={}, skipped=skipped))
        model = self._models.load_copy(base) if base else self._fresh_model(job)
        learned, job = self._learn(job, model, wanted, skipped)
        if not learned.reports:
            return self._nothing_learned(job, base, learned)
        newest = lineage.newest_version if lineage else None
        version = self._models.prepare(
            model,
            Training(
                key=key,
                number=next_version(newest, from_scratch=base is None),
                parent=base,
                job=job,
                session_ids=(*(base.training_session_ids if base else ()), *learned.reports),
                validation=_validation(job, learned),
                duration=time.monotonic() - started,
            ),
        )
        return self._commit(job, version, learned, expected_revision=lineage.revision if lineage else 0)

    def _base(self, job: Job, lineage: Lineage | None) -> Version | None:
        """The version to grow from; None starts from scratch. An automatic job grows the active one."""
        if job.automatic:
            active = lineage.active_model_id if lineage else None
            return self._registry.get_version(job.user_id, active) if active else None
        base_id = job.parameters.get("baseModelId")
        try:
            return self._registry.get_version(job.user_id, base_id) if base_id else None
        except ModelNotFound as exc:
            raise ModelNotFound(
                "the version this job was to grow was removed; ask again with another one", modelId=base_id
            ) from exc

    def _fresh_model(self, job: Job) -> RacingModel[Any]:
        return create_model(
            job.model_type, job.parameters.get("algorithm"), job.parameters.get("hyperparameters") or {}
        )

    def _learn(
        self, job: Job, model: RacingModel[Any], wanted: Sequence[str], skipped: tuple[str, ...]
    ) -> tuple[Learned, Job]:
        sessions = self._sessions.find_all(job.user_id, wanted)
        steps = Steps(job, self._jobs, self._status, _total_laps(sessions))
        reports: dict[str, Report] = {}
        unusable = {}
        for session in (sessions[session_id] for session_id in wanted if session_id in sessions):
            try:
                reports[session.id] = model.learn_session(self._laps(session), on_lap=steps.on_lap)
            except NothingToLearn as exc:
                unusable[session.id] = exc.message
            steps.next_session(session.valid_laps_count)
        missing = tuple(session_id for session_id in wanted if session_id not in sessions)
        learned = Learned(reports=reports, skipped=skipped, missing=missing, unusable=unusable)
        return learned, steps.job

    def _nothing_learned(self, job: Job, base: Version | None, learned: Learned) -> Job:
        if base and learned.skipped and not learned.unusable:
            return self._succeed(job, base, learned)
        if learned.unusable:
            raise NothingToLearn(
                "none of the sessions could be learned: " + "; ".join(sorted(set(learned.unusable.values()))),
                sessions=dict(learned.unusable),
            )
        raise SessionNotFound(
            "the sessions were removed before they were learned", sessionIds=learned.missing
        )

    def _commit(self, job: Job, version: Version, learned: Learned, *, expected_revision: int) -> Job:
        """Makes version, lineage and job one step forward together, or leaves no trace."""

        def write(tx: ClientSession) -> Job:
            self._registry.add_version(version, expected_revision=expected_revision, tx=tx)
            return self._succeed(job, version, learned, tx=tx)

        try:
            return in_transaction(self._client, write)
        except (LineageChanged, LeaseLost, JobCancelled):
            self._models.discard(version)
            raise

    def _succeed(
        self, job: Job, version: Version, learned: Learned, *, tx: ClientSession | None = None
    ) -> Job:
        result = {
            "modelId": version.id,
            "modelVersion": version.model_version,
            "metrics": dict(version.model_metadata["performanceMetrics"]),
            **learned.as_dict(),
        }
        return self._jobs.succeed(
            job, result=result, model_id=version.id, model_version=version.model_version, tx=tx
        )

    def _validate(self, job: Job) -> Job:
        version = self._registry.get_version(job.user_id, job.parameters["modelId"])
        model = self._models.load(version)
        sessions = self._sessions.find_all(job.user_id, job.session_ids)
        if not sessions:
            raise SessionNotFound("the sessions were removed before they were measured")
        steps = Steps(job, self._jobs, self._status, _total_laps(sessions))
        reports = {}
        for session in sessions.values():
            reports[session.id] = model.score_session(self._laps(session), on_lap=steps.on_lap)
            steps.next_session(session.valid_laps_count)
        result = {
            "modelId": version.id,
            "modelVersion": version.model_version,
            "metrics": Report.merged(tuple(reports.values())).as_dict(),
            "missingSessionIds": [one for one in job.session_ids if one not in sessions],
            "sessions": {session_id: report.as_dict() for session_id, report in reports.items()},
        }
        return self._jobs.succeed(
            steps.job, result=result, model_id=version.id, model_version=version.model_version
        )

    def _laps(self, session: Session) -> SessionLaps:
        return lap_files.decode(self._sessions.read_laps(session))

    def _record_failure(self, job: Job, exc: Exception) -> Job | None:
        """The job as it goes on, queued again or failed; None when it is no longer this worker's."""
        error = described(exc)
        delay = retry_delay(exc, job.attempts, self._attempts)
        log.warning("job_attempt_failed", error=error, retried=delay is not None)
        if delay is None:
            return self._jobs.fail(job, error)
        return self._jobs.put_back(job, error, delay, counts=not isinstance(exc, Unavailable))

    def _wake_next(self, job: Job) -> None:
        if job.lineage_id is None:
            return
        try:
            waiting = self._jobs.next_queued(job.lineage_id)
        except Unavailable:
            return  # the sweep wakes it once MongoDB is back
        if waiting not in (None, job.id):
            self._queue.send(waiting)


def _validation(job: Job, learned: Learned) -> dict[str, Any] | None:
    if not job.parameters.get("validateModel", True):
        return None
    merged = Report.merged(tuple(learned.reports.values()))
    return merged.as_dict() | {
        "sessions": {session_id: report.as_dict() for session_id, report in learned.reports.items()}
    }


def _total_laps(sessions: Mapping[str, Session]) -> int:
    return sum(session.valid_laps_count for session in sessions.values())

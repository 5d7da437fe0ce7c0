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

from app.domain import Job, JobKind, Lineage, Session, Version, key_of, next_version
from app.errors import (
    JobCancelled,
    LapwiseError,
    LeaseLost,
    LineageChanged,
    ModelNotFound,
    SessionNotFound,
    Unavailable,
)
from app.services.attempts import Steps, described, retry_delay
from app.services.measuring import Measuring, total_laps
from app.services.trials import PASSES, Grown, Trials
from app.services.webhooks import Webhooks
from app.stores.job_status import JobStatusStore
from app.stores.jobs import JobStore
from app.stores.queue import JobQueue
from app.stores.sessions import SessionStore
from learning.errors import LearningError, NothingToLearn
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
        sessions: SessionStore,
        registry: ModelRegistry,
        models: ModelStore,
        measuring: Measuring,
        trials: Trials,
        jobs: JobStore,
        status: JobStatusStore,
        queue: JobQueue,
        webhooks: Webhooks,
        attempts: int,
    ) -> None:
        self._sessions = sessions
        self._registry = registry
        self._models = models
        self._measuring = measuring
        self._trials = trials
        self._jobs = jobs
        self._status = status
        self._queue = queue
        self._webhooks = webhooks
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
        measure = {JobKind.VALIDATE: self._measuring.validate, JobKind.COMPARE: self._measuring.compare}
        return measure.get(job.kind, self._train)(job)

    def _train(self, job: Job) -> Job:
        started = time.monotonic()
        key = key_of(job)
        lineage = self._registry.find_lineage(key)
        base = self._base(job, lineage)
        trial = self._trials.find(base)
        skipped, wanted = _split(job, base)
        if base and not wanted:
            return self._nothing_new(job, base, Learned(reports={}, skipped=skipped))
        model = self._models.load_copy(base) if base else self._fresh_model(job)
        sessions = self._sessions.find_all(job.user_id, wanted)
        steps = Steps(job, self._jobs, self._status, total_laps(sessions) * (PASSES if trial else 1))
        learned = self._learn(steps, model, sessions, wanted, skipped)
        job = steps.job
        if not learned.reports:
            return self._nothing_learned(job, base, learned)
        number = next_version(lineage.newest_version if lineage else None, from_scratch=base is None)
        learned_sessions = [sessions[session_id] for session_id in learned.reports]
        # before the incumbent's binary is written: a cancellation meanwhile then leaves none
        grown = self._trials.grow(trial, number, learned_sessions, steps) if trial else None
        version = self._models.prepare(
            model,
            Training(
                key=key,
                number=number,
                parent=base,
                job=job,
                session_ids=(*(base.training_session_ids if base else ()), *learned.reports),
                validation=_validation(job, learned),
                duration=time.monotonic() - started,
            ),
        )
        revision = lineage.revision if lineage else 0
        return self._commit(steps.job, version, learned, grown, expected_revision=revision)

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
        self,
        steps: Steps,
        model: RacingModel[Any],
        sessions: Mapping[str, Session],
        wanted: Sequence[str],
        skipped: tuple[str, ...],
    ) -> Learned:
        reports: dict[str, Report] = {}
        unusable = {}
        for session in (sessions[session_id] for session_id in wanted if session_id in sessions):
            try:
                reports[session.id] = model.learn_session(
                    self._sessions.decoded_laps(session), on_lap=steps.on_lap
                )
            except NothingToLearn as exc:
                unusable[session.id] = exc.message
            steps.next_session(session.valid_laps_count)
        missing = tuple(session_id for session_id in wanted if session_id not in sessions)
        return Learned(reports=reports, skipped=skipped, missing=missing, unusable=unusable)

    def _nothing_learned(self, job: Job, base: Version | None, learned: Learned) -> Job:
        if base and learned.skipped and not learned.unusable:
            return self._nothing_new(job, base, learned)
        if learned.unusable:
            raise NothingToLearn(
                "none of the sessions could be learned: " + "; ".join(sorted(set(learned.unusable.values()))),
                sessions=dict(learned.unusable),
            )
        raise SessionNotFound(
            "the sessions were removed before they were learned", sessionIds=learned.missing
        )

    def _commit(
        self, job: Job, version: Version, learned: Learned, grown: Grown | None, *, expected_revision: int
    ) -> Job:
        """Makes version, lineage, experiment and job one step forward together, or leaves no trace."""

        def write(tx: ClientSession) -> Job:
            added = self._add(version, grown, expected_revision, tx)
            return self._succeed(job, version, learned, added, tx=tx)

        try:
            done = self._webhooks.told(write)
        except (LineageChanged, LeaseLost, JobCancelled):
            self._models.discard(version)
            self._trials.discard(grown)
            raise
        if "experiment" not in (done.result or {}):  # it had ended
            self._trials.discard(grown)
        return done

    def _add(
        self, version: Version, grown: Grown | None, expected_revision: int, tx: ClientSession
    ) -> Grown | None:
        """Adds the version; what of an experiment was added with it."""
        if grown is None:
            self._registry.add_version(version, expected_revision=expected_revision, tx=tx)
            return None
        added = self._trials.add(grown, version, expected_revision=expected_revision, tx=tx)
        return grown if added else None

    def _nothing_new(self, job: Job, base: Version, learned: Learned) -> Job:
        return self._webhooks.told(lambda tx: self._succeed(job, base, learned, tx=tx))

    def _succeed(
        self,
        job: Job,
        version: Version,
        learned: Learned,
        grown: Grown | None = None,
        *,
        tx: ClientSession,
    ) -> Job:
        result = {
            "modelId": version.id,
            "modelVersion": version.model_version,
            "metrics": dict(version.model_metadata["performanceMetrics"]),
            **learned.as_dict(),
            **({"experiment": grown.as_dict()} if grown else {}),
        }
        return self._jobs.succeed(
            job, result=result, model_id=version.id, model_version=version.model_version, tx=tx
        )

    def _record_failure(self, job: Job, exc: Exception) -> Job | None:
        """The job as it goes on, queued again or failed; None when it is no longer this worker's."""
        error = described(exc)
        delay = retry_delay(exc, job.attempts, self._attempts)
        log.warning("job_attempt_failed", error=error, retried=delay is not None)
        if delay is None:
            return self._webhooks.told(lambda tx: self._jobs.fail(job, error, tx=tx))
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


def _split(job: Job, base: Version | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The job's sessions that the base has learned, and those it has not."""
    known = set(base.training_session_ids) if base else set()
    skipped = tuple(session_id for session_id in job.session_ids if session_id in known)
    return skipped, tuple(session_id for session_id in job.session_ids if session_id not in known)


def _validation(job: Job, learned: Learned) -> dict[str, Any] | None:
    if not job.parameters.get("validateModel", True):
        return None
    merged = Report.merged(tuple(learned.reports.values()))
    return merged.as_dict() | {
        "sessions": {session_id: report.as_dict() for session_id, report in learned.reports.items()}
    }

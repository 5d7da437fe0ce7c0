"""Running jobs: a worker takes one, learns or measures, and commits the outcome exactly once.

What makes it exactly once is not the queue but the commit: the new version, the lineage's compare-and-set and
the end of the job are one transaction, which only the holder of the job's lease can make.
"""

import time
from dataclasses import replace
from datetime import timedelta

import structlog
from pymongo.client_session import ClientSession
from structlog.contextvars import bound_contextvars

from app.domain import Job, JobKind, Lineage, Version, key_of, next_version
from app.errors import (
    HandedBack,
    JobCancelled,
    LapwiseError,
    LeaseLost,
    LineageChanged,
    ModelNotFound,
    SessionNotFound,
    Unavailable,
)
from app.services.attempts import described, retry_delay
from app.services.challenges import Challenges
from app.services.ground import ground_of, split
from app.services.lessons import Learned, Lessons
from app.services.measuring import Measuring
from app.services.retraining import Retraining
from app.services.setbacks import Setbacks
from app.services.trials import PASSES, Grown, Trials
from app.services.watching import Alarm, kept
from app.services.webhooks import Webhooks
from app.stores.job_status import JobStatusStore
from app.stores.jobs import JobStore
from app.stores.queue import JobQueue
from learning.errors import LearningError, NothingToLearn
from models_store.registry import ModelRegistry
from models_store.store import Draft, ModelStore, Training

log = structlog.get_logger()


class Runs:
    """Use cases of the workers.

    Parameters
    ----------
    attempts
        Starts of one job before it is given up.
    keep_seconds
        Between two renewals of a running job's lease.
    """

    def __init__(
        self,
        *,
        lessons: Lessons,
        registry: ModelRegistry,
        models: ModelStore,
        measuring: Measuring,
        trials: Trials,
        jobs: JobStore,
        status: JobStatusStore,
        queue: JobQueue,
        webhooks: Webhooks,
        retraining: Retraining,
        challenges: Challenges,
        setbacks: Setbacks,
        alarm: Alarm,
        attempts: int,
        keep_seconds: float,
    ) -> None:
        self._lessons = lessons
        self._registry = registry
        self._models = models
        self._measuring = measuring
        self._trials = trials
        self._jobs = jobs
        self._status = status
        self._queue = queue
        self._webhooks = webhooks
        self._retraining = retraining
        self._challenges = challenges
        self._setbacks = setbacks
        self._alarm = alarm
        self._attempts = attempts
        self._keep_seconds = keep_seconds

    def run_next(self) -> None:
        """Runs the job whose turn it is; nothing when there is none."""
        job = self._jobs.claim_next()
        if job:
            self._run(job)

    def run(self, job_id: str) -> None:
        """Runs the job, or the one of its lineage that is first in line; nothing when the work is done."""
        job = self._jobs.claim(job_id)
        if job:
            self._run(job)

    def _run(self, job: Job) -> None:
        self._status.save(job)
        ended: Job | None = None
        with bound_contextvars(job_id=job.id, attempt=job.attempts, request_ids=job.request_ids):
            log.info("job_taken", kind=job.kind.value)
            try:
                with kept(lambda: self._jobs.keep(job), self._keep_seconds), self._alarm.set():
                    ended = self._perform(job)
            except LeaseLost:
                log.warning("job_taken_over")
            except HandedBack:
                ended = self._jobs.put_back(job, job.error, timedelta(0), counts=False)
            except JobCancelled:
                ended = self._jobs.end_cancelled(job)
            except Exception as exc:  # recorded for the driver, then left to the task to report
                ended = self._record_failure(job, exc)
                # Celery's worker ends itself when a task reports that memory ran out
                if not isinstance(exc, LapwiseError | LearningError | MemoryError):
                    raise
            finally:
                if ended:
                    self._status.save(ended)
                    made = {"model_id": ended.model_id, "model_version": ended.model_version}
                    log.info("job_left", status=ended.status.value, **made)
                self._wake_next(job)

    def _perform(self, job: Job) -> Job:
        others = {
            JobKind.VALIDATE: self._measuring.validate,
            JobKind.COMPARE: self._measuring.compare,
            JobKind.RETRAIN: self._challenges.run,
        }
        return others.get(job.kind, self._train)(job)

    def _train(self, job: Job) -> Job:
        started = time.monotonic()
        key = key_of(job)
        lineage = self._registry.find_lineage(key)
        base = self._base(job, lineage)
        skipped, wanted = split(job, base)
        if base and not wanted:
            return self._nothing_new(job, base, Learned(reports={}, skipped=skipped))
        ground = ground_of(job, base, self._models.load_copy)
        model, base = ground.model, ground.base
        trial = self._trials.find(base)
        sessions = self._lessons.find(job, ground.wanted)
        steps = self._lessons.steps(job, sessions, passes=PASSES if trial else 1)
        learned = self._lessons.learn(steps, model, sessions, ground.wanted, ground.skipped)
        job = steps.job
        if not learned.reports:
            return self._nothing_learned(job, base, learned)
        number = next_version(lineage.newest_version if lineage else None, from_scratch=base is None)
        learned_sessions = [sessions[session_id] for session_id in learned.reports]
        # before the incumbent's binary is written: a cancellation meanwhile then leaves none
        grown = self._trials.grow(trial, number, learned_sessions, steps) if trial else None
        draft = self._models.draft(
            model,
            Training(
                key=key,
                number=number,
                parent=base,
                job=job,
                session_ids=(*(base.training_session_ids if base else ()), *learned.reports),
                validation=learned.validation() if job.parameters.get("validateModel", True) else None,
                duration=time.monotonic() - started,
            ),
        )
        revision = lineage.revision if lineage else 0
        draft = replace(draft, version=ground.told(draft.version))
        return self._commit(steps.job, draft, learned, grown, expected_revision=revision)

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
        self, job: Job, draft: Draft, learned: Learned, grown: Grown | None, *, expected_revision: int
    ) -> Job:
        """Makes version, lineage, experiment and job one step forward together, or leaves no trace."""
        version = draft.version

        def write(tx: ClientSession) -> Job:
            added = self._add(version, grown, expected_revision, tx)
            self._models.write(draft, tx=tx)
            self._lessons.take_back(job, learned, tx=tx)
            rebuilt = "rebuilt" in version.model_metadata  # its drifts are old ones
            if (job.automatic and not rebuilt) or version.parent_id:
                self._retraining.note(version, learned, tx=tx)
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
        rebuilt = version.model_metadata.get("rebuilt")
        result = {
            "modelId": version.id,
            "modelVersion": version.model_version,
            "metrics": dict(version.model_metadata["performanceMetrics"]),
            **learned.as_dict(),
            **({"rebuilt": rebuilt} if rebuilt and learned.reports else {}),
            **({"movedSessions": dict(job.moved)} if job.moved else {}),
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
        if isinstance(exc, Unavailable | LineageChanged) and delay is not None:  # nobody is to blame
            return self._jobs.put_back(job, error, delay, counts=not isinstance(exc, Unavailable))
        return self._setbacks.settle(job, error, delay)

    def _wake_next(self, job: Job) -> None:
        if job.lineage_id is None:
            return
        try:
            self._retraining.consider(key_of(job))
            waiting = self._jobs.next_queued(job.lineage_id)
        except Unavailable:
            return  # the sweeps see to both once MongoDB is back
        if waiting is not None:
            self._queue.send(waiting)

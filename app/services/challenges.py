"""Answering drift: trains a challenger from the sessions since, and lets the better version be active.

Challenger and incumbent are measured on the same laps, each predicted before it was learned: the challenger's
as it learns them here, the incumbent's when it learned them, for every model keeps the errors of its last
laps. The challenger's version, the choice of the active one and the end of the job are one transaction.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from pymongo.client_session import ClientSession

from app.domain import Job, Lineage, Version, key_of, next_version
from app.errors import JobCancelled, LeaseLost, LineageChanged
from app.services.lessons import Learned, Lessons
from app.services.webhooks import Webhooks
from app.stores.jobs import JobStore
from learning.model import RacingModel
from learning.zoo import create_model
from models_store.activations import ActivationCause, Why
from models_store.registry import ModelRegistry
from models_store.store import ModelStore, Training

BEGINNING = 10  # laps at pace that a challenger may learn before it is measured
LEAST_COMPARED = 15  # laps; with fewer it is chance which of the two is better
MARGIN = 0.02  # by which a challenger must be better, for the incumbent knows more cars and days


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Mean absolute errors of challenger and incumbent on the same laps, in seconds; None without any."""

    laps: int
    challenger_mae: float | None
    incumbent_mae: float | None

    @property
    def challenger_wins(self) -> bool:
        if self.challenger_mae is None or self.incumbent_mae is None or self.laps < LEAST_COMPARED:
            return False
        return self.challenger_mae < (1 - MARGIN) * self.incumbent_mae

    def __str__(self) -> str:
        if self.challenger_mae is None or self.incumbent_mae is None or self.laps < LEAST_COMPARED:
            return f"only {self.laps} laps to compare, at least {LEAST_COMPARED} are needed"
        return (
            f"{self.challenger_mae:.3f} s mean error against {self.incumbent_mae:.3f} s of the version it"
            f" challenged, on the same {self.laps} laps"
        )


class Challenges:
    """Running the jobs of kind `retrain`."""

    def __init__(
        self,
        *,
        registry: ModelRegistry,
        models: ModelStore,
        jobs: JobStore,
        lessons: Lessons,
        webhooks: Webhooks,
    ) -> None:
        self._registry = registry
        self._models = models
        self._jobs = jobs
        self._lessons = lessons
        self._webhooks = webhooks

    def run(self, job: Job) -> Job:
        """The job as it ended; raises as any training does."""
        started = time.monotonic()
        lineage, incumbent = self._registry.find_lineage(key_of(job)), self._registry.find_active(key_of(job))
        recent = _recent(job, incumbent)
        if lineage is None or incumbent is None or not recent:
            return self._moot(job, "no active version has learned the sessions since the drift")
        model = create_model(
            job.model_type, incumbent.algorithm, dict(incumbent.model_metadata["hyperparameters"])
        )
        sessions = self._lessons.find(job, recent)
        steps = self._lessons.steps(job, sessions)
        learned = self._lessons.learn(steps, model, sessions, recent)
        job = steps.job
        if not learned.reports:
            return self._moot(job, "the sessions since the drift are gone")
        verdict = _verdict(self._models.load(incumbent), incumbent.training_session_ids, model, learned)
        training = Training(
            key=key_of(job),
            number=next_version(lineage.newest_version, from_scratch=True),
            parent=None,
            job=job,
            session_ids=tuple(learned.reports),
            validation=learned.validation(),
            duration=time.monotonic() - started,
        )
        challenger = _told(self._models.prepare(model, training), job, incumbent, verdict)
        return self._commit(job, challenger, learned, lineage)

    def _commit(self, job: Job, challenger: Version, learned: Learned, lineage: Lineage) -> Job:
        told = challenger.model_metadata["retraining"]
        result = {
            "modelId": challenger.id,
            "modelVersion": challenger.model_version,
            "metrics": dict(challenger.model_metadata["performanceMetrics"]),
            **told,
            **learned.as_dict(),
        }

        def write(tx: ClientSession) -> Job:
            won = told["outcome"] == "activated"
            why = Why(ActivationCause.RETRAINED, told["reason"]) if won else None
            self._registry.add_version(challenger, expected_revision=lineage.revision, tx=tx, why=why)
            event = {
                "trackName": job.track_name,
                "modelType": job.model_type.value,
                "jobId": job.id,
                "modelId": challenger.id,
                "modelVersion": challenger.model_version,
                **told,
            }
            self._webhooks.notify(job.user_id, "model.retrained", event, tx=tx)
            return self._jobs.succeed(
                job, result=result, model_id=challenger.id, model_version=challenger.model_version, tx=tx
            )

        try:
            return self._webhooks.told(write)
        except (LineageChanged, LeaseLost, JobCancelled):
            self._models.discard(challenger)
            raise

    def _moot(self, job: Job, reason: str) -> Job:
        result = {"outcome": "not_needed", "reason": reason, "drift": job.parameters["drift"]}
        return self._webhooks.told(
            lambda tx: self._jobs.succeed(job, result=result, model_id=None, model_version=None, tx=tx)
        )


def _recent(job: Job, incumbent: Version | None) -> tuple[str, ...]:
    """What the challenger learns: all that the active version has learned since the drift began.

    Read when the job runs, not when it was asked for, so that no upload that came between is left out.
    """
    ids, began = (
        incumbent.training_session_ids if incumbent else (),
        job.parameters["drift"]["beganSessionId"],
    )
    return ids[ids.index(began) :] if began in ids else ()


def _told(challenger: Version, job: Job, incumbent: Version, verdict: Verdict) -> Version:
    """The challenger's version with what became of it, and why."""
    drift, wins = job.parameters["drift"], verdict.challenger_wins
    reason = (
        f"Retrained as laps became {drift['size']:.2f} s {drift['direction']}; "
        f"{'activated' if wins else 'not activated'}: {verdict}."
    )
    told = {
        "outcome": "activated" if wins else "kept",
        "reason": reason,
        "drift": dict(drift),
        "comparedLaps": verdict.laps,
        "challenger": {"modelVersion": challenger.model_version, "mae": verdict.challenger_mae},
        "incumbent": {
            "modelId": incumbent.id,
            "modelVersion": incumbent.model_version,
            "mae": verdict.incumbent_mae,
        },
    }
    return replace(
        challenger,
        model_name=incumbent.model_name,
        description=reason,
        model_metadata={**challenger.model_metadata, "retraining": told},
    )


def _verdict(
    incumbent: RacingModel[Any], session_ids: Sequence[str], challenger: RacingModel[Any], learned: Learned
) -> Verdict:
    old = _errors(incumbent, session_ids)
    new = dict(list(_errors(challenger, tuple(learned.reports)).items())[BEGINNING:])
    both = [lap for lap in new if lap in old]
    if not both:
        return Verdict(laps=0, challenger_mae=None, incumbent_mae=None)
    return Verdict(
        laps=len(both),
        challenger_mae=fmean(new[lap] for lap in both),
        incumbent_mae=fmean(old[lap] for lap in both),
    )


def _errors(model: RacingModel[Any], session_ids: Sequence[str]) -> Mapping[tuple[str, int], float]:
    """A model's errors by session id and lap, as far as it remembers them."""
    unnamed = model.sessions_learned - len(session_ids)  # of a model that came from elsewhere
    return {
        (session_ids[error["session"] - unnamed], error["lap"]): error["error"]
        for error in model.errors
        if error["session"] >= unnamed
    }

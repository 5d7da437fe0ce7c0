"""A live experiment in a training: both sides scored by what neither has learned, then both grown by it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pymongo.client_session import ClientSession

from app.domain import Session, Version, key_of, next_version, utc_now
from app.errors import (
    HandedBack,
    JobCancelled,
    JobTimedOut,
    LeaseLost,
    LineageChanged,
    ModelNotFound,
    SessionNotFound,
    Unavailable,
)
from app.experiment import EndReason, Experiment, Outcome, SessionScore
from app.services.attempts import Steps
from app.services.comparing import ScoredLap, scored
from app.services.experiments import outcome_of
from app.stores.experiments import ExperimentStore
from app.stores.sessions import SessionStore
from models_store.activations import ActivationCause, Why
from models_store.registry import ModelRegistry
from models_store.store import ModelStore, Training

PASSES = 4  # over the laps: both sides are scored, both learn; without an experiment there is one
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A running experiment, and its sides as they are before a training."""

    experiment: Experiment
    incumbent: Version
    challenger: Version


@dataclass(frozen=True, kw_only=True)
class Grown:
    """What a training adds to an experiment; `challenger` is its new version, None where it learned nothing.

    A challenger that `failed` ends the experiment, and the training goes on without it.
    """

    trial: Trial
    scores: tuple[SessionScore, ...] = ()
    challenger: Version | None = None
    failed: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.trial.experiment.id,
            "challengerId": (self.challenger or self.trial.challenger).id,
            "scoredSessionIds": [score.session_id for score in self.scores],
        }


class Trials:
    """What trainings do for experiments."""

    def __init__(
        self,
        *,
        sessions: SessionStore,
        registry: ModelRegistry,
        models: ModelStore,
        experiments: ExperimentStore,
    ) -> None:
        self._sessions = sessions
        self._registry = registry
        self._models = models
        self._experiments = experiments

    def find(self, base: Version | None) -> Trial | None:
        """The experiment whose incumbent a training grows."""
        if base is None:
            return None
        running = self._experiments.find_running(key_of(base).id)
        if running is None or running.incumbent_id != base.id:
            return None
        try:
            challenger = self._registry.get_version(base.user_id, running.challenger_id)
        except ModelNotFound:  # removed this moment, and the experiment has ended by it
            return None
        return Trial(experiment=running, incumbent=base, challenger=challenger)

    def grow(self, trial: Trial, newest: str, sessions: Sequence[Session], steps: Steps) -> Grown:
        """Scores and grows an experiment by the sessions that make a new incumbent, whose number is `newest`.

        The versions scored are those from before, so they have learned none of it.

        Raises
        ------
        HandedBack, JobCancelled, JobTimedOut, LeaseLost, LineageChanged
        """
        known = set(trial.challenger.training_session_ids)
        new = [session for session in sessions if session.id not in known]
        try:
            scores = tuple(self._score(trial, session, steps) for session in new)
            challenger = self._learn(trial, newest, new, steps) if new else None
        except (HandedBack, JobCancelled, JobTimedOut, LeaseLost, Unavailable):
            raise
        except (ModelNotFound, SessionNotFound) as exc:  # removed this moment: begin again without it
            raise LineageChanged from exc
        except Exception:  # whatever a challenger does wrong must not keep the incumbent from learning
            log.exception("challenger_failed", experiment_id=trial.experiment.id)
            return Grown(trial=trial, failed=True)
        return Grown(trial=trial, scores=scores, challenger=challenger)

    def add(self, grown: Grown, incumbent: Version, *, expected_revision: int, tx: ClientSession) -> bool:
        """Adds both new versions and moves the experiment on, or ends it; whether the challenger's was added.

        An experiment that was ended meanwhile keeps its scores, and only the incumbent grows.

        Raises
        ------
        LineageChanged
        """
        after, promoted = self._advance(grown, incumbent, tx), None
        outcome = outcome_of(after) if after else None
        if after and outcome:
            wins = outcome is Outcome.CHALLENGER_BETTER
            promoted = after.challenger_id if wins and after.auto_promote else None
            self._experiments.end(after.id, EndReason.DECIDED, outcome=outcome, promoted_id=promoted, tx=tx)
        trained = None if promoted else Why(ActivationCause.TRAINED)
        self._registry.add_version(incumbent, expected_revision=expected_revision, tx=tx, why=trained)
        if after and grown.challenger:
            self._registry.add_version(
                grown.challenger, expected_revision=expected_revision + 1, tx=tx, why=None
            )
        if promoted:
            why = Why(ActivationCause.WON, f"experiment {grown.trial.experiment.id}")
            self._registry.activate(incumbent.user_id, promoted, why, tx=tx)
        return after is not None

    def discard(self, grown: Grown | None) -> None:
        """Removes the binary of a challenger that was not added."""
        if grown and grown.challenger:
            self._models.discard(grown.challenger)

    def _advance(self, grown: Grown, incumbent: Version, tx: ClientSession) -> Experiment | None:
        experiment = grown.trial.experiment
        if grown.failed:
            self._experiments.end(experiment.id, EndReason.CHALLENGER_FAILED, tx=tx)
            return None
        return self._experiments.advance(
            experiment,
            incumbent_id=incumbent.id,
            challenger_id=(grown.challenger or grown.trial.challenger).id,
            scores=grown.scores,
            tx=tx,
        )

    def _score(self, trial: Trial, session: Session, steps: Steps) -> SessionScore:
        laps = self._sessions.decoded_laps(session)
        sides: list[list[ScoredLap]] = []
        for version in (trial.incumbent, trial.challenger):
            sides.append(scored(self._models.load(version), laps, on_lap=steps.on_lap)[0])
            steps.next_session(session.valid_laps_count)
        return session_score(trial, session.id, *sides)

    def _learn(self, trial: Trial, newest: str, sessions: Sequence[Session], steps: Steps) -> Version:
        started, before = time.monotonic(), trial.challenger
        model = self._models.load_copy(before)
        for session in sessions:
            model.learn_session(self._sessions.decoded_laps(session), on_lap=steps.on_lap)
            steps.next_session(session.valid_laps_count)
        grown = self._models.prepare(
            model,
            Training(
                key=key_of(before),
                number=next_version(newest, from_scratch=False),
                parent=before,
                job=steps.job,
                session_ids=(*before.training_session_ids, *(session.id for session in sessions)),
                validation=None,
                duration=time.monotonic() - started,
            ),
        )
        return replace(grown, job_id=None)  # the job's own version is the incumbent's


def session_score(
    trial: Trial, session_id: str, incumbent: Sequence[ScoredLap], challenger: Sequence[ScoredLap]
) -> SessionScore:
    """How both sides did on the laps that both could predict."""
    pairs = [
        (one.error, other.error)
        for one, other in zip(incumbent, challenger, strict=True)
        if one.error is not None and other.error is not None
    ]
    return SessionScore(
        session_id=session_id,
        incumbent_id=trial.incumbent.id,
        challenger_id=trial.challenger.id,
        differences=tuple(round(one - other, 6) for one, other in pairs),
        laps_left_out=len(incumbent) - len(pairs),
        incumbent_mae=sum(one for one, _ in pairs) / len(pairs) if pairs else None,
        challenger_mae=sum(other for _, other in pairs) / len(pairs) if pairs else None,
        scored_at=utc_now(),
    )

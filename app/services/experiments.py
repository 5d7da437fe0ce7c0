"""Live experiments as drivers use them: start, watch, end, promote; and which side answers a prediction."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock

import numpy as np
from pymongo.client_session import ClientSession

from app.domain import Job, LineageKey, Version, key_of, new_id, utc_now
from app.errors import ExperimentEnded, ExperimentNotFound, Invalid, NotActive
from app.experiment import (
    EndReason,
    Experiment,
    ExperimentRequest,
    ExperimentStatus,
    Outcome,
    SessionScore,
    Variant,
)
from app.mongo import Client, in_transaction
from app.services.automatic import AutomaticJobs, Wish
from app.services.jobs import Jobs
from app.stores.accounts import Users
from app.stores.experiments import ExperimentStore
from app.stores.sessions import SessionStore
from learning.sequential import MIN_SESSIONS, Evidence, evidence
from models_store.activations import ActivationCause, Why
from models_store.registry import ModelRegistry

SEEN_WITHIN = 0.5  # seconds after which every process knows that an experiment has started or ended
LINEAGES_KEPT = 10_000


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How an experiment stands; errors in seconds, over the laps that both sides could predict."""

    sessions: int
    laps: int
    laps_left_out: int
    incumbent_mae: float | None
    challenger_mae: float | None
    evidence: Evidence | None


class Experiments:
    """Use cases of live experiments."""

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        sessions: SessionStore,
        registry: ModelRegistry,
        store: ExperimentStore,
        jobs: Jobs,
        automatic: AutomaticJobs,
    ) -> None:
        self._client = client
        self._users = users
        self._sessions = sessions
        self._registry = registry
        self._store = store
        self._jobs = jobs
        self._automatic = automatic

    def start(self, user_id: str, model_id: str, request: ExperimentRequest) -> Experiment:
        """Has a challenger answer a share of what is asked of the active version.

        Raises
        ------
        ModelNotFound, NotActive, ExperimentRunning, Invalid
        """

        def work(tx: ClientSession) -> Experiment:
            self._users.hold(user_id, tx=tx)
            incumbent = self._registry.get_version(user_id, model_id, tx=tx)
            challenger = self._registry.get_version(user_id, request.challenger_id, tx=tx)
            _check_challenger(incumbent, challenger)
            if not self._registry.hold(key_of(incumbent), active_id=model_id, tx=tx):
                raise NotActive
            experiment = _experiment(incumbent, request)
            self._store.add(experiment, tx=tx)
            return experiment

        return in_transaction(self._client, work)

    def get(self, user_id: str, model_id: str) -> Experiment:
        """The newest experiment that a version takes or took part in.

        Raises
        ------
        ModelNotFound, ExperimentNotFound
        """
        try:
            return self._store.newest_of(user_id, model_id)
        except ExperimentNotFound:
            self._registry.get_version(user_id, model_id)
            raise

    def stop(self, user_id: str, model_id: str) -> Experiment:
        """Ends an experiment, the incumbent staying active; one that has ended stays as it is.

        Raises
        ------
        ModelNotFound, ExperimentNotFound
        """
        experiment = self.get(user_id, model_id)
        return self._store.end(experiment.id, EndReason.STOPPED) or self.get(user_id, model_id)

    def promote(self, user_id: str, model_id: str) -> Experiment:
        """Makes the challenger active and ends the experiment, at one moment; a repeat changes nothing.

        One that was decided for the challenger can still be promoted; what was learned without the challenger
        since is queued for it.

        Raises
        ------
        ModelNotFound, ExperimentNotFound, ExperimentEnded
        """
        experiment_id = self.get(user_id, model_id).id

        def work(tx: ClientSession) -> tuple[Experiment, tuple[Job, ...]]:
            self._users.hold(user_id, tx=tx)
            experiment = self._store.get(experiment_id, tx=tx)
            if experiment.promoted_id:
                return experiment, ()
            return self._promoted(experiment, tx)

        experiment, jobs = in_transaction(self._client, work)
        self._jobs.show(*jobs)
        self._jobs.announce(*jobs)
        return experiment

    def end_overdue(self) -> None:
        """Ends experiments whose time is over."""
        for experiment_id in self._store.overdue(utc_now()):
            self._store.end(experiment_id, EndReason.TIME_OVER, outcome=Outcome.NO_DIFFERENCE)

    def _promoted(self, experiment: Experiment, tx: ClientSession) -> tuple[Experiment, tuple[Job, ...]]:
        challenger_id = experiment.challenger_id
        if not experiment.is_running and experiment.outcome is not Outcome.CHALLENGER_BETTER:
            raise ExperimentEnded
        key = LineageKey(
            user_id=experiment.user_id, track_name=experiment.track_name, model_type=experiment.model_type
        )
        before = self._registry.find_active(key, tx=tx)
        self._store.promote(experiment, tx=tx)
        why = Why(ActivationCause.PROMOTED, f"experiment {experiment.id}")
        challenger = self._registry.activate(experiment.user_id, challenger_id, why, tx=tx)
        jobs = self._caught_up(experiment, challenger, before, tx)
        return self._store.get(experiment.id, tx=tx), jobs

    def _caught_up(
        self, experiment: Experiment, challenger: Version, before: Version | None, tx: ClientSession
    ) -> tuple[Job, ...]:
        """Jobs for the sessions that came since the start and that only the version before has learned."""
        known = set(challenger.training_session_ids)
        others = [one for one in (before.training_session_ids if before else ()) if one not in known]
        sessions = self._sessions.find_all(experiment.user_id, others).values()
        wishes = [
            Wish(session=session, model_types=(experiment.model_type,), again=True)
            for session in sessions
            if session.created_at >= experiment.started_at
        ]
        _, new, joined = self._automatic.record(wishes, tx=tx)
        return new + joined


class RunningExperiments:
    """Which experiment runs in a lineage, from memory for half a second; safe to use from many threads."""

    def __init__(self, store: ExperimentStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Experiment | None]] = OrderedDict()
        self._lock = Lock()

    def find(self, key: LineageKey) -> Experiment | None:
        now = self._clock()
        with self._lock:
            until, experiment = self._kept.get(key.id, (0.0, None))
        if now >= until:
            experiment = self._store.find_running(key.id)
            with self._lock:
                self._kept[key.id] = now + SEEN_WITHIN, experiment
                self._kept.move_to_end(key.id)
                if len(self._kept) > LINEAGES_KEPT:
                    self._kept.popitem(last=False)
        return experiment if experiment and experiment.ends_at > utc_now() else None


def variant_for(experiment: Experiment, client: str) -> Variant:
    """Which side answers a client, always the same in one experiment.

    The first 64 bits of a SHA-256 are as good as drawn at random, so of many clients the experiment's share
    get the challenger.
    """
    digest = hashlib.sha256(f"{experiment.id}:{client}".encode()).digest()
    drawn = int.from_bytes(digest[:8]) / 2**64
    return Variant.CHALLENGER if drawn < experiment.share else Variant.INCUMBENT


def standing(experiment: Experiment) -> Standing:
    """How both sides have done so far."""
    scores = [score for score in experiment.scores if score.differences]
    return Standing(
        sessions=len(scores),
        laps=sum(len(score.differences) for score in scores),
        laps_left_out=sum(score.laps_left_out for score in experiment.scores),
        incumbent_mae=_mean(scores, lambda score: score.incumbent_mae),
        challenger_mae=_mean(scores, lambda score: score.challenger_mae),
        evidence=evidence([np.array(score.differences) for score in scores], level=experiment.level),
    )


def outcome_of(experiment: Experiment) -> Outcome | None:
    """What the laps have shown; None while they have not."""
    now = standing(experiment)
    if now.laps < experiment.min_laps or now.sessions < MIN_SESSIONS:
        return None
    if now.evidence is None or not now.evidence.is_decisive:
        return None
    return Outcome.CHALLENGER_BETTER if now.evidence.for_challenger else Outcome.INCUMBENT_BETTER


def _mean(scores: list[SessionScore], value: Callable[[SessionScore], float | None]) -> float | None:
    laps = sum(len(score.differences) for score in scores)
    total = sum((value(score) or 0.0) * len(score.differences) for score in scores)
    return total / laps if laps else None


def _check_challenger(incumbent: Version, challenger: Version) -> None:
    if challenger.id == incumbent.id:
        raise Invalid("a model cannot challenge itself", challengerId=["is the incumbent"])
    if key_of(challenger) != key_of(incumbent):
        raise Invalid(
            "the challenger must be another version of the same lineage",
            challengerId=["is of another track or model type"],
        )


def _experiment(incumbent: Version, request: ExperimentRequest) -> Experiment:
    key, now = key_of(incumbent), utc_now()
    return Experiment(
        id=new_id(),
        user_id=key.user_id,
        lineage_id=key.id,
        track_name=key.track_name,
        model_type=key.model_type,
        status=ExperimentStatus.RUNNING,
        incumbent_ids=(incumbent.id,),
        challenger_ids=(request.challenger_id,),
        share=request.share,
        level=request.level,
        min_laps=request.min_laps,
        max_days=request.max_days,
        auto_promote=request.auto_promote,
        started_at=now,
        ends_at=now + timedelta(days=request.max_days),
    )

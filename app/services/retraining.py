"""Decides when drift is answered by a retraining: once for each drift, and not too soon after another.

A drift is noted in the transaction that adds the version which found it. Whoever then finds a retraining due,
the worker right after or beat's sweep later, tries to start it; the lineage's document lets one of them.
"""

from datetime import timedelta
from typing import Any

import structlog
from pymongo.client_session import ClientSession

from app.domain import FoundDrift, Job, JobKind, Lineage, LineageKey, Version, iso, key_of, new_id, utc_now
from app.errors import Unauthorized
from app.mongo import Client, in_transaction
from app.services.jobs import Jobs, new_job
from app.services.lessons import Learned
from app.services.webhooks import Webhooks
from app.stores.accounts import Users
from app.stores.drifts import DriftStore
from app.stores.experiments import ExperimentStore
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore
from learning.drift import Drift
from models_store.registry import ModelRegistry

ENOUGH_LAPS = 30  # valid ones since the drift, before a challenger is worth training
ENOUGH_BEFORE = 3  # sessions it would leave behind: a young lineage adapts by itself
log = structlog.get_logger()


class Retraining:
    """Use cases of automatic retraining.

    Parameters
    ----------
    cooldown
        Between the beginnings of two retrainings of one lineage.
    """

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        sessions: SessionStore,
        registry: ModelRegistry,
        drifts: DriftStore,
        experiments: ExperimentStore,
        job_store: JobStore,
        jobs: Jobs,
        webhooks: Webhooks,
        cooldown: timedelta,
    ) -> None:
        self._client = client
        self._users = users
        self._sessions = sessions
        self._registry = registry
        self._drifts = drifts
        self._experiments = experiments
        self._job_store = job_store
        self._jobs = jobs
        self._webhooks = webhooks
        self._cooldown = cooldown

    def settings(self, key: LineageKey) -> Lineage:
        """Raises `LineageNotFound`."""
        return self._drifts.get(key)

    def set_automatic(self, key: LineageKey, *, automatic_retraining: bool) -> Lineage:
        """Whether drift of a lineage is answered by itself; raises `LineageNotFound`."""
        lineage = self._drifts.set_automatic_retraining(key, wanted=automatic_retraining)
        self.consider(key)
        return lineage

    def note(self, version: Version, learned: Learned, *, tx: ClientSession) -> None:
        """Keeps the newest drift that a new version's sessions showed, within its transaction."""
        found = _newest_drift(version, learned)
        if found is None:
            return
        key = key_of(version)
        self._drifts.note(key, found, tx=tx)
        data = {"trackName": key.track_name, "modelType": key.model_type.value, **drift_shown(found)}
        self._webhooks.notify(key.user_id, "drift.detected", data, tx=tx)

    def sweep(self) -> None:
        """Starts what has become due with time, and what a dead worker did not get round to."""
        for lineage in self._drifts.waiting(utc_now()):
            self.consider(key_of(lineage))

    def consider(self, key: LineageKey) -> Job | None:
        """Starts the retraining that a lineage's drift calls for; None where there is none to be started."""
        lineage = self._registry.find_lineage(key)
        if lineage is None or lineage.drift is None or lineage.drift.job_id:
            return None
        version = self._registry.find_active(key)
        if version is None:
            return None
        if self._experiments.find_running(key.id):  # its two sides are being compared already
            return None
        drift = lineage.drift
        recent = sessions_since(drift, version)
        if not recent:  # the driver went back to a version from before
            self._drifts.drop(key, drift)
            return None
        if len(version.training_session_ids) - len(recent) < ENOUGH_BEFORE:
            return None
        laps = sum(s.valid_laps_count for s in self._sessions.find_all(key.user_id, recent).values())
        return self._start(key, drift, recent) if laps >= ENOUGH_LAPS else None

    def _start(self, key: LineageKey, drift: FoundDrift, recent: tuple[str, ...]) -> Job | None:
        parameters = {"drift": drift_shown(drift)}
        job = new_job(JobKind.RETRAIN, key, recent, lineage_id=key.id, parameters=parameters)
        now = utc_now()

        def write(tx: ClientSession) -> Job | None:
            self._users.hold(key.user_id, tx=tx)
            if self._job_store.has_unfinished(key.id, JobKind.RETRAIN, tx=tx):
                return None
            until = now + self._cooldown
            if not self._drifts.answer(key, drift, job.id, now=now, until=until, tx=tx):
                return None
            return self._job_store.add(job, tx=tx)

        try:
            started = in_transaction(self._client, write)
        except Unauthorized:  # the account is being removed
            return None
        if started:
            log.info("retraining_started", job_id=job.id, drift=drift.id)
            self._jobs.announce(started)
        return started


def sessions_since(drift: FoundDrift, version: Version) -> tuple[str, ...]:
    """The sessions a version learned from the one on in which a drift began; none where it never saw that."""
    ids = version.training_session_ids
    return ids[ids.index(drift.began_session_id) :] if drift.began_session_id in ids else ()


def drift_shown(drift: FoundDrift) -> dict[str, Any]:
    """A drift as drivers see it."""
    return {
        "driftId": drift.id,
        "modelId": drift.model_id,
        "detectedAt": iso(drift.detected_at),
        "sessionId": drift.session_id,
        "lap": drift.lap,
        "beganSessionId": drift.began_session_id,
        "beganLap": drift.began_lap,
        "direction": drift.direction,
        "size": drift.size,
    }


def _newest_drift(version: Version, learned: Learned) -> FoundDrift | None:
    found = [(session_id, drift) for session_id, report in learned.reports.items() for drift in report.drifts]
    return _found(version, *found[-1]) if found else None


def _found(version: Version, session_id: str, drift: Drift) -> FoundDrift:
    """A drift as the platform knows it: by the ids of its sessions, where the model only counts them."""
    before = drift["detected"]["session"] - drift["began"]["session"]
    began = max(version.training_session_ids.index(session_id) - before, 0)
    return FoundDrift(
        id=new_id(),
        model_id=version.id,
        detected_at=version.created_at,
        session_id=session_id,
        lap=drift["detected"]["lap"],
        began_session_id=version.training_session_ids[began],
        began_lap=drift["began"]["lap"],
        direction=drift["direction"],
        size=drift["size"],
    )

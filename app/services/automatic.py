"""Which jobs learn new sessions by themselves: decided for many sessions at once, with few queries."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace

from pymongo.client_session import ClientSession

from app.domain import Job, JobKind, JobStatus, LineageKey, ModelType, Session
from app.errors import Unauthorized
from app.logs import request_ids
from app.services.jobs import new_job
from app.stores.accounts import Users
from app.stores.jobs import JobStore
from learning.setups import parameters_of
from models_store.registry import ModelRegistry

SESSIONS_OF_ONE_JOB = 200  # more that wait are learned by the next job, so that none takes an hour


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A session that shall be learned.

    `model_types` are the lineages to train; None stands for every active one of the driver and track, and lap
    time prediction also where it is not active. With `again` it is learned by a job to come though one has
    learned it already: the version active then did not grow from what that one made. `request_ids` are of the
    requests that brought it.
    """

    session: Session
    model_types: tuple[ModelType, ...] | None = None
    again: bool = False
    request_ids: tuple[str, ...] = field(default_factory=request_ids)


class AutomaticJobs:
    """Records the jobs that learn sessions; a job that still waits takes further sessions along."""

    def __init__(self, users: Users, registry: ModelRegistry, jobs: JobStore) -> None:
        self._users = users
        self._registry = registry
        self._jobs = jobs

    def record(
        self, wishes: Sequence[Wish], *, tx: ClientSession
    ) -> tuple[list[tuple[Job, ...]], tuple[Job, ...], tuple[Job, ...]]:
        """The jobs of each wish, those of them that are new, and those that took a session along.

        A lineage that learns the session already, or has, keeps the job by which it does.

        Raises
        ------
        Unauthorized
            An account is being removed, or is gone.
        """
        if not wishes:
            return [], (), ()
        keys = {key.id: key for wish in wishes for key in _keys(wish.session)}
        active = self._registry.active_among(keys, tx=tx)
        known = self._jobs.automatic_among({wish.session.id for wish in wishes}, keys, tx=tx)
        plan = _Plan(known, active)
        ids = [[plan.job_for(wish, key) for key in _wanted(wish, active)] for wish in wishes]
        drivers = {job.user_id for job in plan.new + plan.joined}
        if self._users.hold_all(drivers, tx=tx) != drivers:
            raise Unauthorized
        self._jobs.write_automatic(plan.new, plan.joined, tx=tx)
        return [tuple(plan.jobs[job_id] for job_id in of_wish) for of_wish in ids], plan.new, plan.joined


class _Plan:
    """What is to be written."""

    def __init__(self, known: Iterable[Job], active: Iterable[str]) -> None:
        self.jobs = {job.id: job for job in known}
        self._active = set(active)
        self._new: list[str] = []
        self._joined: dict[str, None] = {}
        # of several jobs that learn a session the one that waits counts
        everything = sorted(self.jobs.values(), key=_waits)
        self._learning = {(job.lineage_id, one): job.id for job in everything for one in job.session_ids}
        self._waiting = {job.lineage_id: job.id for job in everything if _has_room(job)}

    @property
    def new(self) -> tuple[Job, ...]:
        return tuple(self.jobs[job_id] for job_id in self._new)

    @property
    def joined(self) -> tuple[Job, ...]:
        """Those that were there and have got more sessions."""
        return tuple(self.jobs[job_id] for job_id in self._joined)

    def job_for(self, wish: Wish, key: LineageKey) -> str:
        """The id of the job by which the lineage learns the session."""
        session = wish.session
        job_id = self._learning.get((key.id, session.id))
        if job_id is None or (wish.again and not _waits(self.jobs[job_id])):
            job_id = self._join(wish, key) or self._begin(wish, key)
            self._learning[key.id, session.id] = job_id
        return job_id

    def _join(self, wish: Wish, key: LineageKey) -> str | None:
        job = self.jobs.get(self._waiting.get(key.id, ""))
        if job is None or not _has_room(job):
            return None
        asked = tuple(dict.fromkeys((*job.request_ids, *wish.request_ids)))
        session_ids = (*job.session_ids, wish.session.id)
        self.jobs[job.id] = replace(job, session_ids=session_ids, request_ids=asked)
        if job.id not in self._new:
            self._joined[job.id] = None
        return job.id

    def _begin(self, wish: Wish, key: LineageKey) -> str:
        kind = JobKind.INCREMENTAL_TRAINING if key.id in self._active else JobKind.TRAIN
        job = new_job(
            kind,
            key,
            (wish.session.id,),
            lineage_id=key.id,
            automatic=True,
            request_ids=wish.request_ids,
        )
        self.jobs[job.id] = job
        self._new.append(job.id)
        self._waiting[key.id] = job.id
        return job.id


def _waits(job: Job) -> bool:
    return job.status is JobStatus.QUEUED


def _has_room(job: Job) -> bool:
    is_fresh = job.error is None  # one that failed may have a session in it that always will
    return _waits(job) and is_fresh and len(job.session_ids) < SESSIONS_OF_ONE_JOB


def _wanted(wish: Wish, active: Container[str]) -> list[LineageKey]:
    if wish.model_types is not None:
        return [key for key in _keys(wish.session) if key.model_type in wish.model_types]
    return [
        key
        for key in _keys(wish.session)
        if (key.id in active or key.model_type == ModelType.LAP_TIME_PREDICTION)
        and (parameters_of(wish.session.setup) or key.model_type != ModelType.SETUP_OPTIMIZATION)
    ]


def _keys(session: Session) -> list[LineageKey]:
    """All lineages of the session's driver and track."""
    place = {"user_id": session.user_id, "track_name": session.track_name}
    return [LineageKey(model_type=model_type, **place) for model_type in sorted(ModelType)]

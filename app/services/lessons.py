"""Teaching a model a job's sessions, one after another, and what became of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo.client_session import ClientSession

from app.domain import Job, Session
from app.services.ahead import Ahead, Columns, newest_columns
from app.services.attempts import Steps
from app.services.watching import Alarm
from app.stores.job_status import JobStatusStore
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore
from learning.errors import NothingToLearn
from learning.model import RacingModel, Report


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What became of a job's sessions."""

    reports: Mapping[str, Report]  # by session id, of those learned, in order
    skipped: tuple[str, ...] = ()  # learned by the base version already
    missing: tuple[str, ...] = ()  # removed since the job was asked for
    unusable: Mapping[str, str] | None = None  # why, by session id
    taken_back: tuple[str, ...] = ()  # learned ones that had been set aside
    ahead: Mapping[str, Columns] = field(default_factory=dict)  # what was predicted, by session id

    def as_dict(self) -> dict[str, Any]:
        return {
            "learnedSessionIds": list(self.reports),
            "skippedSessionIds": list(self.skipped),
            "missingSessionIds": list(self.missing),
            "unusableSessions": dict(self.unusable or {}),
        }

    def validation(self) -> dict[str, Any]:
        """How well the sessions were predicted, together and each, and the predictions."""
        merged = Report.merged(tuple(self.reports.values()))
        return merged.as_dict() | {
            "sessions": {
                session_id: report.as_dict()
                | ({"predictions": self.ahead[session_id]} if session_id in self.ahead else {})
                for session_id, report in self.reports.items()
            }
        }


class Lessons:
    """What a worker does with a job's sessions.

    Parameters
    ----------
    alarm
        Put off at each lap.
    is_leaving
        Whether this process stops and shall hand its job back.
    """

    def __init__(
        self,
        sessions: SessionStore,
        jobs: JobStore,
        status: JobStatusStore,
        *,
        alarm: Alarm,
        is_leaving: Callable[[], bool],
    ) -> None:
        self._sessions = sessions
        self._jobs = jobs
        self._status = status
        self._alarm = alarm
        self._is_leaving = is_leaving

    def find(self, job: Job, wanted: Sequence[str]) -> dict[str, Session]:
        """Those of the sessions that are there, by id."""
        return self._sessions.find_all(job.user_id, wanted)

    def learn(
        self,
        steps: Steps,
        model: RacingModel[Any],
        sessions: Mapping[str, Session],
        wanted: Sequence[str],
        skipped: tuple[str, ...] = (),
    ) -> Learned:
        """Teaches the model the wanted sessions; raises as `Steps` does when the job is to stop."""
        reports: dict[str, Report] = {}
        ahead: dict[str, Ahead] = {}
        unusable = dict(steps.job.left_out)
        for session in (sessions[session_id] for session_id in wanted if session_id in sessions):
            steps.begin(session.id)
            try:
                laps = self._sessions.decoded_laps(session)
                watching = Ahead(model, laps, steps.on_lap)
                reports[session.id] = model.learn_session(laps, on_lap=watching.on_lap)
                ahead[session.id] = watching
            except NothingToLearn as exc:
                unusable[session.id] = exc.message
            steps.next_session(session.valid_laps_count)
        steps.end()
        missing = tuple(session_id for session_id in wanted if session_id not in sessions)
        taken_back = tuple(session_id for session_id in reports if sessions[session_id].set_aside)
        return Learned(
            reports=reports,
            skipped=skipped,
            missing=missing,
            unusable=unusable,
            taken_back=taken_back,
            ahead=newest_columns(ahead),
        )

    def steps(self, job: Job, sessions: Mapping[str, Session], *, passes: int = 1) -> Steps:
        """Counts the job's way through the laps of some sessions, `passes` times over."""
        total = sum(session.valid_laps_count for session in sessions.values())
        return Steps(
            job,
            self._jobs,
            self._status,
            passes * total,
            postpone=self._alarm.postpone,
            is_leaving=self._is_leaving,
        )

    def take_back(self, job: Job, learned: Learned, *, tx: ClientSession) -> None:
        """Of sessions that have been learned after all: they are no longer set aside."""
        if learned.taken_back:
            self._sessions.take_back(job.user_id, learned.taken_back, job.model_type, tx=tx)

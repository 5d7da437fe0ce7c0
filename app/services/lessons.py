"""Teaching a model a job's sessions, one after another, and what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain import Job, Session
from app.services.attempts import Steps
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

    def as_dict(self) -> dict[str, Any]:
        return {
            "learnedSessionIds": list(self.reports),
            "skippedSessionIds": list(self.skipped),
            "missingSessionIds": list(self.missing),
            "unusableSessions": dict(self.unusable or {}),
        }

    def validation(self) -> dict[str, Any]:
        """How well the sessions were predicted, together and each."""
        merged = Report.merged(tuple(self.reports.values()))
        return merged.as_dict() | {
            "sessions": {session_id: report.as_dict() for session_id, report in self.reports.items()}
        }


class Lessons:
    """What a worker does with a job's sessions."""

    def __init__(self, sessions: SessionStore, jobs: JobStore, status: JobStatusStore) -> None:
        self._sessions = sessions
        self._jobs = jobs
        self._status = status

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
        unusable = {}
        for session in (sessions[session_id] for session_id in wanted if session_id in sessions):
            try:
                laps = self._sessions.decoded_laps(session)
                reports[session.id] = model.learn_session(laps, on_lap=steps.on_lap)
            except NothingToLearn as exc:
                unusable[session.id] = exc.message
            steps.next_session(session.valid_laps_count)
        missing = tuple(session_id for session_id in wanted if session_id not in sessions)
        return Learned(reports=reports, skipped=skipped, missing=missing, unusable=unusable)

    def steps(self, job: Job, sessions: Mapping[str, Session], *, passes: int = 1) -> Steps:
        """Counts the job's way through the laps of some sessions, `passes` times over."""
        total = sum(session.valid_laps_count for session in sessions.values())
        return Steps(job, self._jobs, self._status, passes * total)

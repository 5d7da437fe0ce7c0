"""Jobs that measure versions on sessions and change nothing: validation and comparison."""

from typing import Any

from app.domain import Job, Session, Version
from app.errors import SessionNotFound
from app.services.attempts import Steps
from app.services.comparing import Measured, comparison, scored
from app.services.lessons import Lessons
from app.services.webhooks import Webhooks
from app.stores.jobs import JobStore
from app.stores.sessions import SessionStore
from learning.errors import NothingToLearn
from learning.model import Report
from models_store.registry import ModelRegistry
from models_store.store import ModelStore


class Measuring:
    """Use cases of the workers that leave every version as it is."""

    def __init__(
        self,
        *,
        sessions: SessionStore,
        registry: ModelRegistry,
        models: ModelStore,
        jobs: JobStore,
        lessons: Lessons,
        webhooks: Webhooks,
    ) -> None:
        self._sessions = sessions
        self._registry = registry
        self._models = models
        self._jobs = jobs
        self._lessons = lessons
        self._webhooks = webhooks

    def validate(self, job: Job) -> Job:
        """Measures a version."""
        version = self._registry.get_version(job.user_id, job.parameters["modelId"])
        model = self._models.load(version)
        sessions = self._present(job)
        steps = self._lessons.steps(job, sessions)
        reports = {}
        for session in sessions.values():
            reports[session.id] = model.score_session(
                self._sessions.decoded_laps(session), on_lap=steps.on_lap
            )
            steps.next_session(session.valid_laps_count)
        result = {
            "modelId": version.id,
            "modelVersion": version.model_version,
            "metrics": Report.merged(tuple(reports.values())).as_dict(),
            "missingSessionIds": _missing(job, sessions),
            "sessions": {session_id: report.as_dict() for session_id, report in reports.items()},
        }
        return self._succeed(steps.job, result, version)

    def compare(self, job: Job) -> Job:
        """Measures several versions on the same laps; a lap counts once a version in the progress."""
        versions = [self._registry.get_version(job.user_id, one) for one in job.parameters["modelIds"]]
        sessions = self._present(job)
        steps = self._lessons.steps(job, sessions, passes=len(versions))
        measured = [self._measured(version, sessions, steps) for version in versions]
        result = comparison(measured, level=job.parameters["level"])
        result["missingSessionIds"] = _missing(job, sessions)
        return self._succeed(steps.job, result)

    def _succeed(self, job: Job, result: dict[str, Any], version: Version | None = None) -> Job:
        model = {
            "model_id": version.id if version else None,
            "model_version": version.model_version if version else None,
        }
        return self._webhooks.told(lambda tx: self._jobs.succeed(job, result=result, **model, tx=tx))

    def _measured(self, version: Version, sessions: dict[str, Session], steps: Steps) -> Measured:
        """Of one model at a time: ten of them may be too much for the memory."""
        model = self._models.load(version)
        laps, reports, unusable = {}, [], {}
        for session in sessions.values():
            try:
                laps[session.id], report = scored(
                    model, self._sessions.decoded_laps(session), on_lap=steps.on_lap
                )
                reports.append(report)
            except NothingToLearn as exc:
                unusable[session.id] = exc.message
            steps.next_session(session.valid_laps_count)
        if not reports:
            raise NothingToLearn("none of the sessions has a lap to measure with", sessions=unusable)
        return Measured(version=version, report=Report.merged(reports), laps=laps, unusable=unusable)

    def _present(self, job: Job) -> dict[str, Session]:
        """The job's sessions that are there, in the order asked for."""
        found = self._sessions.find_all(job.user_id, job.session_ids)
        if not found:
            raise SessionNotFound("the sessions were removed before they were measured")
        return {session_id: found[session_id] for session_id in job.session_ids if session_id in found}


def _missing(job: Job, sessions: dict[str, Any]) -> list[str]:
    return [session_id for session_id in job.session_ids if session_id not in sessions]

"""Simulated sessions for whoever has no telemetry yet, taken in and learned as a driver's own are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from app.domain import Job, ModelType, NewSession, Session, TrainRequest
from app.services.sessions import Sessions
from app.services.training import Training
from learning.simulator import simulate_season, write_session

SESSIONS, LAPS = 4, 14
CAR = "corvo_gt3"
SEED = 43  # of those whose driver gets faster from session to session
BY_HAND = (ModelType.SECTOR_ANALYSIS, ModelType.SETUP_OPTIMIZATION)  # what an upload does not start by itself
_SIMULATING = Lock()


@dataclass(frozen=True, kw_only=True)
class _File:
    """A session as its driver would upload it."""

    name: str
    telemetry: bytes
    track_name: str
    setup: Mapping[str, float]


class Simulated:
    """The use case of trying the platform without telemetry."""

    def __init__(self, sessions: Sessions, training: Training) -> None:
        self._sessions = sessions
        self._training = training

    def add(self, user_id: str) -> tuple[list[Session], list[Job]]:
        """The sessions, oldest first, and the jobs that learn them for every model type.

        They are the same bytes for everybody, so a repeat finds the sessions and the jobs there are.
        """
        with _SIMULATING:  # else several first callers would each simulate
            files = _files()
        taken = [self._take(user_id, file) for file in files]
        added = [session for session, _ in taken]
        jobs = {job.id: job for _, of_session in taken for job in of_session}
        for model_type in BY_HAND:
            job = self._train(user_id, model_type, added)
            jobs[job.id] = job
        return added, list(jobs.values())

    def _take(self, user_id: str, file: _File) -> tuple[Session, tuple[Job, ...]]:
        with TemporaryDirectory(prefix="lapwise-simulated-") as folder:
            path = Path(folder) / "session"
            path.write_bytes(file.telemetry)
            new = NewSession(
                path=path,
                track_name=file.track_name,
                session_name=file.name,
                car_model=CAR,
                setup=file.setup,
            )
            return self._sessions.add(user_id, new, auto_train=True)

    def _train(self, user_id: str, model_type: ModelType, sessions: list[Session]) -> Job:
        ids = tuple(session.id for session in sessions)
        request = TrainRequest(track_name=sessions[0].track_name, model_type=model_type, session_ids=ids)
        return self._training.train(user_id, request, f"simulated-{model_type}-{'-'.join(ids)}")


@cache
def _files() -> tuple[_File, ...]:
    """Simulated once in each process, in two seconds; 2 MB."""
    season = simulate_season(["Simulated"], car_models=[CAR], sessions=SESSIONS, laps=LAPS, seed=SEED)
    with TemporaryDirectory(prefix="lapwise-simulated-") as folder:
        return tuple(
            _File(
                name=f"Simulated session {session.session_index + 1}",
                telemetry=write_session(session, Path(folder)).read_bytes(),
                track_name=session.track_name,
                setup=session.setup,
            )
            for session in season
        )

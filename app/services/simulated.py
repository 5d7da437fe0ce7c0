"""Simulated sessions for whoever has no telemetry yet, taken in and learned as a driver's own are."""

from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from app.domain import Job, ModelType, NewSession, Session, TrainRequest
from app.services.sessions import Sessions
from app.services.training import Training
from learning.simulator import SimulatedSession, simulate_season, write_session

MOST_SESSIONS = 8
FEWEST_LAPS, MOST_LAPS = 8, 30
DRIVER = "Simulated"
CAR = "corvo_gt3"
SEED = 43  # of those whose driver gets faster from session to session
BY_HAND = (ModelType.SECTOR_ANALYSIS, ModelType.SETUP_OPTIMIZATION)  # what an upload does not start by itself


class Simulated:
    """The use case of trying the platform without telemetry."""

    def __init__(self, sessions: Sessions, training: Training) -> None:
        self._sessions = sessions
        self._training = training
        self._simulating = Lock()  # one at a time in a process: it takes seconds of its processor

    def add(self, user_id: str, *, sessions: int, laps: int) -> tuple[list[Session], list[Job]]:
        """The sessions, oldest first, and the jobs that learn them for every model type.

        Equal arguments simulate equal bytes, so a repeat finds the sessions and the jobs there are.
        """
        with self._simulating, TemporaryDirectory(prefix="lapwise-simulated-") as folder:
            season = simulate_season([DRIVER], car_models=[CAR], sessions=sessions, laps=laps, seed=SEED)
            taken = [self._take(user_id, session, Path(folder)) for session in season]
        added = [session for session, _ in taken]
        jobs = {job.id: job for _, of_session in taken for job in of_session}
        for model_type in BY_HAND:
            job = self._train(user_id, model_type, added)
            jobs[job.id] = job
        return added, list(jobs.values())

    def _take(
        self, user_id: str, simulated: SimulatedSession, folder: Path
    ) -> tuple[Session, tuple[Job, ...]]:
        new = NewSession(
            path=write_session(simulated, folder),
            track_name=simulated.track_name,
            session_name=f"Simulated session {simulated.session_index + 1}",
            car_model=simulated.car_model,
            setup=simulated.setup,
        )
        return self._sessions.add(user_id, new, auto_train=True)

    def _train(self, user_id: str, model_type: ModelType, sessions: list[Session]) -> Job:
        ids = tuple(session.id for session in sessions)
        request = TrainRequest(track_name=sessions[0].track_name, model_type=model_type, session_ids=ids)
        return self._training.train(user_id, request, f"simulated-{model_type}-{ids[-1]}-{len(ids)}")

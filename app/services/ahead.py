"""What a model says of each lap just before it learns it: kept with the version, for drivers to look at."""

from typing import Any

from learning.errors import InvalidInput
from learning.history import Features
from learning.lap_time import LapTimeModel
from learning.laps import Lap, SessionLaps
from learning.model import OnLap, RacingModel
from learning.moments import conditions_of, moment_of
from learning.scores import LEVEL

MOST_LAPS = 100  # of one training, the newest, as many as the dashboard shows
_MID_LAP = 0.5
Columns = dict[str, list[Any]]


class Ahead:
    """Predicts the laps of a session one by one as they come to be learned.

    A lap time is predicted in mid-lap, as the mean error is measured; by other types before the lap. Of a
    car that is new the model answers from laps of another, and such laps are not in its errors.

    Parameters
    ----------
    on_lap
        Told as `RacingModel.learn_session` tells it; called first.
    """

    def __init__(self, model: RacingModel[Any], session: SessionLaps, on_lap: OnLap) -> None:
        self._model = model
        self._session = session
        self._on_lap = on_lap
        self._laps = model.fitting_laps(session)
        self._rows: list[tuple[Any, ...]] = []
        self._note(self._laps[0])

    def on_lap(self, done: int, total: int) -> None:
        """A lap has been learned: the next one's turn has come."""
        self._on_lap(done, total)
        if done < total:
            self._note(self._laps[done])

    def columns(self, most: int) -> Columns:
        """The newest laps, column by column; times in seconds, the interval is to hold nine laps of ten."""
        rows = self._rows[-most:] if most else []
        names = ("lap", "lapTime", "predicted", "lower", "upper")
        return {name: [row[index] for row in rows] for index, name in enumerate(names)}

    def _note(self, lap: Lap) -> None:
        try:
            answer = self._model.predict_lap(self._session, lap, self._known(lap), level=LEVEL)
        except InvalidInput:  # a setup that means nothing to this car yet, but to another
            return
        if answer is None or answer.interval is None:
            return
        times = (lap.lap_time, answer.values["lap_time"], answer.interval.lower, answer.interval.upper)
        self._rows.append((lap.number, *(round(float(time), 4) for time in times if time is not None)))

    def _known(self, lap: Lap) -> Features:
        if isinstance(self._model, LapTimeModel):
            return moment_of(lap, _MID_LAP)
        return conditions_of(lap) | {"session": self._model.sessions_learned}


def newest_columns(by_session: dict[str, Ahead]) -> dict[str, Columns]:
    """The newest laps of a training by session id, `MOST_LAPS` at most, so that a version stays small."""
    found: dict[str, Columns] = {}
    left = MOST_LAPS
    for session_id, ahead in reversed(by_session.items()):
        columns = ahead.columns(left)
        left -= len(columns["lap"])
        if columns["lap"]:
            found[session_id] = columns
    return found

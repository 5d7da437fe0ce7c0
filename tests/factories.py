"""Makes what tests need: sessions of the project's own simulator, as files a driver would upload."""

from pathlib import Path
from typing import Any

from app.domain import NewSession
from learning.simulator import CARS, TRACKS, simulate_session, write_session

TRACK = TRACKS[0]
CAR = next(iter(CARS))


def session_file(folder: Path, *, index: int = 1, laps: int = 4, driver: str = "ANN", **fields: Any) -> Path:
    """A file of one simulated session; another `index` is another day, and so other bytes."""
    settings = {"track": TRACK, "car_model": CAR, "sample_rate": 10.0, "seed": index}
    session = simulate_session(driver=driver, session_index=index, laps=laps, **(settings | fields))
    return write_session(session, folder)


def new_session(folder: Path, **fields: Any) -> NewSession:
    """The same as an upload that waits to be read."""
    path = session_file(folder, **fields)
    return NewSession(path=path, track_name=TRACK, setup=fields.get("setup", {}))

"""Makes what tests need: sessions of the project's own simulator, as files a driver would upload."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from app.domain import LineageKey, NewSession, Session, Version, new_id
from learning.simulator import CARS, TRACKS, simulate_session, write_session

TRACK = TRACKS[0]
CAR = next(iter(CARS))
ACC_NAMES = {
    "lap": "Graphics_completed_lap",
    "current_lap_time": "Graphics_current_time",
    "track_position": "Graphics_normalized_car_position",
    "speed": "Physics_speed_kmh",
    "throttle": "Physics_gas",
    "brake": "Physics_brake",
    "gear": "Physics_gear",
    "rpm": "Physics_rpm",
    "fuel": "Physics_fuel",
}
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def session_file(folder: Path, *, index: int = 1, laps: int = 4, driver: str = "ANN", **fields: Any) -> Path:
    """A file of one simulated session; another `index` is another day, and so other bytes."""
    settings = {"track": TRACK, "car_model": CAR, "sample_rate": 10.0, "seed": index}
    session = simulate_session(driver=driver, session_index=index, laps=laps, **(settings | fields))
    return write_session(session, folder)


def new_session(folder: Path, **fields: Any) -> NewSession:
    """The same as an upload that waits to be read."""
    path = session_file(folder, **fields)
    return NewSession(path=path, track_name=TRACK, setup=fields.get("setup", {}))


def acc_chunks(path: Path, rows: int = 300) -> Iterator[list[dict[str, Any]]]:
    """A session's rows under the names of the ACC shared memory, a few hundred a chunk."""
    frame = pl.read_csv(path).select(list(ACC_NAMES)).rename(ACC_NAMES)
    frame = frame.with_columns((pl.col("Graphics_current_time") * 1000).round(), pl.col("Physics_gear") + 1)
    for start in range(0, len(frame), rows):
        yield frame[start : start + rows].to_dicts()


def a_session(user_id: str, **fields: Any) -> Session:
    """A session's document, which has no files."""
    values: dict[str, Any] = {
        "id": new_id(),
        "user_id": user_id,
        "track_name": TRACK,
        "session_name": "Monday",
        "car_model": CAR,
        "setup": {},
        "format": "csv",
        "size": 10,
        "sha256": "0" * 64,
        "laps_count": 4,
        "valid_laps_count": 3,
        "best_lap_time": 90.5,
        "created_at": BEGINNING,
    }
    return Session(**values | fields)


def a_version(number: str, key: LineageKey, **fields: Any) -> Version:
    """A version's document, which has no binary."""
    values: dict[str, Any] = {
        "id": new_id(),
        "user_id": key.user_id,
        "track_name": key.track_name,
        "model_type": key.model_type,
        "model_name": "Monza",
        "model_version": number,
        "algorithm": "linear",
        "is_active": True,
        "parent_id": None,
        "description": "",
        "model_metadata": {"riverVersion": "0.26.1", "accuracy": None, "hyperparameters": {}},
        "training_session_ids": ("s1",),
        "validation_results": None,
        "feature_importance": {"speed": 0.5},
        "model_size": 10,
        "compressed_size": 5,
        "sha256": "0" * 64,
        "hmac": "1" * 64,
        "training_duration": 1.5,
        "job_id": new_id(),
        "created_at": BEGINNING,
        "updated_at": BEGINNING,
    }
    return Version(**values | fields)

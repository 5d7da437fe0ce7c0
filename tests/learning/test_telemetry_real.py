"""The reader agrees with the official timing of real sessions."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from learning.laps import SessionLaps, decode, encode
from learning.telemetry import read_session

DATA = Path(__file__).parents[3] / "shared" / "data" / "f1_testing"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real sessions are not beside the project")


@pytest.fixture(scope="module")
def sessions() -> dict[str, SessionLaps]:
    return {path.name[:6]: read_session(path).session for path in sorted(DATA.glob("*.csv.gz"))}


@pytest.fixture(scope="module")
def official() -> dict[tuple[str, int], dict[str, Any]]:
    rows = pl.read_csv(DATA / "laps.csv").rows(named=True)
    return {(f"{row['driver']}_p{row['session_no']}", row["lap"]): row for row in rows}


def test_every_lap_of_the_data_is_there_with_its_official_time(
    sessions: dict[str, SessionLaps], official: dict[tuple[str, int], dict[str, Any]]
) -> None:
    times = {(name, lap.number): lap.lap_time for name, session in sessions.items() for lap in session.laps}
    assert len(times) == 908
    assert sum(time is not None for time in times.values()) == 744
    assert times == {key: official[key]["lap_time"] for key in times}


def test_few_timed_laps_of_the_data_cannot_be_learned_from(sessions: dict[str, SessionLaps]) -> None:
    assert Counter(lap.reason for session in sessions.values() for lap in session.laps) == {
        None: 735,
        "not_timed": 159,
        "no_position": 4,
        "position_out_of_range": 4,
        "position_backwards": 3,
        "clock_mismatch": 3,
    }


def test_sector_times_are_the_official_ones_as_far_as_frames_tell(
    sessions: dict[str, SessionLaps], official: dict[tuple[str, int], dict[str, Any]]
) -> None:
    errors = [
        abs(time - official[name, lap.number][f"sector{i}"])
        for name, session in sessions.items()
        for lap in session.valid_laps
        for i, time in enumerate(lap.sector_times, 1)
    ]
    assert len(errors) == 3 * 735
    assert np.median(errors) < 0.05  # the frames are 0.13 s apart
    assert np.quantile(errors, 0.9) < 0.12


def test_real_laps_survive_being_stored(sessions: dict[str, SessionLaps]) -> None:
    stored = encode(sessions["BOR_p1"])  # the one with laps that have no positions
    assert encode(decode(stored)) == stored

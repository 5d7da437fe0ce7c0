"""One file may hold several drivers' laps, so the same bytes are one session for each of them only."""

from typing import Any

from pymongo import ASCENDING as UP
from pymongo.database import Database

name = "m0003_session_driver"
dependencies = ["m0001_indexes"]

SAME_LAPS = [("userId", UP), ("trackName", UP), ("sha256", UP), ("driver", UP)]


def upgrade(db: Database[dict[str, Any]]) -> None:
    """Makes the new index before the old one goes: at no time can a session come twice."""
    db["sessions"].create_index(SAME_LAPS, name="same_laps", unique=True)
    if "same_bytes" in db["sessions"].index_information():
        db["sessions"].drop_index("same_bytes")

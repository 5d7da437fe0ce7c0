"""Files that name their track, car or drivers, and laps without telemetry, on real servers."""

from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from app.container import Container
from app.domain import NewSession, UploadStart, new_id
from app.errors import Invalid, TraceNotFound
from learning.errors import InvalidTelemetry
from tests.unit.learning.foreign_files import acc_results, ibt

DRIVER = new_id()
LAPS = "driver,lap,lapTime\n" + "".join(
    f"{name},{number},{90 + number / 10}\n" for number in range(1, 5) for name in ("ANN", "BO")
)


@pytest.fixture(autouse=True)
def account(database: Database[dict[str, Any]]) -> None:
    database["users"].insert_one({"_id": DRIVER, "email": DRIVER})


def new(folder: Path, data: bytes, **fields: Any) -> NewSession:
    path = folder / "upload"
    path.write_bytes(data)
    return NewSession(path=path, **fields)


def test_a_file_that_names_its_track_and_car_needs_neither_from_the_driver(
    container: Container, tmp_path: Path
) -> None:
    session, _ = container.sessions.add(DRIVER, new(tmp_path, ibt()), False)
    assert (session.track_name, session.car_model) == ("Red Bull Ring Grand Prix", "Mercedes AMG GT4")
    assert session.session_name.startswith("Red Bull Ring Grand Prix ")
    own = new(tmp_path, ibt(), track_name="spielberg", car_model="mine")
    other, _ = container.sessions.add(DRIVER, own, False)
    assert (other.track_name, other.car_model) == ("spielberg", "mine")
    again, _ = container.sessions.add(DRIVER, new(tmp_path, ibt()), False)
    assert again.id == session.id
    assert len(container.sessions.page(DRIVER).items) == 2


def test_a_track_that_nobody_names_is_missing(container: Container, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        container.sessions.add(DRIVER, new(tmp_path, b"lap,lapTime\n1,90\n"), False)
    assert refused.value.details == {"trackName": ["Missing: the file does not name its track."]}


def test_one_file_is_a_session_of_each_driver_in_it(container: Container, tmp_path: Path) -> None:
    def add(driver: str | None) -> str:
        upload = new(tmp_path, LAPS.encode(), track_name="monza", driver=driver)
        return container.sessions.add(DRIVER, upload, False)[0].id

    with pytest.raises(InvalidTelemetry) as refused:
        add(None)
    assert refused.value.details["choices"] == ["ANN", "BO"]
    ann, bo = add("ann"), add("BO")
    assert add("ANN") == add("ann") == ann != bo
    assert [container.sessions.get(DRIVER, id).driver for id in (ann, bo)] == ["ANN", "BO"]


def test_an_upload_in_chunks_may_say_whose_laps_to_take(container: Container) -> None:
    start = UploadStart(session_name="race", track_name="monza", driver="bo")
    upload_id = container.uploads.start(DRIVER, start)
    rows = [{"driver": name, "lap": lap, "lapTime": 90 + lap} for lap in (1, 2) for name in ("ANN", "BO")]
    container.uploads.add_chunk(DRIVER, upload_id, 0, rows)
    session, _ = container.uploads.complete(DRIVER, upload_id, False)
    assert (session.driver, session.laps_count, session.format) == ("BO", 2, "jsonl")


def test_a_lap_without_telemetry_is_listed_and_has_no_trace(container: Container, tmp_path: Path) -> None:
    upload = new(tmp_path, acc_results(), driver="S76561")
    session, _ = container.sessions.add(DRIVER, upload, False)
    assert (session.track_name, session.car_model, session.best_lap_time) == (
        "monza",
        "Ferrari 296 GT3",
        107.512,
    )
    laps = container.sessions.laps(DRIVER, session.id)
    assert [(lap.lap, lap.reason) for lap in laps] == [(1, "cut"), (2, None), (4, "not_timed")]
    with pytest.raises(TraceNotFound, match="no telemetry"):
        container.sessions.trace(DRIVER, session.id, 2, 10)

"""Usage by day: predictions counted once whatever happens, versions from the jobs that made them."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.database import Database

from app.container import Container, build_container
from app.domain import ModelType, utc_now
from app.errors import Unavailable
from app.services import usage as usage_service
from tests.factories import TRACK
from tests.integration.drivers import LAP_TIME, Driver, NewDriver

Documents = Database[dict[str, Any]]
FIRST, LAST = datetime(2026, 2, 1, 9, tzinfo=UTC), datetime(2026, 2, 3, 23, 59, 59, tzinfo=UTC)


@pytest.fixture
def driver(new_driver: NewDriver) -> Driver:
    return new_driver("max")


def counted(driver: Driver) -> dict[str, Any]:
    """All predictions by type, as the driver is told."""
    found: dict[str, Any] = driver.get("/analytics/usage")["totals"]["predictions"]
    return found


def test_predictions_are_counted_by_day_and_type_with_rows_and_latency(
    driver: Driver, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, rows, seconds in ((FIRST, 1, 0.002), (FIRST, 30, 0.004), (LAST, 5, 0.1)):
        monkeypatch.setattr(usage_service, "time", SimpleNamespace(time=at.timestamp))
        container.usage.count(driver.id, ModelType.LAP_TIME_PREDICTION, rows, seconds)
    report = driver.get("/analytics/usage?from=2026-02-01&to=2026-02-04")
    days = [(day["date"], day["predictions"].get(LAP_TIME)) for day in report["days"]]
    assert [date for date, _ in days] == ["2026-02-01", "2026-02-02", "2026-02-03", "2026-02-04"]
    first, nothing, third, _ = (found for _, found in days)
    assert (first["requests"], first["rows"], nothing) == (2, 31, None)
    assert first["latency"] == {
        "mean": pytest.approx(0.003),
        "p50": pytest.approx(0.002, rel=0.05),
        "p95": pytest.approx(0.004, rel=0.05),
    }
    assert (third["requests"], third["latency"]["mean"]) == (1, pytest.approx(0.1))
    total = report["totals"]["predictions"][LAP_TIME]
    assert (total["requests"], total["rows"]) == (3, 36)
    assert total["latency"]["p95"] == pytest.approx(0.1, rel=0.05)
    assert driver.get("/analytics/usage?from=2026-02-02&to=2026-02-02")["totals"]["predictions"] == {}


def test_predictions_through_http_are_there_at_once_and_stay_the_drivers_own(
    driver: Driver, new_driver: NewDriver
) -> None:
    driver.grow(1)
    for _ in range(3):
        driver.predict()
    found = counted(driver)[LAP_TIME]
    assert (found["requests"], found["rows"]) == (3, 3)
    assert 0 < found["latency"]["p50"] <= found["latency"]["p95"]
    assert counted(new_driver("lewis")) == {}


def test_what_a_process_left_is_counted_by_the_next(driver: Driver, container: Container) -> None:
    with build_container(container.settings) as another:
        for _ in range(5):
            another.usage.count(driver.id, ModelType.SECTOR_ANALYSIS, 2, 0.001)
        assert counted(driver) == {}, "it is alive and will count them itself"
    assert counted(driver)["sector_analysis"]["requests"] == 5


def test_a_file_that_was_counted_but_not_removed_counts_no_second_time(
    driver: Driver, container: Container, tmp_path: Path
) -> None:
    container.usage.count(driver.id, ModelType.LAP_TIME_PREDICTION, 1, 0.001)
    container.usage.close()
    [path] = (container.settings.data_dir / "usage").iterdir()
    shutil.copy(path, tmp_path / path.name)
    container.usage.flush()
    shutil.copy(tmp_path / path.name, path)  # as if the process had died before it could remove it
    container.usage.flush()
    assert counted(driver)[LAP_TIME]["requests"] == 1
    assert not path.exists()


def test_what_could_not_be_added_up_is_added_later(
    driver: Driver, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.usage.count(driver.id, ModelType.LAP_TIME_PREDICTION, 1, 0.001)
    with monkeypatch.context() as patched:
        patched.setattr(usage_service, "in_transaction", away)
        with pytest.raises(Unavailable):
            container.usage.flush()
        assert driver.status("GET", "/analytics/usage") == 503
    container.usage.count(driver.id, ModelType.LAP_TIME_PREDICTION, 1, 0.001)
    assert counted(driver)[LAP_TIME]["requests"] == 2


def away(*_: Any) -> None:
    raise Unavailable


def test_many_containers_flushing_at_once_count_each_prediction_once(
    driver: Driver, container: Container
) -> None:
    def predict(_: int) -> None:
        with build_container(container.settings) as another:
            for _ in range(50):
                another.usage.count(driver.id, ModelType.LAP_TIME_PREDICTION, 1, 0.001)
                another.usage.flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(predict, range(4)))
    assert counted(driver)[LAP_TIME]["requests"] == 200


def test_a_driver_who_has_left_is_not_counted_any_more(
    driver: Driver, container: Container, new_driver: NewDriver, database: Documents
) -> None:
    lewis = new_driver("lewis")
    for user_id in (driver.id, lewis.id):
        container.usage.count(user_id, ModelType.LAP_TIME_PREDICTION, 1, 0.001)
    assert driver.status("DELETE", "/auth/me") == 204
    assert counted(lewis)[LAP_TIME]["requests"] == 1
    assert database["usage"].distinct("userId") == [lewis.id]


def test_versions_are_counted_from_their_jobs_so_a_removed_one_was_made_all_the_same(driver: Driver) -> None:
    versions = [driver.grow(index) for index in (1, 2, 3)]
    repeated = {"modelId": versions[0].id, "newSessionIds": list(versions[0].training_session_ids)}
    job = driver.ask("POST", "/model/incremental-training", repeated).json
    driver.container.runs.run(job["id"])  # type: ignore[index]
    assert driver.get(f"/jobs/{job['id']}")["status"] == "succeeded"  # type: ignore[index]
    driver.ask("DELETE", f"/ai-model/{versions[1].id}")
    report = driver.get("/analytics/usage")
    assert len(report["days"]) == 30
    today = report["days"][-1]
    assert (today["date"], today["modelsCreated"], today["modelsUpdated"]) == (report["to"], 1, 2)
    assert (report["totals"]["modelsCreated"], report["totals"]["modelsUpdated"]) == (1, 2)


def test_improvement_compares_a_lineages_versions_over_the_days(driver: Driver, database: Documents) -> None:
    versions = [driver.grow(index) for index in (1, 2, 3)]
    now = utc_now()
    for version, days_ago, mae in zip(versions, (2, 0, 0), (0.5, 0.4, 0.2), strict=True):
        changed = {"createdAt": now - timedelta(days=days_ago), "modelMetadata.mae": mae}
        database["aimodels"].update_one({"_id": version.id}, {"$set": changed})
    report = driver.get("/analytics/usage")
    improved = {
        "trackName": TRACK,
        "modelType": LAP_TIME,
        "firstVersion": "1.0.0",
        "lastVersion": "1.0.2",
        "firstMae": 0.5,
        "lastMae": 0.2,
        "improvement": pytest.approx(0.3),
    }
    assert report["totals"]["improvements"] == [improved]
    assert [day["improvements"] for day in report["days"][-3:]] == [[], [], [improved]]
    database["aimodels"].update_one({"_id": versions[0].id}, {"$set": {"modelMetadata.mae": None}})
    [today] = driver.get("/analytics/usage")["days"][-1]["improvements"]
    assert (today["firstVersion"], today["lastVersion"]) == ("1.0.1", "1.0.2")


def test_the_thread_of_a_web_process_counts_by_itself_and_tells_its_listener(
    driver: Driver, container: Container, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_service, "FLUSH_SECONDS", 0.01)
    heard: list[int] = []
    thread = container.usage.start(lambda record: heard.append(record.rows))
    container.usage.count(driver.id, ModelType.LAP_TIME_PREDICTION, 7, 0.001)
    end = utc_now() + timedelta(seconds=8)
    while database["usage"].count_documents({"userId": driver.id}) == 0:
        assert utc_now() < end
    container.usage.close()
    thread.join(5)
    assert not thread.is_alive()
    assert heard == [7]

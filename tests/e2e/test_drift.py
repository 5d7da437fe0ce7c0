"""A driver whose car has become slower, as that driver sees it through the public door."""

import time
from pathlib import Path
from typing import Any

import pytest

from app.client import ApiError, Client
from tests.factories import TRACK, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]

LINEAGE = f"{TRACK}/lap_time_prediction"
OTHER_TYRES = {"tyre_pressure": 31.0}  # about 1.6 s a lap slower in the simulator


def drive(driver: Client, files: Path, index: int, **fields: Any) -> None:
    """One session, uploaded and learned."""
    file = session_file(files, index=index, laps=25, sample_rate=4.0, seed=7, **fields)
    driver.wait(driver.upload(file, TRACK)["jobs"][0]["id"])


def retrainings(driver: Client) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = driver.call("GET", "/jobs", params={"kind": "retrain"})["items"]
    return jobs


def first_retraining(driver: Client) -> dict[str, Any]:
    """The worker asks for it right after the job whose session showed the drift."""
    end = time.monotonic() + 30
    while not (jobs := retrainings(driver)):
        assert time.monotonic() < end, "no retraining was started"
        time.sleep(0.1)
    return jobs[0]


def test_a_slower_car_is_noticed_and_answered_by_a_retraining_that_says_why(
    driver: Client, files: Path
) -> None:
    for index in (1, 2, 3):
        drive(driver, files, index)
    for index in (4, 5):
        drive(driver, files, index, setup=OTHER_TYRES)
    job = first_retraining(driver)
    state = driver.call("GET", f"/ai-model/lineage-settings/{LINEAGE}")
    assert (state["automaticRetraining"], state["drift"]["direction"]) == (True, "slower")
    assert state["drift"]["size"] == pytest.approx(1.6, abs=0.6)
    assert job["id"] == state["drift"]["jobId"]
    told = driver.wait(job["id"])["result"]
    assert told["outcome"] in ("activated", "kept")
    assert "slower" in told["reason"]
    assert told["comparedLaps"] >= 15
    version = driver.call("GET", f"/ai-model/{told['modelId']}")
    assert version["modelVersion"] == "2.0.0"
    assert version["isActive"] is (told["outcome"] == "activated")
    assert version["modelMetadata"]["retraining"]["reason"] == told["reason"] == version["description"]


def test_a_lineage_with_the_setting_off_is_told_of_drift_but_not_retrained(
    driver: Client, files: Path
) -> None:
    for index in (1, 2, 3):
        drive(driver, files, index)
    settings = {"automaticRetraining": False}
    assert not driver.call("PUT", f"/ai-model/lineage-settings/{LINEAGE}", json=settings)[
        "automaticRetraining"
    ]
    for index in (4, 5):
        drive(driver, files, index, setup=OTHER_TYRES)
    state = driver.call("GET", f"/ai-model/lineage-settings/{LINEAGE}")
    assert (state["drift"]["direction"], state["drift"]["jobId"]) == ("slower", None)
    assert retrainings(driver) == []


def test_settings_of_an_unknown_lineage_and_settings_that_make_no_sense_are_refused(driver: Client) -> None:
    path = f"/ai-model/lineage-settings/{LINEAGE}"
    with pytest.raises(ApiError, match="train one first") as unknown:
        driver.call("GET", path)
    assert unknown.value.status == 404
    with pytest.raises(ApiError) as nonsense:
        driver.call("PUT", path, json={"automaticRetraining": "perhaps"})
    assert nonsense.value.status == 422
    assert "automaticRetraining" in nonsense.value.details

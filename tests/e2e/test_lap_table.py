"""A table of laps without telemetry goes the whole way: uploaded, learned by the worker, predicted from."""

from pathlib import Path

import pytest

from app.client import ApiError, Client

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(120)]

TRACK = "monza"


def table(folder: Path) -> Path:
    rows = ["driver,lap,lapTime,sector1,sector2,sector3,compound,tyreLife"]
    for lap in range(1, 13):
        first, second = 30 + lap % 3 / 10, 35 + lap % 4
        rows.append(f"ANN,{lap},1:{first + second + 25 - 60:06.3f},{first},{second},25.0,soft,{lap}")
        rows.append(f"BO,{lap},{first + second + 30},{first},{second},30.0,soft,{lap}")
    path = folder / "laps.csv"
    path.write_text("\n".join(rows))
    return path


def test_sector_analysis_is_trained_on_a_table_of_laps_and_predicts(driver: Client, files: Path) -> None:
    with pytest.raises(ApiError) as refused:
        driver.upload(table(files), TRACK)
    assert (refused.value.status, refused.value.details["choices"]) == (422, ["ANN", "BO"])
    answer = driver.upload(table(files), TRACK, driver="ann")
    session, (lap_time_job,) = answer["session"], answer["jobs"]
    assert (session["driver"], session["validLapsCount"], session["bestLapTime"]) == ("ANN", 12, 90.0)
    body = {"trackName": TRACK, "modelType": "sector_analysis", "sessionIds": [session["id"]]}
    job = driver.wait(driver.call("POST", "/model/train", json=body)["id"])
    assert job["modelVersion"] == "1.0.0"
    predictions = driver.predict(TRACK, "sector_analysis", {})["predictions"]
    assert [sector["best"] for sector in predictions["sectors"]] == [30.0, 35.0, 25.0]
    assert (predictions["theoretical_best"], predictions["focus"]) == (90.0, 2)
    assert driver.wait(lap_time_job["id"])["status"] == "succeeded"
    with pytest.raises(ApiError) as refused:
        driver.call("GET", f"/racing-session/{session['id']}/laps/1/trace")
    assert (refused.value.status, refused.value.code) == (404, "trace_not_found")

"""The main job as a client does it, through the public door of a whole platform."""

import gzip
import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import ApiError, Client
from app.local.child import ChildPlatform
from tests.e2e.conftest import PASSWORD, new_driver
from tests.factories import TRACK, acc_chunks, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(120)]

LAP_TIME = "lap_time_prediction"
FRAME = {"speed": 180.0, "throttle": 1.0, "brake": 0.0, "gear": 5, "track_position": 0.5}


def test_a_session_becomes_a_version_that_predicts(driver: Client, files: Path) -> None:
    answer = driver.upload(session_file(files, laps=8), TRACK, car_model="gt3", session_name="morning")
    session, (job,) = answer["session"], answer["jobs"]
    assert (session["sessionName"], session["carModel"], session["lapsCount"]) == ("morning", "gt3", 8)
    assert job["status"] == "queued"
    done = driver.wait(job["id"])
    assert done["progress"] == {
        "done": session["validLapsCount"],
        "total": session["validLapsCount"],
        "unit": "laps",
    }
    version = driver.call("GET", f"/ai-model/active/{TRACK}/{LAP_TIME}")
    assert (version["modelVersion"], version["trainingSessionIds"]) == ("1.0.0", [session["id"]])
    assert version["modelMetadata"]["lapsLearned"] == session["validLapsCount"]
    options = {"include_confidence": True, "confidence_level": 0.8, "include_feature_importance": True}
    one = driver.predict(TRACK, LAP_TIME, FRAME | {"current_lap_time": session["bestLapTime"] / 2}, **options)
    assert abs(one["predictions"]["lap_time"] - session["bestLapTime"]) < 0.1 * session["bestLapTime"]
    assert set(one["featureImportance"]) - {"history"} <= set(version["modelMetadata"]["features"])
    many = driver.predict(TRACK, LAP_TIME, [FRAME, FRAME | {"track_position": 0.25}])
    assert len(many["predictions"]) == 2


def test_jobs_are_followed_as_server_sent_events(driver: Client, files: Path) -> None:
    job = driver.upload(session_file(files, laps=30), TRACK)["jobs"][0]
    events = []
    with driver.http.stream("GET", f"/jobs/{job['id']}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert events[-1]["status"] == "succeeded"
    assert [event["id"] for event in events] == [job["id"]] * len(events)


def test_watchers_cannot_take_all_of_the_api(driver: Client, files: Path) -> None:
    job = driver.upload(session_file(files, laps=400, sample_rate=2.0), TRACK)["jobs"][0]
    with ExitStack() as stack:
        path = f"/jobs/{job['id']}/events"
        answers = [stack.enter_context(driver.http.stream("GET", path)) for _ in range(20)]
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses[429] >= 12, "at most four in each of two processes"
        assert driver.http.get("/healthz", timeout=5).status_code == 200
    driver.wait(job["id"])


def test_a_setup_model_is_told_the_setup_of_now(driver: Client, files: Path) -> None:
    ids = []
    for index, wing in enumerate((2.0, 5.0, 8.0, 11.0), start=1):
        path = session_file(files, index=index, setup={"rear_wing": wing})
        ids.append(driver.upload(path, TRACK, setup={"rear_wing": wing}, auto_train=False)["session"]["id"])
    body = {"trackName": TRACK, "modelType": "setup_optimization", "sessionIds": ids}
    driver.wait(driver.call("POST", "/model/train", json=body)["id"])
    answer = driver.predict(TRACK, "setup_optimization", {"setup": {"rear_wing": 3.0}})
    assert answer["predictions"]["bounds"] == {"rear_wing": {"low": 0.0, "high": 11.0, "source": "assumed"}}
    assert 0.0 <= answer["predictions"]["recommended"]["rear_wing"] <= 11.0
    row = {"setup": {"rear_wing": 3.0}, "bounds": {"rear_wing": [2.5, 3.5]}}
    answer = driver.predict(TRACK, "setup_optimization", row)
    assert 2.5 <= answer["predictions"]["recommended"]["rear_wing"] <= 3.5
    with pytest.raises(ApiError) as refused:
        driver.predict(TRACK, "setup_optimization", {"rear_wing": 3.0})
    assert (refused.value.status, list(refused.value.details)) == (422, ["rear_wing"])


def test_sessions_without_a_setup_are_refused_for_setup_models_and_passed_over_by_themselves(
    driver: Client, files: Path
) -> None:
    first = driver.upload(session_file(files, index=1), TRACK, setup={"rear_wing": 4.0}, auto_train=False)
    plain = driver.upload(session_file(files, index=2), TRACK, auto_train=False)["session"]["id"]
    body = {"trackName": TRACK, "modelType": "setup_optimization"}
    hyperparameters = {"bounds": {"rear_wing": [2, 9]}}
    with pytest.raises(ApiError, match="none of these sessions has a setup") as refused:
        driver.call("POST", "/model/train", json=body | {"sessionIds": [plain]})
    assert (refused.value.status, refused.value.code) == (422, "setup_missing")
    train = body | {"sessionIds": [first["session"]["id"], plain], "hyperparameters": hyperparameters}
    done = driver.wait(driver.call("POST", "/model/train", json=train)["id"])
    grow = {"modelId": done["modelId"], "newSessionIds": [plain]}
    with pytest.raises(ApiError) as refused:
        driver.call("POST", "/model/incremental-training", json=grow)
    assert (refused.value.status, refused.value.code) == (422, "setup_missing")
    answer = driver.predict(TRACK, "setup_optimization", {})["predictions"]
    assert answer["bounds"] == {"rear_wing": {"low": 2.0, "high": 9.0, "source": "given"}}
    assert answer["strategy"] == "explore"
    jobs = driver.upload(session_file(files, index=3), TRACK)["jobs"]
    assert [job["modelType"] for job in jobs] == [LAP_TIME]
    assert driver.wait(jobs[0]["id"])["status"] == "succeeded"


def test_a_missing_chunk_is_named_and_can_be_sent_later(driver: Client, files: Path) -> None:
    chunks = list(acc_chunks(session_file(files)))
    init = {"sessionName": "torn", "mapName": TRACK}
    upload_id = driver.call("POST", "/racing-session/upload/init", json=init)["uploadId"]
    send = {"params": {"uploadId": upload_id}}
    for index in (0, len(chunks) - 1):
        body = {"chunk": chunks[index], "chunkIndex": index}
        driver.call("POST", "/racing-session/upload/chunk", json=body, **send)
    with pytest.raises(ApiError) as refused:
        driver.call("POST", "/racing-session/upload/complete", json={}, **send)
    assert refused.value.status == 409
    assert refused.value.details["missing"] == list(range(1, len(chunks) - 1))
    for index in range(1, len(chunks) - 1):
        body = {"chunk": chunks[index], "chunkIndex": index}
        driver.call("POST", "/racing-session/upload/chunk", json=body, **send)
    driver.call("POST", "/racing-session/upload/complete", json={"totalChunks": len(chunks)}, **send)
    with pytest.raises(ApiError) as finished:
        driver.call(
            "POST", "/racing-session/upload/chunk", json={"chunk": chunks[0], "chunkIndex": 0}, **send
        )
    assert (finished.value.status, finished.value.code) == (409, "upload_finished")


def test_two_drivers_see_nothing_of_each_other(platform: ChildPlatform, driver: Client, files: Path) -> None:
    answer = driver.upload(session_file(files), TRACK)
    session_id, job_id = answer["session"]["id"], answer["jobs"][0]["id"]
    driver.wait(job_id)
    model_id = driver.history(TRACK)[0]["modelId"]
    init = {"sessionName": "mine", "mapName": TRACK}
    upload_id = driver.call("POST", "/racing-session/upload/init", json=init)["uploadId"]
    chunk = {"chunk": [{"lap": 1}], "chunkIndex": 0}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/racing-session/{session_id}", {}),
        ("GET", f"/racing-session/{session_id}/laps", {}),
        ("GET", f"/racing-session/{session_id}/laps/1/trace", {}),
        ("GET", f"/racing-session/{session_id}/laps/1/analysis", {}),
        ("DELETE", f"/racing-session/{session_id}", {}),
        ("POST", f"/racing-session/upload/chunk?uploadId={upload_id}", {"json": chunk}),
        ("POST", f"/racing-session/upload/complete?uploadId={upload_id}", {"json": {}}),
        ("GET", f"/jobs/{job_id}", {}),
        ("GET", f"/jobs/{job_id}/events", {}),
        ("DELETE", f"/jobs/{job_id}", {}),
        ("GET", f"/ai-model/{model_id}", {}),
        ("PUT", f"/ai-model/{model_id}", {"json": {"modelName": "stolen"}}),
        ("DELETE", f"/ai-model/{model_id}", {}),
        ("POST", f"/ai-model/{model_id}/activate", {}),
        ("GET", f"/model/metrics/{model_id}", {}),
        ("GET", f"/ai-model/active/{TRACK}/{LAP_TIME}", {}),
        ("POST", "/ai-model/predict", {"json": {"modelId": model_id, "inputData": FRAME}}),
        ("POST", "/model/validate", {"json": {"modelId": model_id, "sessionIds": [session_id]}}),
        (
            "POST",
            "/model/train",
            {"json": {"trackName": TRACK, "modelType": LAP_TIME, "sessionIds": [session_id]}},
        ),
        (
            "POST",
            "/ai-model/incremental-training",
            {"json": {"modelId": model_id, "newSessionIds": [session_id]}},
        ),
    ]
    with new_driver(platform) as stranger:
        for method, path, body in calls:
            with pytest.raises(ApiError) as refused:
                stranger.call(method, path, **body)
            assert refused.value.status == 404, (method, path)
        for path in ("/racing-session", "/jobs", f"/ai-model/user/{TRACK}"):
            assert list(stranger.items(path)) == []
        assert stranger.history(TRACK) == []
    assert driver.call("GET", f"/ai-model/{model_id}")["modelName"] != "stolen"


BAD_FILES = {
    "not telemetry at all": (b"\x89PNG\r\n\x1a\n" + bytes(200), 415),
    "empty": (b"", 422),
    "truncated gzip": (gzip.compress(b"lap,current_lap_time,track_position\n" * 500)[:-20], 422),
    "no lap column": (b"speed,track_position,current_lap_time\n200,0.1,9.0\n", 422),
    "a time that is no number": (b"lap,current_lap_time,track_position\n1,nan,0.0\n1,1.0,0.5\n", 422),
    "infinite time": (b"lap,current_lap_time,track_position\n1,0.0,0.0\n1,inf,0.5\n", 422),
    "negative time": (b"lap,current_lap_time,track_position\n1,-4.0,0.0\n1,1.0,0.5\n", 422),
    "no complete lap": (b"lap,current_lap_time,track_position\n1,0.0,0.2\n1,1.0,0.3\n", 422),
    "position runs backwards": (
        b"lap,current_lap_time,track_position\n"
        + b"".join(b"1,%.1f,%.3f\n" % (i, 1 - i / 100) for i in range(100)),
        422,
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_and_nothing_stored(driver: Client, files: Path, name: str) -> None:
    data, status = BAD_FILES[name]
    path = files / "bad.csv"
    path.write_bytes(data)
    with pytest.raises(ApiError) as refused:
        driver.upload(path, TRACK)
    assert refused.value.status == status, refused.value.code
    assert list(driver.items("/racing-session")) == []
    assert list(driver.items("/jobs")) == []


def test_a_refresh_token_is_spent_once_and_its_reuse_ends_the_family(platform: ChildPlatform) -> None:
    with httpx.Client(base_url=platform.endpoints()["api"], timeout=30) as http:
        account = {"email": "refresher@example.com", "password": PASSWORD}
        assert http.post("/auth/register", json=account).status_code == 201
        first = http.post("/auth/login", json=account).json()
        second = http.post("/auth/refresh", headers=bearer(first["refreshToken"])).json()
        assert http.get("/auth/me", headers=bearer(second["accessToken"])).status_code == 200
        assert http.post("/auth/refresh", headers=bearer(first["refreshToken"])).status_code == 401
        assert http.get("/auth/me", headers=bearer(second["accessToken"])).status_code == 401
        assert http.post("/auth/refresh", headers=bearer(second["refreshToken"])).status_code == 401


def test_the_platform_says_how_it_is(platform: ChildPlatform) -> None:
    with httpx.Client(base_url=platform.endpoints()["api"], timeout=30) as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").status_code == 200
        assert "lapwise" in http.get("/metrics").text
        assert http.get("/openapi.json").json()["openapi"].startswith("3.")
        page = http.get("/docs", follow_redirects=True)
        assert page.status_code == 200
        assert "http://" not in page.text and "https://" not in page.text, "everything is served locally"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}

"""The original front end's calls in its order and with its names, by plain HTTP: its door stays open."""

import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.local.child import ChildPlatform
from tests.factories import TRACK, acc_chunks, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(120)]

LAP_TIME = "lap_time_prediction"
Answer = dict[str, Any]

USER = {"id", "email", "displayName", "createdAt"}
SESSION = {
    *("id", "userId", "trackName", "sessionName", "carModel", "driver", "setup", "format", "size", "sha256"),
    *("lapsCount", "validLapsCount", "bestLapTime", "createdAt", "setAside"),
}
JOB = {
    *("id", "kind", "status", "progress", "modelType", "trackName", "sessionIds", "modelId", "modelVersion"),
    *("result", "error", "attempts", "queuedAt", "startedAt", "finishedAt"),
}
VERSION = {
    *("id", "userId", "trackName", "modelName", "modelVersion", "modelType", "algorithm", "isActive"),
    *("parentId", "description", "modelMetadata", "trainingSessionIds", "validationResults"),
    *("featureImportance", "modelSize", "compressedSize", "sha256", "trainingDuration", "createdAt"),
    "updatedAt",
}
METADATA = {
    *("modelType", "trainingSessionsCount", "lapsLearned", "accuracy", "mse", "mae", "rmse", "features"),
    *("hyperparameters", "lastTrainingDate", "performanceMetrics", "riverVersion"),
}
HISTORY = {"version", "modelId", "accuracy", "mae", "mse", "rmse", "sessions", "createdAt"}


@pytest.fixture
def http(platform: ChildPlatform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.endpoints()["api"], timeout=60) as client:
        yield client


def answer(response: httpx.Response, status: int) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def upload(http: httpx.Client, path: Path, email: str, *, name: str) -> Answer:
    """A session in chunks that arrive out of order, one of them twice, completed twice."""
    start = {"sessionName": name, "mapName": TRACK, "userEmail": email, "carModel": "ferrari_296_gt3"}
    query = answer(http.post("/racing-session/upload/init", json=start), 200)
    assert query.keys() == {"uploadId"}
    chunks = list(enumerate(acc_chunks(path)))
    random.Random(3).shuffle(chunks)
    for count, (index, rows) in enumerate(chunks, start=1):
        received = send(http, query, index, rows)
        assert received == {"receivedChunks": count}
    assert send(http, query, *chunks[0]) == {"receivedChunks": len(chunks)}
    complete: Answer = answer(http.post("/racing-session/upload/complete", params=query, json={}), 202)
    again = answer(http.post("/racing-session/upload/complete", params=query, json={}), 202)
    assert again["session"] == complete["session"]
    assert [job["id"] for job in again["jobs"]] == [job["id"] for job in complete["jobs"]]
    return complete


def send(http: httpx.Client, query: Answer, index: int, rows: list[Answer]) -> Answer:
    body = {"chunk": rows, "chunkIndex": index}
    received: Answer = answer(http.post("/racing-session/upload/chunk", params=query, json=body), 200)
    return received


def polled(http: httpx.Client, job_id: str) -> Answer:
    """The job once it has ended."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        job: Answer = answer(http.get(f"/jobs/{job_id}"), 200)
        assert job.keys() == JOB
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return job
        time.sleep(0.1)
    raise AssertionError(f"{job_id} does not end")


def test_the_original_front_end_finds_everything_where_it_was(http: httpx.Client, tmp_path: Path) -> None:
    email, password = f"{secrets.token_hex(6)}@example.com", "a long enough password"

    registered = answer(http.post("/auth/register", json={"email": email, "password": password}), 201)
    assert registered.keys() == {"user"}
    assert registered["user"].keys() == USER
    login = answer(http.post("/auth/login", json={"email": email, "password": password}), 200)
    assert login.keys() == {"accessToken", "refreshToken", "expiresIn", "user"}
    http.headers["Authorization"] = f"Bearer {login['accessToken']}"

    complete = upload(http, session_file(tmp_path, index=1, laps=6), email, name="old client")
    assert complete.keys() == {"session", "jobs"}
    session, [queued] = complete["session"], complete["jobs"]
    assert session.keys() == SESSION
    assert (session["sessionName"], session["trackName"]) == ("old client", TRACK)
    assert (session["carModel"], session["userId"]) == ("ferrari_296_gt3", login["user"]["id"])
    assert 0 < session["validLapsCount"] <= session["lapsCount"] == 6
    assert queued.keys() == JOB

    job = polled(http, queued["id"])
    assert (job["status"], job["modelVersion"], job["error"]) == ("succeeded", "1.0.0", None)
    learned = session["validLapsCount"]
    assert job["progress"] == {"done": learned, "total": learned, "unit": "laps"}

    active = answer(http.get(f"/ai-model/active/{TRACK}/{LAP_TIME}"), 200)
    assert active.keys() == VERSION
    assert active["modelMetadata"].keys() >= METADATA
    assert (active["id"], active["isActive"]) == (job["modelId"], True)
    assert active["trainingSessionIds"] == [session["id"]]

    predict = {
        "modelId": active["id"],
        "inputData": {
            "speed": 180.0,
            "throttle": 1.0,
            "brake": 0.0,
            "gear": 5,
            "track_position": 0.5,
            "current_lap_time": session["bestLapTime"] / 2,
        },
        "predictionOptions": {
            "include_confidence": True,
            "confidence_level": 0.8,
            "include_feature_importance": True,
        },
    }
    predicted = answer(http.post("/ai-model/predict", json=predict), 200)
    assert predicted.keys() >= {"modelId", "modelVersion", "predictions", "confidence", "featureImportance"}
    assert (predicted["modelId"], predicted["modelVersion"]) == (active["id"], "1.0.0")
    assert predicted["predictions"].keys() >= {"lap_time"}
    assert predicted["predictions"]["lap_time"] == pytest.approx(session["bestLapTime"], rel=0.1)
    assert {"lower", "upper", "level"} <= predicted["confidence"].keys()
    camel = predict | {
        "inputData": {"trackPosition": 0.5, "speed": 180, "throttle": 1, "brake": 0, "gear": 5}
    }
    rows = answer(http.post("/model/predict", json=camel | {"inputData": [camel["inputData"]] * 2}), 200)
    assert len(rows["predictions"]) == len(rows["confidence"]) == 2

    more = upload(http, session_file(tmp_path, index=2, laps=6), email, name="the next day")
    assert polled(http, more["jobs"][0]["id"])["modelVersion"] == "1.0.1"
    train = {
        "trackName": TRACK,
        "modelType": "sector_analysis",
        "sessionIds": [session["id"]],
        "modelName": "my sectors",
    }
    trained = polled(http, answer(http.post("/ai-model/train-new", json=train), 202)["id"])
    increment = {
        "modelId": trained["modelId"],
        "newSessionIds": [session["id"], more["session"]["id"]],
        "validateModel": True,
        "trainingParameters": {},
    }
    accepted = http.post("/ai-model/incremental-training", json=increment)
    grown = polled(http, answer(accepted, 202)["id"])
    assert accepted.headers["Location"].endswith(f"/jobs/{grown['id']}")
    assert (grown["modelVersion"], grown["result"]["skippedSessionIds"]) == ("1.0.1", [session["id"]])
    validate = {"modelId": grown["modelId"], "sessionIds": [session["id"]]}
    judged = polled(http, answer(http.post("/model/validate", json=validate), 202)["id"])
    assert judged["result"]["metrics"].keys() >= {"mae", "mse", "rmse", "accuracy"}

    mine = answer(http.get(f"/ai-model/user/{TRACK}", params={"activeOnly": "true"}), 200)
    assert mine.keys() == {"items", "nextCursor"}
    assert sorted(version["modelType"] for version in mine["items"]) == [LAP_TIME, "sector_analysis"]
    history = answer(http.get(f"/ai-model/performance-history/{TRACK}/{LAP_TIME}"), 200)
    assert history.keys() >= {"versions"}
    assert [version["version"] for version in history["versions"]] == ["1.0.0", "1.0.1"]
    assert all(version.keys() >= HISTORY for version in history["versions"])
    assert [version["sessions"] for version in history["versions"]] == [1, 2]

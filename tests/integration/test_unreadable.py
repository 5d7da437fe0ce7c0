"""A version that cannot be read is reported and not served; its lineage goes on without losing a session."""

from dataclasses import replace
from typing import Any

import pytest
from pymongo.database import Database

from app.container import build_container
from app.domain import JobStatus, Version
from app.settings import Settings
from models_store import formats
from models_store.formats import Step
from tests.factories import TRACK
from tests.integration.drivers import LAP_TIME, Driver, NewDriver


@pytest.fixture
def driver(new_driver: NewDriver) -> Driver:
    return new_driver("ann")


@pytest.fixture
def damaged(driver: Driver, database: Database[dict[str, Any]]) -> Version:
    """The active version, 1.0.1, whose binary lies in the wrong order; 1.0.0 is whole."""
    driver.grow(1)
    version = driver.grow(2)
    turn_round(database, version)
    return version


def turn_round(database: Database[dict[str, Any]], version: Version) -> None:
    """Reverses the bytes of the version's binary; a second time mends it."""
    chunk = database["models.chunks"].find_one({"files_id": version.id})
    assert chunk is not None
    database["models.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": chunk["data"][::-1]}})


def error(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = answer["error"]
    return found


def test_it_is_refused_by_name_and_the_other_versions_go_on(driver: Driver, damaged: Version) -> None:
    refused = error(driver.predict(status=409))
    assert refused["code"] == "model_unreadable"
    assert refused["details"]["modelId"] == damaged.id
    assert "train the model again from its sessions" in refused["message"]
    for kind in ("lapwise", "json", "onnx"):
        answer = driver.call("GET", f"/ai-model/{damaged.id}/export?format={kind}", status=409)
        assert error(answer)["code"] == "model_unreadable"
    assert damaged.parent_id is not None
    assert driver.predict(damaged.parent_id)["modelVersion"] == "1.0.0"
    driver.call("POST", f"/ai-model/{damaged.parent_id}/activate", {})
    assert driver.predict()["modelVersion"] == "1.0.0"


def test_operators_see_it_and_that_it_is_mended(
    driver: Driver, damaged: Version, database: Database[dict[str, Any]]
) -> None:
    platform = driver.container.platform
    assert platform.count_unreadable() == 0
    driver.predict(status=409)
    assert platform.count_unreadable() == 1
    assert "lapwise_unreadable_models 1.0" in driver.ask("GET", "/metrics").text
    turn_round(database, damaged)
    assert driver.predict()["modelVersion"] == "1.0.1"
    assert driver.container.backups.verify(lambda *_: None).problems == ()
    assert platform.count_unreadable() == 0


def test_the_next_session_is_learned_with_all_before_and_the_job_says_so(
    driver: Driver, damaged: Version
) -> None:
    done = driver.learn(3)
    assert done["status"] == "succeeded"
    assert done["result"]["rebuilt"]["modelId"] == damaged.id
    assert len(done["result"]["learnedSessionIds"]) == 3
    active = driver.active()
    assert (active["modelVersion"], active["parentId"]) == ("2.0.0", None)
    assert active["trainingSessionIds"][:2] == list(damaged.training_session_ids)
    assert active["description"].startswith("Trained again from all its sessions: 1.0.1 is unreadable")
    assert active["algorithm"] == damaged.algorithm
    model = driver.container.runs._models.load_copy(driver.container.models.get(driver.id, active["id"]))
    assert model.sessions_learned == 3
    assert driver.learn(4)["modelVersion"] == "2.0.1"


def test_growing_it_by_name_learns_all_again_too(driver: Driver, damaged: Version) -> None:
    session = driver.upload(3, auto_train=False)["session"]["id"]
    body = {"modelId": damaged.id, "newSessionIds": [session]}
    done = driver.run(driver.call("POST", "/model/incremental-training", body, status=202))
    assert done["result"]["learnedSessionIds"] == [*damaged.training_session_ids, session]
    assert done["modelVersion"] == "2.0.0"


def test_measuring_it_fails_with_the_reason(driver: Driver, damaged: Version) -> None:
    body = {"modelId": damaged.id, "sessionIds": list(damaged.training_session_ids)}
    done = driver.run(driver.call("POST", "/model/validate", body, status=202))
    assert (done["status"], done["error"]["code"]) == ("failed", "model_unreadable")


def test_a_version_of_a_newer_release_counts_before_anybody_asks_for_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(formats, "CURRENT", 2)
        newer.setattr(formats, "STEPS", {1: Step()})
        driver.grow(1)
        assert driver.predict()["modelVersion"] == "1.0.0"
        assert driver.container.platform.count_unreadable() == 0
    driver.container.models._store._cache.drop(driver.active()["id"])
    assert driver.container.platform.count_unreadable() == 1
    refused = error(driver.predict(status=409))
    assert "it is of format 2, and this release reads none after 1" in refused["message"]
    assert driver.learn(2)["modelVersion"] == "2.0.0"
    assert driver.get(f"/ai-model/active/{TRACK}/{LAP_TIME}")["trainingSessionIds"]


def test_a_worker_with_a_wrong_key_builds_nothing_again_and_the_job_waits(
    driver: Driver, settings: Settings
) -> None:
    driver.grow(1)
    (job,) = driver.upload(2)["jobs"]
    with build_container(replace(settings, model_key="quite another key of the tests")) as wrong:
        wrong.runs.run(job["id"])
        waiting = wrong.jobs.get(driver.id, job["id"])
    assert (waiting.status, waiting.attempts) == (JobStatus.QUEUED, 0)
    assert waiting.error is not None
    assert "is LAPWISE_MODEL_KEY the right one?" in waiting.error["message"]
    assert driver.active()["modelVersion"] == "1.0.0"

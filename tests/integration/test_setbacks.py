"""Sessions that fail their trainer: found among others, tried again, set aside, taken up again on request."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.container import Container, build_container
from app.domain import JobStatus, utc_now
from app.settings import Settings
from learning.laps import SessionLaps
from learning.model import RacingModel
from tests.factories import TRACK
from tests.integration.drivers import LAP_TIME, Driver, NewDriver

Json = dict[str, Any]
POISONED = 5  # laps; what has so many is poison in these tests


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    quick = replace(settings, job_attempts=2, lease_seconds=0.05, login_rate_limit="10000 per minute")
    with build_container(quick) as built:
        yield built


@pytest.fixture
def driver(new_driver: NewDriver) -> Driver:
    return new_driver("max")


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> dict[str, BaseException]:
    """What learning a poisoned session raises, under `error`; nothing when it is taken out."""
    learn = RacingModel.learn_session
    raised: dict[str, BaseException] = {"error": ZeroDivisionError("made up")}

    def learn_session(model: Any, laps: SessionLaps, **options: Any) -> Any:
        if len(laps.laps) == POISONED and "error" in raised:
            raise raised["error"]
        return learn(model, laps, **options)

    monkeypatch.setattr(RacingModel, "learn_session", learn_session)
    return raised


def uploaded(driver: Driver, *laps: int) -> tuple[list[str], str]:
    """The ids of sessions of so many laps, and that of the one job that is to learn them."""
    answers = [driver.upload(index, laps=count) for index, count in enumerate(laps, start=1)]
    jobs = {job["id"] for answer in answers for job in answer["jobs"]}
    assert len(jobs) == 1, "they must have piled up"
    return [answer["session"]["id"] for answer in answers], jobs.pop()


def work(container: Container, tries: int = 12) -> None:
    """What a worker does, with the waits between attempts cut short."""
    jobs = container.runs._jobs._jobs
    for _ in range(tries):
        jobs.update_many({"status": "queued"}, {"$set": {"notBefore": None}})
        try:
            container.runs.run_next()
        except ZeroDivisionError:
            continue


def learned(driver: Driver) -> list[str]:
    ids: list[str] = driver.active()["trainingSessionIds"]
    return ids


def jobs_of(driver: Driver) -> list[tuple[str, int]]:
    """Status and sessions of each job, oldest first."""
    items = driver.get("/jobs?limit=200")["items"][::-1]
    return [(item["status"], len(item["sessionIds"])) for item in items]


def test_of_sessions_learned_together_only_the_one_that_fails_is_set_aside(
    driver: Driver, container: Container, poison: Json
) -> None:
    ids, job_id = uploaded(driver, 4, 3, POISONED, 4)
    work(container)
    assert learned(driver) == [ids[0], ids[1], ids[3]]
    assert jobs_of(driver) == [("succeeded", 2), ("failed", 1), ("succeeded", 1)]
    moved = driver.get(f"/jobs/{job_id}")["result"]["movedSessions"]
    assert moved.keys() == {ids[2], ids[3]}
    failed = driver.get(f"/jobs/{moved[ids[2]]}")
    assert (failed["attempts"], failed["error"]["code"]) == (2, "internal_error")
    assert failed["error"]["details"]["sessionId"] == ids[2]
    (told,) = driver.get(f"/racing-session/{ids[2]}")["setAside"]
    assert (told["modelType"], told["jobId"], told["code"]) == (LAP_TIME, failed["id"], "internal_error")
    assert driver.get(f"/racing-session/{ids[0]}")["setAside"] == []


def test_a_poisoned_session_that_waits_does_not_take_new_uploads_along(
    driver: Driver, container: Container, poison: Json
) -> None:
    uploaded(driver, POISONED)
    work(container, tries=1)
    fresh = driver.upload(2)
    work(container)
    assert learned(driver) == [fresh["session"]["id"]]
    assert jobs_of(driver) == [("failed", 1), ("succeeded", 1)]


def test_a_session_that_was_set_aside_is_learned_when_its_job_is_retried(
    driver: Driver, container: Container, poison: Json
) -> None:
    (session_id,), job_id = uploaded(driver, POISONED)
    work(container)
    assert driver.get(f"/jobs/{job_id}")["status"] == "failed"
    poison.clear()
    answer = driver.ask("POST", f"/jobs/{job_id}/retry")
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.headers["Location"] == f"/jobs/{answer.json['id']}"
    work(container)
    assert learned(driver) == [session_id]
    assert driver.get(f"/racing-session/{session_id}")["setAside"] == []
    refused = driver.ask("POST", f"/jobs/{answer.json['id']}/retry")
    assert refused.status_code == 409
    assert refused.json["error"]["code"] == "job_not_failed"  # type: ignore[index]


def test_a_retry_under_an_idempotency_key_makes_one_job(
    driver: Driver, container: Container, poison: Json
) -> None:
    _, job_id = uploaded(driver, POISONED)
    work(container)
    header = {"Idempotency-Key": "again"}
    answers = [driver.client.post(f"/jobs/{job_id}/retry", headers=header).json for _ in range(2)]
    assert answers[0] == answers[1]
    assert jobs_of(driver) == [("failed", 1), ("queued", 1)]


def test_memory_that_runs_out_is_told_as_such(driver: Driver, container: Container, poison: Json) -> None:
    poison["error"] = MemoryError()
    _, job_id = uploaded(driver, POISONED)
    container.runs.run(job_id)
    assert driver.get(f"/jobs/{job_id}")["error"]["code"] == "out_of_memory"


def test_a_process_that_dies_of_a_session_leaves_its_name_behind(
    driver: Driver, container: Container, poison: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Stands for a process that is no more: nothing of its job is recorded."""

    poison["error"] = Killed()
    ids, _ = uploaded(driver, 4, POISONED, 3)
    for _ in range(8):
        container.runs._jobs._jobs.update_many({"status": "queued"}, {"$set": {"notBefore": None}})
        try:
            container.runs.run_next()
        except Killed:
            time.sleep(0.1)  # its lease runs out
            container.platform.sweep()
    assert learned(driver) == [ids[0], ids[2]]
    (told,) = driver.get(f"/racing-session/{ids[1]}")["setAside"]
    assert (told["code"], told["attempts"]) == ("job_given_up", 2)


def test_a_job_asked_for_by_hand_goes_on_without_a_session_that_fails_it_twice(
    new_driver: NewDriver, settings: Settings, poison: Json
) -> None:
    driver = new_driver("lewis")
    ids = [
        driver.upload(index, laps=laps, auto_train=False)["session"]["id"]
        for index, laps in ((1, 4), (2, POISONED), (3, 4))
    ]
    body = {"trackName": TRACK, "modelType": LAP_TIME, "sessionIds": ids}
    job_id = driver.call("POST", "/model/train", body, status=202)["id"]
    with build_container(settings) as patient:
        work(patient, tries=3)
    done = driver.get(f"/jobs/{job_id}")
    assert done["status"] == "succeeded"
    assert done["result"]["learnedSessionIds"] == [ids[0], ids[2]]
    assert done["result"]["unusableSessions"] == {ids[1]: "the job failed with ZeroDivisionError"}
    assert [one["jobId"] for one in driver.get(f"/racing-session/{ids[1]}")["setAside"]] == [job_id]


def test_a_session_that_hangs_is_ended_by_the_alarm_and_blamed(
    new_driver: NewDriver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object, **__: object) -> None:
        while True:
            pass

    driver = new_driver("lewis")
    (session_id,), job_id = uploaded(driver, 4)
    monkeypatch.setattr(RacingModel, "learn_session", hang)
    with build_container(replace(settings, stall_seconds=0.2)) as strict:
        strict.runs.run(job_id)
    job = driver.get(f"/jobs/{job_id}")
    assert (job["status"], job["error"]["code"]) == ("queued", "job_stalled")
    assert job["error"]["details"]["sessionId"] == session_id


def test_a_job_that_takes_too_long_is_ended_though_it_gets_on(
    new_driver: NewDriver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crawl(*_: object, on_lap: Any) -> None:
        while True:
            time.sleep(0.01)
            on_lap(1, 1_000_000)

    driver = new_driver("lewis")
    _, job_id = uploaded(driver, 4)
    monkeypatch.setattr(RacingModel, "learn_session", crawl)
    with build_container(replace(settings, job_seconds=0.3)) as strict:
        strict.runs.run(job_id)
    assert driver.get(f"/jobs/{job_id}")["error"]["code"] == "job_timed_out"


def test_a_worker_that_stops_hands_its_job_back_and_the_attempt_does_not_count(
    new_driver: NewDriver, settings: Settings
) -> None:
    driver = new_driver("lewis")
    _, job_id = uploaded(driver, 4)
    with build_container(settings, is_leaving=lambda: True) as leaving:
        leaving.runs.run_next()
        assert leaving.redis.llen("lapwise") == 2, "another worker must be told"
    job = driver.get(f"/jobs/{job_id}")
    assert (job["status"], job["attempts"], job["error"]) == ("queued", 0, None)


def test_the_lease_is_kept_while_a_lap_takes_longer_than_it(
    driver: Driver, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = RacingModel.learn_session

    def slowly(model: Any, laps: SessionLaps, **options: Any) -> Any:
        time.sleep(0.3)
        assert container.runs._jobs.expired(utc_now()) == ()
        return learn(model, laps, **options)

    monkeypatch.setattr(RacingModel, "learn_session", slowly)
    _, job_id = uploaded(driver, 4)
    container.runs.run(job_id)
    assert driver.get(f"/jobs/{job_id}")["status"] == JobStatus.SUCCEEDED


def test_sessions_that_fail_together_for_no_known_reason_are_tried_by_halves(
    driver: Driver, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = container.runs._models.draft
    failures: list[int] = []

    def refuse_many(model: Any, training: Any) -> Any:
        if len(training.session_ids) > 2 and not training.parent:
            failures.append(len(training.session_ids))
            raise ZeroDivisionError
        return draft(model, training)

    monkeypatch.setattr(container.runs._models, "draft", refuse_many)
    ids, _ = uploaded(driver, 4, 4, 4, 4)
    work(container)
    assert failures == [4]
    assert learned(driver) == ids

"""Guarantees 1 to 3 on the whole platform, with processes really killed and Redis really emptied."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from app.client import Client
from app.container import build_container
from app.local.child import ChildPlatform
from app.settings import Settings
from learning.model import RacingModel
from tests.factories import TRACK, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]

LONG = 600  # laps of a session whose training lasts seconds, long enough to be killed in the middle


def test_two_uploads_at_once_make_one_chain_in_which_each_is_learned_once(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    paths = [session_file(files, index=index) for index in range(1, 7)]
    with ThreadPoolExecutor(max_workers=len(paths)) as pool:
        answers = list(pool.map(lambda path: driver.upload(path, TRACK), paths))
    wait_for_jobs(driver)
    assert_each_learned_once(platform, driver, answers)


def test_a_worker_killed_in_mid_training_is_recovered_from_within_a_minute(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    answer = driver.upload(session_file(files, laps=LONG, sample_rate=2.0), TRACK)
    job_id = answer["jobs"][0]["id"]
    job = wait_until(lambda: running(driver, job_id))
    for process in worker_processes(platform):
        process.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    assert job["progress"]["done"] < job["progress"]["total"], "the kill must come in mid-training"
    assert driver.history(TRACK) == []
    done = driver.wait(job_id, seconds=60)
    assert time.monotonic() - killed_at < 60
    assert done["attempts"] == 2, "the first attempt must have died"
    assert_each_learned_once(platform, driver, [answer])


def test_a_killed_worker_child_alone_is_recovered_from_too(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    answer = driver.upload(session_file(files, laps=LONG, sample_rate=2.0), TRACK)
    job_id = answer["jobs"][0]["id"]
    wait_until(lambda: running(driver, job_id))
    main = psutil.Process(platform.endpoints()["pids"]["worker"])
    for child in main.children(recursive=True):
        child.send_signal(signal.SIGKILL)
    assert driver.wait(job_id, seconds=60)["attempts"] == 2
    assert main.is_running()
    assert_each_learned_once(platform, driver, [answer])


def test_emptying_redis_while_jobs_wait_loses_nothing(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    redis = Redis.from_url(platform.servers()["LAPWISE_REDIS_URL"])
    with stopped(worker_processes(platform)):
        answers = []
        for index in range(1, 4):
            track = f"{TRACK} {index}"  # a lineage each, so that three jobs wait
            answers.append(driver.upload(session_file(files, index=index), track))
        assert redis.llen("lapwise") >= 2, "jobs must be waiting in Redis"
        redis.flushall()
        assert redis.llen("lapwise") == 0
    wait_for_jobs(driver)
    for answer in answers:
        assert_each_learned_once(platform, driver, [answer])


def test_a_worker_that_wakes_up_after_its_job_was_taken_over_changes_nothing(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    answer = driver.upload(session_file(files, laps=LONG, sample_rate=2.0), TRACK)
    job_id = answer["jobs"][0]["id"]
    wait_until(lambda: running(driver, job_id))
    taken_over = worker_log(platform).count("job_taken_over")
    with stopped(worker_processes(platform)), another_worker(platform):
        done = driver.wait(job_id, seconds=90)
    assert done["attempts"] == 2, "the other worker must have done the job"
    wait_until(lambda: worker_log(platform).count("job_taken_over") == taken_over + 1)
    assert_each_learned_once(platform, driver, [answer])


def test_a_cancelled_training_leaves_no_version(driver: Client, files: Path) -> None:
    answer = driver.upload(session_file(files, laps=LONG, sample_rate=2.0), TRACK)
    job_id = answer["jobs"][0]["id"]
    wait_until(lambda: running(driver, job_id))
    driver.call("DELETE", f"/jobs/{job_id}")
    wait_until(lambda: driver.call("GET", f"/jobs/{job_id}")["status"] == "cancelled")
    assert driver.history(TRACK) == []


def test_sessions_wait_while_everything_but_mongodb_is_killed(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    answers = [driver.upload(session_file(files, index=1, laps=LONG, sample_rate=2.0), TRACK)]
    wait_until(lambda: running(driver, answers[0]["jobs"][0]["id"]))
    for name in ("worker", "beat", "redis", "web"):
        os.kill(platform.endpoints()["pids"][name], signal.SIGKILL)
    wait_until(lambda: answers_again(driver), seconds=60)
    answers.append(driver.upload(session_file(files, index=2), TRACK))
    wait_for_jobs(driver)
    assert_each_learned_once(platform, driver, answers)


def assert_each_learned_once(platform: ChildPlatform, driver: Client, answers: list[dict[str, Any]]) -> None:
    """One unbroken chain whose last model counts, inside itself, every valid lap once."""
    track = answers[0]["session"]["trackName"]
    path = f"/ai-model/user/{track}"
    chain = sorted(driver.items(path), key=lambda version: version["createdAt"])
    assert [version["isActive"] for version in chain] == [False] * (len(chain) - 1) + [True]
    assert [version["parentId"] for version in chain] == [None, *(version["id"] for version in chain[:-1])]
    learned = chain[-1]["trainingSessionIds"]
    assert sorted(learned) == sorted(answer["session"]["id"] for answer in answers)
    model = model_of(platform, chain[-1])
    assert model.laps_learned == sum(answer["session"]["validLapsCount"] for answer in answers)
    assert model.sessions_learned == len(answers)


def model_of(platform: ChildPlatform, version: dict[str, Any]) -> RacingModel:
    with build_container(Settings.from_environment(environment_of(platform))) as container:
        found = container.models.get(version["userId"], version["id"])
        model: RacingModel = container.runs._models.load_copy(found)
    return model


def environment_of(platform: ChildPlatform) -> dict[str, str]:
    secrets: dict[str, str] = json.loads((platform.data_dir / "secrets.json").read_text())
    return secrets | platform.servers()


@contextmanager
def another_worker(platform: ChildPlatform) -> Iterator[None]:
    """A second worker beside the platform's own."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "workers",
        "worker",
        "--concurrency=1",
        "-n",
        "second@%h",
    ]
    with (platform.data_dir / "second-worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | environment_of(platform), stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def worker_log(platform: ChildPlatform) -> str:
    return (platform.data_dir / "logs" / "worker.log").read_text()


def worker_processes(platform: ChildPlatform) -> list[psutil.Process]:
    """The worker's main process and its children, the main one first so that it starts no new child."""
    main = psutil.Process(platform.endpoints()["pids"]["worker"])
    return [main, *main.children(recursive=True)]


@contextmanager
def stopped(processes: list[psutil.Process]) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def running(driver: Client, job_id: str) -> dict[str, Any] | None:
    """The job if it runs and has learned some of its laps."""
    job = driver.call("GET", f"/jobs/{job_id}")
    assert job["status"] in ("queued", "running"), "the session must be long enough to be caught in training"
    return job if job["status"] == "running" and job["progress"] and job["progress"]["done"] > 0 else None


def answers_again(driver: Client) -> bool:
    import httpx

    try:
        return driver.http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_for_jobs(driver: Client) -> None:
    for job in driver.items("/jobs"):
        driver.wait(job["id"], seconds=90)


def wait_until(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"it did not come true within {seconds} s")

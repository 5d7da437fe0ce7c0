"""Real workers and what may befall them: poisoned sessions, limits, and a stop in mid-training."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.container import Container, build_container
from app.settings import Settings
from tests.factories import session_file
from tests.integration.drivers import Driver, Json
from tests.integration.poisoning import BREAKS, EATS, HANGS, KILLS, LASTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
LIMITS = {
    "LAPWISE_JOB_ATTEMPTS": "2",
    "LAPWISE_STALL_SECONDS": "4",
    "LAPWISE_JOB_MEMORY_BYTES": str(1 << 30),
    "LAPWISE_LEASE_SECONDS": "3",
    "LAPWISE_DRAIN_SECONDS": "0.2",
}


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    same = replace(settings, job_attempts=2, lease_seconds=3, login_rate_limit="10000 per minute")
    with build_container(same) as built:
        yield built


@pytest.fixture
def driver(container: Container, tmp_path: Path) -> Driver:
    return Driver(container, tmp_path, "max")


@contextmanager
def worker(container: Container, folder: Path, name: str = "one") -> Iterator[subprocess.Popen[bytes]]:
    """A worker of two children on the test's database, with poisonable lessons."""
    settings = container.settings
    environment = {
        "LAPWISE_MONGO_URL": settings.mongo_url,
        "LAPWISE_REDIS_URL": settings.redis_url,
        "LAPWISE_DATABASE": settings.database,
        "LAPWISE_SECRET_KEY": settings.secret_key,
        "LAPWISE_MODEL_KEY": settings.model_key,
        "LAPWISE_WEBHOOK_SECRET": settings.webhook_secret,
    }
    command = [sys.executable, "-m", "celery", "-A", "tests.integration.poisoning", "worker", "-c", "2"]
    command += ["--queues", "lapwise", "-O", "fair", "-n", f"{name}@%h", "--without-gossip"]
    with (folder / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(command, env=os.environ | environment | LIMITS, stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


def upload(driver: Driver, index: int, laps: int, track: str) -> Json:
    path = session_file(driver.folder, index=index, laps=laps)
    with path.open("rb") as file:
        answer = driver.client.post(
            "/racing-session/upload", data={"file": (file, path.name), "trackName": track}
        )
    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    return answer.json


def statuses(driver: Driver) -> dict[str, list[str]]:
    """Of each track's jobs, oldest first."""
    found: dict[str, list[str]] = {}
    for job in driver.get("/jobs?limit=200")["items"][::-1]:
        found.setdefault(job["trackName"], []).append(job["status"])
    return found


def until(container: Container, check: Callable[[], Any], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not happen in time"
        container.platform.sweep()  # as beat does
        time.sleep(0.3)


def test_whatever_a_session_does_to_its_worker_the_others_of_its_lineage_are_learned(
    driver: Driver, container: Container, tmp_path: Path
) -> None:
    poisons = {"kills": KILLS, "eats": EATS, "hangs": HANGS, "breaks": BREAKS}
    uploads = {
        track: [upload(driver, index, laps, track)["session"]["id"] for index, laps in enumerate((4, bad, 4))]
        for track, bad in poisons.items()
    }
    with worker(container, tmp_path):
        until(container, lambda: not {"queued", "running"} & set().union(*statuses(driver).values()))
    assert statuses(driver) == {track: ["succeeded", "failed", "succeeded"] for track in poisons}
    told = {}
    for track, (first, poisoned, last) in uploads.items():
        active = driver.get(f"/ai-model/active/{track}/lap_time_prediction")
        assert active["trainingSessionIds"] == [first, last]
        told[track] = [one["code"] for one in driver.get(f"/racing-session/{poisoned}")["setAside"]]
    assert told == {
        "kills": ["job_given_up"],
        "eats": ["out_of_memory"],
        "hangs": ["job_stalled"],
        "breaks": ["internal_error"],
    }


def test_a_worker_that_is_stopped_in_mid_training_hands_the_job_to_the_next_one_at_once(
    driver: Driver, container: Container, tmp_path: Path
) -> None:
    job_id = upload(driver, 1, LASTS, "spa")["jobs"][0]["id"]
    with worker(container, tmp_path, "old") as old:
        until(container, lambda: (driver.get(f"/jobs/{job_id}")["progress"] or {}).get("done"))
        with worker(container, tmp_path, "new"):
            time.sleep(0.3)
            old.send_signal(signal.SIGTERM)
            assert old.wait(30) == 0
            until(container, lambda: driver.get(f"/jobs/{job_id}")["status"] == "succeeded", 30)
    done = driver.get(f"/jobs/{job_id}")
    assert (done["attempts"], done["error"]) == (1, None), "an attempt that was handed back does not count"
    log = (tmp_path / "old.log").read_text()
    assert "job_left" in log
    assert "status=queued" in log or '"status": "queued"' in log, "the old one must not have ended it"

"""Predictions are counted to the last one, though the processes that answered them are killed."""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.client import Client
from app.local.child import ChildPlatform
from tests.factories import TRACK, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(120)]

LAP_TIME = "lap_time_prediction"
FRAME = {"speed": 180, "throttle": 1, "brake": 0, "gear": 5, "track_position": 0.5}


def test_counts_are_exact_after_kill_9_of_every_web_process(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    driver.wait(driver.upload(session_file(files), TRACK)["jobs"][0]["id"])
    for _ in range(3):
        for _ in range(50):
            driver.predict(TRACK, LAP_TIME, FRAME)
        kill_web(platform)
    wait_until_counted(driver, 150)
    time.sleep(3)
    assert counted(driver) == 150, "nothing is counted twice later"
    before = shown(platform)
    assert before <= 150, "since the start, and what the processes before it had not counted"
    driver.predict(TRACK, LAP_TIME, FRAME)
    wait_until_counted(driver, 151)
    end = time.monotonic() + 10
    while shown(platform) != before + 1:  # once what was counted is told
        assert time.monotonic() < end
        time.sleep(0.1)


def shown(platform: ChildPlatform) -> float:
    """The predictions that Prometheus is told of."""
    figures = httpx.get(f"{platform.endpoints()['api']}/metrics").text
    found = re.search(r'lapwise_prediction_seconds_count\{model_type="lap_time_prediction"\} (\S+)', figures)
    return float(found[1]) if found else 0.0


def kill_web(platform: ChildPlatform) -> None:
    """SIGKILL for all of gunicorn at the moment of the last answer, then waits until it is back."""
    web = psutil.Process(platform.endpoints()["pids"]["web"])
    processes = [web, *web.children(recursive=True)]
    assert len(processes) >= 3
    for process in processes:
        process.kill()
    end = time.monotonic() + 60
    while not answers(platform):
        assert time.monotonic() < end
        time.sleep(0.1)


def answers(platform: ChildPlatform) -> bool:
    try:
        return httpx.get(f"{platform.endpoints()['api']}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def counted(driver: Client) -> int:
    totals: dict[str, Any] = driver.call("GET", "/analytics/usage")["totals"]["predictions"]
    found: int = totals.get(LAP_TIME, {"requests": 0})["requests"]
    return found


def wait_until_counted(driver: Client, count: int) -> None:
    end = time.monotonic() + 20
    while counted(driver) != count:
        assert time.monotonic() < end, f"only {counted(driver)} were counted"
        time.sleep(0.2)

"""A new web and a new worker take over while the old ones drain: no request and no job fails."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from app.client import Client
from app.local.child import ChildPlatform
from tests.e2e.conftest import new_driver
from tests.e2e.test_exactly_once import (
    LONG,
    another_worker,
    assert_each_learned_once,
    running,
    wait_until,
)
from tests.factories import TRACK, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]
CALLERS = 4


def test_no_request_and_no_job_fails_while_web_and_worker_are_replaced(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    answers = [driver.upload(session_file(files, index=1, laps=LONG, sample_rate=2.0), TRACK)]
    job_id = answers[0]["jobs"][0]["id"]
    pids = platform.endpoints()["pids"]
    old_web = children(pids["web"])
    wait_until(lambda: running(driver, job_id))
    with asking(platform) as seen, another_worker(platform):
        os.kill(pids["worker"], signal.SIGTERM)
        os.kill(pids["web"], signal.SIGHUP)
        answers.append(driver.upload(session_file(files, index=2), TRACK))
        wait_until(lambda: not old_web & children(pids["web"]), seconds=60)
        wait_until(lambda: platform.endpoints()["pids"]["worker"] not in (pids["worker"], None), seconds=60)
        done = driver.wait(job_id, seconds=90)
        driver.wait(answers[1]["jobs"][0]["id"], seconds=90)
    assert platform.endpoints()["pids"]["web"] == pids["web"], "the port must have been open all the time"
    assert seen.keys() == {200}, "a request failed"
    assert seen[200] > 100
    assert (done["attempts"], done["error"]) == (1, None), "the restart must not count as a failure"
    assert_each_learned_once(platform, driver, answers)


@contextmanager
def asking(platform: ChildPlatform) -> Iterator[Counter[int]]:
    """Requests on connections that are kept alive, from some threads; 0 counts those without an answer."""
    seen: Counter[int] = Counter()
    done, lock = threading.Event(), threading.Lock()

    def ask(client: Client) -> None:
        while not done.is_set():
            try:
                status = client.http.get("/jobs").status_code
            except httpx.TransportError:
                status = 0
            with lock:
                seen[status] += 1
            time.sleep(0.02)

    clients = [new_driver(platform) for _ in range(CALLERS)]
    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread, client in zip(threads, clients, strict=True):
            thread.join()
            client.close()


def children(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children()}

"""`lapwise up` as a user sees it: ready, restarted, stopped, started again on the same data, or refused."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.client import Client
from app.local.child import ChildPlatform, NotReady
from app.local.files import is_alive
from app.local.servers import start_mongod, start_redis

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]

PROGRAMS = ("web", "worker", "courier", "beat", "flower", "mongod", "redis")
EMAIL, PASSWORD = "keeper@example.com", "a long enough password"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildPlatform]:
    with ChildPlatform(tmp_path_factory.mktemp("lifecycle") / "data") as platform:
        yield platform


def test_ready_is_said_once_and_the_endpoints_are_what_runs(running: ChildPlatform) -> None:
    endpoints = running.endpoints()
    assert re.findall(r"^ready (\S+)$", running.output, re.MULTILINE) == [endpoints["api"]]
    assert httpx.get(f"{endpoints['api']}/readyz").status_code == 200
    assert sorted(endpoints["pids"]) == sorted(PROGRAMS)
    words = ("gunicorn", "worker@", "courier@", "beat", "flower", "mongod", "redis")
    for name, word in zip(PROGRAMS, words, strict=True):
        assert word in Path(f"/proc/{endpoints['pids'][name]}/cmdline").read_text()
    assert (running.data_dir / "endpoints.json").stat().st_mode & 0o777 == 0o600


def test_flower_answers_its_user_and_nobody_else(running: ChildPlatform) -> None:
    url = f"{running.endpoints()['flower']}/api/workers"
    secrets = (running.data_dir / "secrets.json").read_text()
    password = re.search(r'"LAPWISE_FLOWER_PASSWORD": "(.+)"', secrets)
    assert password is not None
    login = base64.b64encode(f"lapwise:{password[1]}".encode()).decode()
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Basic {login}"}).status_code == 200
    assert password[1] not in running.output
    flower = running.endpoints()["pids"]["flower"]
    assert password[1] not in Path(f"/proc/{flower}/cmdline").read_text()
    logs = [log.read_text(errors="replace") for log in (running.data_dir / "logs").iterdir()]
    assert len(logs) >= len(PROGRAMS)
    assert not [log for log in logs if password[1] in log]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_program_is_named_and_restarted(running: ChildPlatform, name: str) -> None:
    former = running.endpoints()["pids"][name]
    os.kill(former, signal.SIGKILL)
    wait_until(lambda: running.endpoints()["pids"][name] not in (former, None))
    now = running.endpoints()["pids"][name]
    assert is_alive(now)
    assert f"{name} (process {former}) ended unexpectedly, restarting it" in running.output
    assert f"{name} was started again (process {now})" in running.output
    wait_until(lambda: readiness(running) == 200)


def test_a_second_run_on_the_same_directory_is_refused(running: ChildPlatform) -> None:
    second = up(running.data_dir)
    assert second.returncode == 1
    assert re.fullmatch(
        rf"error: {running.data_dir} is in use by `lapwise up`, process \d+", second.stderr.strip()
    )
    assert readiness(running) == 200


def test_a_stop_leaves_no_process_and_a_restart_has_everything_still(tmp_path: Path) -> None:
    with ChildPlatform(tmp_path / "data") as platform:
        with Client(platform.endpoints()["api"]) as client:
            client.register(EMAIL, PASSWORD)
        assert_stops(platform, signal.SIGINT)
        platform.start()
        login = {"email": EMAIL, "password": PASSWORD}
        assert httpx.post(f"{platform.endpoints()['api']}/auth/login", json=login).status_code == 200
        assert_stops(platform, signal.SIGTERM)


def test_after_kill_9_nothing_stays_and_the_next_run_starts(tmp_path: Path) -> None:
    with ChildPlatform(tmp_path / "data") as platform:
        assert processes_of(platform) != []
        assert platform.stop(signal.SIGKILL) == -signal.SIGKILL
        platform.start()
        assert readiness(platform) == 200
        assert platform.stop() == 0
        assert processes_of(platform) == []


def test_a_killed_supervisor_ends_everything_with_the_reason(tmp_path: Path) -> None:
    with ChildPlatform(tmp_path / "data") as platform:
        os.kill(int((platform.data_dir / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
        assert platform.wait() == 1
        assert platform.output.splitlines()[-1].startswith("error: supervisord has ended")
        assert processes_of(platform) == []


def test_servers_that_were_set_are_used_and_left_running(tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    (tmp_path / "redis").mkdir()
    mongod, redis = start_mongod(tmp_path / "mongo"), start_redis(tmp_path / "redis")
    try:
        urls = {"LAPWISE_MONGO_URL": mongod.url, "LAPWISE_REDIS_URL": redis.url}
        with ChildPlatform(tmp_path / "data", urls) as platform:
            endpoints = platform.endpoints()
            assert (endpoints["mongo"], endpoints["redis"]) == (mongod.url, redis.url)
            assert (endpoints["pids"]["mongod"], endpoints["pids"]["redis"]) == (None, None)
        assert (mongod.process.poll(), redis.process.poll()) == (None, None)
    finally:
        redis.stop()
        mongod.stop()


def test_a_taken_port_is_refused_by_its_variable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = up(tmp_path / "data", LAPWISE_PORT=str(port))
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"error: port {port} is taken; set LAPWISE_PORT to another")


def test_a_program_that_cannot_start_stops_everything_with_its_reason_last(tmp_path: Path) -> None:
    platform = ChildPlatform(tmp_path / "data", {"LAPWISE_WORKER_PROCESSES": "-1"})
    with pytest.raises(NotReady):
        platform.start()
    *_, last = (line for line in platform.output.splitlines() if line)
    assert "error: worker does not stay up" in platform.output
    assert last in (platform.data_dir / "logs" / "worker.log").read_text()
    assert platform.stop() == 1
    assert processes_of(platform) == []


def up(data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`lapwise up` that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "up"],
        env=os.environ | environment | {"LAPWISE_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_stops(platform: ChildPlatform, how: signal.Signals) -> None:
    pids = platform.endpoints()["pids"].values()
    assert all(is_alive(pid) for pid in pids)
    assert platform.stop(how) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert processes_of(platform) == []
    assert not (platform.data_dir / "endpoints.json").exists()


def readiness(platform: ChildPlatform) -> int:
    try:
        return httpx.get(f"{platform.endpoints()['api']}/readyz").status_code
    except httpx.TransportError:
        return 0


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def processes_of(platform: ChildPlatform) -> list[str]:
    """Command lines of the living processes that name the data directory or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
            environment = (process / "environ").read_text()
        except (OSError, UnicodeDecodeError):  # it ended while we looked
            continue
        if str(platform.data_dir) in command + environment and process.name != str(os.getpid()):
            found.append(command)
    return found

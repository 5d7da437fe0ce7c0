"""The running platform as the faults see it: its processes, its servers, its supervisor, its disk."""

import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import click
import httpx
import psutil
from redis import Redis
from redis.exceptions import RedisError
from supervisor.xmlrpc import SupervisorTransport

from app.client import Client
from app.domain import utc_now
from app.local import servers
from app.local.child import ChildPlatform
from app.mongo import Client as Mongo
from app.mongo import Document
from app.services.attempts import RENEW_SECONDS
from app.settings import Settings
from tests.chaos.disk import Disk

LEASE_SECONDS = 5.0
PROGRAMS = ("web", "worker", "courier", "beat", "mongod", "redis")
LAPS_TO_DO = 300  # what is to meet a training needs some time to
PROBE_SECONDS = 10.0
STEADY = 3  # answers in a row
STEADY_APART = 0.3  # seconds
ENVIRONMENT = {
    "LAPWISE_LEASE_SECONDS": str(LEASE_SECONDS),
    "LAPWISE_SWEEP_SECONDS": "2",
    "LAPWISE_JOB_ATTEMPTS": "30",  # the faults may meet one job more often than a job is tried else
    "LAPWISE_ACCESS_TOKEN_SECONDS": "7200",  # signing in is not what is tried here
}


class DidNotHappen(Exception):
    """A fault found nothing to hit; the message says what was missing."""


class Target:
    """A platform on a folder, its mongod with fail points, and perhaps a disk of its own."""

    def __init__(self, folder: Path, disk: Disk | None) -> None:
        self.disk = disk
        tools = _mongod_with_fail_points(folder / "bin")
        path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        data = disk.folder if disk else folder / "disk"
        self.platform = ChildPlatform(data / "data", ENVIRONMENT | path)

    @contextmanager
    def platform_running(self) -> Iterator[None]:
        """Starts the platform, and stops it at the end, whatever happened."""
        with self.platform:
            self._connect()
            yield
            self.mongo.close()

    def copy_logs(self, folder: Path) -> None:
        shutil.copytree(self.platform.data_dir / "logs", folder, dirs_exist_ok=True)
        shutil.copy(self.platform.data_dir / "up.log", folder)

    def processes_left(self) -> list[str]:
        """Commands of the processes that still work in the data directory once the platform was stopped."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("LAPWISE_DATA_DIR") == str(self.platform.data_dir):
                    found.append(" ".join(process.cmdline()))
        return found

    def _connect(self) -> None:
        """To its servers, past the platform."""
        endpoints = self.platform.endpoints()
        self.url: str = endpoints["api"]
        self.redis = Redis.from_url(endpoints["redis"], socket_timeout=5.0)
        self._endpoints = endpoints
        self.mongo = Mongo(
            endpoints["mongo"], serverSelectionTimeoutMS=30_000, appname="chaos", tz_aware=True
        )
        config = (self.platform.data_dir / "run" / "supervisord.conf").read_text()
        socket = re.findall(r"^file = (.+)$", config, re.MULTILINE)[0]
        transport = SupervisorTransport(None, None, f"unix://{socket}")
        self._supervisor = ServerProxy("http://supervisor", transport=transport)

    def settings(self) -> Settings:
        """Those of the platform's own processes."""
        secrets = self.platform.data_dir / "secrets.json"
        return Settings.from_environment(
            json.loads(secrets.read_text())
            | {"LAPWISE_MONGO_URL": self._endpoints["mongo"], "LAPWISE_REDIS_URL": self._endpoints["redis"]}
        )

    @property
    def database(self) -> Any:
        return self.mongo["lapwise"]

    @property
    def log(self) -> str:
        """What the worker has logged since it last began a file."""
        return (self.platform.data_dir / "logs" / "worker.log").read_text(errors="replace")

    def process(self, name: str) -> psutil.Process:
        """A program's main process, once it runs."""
        found = wait_for(lambda: self._found(name), 60.0)
        if found is None:
            raise DidNotHappen(f"{name} does not run")
        return found

    def supervisor(self, method: str, *arguments: Any) -> Any:
        return getattr(self._supervisor.supervisor, method)(*arguments)

    def running_job(self, seconds: float = 20.0) -> Document:
        """A job that is being learned now, some of its laps done and many to do; the least tried first."""
        found: Document | None = wait_for(
            lambda: self.database["jobs"].find_one(_in_training(), sort=[("attempts", 1)]), seconds
        )
        if found is None:
            raise DidNotHappen("no job was running for long enough")
        return found

    def answers(self, client: Client) -> bool:
        """Whether the platform is ready, by its own word, and reads from its servers."""
        try:
            return all(
                client.http.get(path, timeout=PROBE_SECONDS).status_code == 200
                for path in ("/readyz", "/jobs?limit=1")
            )
        except httpx.TransportError:
            return False

    def all_run(self) -> bool:
        """Whether every program is there, as those that watch over them say."""
        if not self.platform.is_running:
            raise click.ClickException(f"the platform has ended:\n{self.platform.output[-3000:]}")
        pids = self.platform.endpoints()["pids"]
        return all(pids[name] and psutil.pid_exists(pids[name]) for name in PROGRAMS)

    def recovered_at(self, client: Client, seconds: float) -> float | None:
        """When it answered first of several times in a row, every program running; None if it never did."""
        end, since, times = time.monotonic() + seconds, 0.0, 0
        while time.monotonic() < end:
            if self.all_run() and self.answers(client):
                since = since if times else time.monotonic()
                times += 1
                if times == STEADY:
                    return since
            else:
                times = 0
            time.sleep(STEADY_APART)
        return None

    def redis_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except RedisError:
            return False

    def _found(self, name: str) -> psutil.Process | None:
        pid = self.platform.endpoints()["pids"][name]
        return psutil.Process(pid) if pid and psutil.pid_exists(pid) else None


def _in_training() -> Document:
    """What holds of such a job; that of a worker which died has not kept its lease."""
    kept = utc_now() + timedelta(seconds=LEASE_SECONDS - 2 * RENEW_SECONDS)
    return {
        "status": "running",
        "attempts": {"$lt": 3},  # a later one's pause is long
        "leaseUntil": {"$gt": kept},
        "progress.done": {"$gt": 0},
        "$expr": {"$gt": [{"$subtract": ["$progress.total", "$progress.done"]}, LAPS_TO_DO]},
    }


def wait_for(find: Callable[[], Any], seconds: float) -> Any:
    """What it finds, once that is something; None if it is nothing for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = find()
        if found:
            return found
        time.sleep(0.05)
    return None


def _mongod_with_fail_points(folder: Path) -> Path:
    """A folder for PATH whose `mongod` is the platform's own, with the commands that tests of MongoDB use."""
    binary, _ = servers.find_mongod()
    folder.mkdir(parents=True)
    command = f'#!/bin/sh\nexec {shlex.quote(str(binary))} "$@" --setParameter enableTestCommands=1\n'
    (folder / "mongod").write_text(command)
    (folder / "mongod").chmod(0o755)
    return folder

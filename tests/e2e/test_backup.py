"""A platform is backed up while it works, lost, and restored on a fresh data directory."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.client import Client
from app.local.child import ChildPlatform
from tests.e2e.conftest import PASSWORD
from tests.e2e.test_exactly_once import stopped, worker_processes
from tests.factories import TRACK, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

FRAME = {"speed": 180.0, "throttle": 1.0, "brake": 0.0, "gear": 5, "track_position": 0.5}
NAMES = ("ann", "bo")


def test_everything_is_there_again_and_training_goes_on(tmp_path: Path) -> None:
    platform, file = ChildPlatform(tmp_path / "data"), tmp_path / "lapwise.backup"
    with platform, signed_in(platform, Client.register) as drivers:
        for name, driver in drivers.items():
            learn(driver, tmp_path, name, 1)
            learn(driver, tmp_path, name, 2)
        with stopped(worker_processes(platform)):
            waiting = drivers["bo"].upload(session_file(tmp_path, driver="bo", index=3), TRACK)["jobs"][0]
            said = lapwise(platform, "backup", str(file))
        assert "2 users, 5 sessions, 4 aimodels, 5 jobs" in said.stdout
        before = {name: state(driver) for name, driver in drivers.items()}
    key = json.loads((platform.data_dir / "secrets.json").read_text())["LAPWISE_MODEL_KEY"]
    shutil.rmtree(platform.data_dir)
    refused = lapwise(platform, "restore", str(file), LAPWISE_MODEL_KEY="quite another key", code=1)
    assert "made with another LAPWISE_MODEL_KEY" in refused.stderr
    restored = lapwise(platform, "restore", str(file), LAPWISE_MODEL_KEY=key)
    assert restored.stdout == "5 sessions and 4 versions verified: all whole\n"
    with platform, signed_in(platform, Client.login) as drivers:
        for name, driver in drivers.items():
            assert state(driver) == before[name]
        assert drivers["bo"].wait(waiting["id"])["modelVersion"] == "1.0.2"
        assert learn(drivers["ann"], tmp_path, "ann", 4)["modelVersion"] == "1.0.2"
        assert "ok   models: all can be read" in lapwise(platform, "doctor").stdout
        assert "6 sessions and 6 versions verified: all whole" in lapwise(platform, "verify").stdout


@contextmanager
def signed_in(platform: ChildPlatform, how: Callable[[Client, str, str], Any]) -> Iterator[dict[str, Client]]:
    """Clients of two drivers."""
    with ExitStack() as stack:
        drivers = {name: stack.enter_context(Client(platform.endpoints()["api"])) for name in NAMES}
        for name, driver in drivers.items():
            how(driver, f"{name}@example.com", PASSWORD)
        yield drivers


def learn(driver: Client, folder: Path, name: str, index: int) -> Mapping[str, Any]:
    answer = driver.upload(session_file(folder, driver=name, index=index), TRACK)
    return driver.wait(answer["jobs"][0]["id"])


def state(driver: Client) -> tuple[list[Any], Any]:
    """A driver's first two versions, and what the second one predicts."""
    versions = list(driver.history(TRACK))[:2]
    return versions, driver.predict_by(versions[1]["modelId"], FRAME)


def lapwise(
    platform: ChildPlatform, *arguments: str, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", *arguments]
    known = os.environ | {"LAPWISE_DATA_DIR": str(platform.data_dir)} | environment
    done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=90)
    assert done.returncode == code, done.stderr
    return done

"""What tests of the whole platform share: one platform for the run, and drivers on it."""

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.client import Client
from app.local.child import ChildPlatform

PASSWORD = "a long enough password"


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildPlatform]:
    """A platform as `make up` starts it; tests may kill its processes, for it restarts them."""
    receivers_here = {"LAPWISE_WEBHOOK_ALLOW_PRIVATE": "true"}
    with ChildPlatform(tmp_path_factory.mktemp("platform") / "data", receivers_here) as running:
        yield running


@pytest.fixture
def driver(platform: ChildPlatform) -> Iterator[Client]:
    """A new driver, signed in."""
    with new_driver(platform) as client:
        yield client


def new_driver(platform: ChildPlatform) -> Client:
    client = Client(platform.endpoints()["api"])
    client.register(f"{secrets.token_hex(6)}@example.com", PASSWORD)
    return client


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder for session files."""
    return tmp_path


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)

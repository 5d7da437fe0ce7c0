"""What all tests share: real servers, started once a run when a test asks for them."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo.database import Database
from pymongo_migrate.mongo_migrate import MongoMigrate

from app.local.servers import start_mongod, start_redis
from app.mongo import Client, connect

# a migration writes through to the disk some twenty times: in memory that is four times as fast
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # names in it are made unique
MIGRATIONS = Path(__file__).parents[1] / "migrations"

settings.register_profile(
    "default",
    max_examples=60,
    deadline=timedelta(seconds=5),  # generous, for many tests may share the machine
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("long", settings.get_profile("default"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def mongo_url() -> Iterator[str]:
    """A MongoDB of this run, or the one that LAPWISE_TEST_MONGO_URL names."""
    if url := os.environ.get("LAPWISE_TEST_MONGO_URL"):
        yield url
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        server = start_mongod(Path(folder))
        yield server.url
        server.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this run, or the one that LAPWISE_TEST_REDIS_URL names; tests empty it."""
    if url := os.environ.get("LAPWISE_TEST_REDIS_URL"):
        yield url
        return
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def mongo_client(mongo_url: str) -> Iterator[Client]:
    with connect(mongo_url) as client:
        # the hundred files of a dropped database stay open for so long: in a whole run too many for a process
        client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=5)
        yield client


@pytest.fixture
def database(mongo_client: Client) -> Iterator[Database[dict[str, Any]]]:
    """A migrated database of this test's own."""
    name = f"lapwise_test_{secrets.token_hex(6)}"
    MongoMigrate(mongo_client, name, str(MIGRATIONS)).upgrade()
    yield mongo_client[name]
    mongo_client.drop_database(name)

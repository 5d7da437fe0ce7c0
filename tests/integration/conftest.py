"""What tests on real servers share."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from redis import Redis

from app.container import Container, build_container
from app.settings import Settings
from tests.integration.drivers import Driver, NewDriver


@pytest.fixture
def settings(mongo_url: str, redis_url: str, database: Database[dict[str, Any]], tmp_path: Path) -> Settings:
    """Settings of a platform of its own: a database for this test, and an empty Redis."""
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    return Settings(
        mongo_url=mongo_url,
        redis_url=redis_url,
        database=database.name,
        secret_key="a secret of the tests, long enough",
        model_key="another secret of the tests",
        webhook_secret="a third secret of the tests",
        data_dir=tmp_path / "data",
    )


@pytest.fixture
def platform(settings: Settings) -> Iterator[Container]:
    """All services, with nobody to run the jobs but the test."""
    with build_container(replace(settings, login_rate_limit="10000 per minute")) as built:
        yield built


@pytest.fixture
def new_driver(platform: Container, tmp_path: Path) -> NewDriver:
    """Opens an account by a driver's name and signs in."""
    return lambda name: Driver(platform, tmp_path, name)

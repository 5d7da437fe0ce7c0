"""What tests on real servers share."""

from typing import Any

import pytest
from pymongo.database import Database
from redis import Redis

from app.settings import Settings


@pytest.fixture
def settings(mongo_url: str, redis_url: str, database: Database[dict[str, Any]]) -> Settings:
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
    )

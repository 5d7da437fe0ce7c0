"""A platform on servers that are not ours; `make test-external` runs these tests, nothing else does.

They are skipped where Debian's packages cannot be had, unless LAPWISE_TEST_EXTERNAL is `required`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local.child import ChildPlatform
from tests.e2e.external.servers import (
    Servers,
    Unobtainable,
    debian,
    make_certificates,
    start_mongo,
    start_rabbit,
    start_redis,
)

WANTED = os.environ.get("LAPWISE_TEST_EXTERNAL", "")
PACKAGES = Path(__file__).parents[3] / ".external"  # fetched once
SETTINGS = {  # the receiver of webhooks is here; what was killed is missed sooner
    "LAPWISE_WEBHOOK_ALLOW_PRIVATE": "true",
    "LAPWISE_LEASE_SECONDS": "5",
    "LAPWISE_SWEEP_SECONDS": "1",
}
collect_ignore_glob = [] if WANTED else ["test_*.py"]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A folder with certificates, in which servers are started."""
    folder = tmp_path_factory.mktemp("servers")
    try:
        found = Servers(folder, debian(PACKAGES))
        make_certificates(folder)
    except Unobtainable as exc:
        if WANTED == "required":
            raise
        pytest.skip(f"no external servers here: {exc}")
    yield found
    found.stop()


@pytest.fixture(scope="session", params=["redis", "rabbitmq"])
def platform(
    request: pytest.FixtureRequest,
    servers: Servers,
    databases: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ChildPlatform]:
    """A platform with its queue in Redis, and one with it in RabbitMQ."""
    broker = {"LAPWISE_BROKER_URL": start_rabbit(servers)} if request.param == "rabbitmq" else {}
    settings = databases | broker | SETTINGS
    with ChildPlatform(tmp_path_factory.mktemp(request.param) / "data", settings) as running:
        yield running


@pytest.fixture(scope="session")
def databases(servers: Servers) -> dict[str, str]:
    """MongoDB as a replica set and Debian's Redis, both with passwords and TLS."""
    return {"LAPWISE_MONGO_URL": start_mongo(servers), "LAPWISE_REDIS_URL": start_redis(servers)}

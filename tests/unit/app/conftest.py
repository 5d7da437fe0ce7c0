"""The API without its services: what they would be asked is checked elsewhere, here HTTP is."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token

from app import create_app
from app.api.context import CONTAINER
from app.api.limits import LIMITS
from app.settings import Settings

USER_ID = "6655f0c2a4b1c2d3e4f50617"


@pytest.fixture(scope="session")
def api_settings() -> Settings:
    return Settings(
        mongo_url="mongodb://nowhere.invalid",
        redis_url="memory://",  # the rate limiter's own store for tests
        secret_key="a secret of the tests, long enough",
        model_key="another secret of the tests",
        webhook_secret="a third secret of the tests",
        max_json_bytes=10_000,
        max_upload_bytes=20_000,
        rate_limit="100000 per minute",
        login_rate_limit="10 per minute",
    )


@pytest.fixture(scope="session")
def bare_api(api_settings: Settings) -> Flask:
    container: Any = SimpleNamespace(
        settings=api_settings, platform=SimpleNamespace(), live=SimpleNamespace()
    )
    return create_app(container=container)


@pytest.fixture
def services(bare_api: Flask, api_settings: Settings) -> SimpleNamespace:
    """Stands in for the container; a test gives it the one service method it calls."""
    accounts = SimpleNamespace(is_revoked=lambda family_id: family_id == "revoked")
    names = (
        "sessions",
        "uploads",
        "jobs",
        "training",
        "models",
        "live",
        "experiments",
        "sharing",
        "analytics",
        "platform",
    )
    empty = {name: SimpleNamespace() for name in names}
    bare_api.extensions[CONTAINER] = SimpleNamespace(settings=api_settings, accounts=accounts, **empty)
    return cast(SimpleNamespace, bare_api.extensions[CONTAINER])


@pytest.fixture
def api(bare_api: Flask, services: SimpleNamespace) -> Flask:
    """The application with services of this test's own and no call counted yet."""
    counts = bare_api.extensions[LIMITS]._shared
    counts.storage.reset()
    counts._windows.clear()  # what it knows of the storage
    return bare_api


@pytest.fixture
def stranger(api: Flask) -> FlaskClient:
    """A client without a token."""
    return api.test_client()


@pytest.fixture
def driver(api: Flask) -> Iterator[FlaskClient]:
    """A client with the access token of `USER_ID`."""
    with api.app_context():
        token = create_access_token(USER_ID, additional_claims={"fam": "family"})
    client = api.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    yield client

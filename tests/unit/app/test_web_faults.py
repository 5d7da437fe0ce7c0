"""What a page becomes when something it needs fails."""

from types import SimpleNamespace
from typing import NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token

from app.errors import Unavailable
from tests.unit.app.conftest import USER_ID

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def browser(api: Flask) -> FlaskClient:
    """A browser with the access cookie of a driver."""
    with api.app_context():
        token = create_access_token(USER_ID, additional_claims={"fam": "family"})
    client = api.test_client()
    client.environ_base["HTTP_ACCEPT"] = HTML
    client.set_cookie("access_token_cookie", token)
    return client


def test_a_dependency_that_is_down_is_a_page_that_says_when_to_try_again(
    browser: FlaskClient, services: SimpleNamespace
) -> None:
    def down(user_id: str) -> NoReturn:
        raise Unavailable("MongoDB is not answering")

    services.accounts.get = down
    answer = browser.get("/upload")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "MongoDB is not answering" in answer.text
    assert 'href="/upload' in answer.text


def test_a_fault_of_ours_tells_its_number_and_no_more(
    browser: FlaskClient, services: SimpleNamespace
) -> None:
    def broken(user_id: str) -> NoReturn:
        raise RuntimeError("the secret is swordfish")

    services.accounts.get = broken
    answer = browser.get("/upload")
    assert answer.status_code == 500
    assert "X-Request-Id" in answer.text
    assert "swordfish" not in answer.text


def test_too_many_sign_ins_are_told_so_on_a_page(browser: FlaskClient) -> None:
    browser.environ_base["REMOTE_ADDR"] = "192.0.2.7"  # whose sign-ins no other test counts
    statuses = [browser.post("/login", data={}).status_code for _ in range(11)]
    assert statuses == [422] * 10 + [429]
    answer = browser.post("/login", data={})
    assert "<h1>Too fast</h1>" in answer.text
    assert int(answer.headers["Retry-After"]) > 0

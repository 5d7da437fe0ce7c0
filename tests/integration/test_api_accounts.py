"""Accounts through HTTP, on a real MongoDB and a real Redis."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from pymongo.database import Database
from redis import Redis

from app import create_app
from app.services.accounts import Accounts
from app.settings import Settings
from app.stores.accounts import TokenFamilies, Users
from app.stores.changes import Changes
from app.stores.job_status import EPOCH, connect
from app.stores.revocations import Revocations

LOGIN = {"email": "max@example.org", "password": "a long pass phrase"}
Found = dict[str, Any]


@pytest.fixture
def redis(settings: Settings) -> Any:
    with connect(settings.redis_url) as client:
        yield client


@pytest.fixture
def removed() -> list[str]:
    """Whose data was removed."""
    return []


@pytest.fixture
def accounts(database: Database[Found], redis: "Redis", settings: Settings, removed: list[str]) -> Accounts:
    revocations = Revocations(redis, Changes(redis, lambda: redis), settings.access_token_seconds)
    return Accounts(Users(database), TokenFamilies(database), revocations, settings, [removed.append])


@pytest.fixture
def client(accounts: Accounts, settings: Settings) -> FlaskClient:
    settings = replace(settings, login_rate_limit="1000 per minute")
    container: Any = SimpleNamespace(settings=settings, accounts=accounts, platform=None)
    return create_app(container=container).test_client()


@pytest.fixture
def pair(client: FlaskClient) -> Found:
    """The tokens of a new driver."""
    assert client.post("/auth/register", json=LOGIN | {"displayName": "Max"}).status_code == 201
    return login(client)


def login(client: FlaskClient) -> Found:
    answer = client.post("/auth/login", json=LOGIN)
    assert answer.status_code == 200
    tokens: Found = answer.get_json()
    return tokens


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def me(client: FlaskClient, tokens: Found) -> int:
    return client.get("/auth/me", headers=bearer(tokens["accessToken"])).status_code


def refresh(client: FlaskClient, tokens: Found) -> Any:
    return client.post("/auth/refresh", headers=bearer(tokens["refreshToken"]))


def test_a_driver_registers_signs_in_and_is_known(client: FlaskClient, database: Database[Found]) -> None:
    registered = client.post("/auth/register", json={"email": " Max@Example.org", "password": "0123456789"})
    assert registered.status_code == 201
    user = registered.json["user"]  # type: ignore[index]
    assert user.keys() == {"id", "email", "displayName", "createdAt"}
    assert user["email"] == "max@example.org"
    tokens = client.post("/auth/login", json={"email": "max@example.org", "password": "0123456789"}).json
    assert tokens is not None
    assert tokens["expiresIn"] == 900
    assert client.get("/auth/me", headers=bearer(tokens["accessToken"])).json == user == tokens["user"]
    stored = database["users"].find_one()
    assert stored is not None
    assert "0123456789" not in str(stored)


def test_of_many_registrations_of_one_address_at_once_one_wins(client: FlaskClient) -> None:
    def register(_: int) -> int:
        return client.application.test_client().post("/auth/register", json=LOGIN).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(register, range(8)))
    assert answers == [201] + [409] * 7


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(
    client: FlaskClient, pair: Found
) -> None:
    wrong = client.post("/auth/login", json=LOGIN | {"password": "a wrong pass phrase"})
    unknown = client.post("/auth/login", json=LOGIN | {"email": "nobody@example.org"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json == unknown.json


def test_refreshing_gives_a_pair_that_works_and_spends_the_old(client: FlaskClient, pair: Found) -> None:
    newer = refresh(client, pair)
    assert newer.status_code == 200
    assert newer.json["refreshToken"] != pair["refreshToken"]
    assert me(client, newer.json) == 200
    assert refresh(client, newer.json).status_code == 200


def test_a_spent_refresh_token_ends_its_family_and_no_other(client: FlaskClient, pair: Found) -> None:
    elsewhere = login(client)
    newer = refresh(client, pair).json
    reused = refresh(client, pair)
    assert (reused.status_code, reused.json["error"]["code"]) == (401, "token_revoked")
    assert refresh(client, newer).status_code == 401
    assert me(client, newer) == me(client, pair) == 401
    assert me(client, elsewhere) == 200


def test_of_two_refreshes_at_once_one_at_most_succeeds(client: FlaskClient, pair: Found) -> None:
    def again(_: int) -> int:
        return int(refresh(client.application.test_client(), pair).status_code)

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(again, range(4)))
    assert answers.count(200) <= 1
    assert answers[-3:] == [401, 401, 401]


@pytest.mark.parametrize("shown", ["accessToken", "refreshToken"])
def test_logging_out_revokes_both_tokens(client: FlaskClient, pair: Found, shown: str) -> None:
    assert client.post("/auth/logout", headers=bearer(pair[shown])).status_code == 204
    assert me(client, pair) == 401
    assert refresh(client, pair).status_code == 401


def test_a_revocation_survives_the_loss_of_redis(
    client: FlaskClient, pair: Found, accounts: Accounts, redis: "Redis"
) -> None:
    other = login(client)
    client.post("/auth/logout", headers=bearer(pair["accessToken"]))
    redis.flushall()
    assert me(client, pair) == 401, "an emptied Redis is not believed"
    assert me(client, other) == 200
    assert refresh(client, pair).status_code == 401
    redis.flushall()
    accounts.restore()
    redis.set(EPOCH, "1")
    assert me(client, pair) == 401
    assert me(client, other) == 200
    [key] = redis.keys("lapwise:revoked:*")
    assert 900 <= redis.ttl(key) <= 960


def test_leaving_removes_account_data_and_every_sign_in(
    client: FlaskClient, pair: Found, removed: list[str], database: Database[Found]
) -> None:
    elsewhere = login(client)
    assert client.delete("/auth/me", headers=bearer(pair["accessToken"])).status_code == 204
    assert removed == [pair["user"]["id"]]
    assert database["users"].count_documents({}) == 0
    assert me(client, pair) == me(client, elsewhere) == 401
    assert refresh(client, elsewhere).status_code == 401
    assert client.post("/auth/login", json=LOGIN).status_code == 401


def test_requests_are_counted_in_redis_by_user(client: FlaskClient, pair: Found, redis: "Redis") -> None:
    me(client, pair)
    keys = [str(key) for key in redis.keys("lapwise:limit:*")]
    assert any(f"user:{pair['user']['id']}" in key for key in keys)
    assert any("address:127.0.0.1" in key for key in keys)


def test_without_redis_requests_are_a_503_but_the_process_says_it_is_alive(
    settings: Settings, database: Database[Found]
) -> None:
    settings = replace(settings, redis_url="redis://127.0.0.1:1")
    with connect(settings.redis_url) as nothing:
        revocations = Revocations(nothing, Changes(nothing, lambda: nothing), 900)
        accounts = Accounts(Users(database), TokenFamilies(database), revocations, settings)
        container: Any = SimpleNamespace(settings=settings, accounts=accounts, platform=None)
        client = create_app(container=container).test_client()
        started = time.monotonic()
        answer = client.post("/auth/login", json=LOGIN)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json["error"]["code"] == "unavailable"  # type: ignore[index]
    assert time.monotonic() - started < 5
    assert client.get("/healthz").status_code == 200

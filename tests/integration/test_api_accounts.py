"""Accounts through HTTP, on a real MongoDB and a real Redis."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from flask.testing import FlaskClient
from limits.storage import RedisStorage
from pymongo.database import Database
from redis import Redis

from app import create_app
from app.api.limits import LIMITS
from app.domain import User, utc_now
from app.mongo import Client
from app.services.accounts import Accounts
from app.services.sharing import Sharing
from app.settings import Settings
from app.stores.accounts import TokenFamilies, Users
from app.stores.changes import Changes
from app.stores.guesses import KNOWN_SECONDS, Guesses
from app.stores.job_status import EPOCH, connect
from app.stores.revocations import Revocations
from app.stores.shares import ShareStore
from models_store.registry import ModelRegistry

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
    guesses = Guesses(RedisStorage(settings.redis_url, redis.connection_pool, "lapwise:guess"))
    return Accounts(
        Users(database), TokenFamilies(database), revocations, guesses, settings, [removed.append]
    )


@pytest.fixture
def client(accounts: Accounts, settings: Settings) -> FlaskClient:
    settings = replace(settings, login_rate_limit="1000 per minute")
    container: Any = SimpleNamespace(settings=settings, accounts=accounts, platform=None, live=None)
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
    registered = client.post(
        "/auth/register", json={"email": " Max@Example.org", "password": "a secret of max"}
    )
    assert registered.status_code == 201
    user = registered.json["user"]  # type: ignore[index]
    assert user.keys() == {"id", "email", "displayName", "createdAt"}
    assert user["email"] == "max@example.org"
    tokens = client.post("/auth/login", json={"email": "max@example.org", "password": "a secret of max"}).json
    assert tokens is not None
    assert tokens["expiresIn"] == 900
    assert client.get("/auth/me", headers=bearer(tokens["accessToken"])).json == user == tokens["user"]
    stored = database["users"].find_one()
    assert stored is not None
    assert "a secret of max" not in str(stored)


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


def test_failed_sign_ins_are_counted_in_redis_for_a_time_and_without_names(
    client: FlaskClient, pair: Found, redis: "Redis"
) -> None:
    statuses = [sign_in(client, "max@example.org", "10.0.0.9").status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    refused = sign_in(client, "max@example.org", "10.0.0.9")
    assert refused.get_json()["error"]["code"] == "too_many_sign_ins"
    assert refused.headers["Retry-After"] == str(refused.get_json()["error"]["details"]["retryAfter"])
    assert login(client).keys() >= {"accessToken"}, "from elsewhere the driver signs in"
    keys = [bytes(key).decode() for key in redis.scan_iter("lapwise:guess:*")]
    assert len(keys) == 4
    assert all(0 < redis.ttl(key) <= KNOWN_SECONDS for key in keys)
    assert not [key for key in keys if "max" in key or "10.0.0.9" in key]


def sign_in(client: FlaskClient, email: str, network: str) -> Any:
    """The answer to a wrong password."""
    body = {"email": email, "password": "a wrong pass phrase"}
    return client.post("/auth/login", json=body, environ_base={"REMOTE_ADDR": network})


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_time_of_a_refusal_does_not_tell_whether_an_address_is_registered(
    client: FlaskClient, pair: Found, database: Database[Found]
) -> None:
    seconds: dict[str, list[float]] = {"max@example.org": [], "nobody@example.org": []}
    for number in range(40):
        for email, taken in seconds.items():
            started = time.perf_counter()
            assert sign_in(client, email, f"10.0.0.{number}").status_code == 401
            taken.append(time.perf_counter() - started)
    known, unknown = map(median, seconds.values())
    assert 0.75 < known / unknown < 1.33


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_time_of_sharing_does_not_tell_whether_an_address_is_registered(
    database: Database[Found], mongo_client: Client
) -> None:
    users, now = Users(database), utc_now()
    registry: Any = Mock(ModelRegistry)  # whose model it is was asked before
    sharing = Sharing(
        client=mongo_client,
        users=users,
        shares=ShareStore(database),
        registry=registry,
        changes=Mock(Changes),
    )
    for email in ("max@example.org", *(f"known{number}@example.org" for number in range(20))):
        known = User(
            id=users.id_for(email, now), email=email, password_hash="", display_name=None, created_at=now
        )
        users.add(known)
    owner = users.id_for("max@example.org", now)
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    for number in range(20):
        for kind, taken in seconds.items():
            started = time.perf_counter()
            sharing.share(owner, "0" * 24, f"{kind}{number}@example.org")
            taken.append(time.perf_counter() - started)
    known_median, unknown_median = map(median, seconds.values())
    assert 0.75 < known_median / unknown_median < 1.33


def test_without_redis_drivers_are_known_all_the_same_and_limits_hold_in_each_process(
    settings: Settings, database: Database[Found]
) -> None:
    settings = replace(settings, redis_url="redis://127.0.0.1:1", login_rate_limit="3 per minute")
    with connect(settings.redis_url) as nothing:
        guesses = Guesses(RedisStorage(settings.redis_url, nothing.connection_pool, "lapwise:guess"))
        revocations = Revocations(nothing, Changes(nothing, lambda: nothing), 900)
        accounts = Accounts(Users(database), TokenFamilies(database), revocations, guesses, settings)
        container: Any = SimpleNamespace(settings=settings, accounts=accounts, platform=None, live=None)
        client = create_app(container=container).test_client()
        started = time.monotonic()
        assert client.post("/auth/register", json=LOGIN).status_code == 201
        tokens = login(client)
        assert me(client, tokens) == 200
        last = client.post("/auth/logout", headers=bearer(tokens["accessToken"]))
        assert (last.status_code, last.headers["Retry-After"]) == (503, "5"), "Redis must learn of it"
        assert me(client, tokens) == 401, "MongoDB knows it already"
        assert client.post("/auth/login", json=LOGIN).headers["X-RateLimit-Remaining"] == "0"
        assert client.post("/auth/login", json=LOGIN).status_code == 429
        assert client.get("/healthz").status_code == 200
        assert time.monotonic() - started < 5


def test_limits_are_counted_in_redis_again_when_it_is_back(settings: Settings, redis: "Redis") -> None:
    container: Any = SimpleNamespace(settings=settings, accounts=None, platform=None, live=None)
    app = create_app(container=container)
    limits = app.extensions[LIMITS]
    limits._away, limits._back_at = 32.0, time.monotonic() + 60  # as it sets them when Redis does not answer
    app.test_client().get("/auth/me")
    assert not [*redis.scan_iter("lapwise:limit:*")], "it is not asked meanwhile"
    limits._back_at = 0.0
    app.test_client().get("/auth/me")
    assert [key for key in redis.scan_iter("lapwise:limit:*") if b"address" in bytes(key)]
    assert not limits._away


def test_requests_at_once_that_miss_redis_put_the_next_look_off_once(settings: Settings) -> None:
    container: Any = SimpleNamespace(settings=settings, accounts=None, platform=None, live=None)
    limits = create_app(container=container).extensions[LIMITS]
    for _ in range(6):
        limits._miss(0.0, "it is gone")
    assert limits._away == 1.0
    limits._back_at = 0.0
    limits._shared.storage.check = Mock(return_value=False)
    assert [limits._is_there() for _ in range(3)] == [False] * 3
    assert limits._shared.storage.check.call_count == 1, "one of them has looked"
    assert limits._away == 2.0

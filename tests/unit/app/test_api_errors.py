"""Every error leaves the API in one JSON shape with the right status, and gives nothing away."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token, create_refresh_token
from pymongo.errors import ServerSelectionTimeoutError
from redis.exceptions import ConnectionError as RedisDown
from werkzeug.test import TestResponse

from app import errors
from app.api.errors import status_of
from app.domain import Page
from learning import errors as learning_errors
from tests.routes import api_rules

OPEN = {
    ("POST", "/auth/register"),
    ("POST", "/auth/login"),
    ("POST", "/webhooks/session-uploaded"),  # asks for a signature
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/start.js"),
    ("GET", "/docs/static/<path:filename>"),
}
EXAMPLES = {
    "id": "6655f0c2a4b1c2d3e4f50617",
    "userId": "6655f0c2a4b1c2d3e4f50618",
    "lap": "3",
    "trackName": "spa/1966",
    "modelType": "sector_analysis",
    "filename": "no-such-file",
}


def routes(api: Flask) -> set[tuple[str, str]]:
    return {
        (method, rule.rule)
        for rule in api_rules(api)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def address(rule: str) -> str:
    return re.sub(r"<(?:.*?:)?(\w+)>", lambda match: EXAMPLES[match[1]], rule)


def assert_error(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.json is not None
    assert answer.json.keys() == {"error"}
    error: dict[str, Any] = answer.json["error"]
    assert error.keys() == {"code", "message", "details"}
    assert error["code"] == code
    assert error["message"]
    assert isinstance(error["details"], dict)
    return error


def test_every_route_but_the_open_ones_asks_for_a_token(api: Flask, stranger: FlaskClient) -> None:
    guarded = routes(api) - OPEN
    assert len(guarded) == 59
    for method, rule in guarded:
        answer = stranger.open(address(rule), method=method)
        assert_error(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_every_route_answers_a_method_it_lacks_with_a_json_405(api: Flask, driver: FlaskClient) -> None:
    for _, rule in routes(api):
        answer = driver.open(address(rule), method="PATCH")
        assert_error(answer, 405, "method_not_allowed")
        assert {"GET", "POST", "DELETE"} & set(answer.headers["Allow"].split(", "))


def test_every_json_body_is_refused_when_it_is_no_object_or_names_an_unknown_field(
    api: Flask, driver: FlaskClient
) -> None:
    paths = driver.get("/openapi.json").json["paths"]  # type: ignore[index]
    bodies = [
        (method, path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if method != "parameters"
        and "application/json" in operation.get("requestBody", {}).get("content", {})
        and path != "/webhooks/session-uploaded"  # its signature is looked at before its body
    ]
    assert len(bodies) == 19
    for method, path in bodies:
        where = address(re.sub(r"{(\w+)}", r"<\1>", path)) + "?uploadId=6655f0c2a4b1c2d3e4f50617"
        answer = driver.open(where, method=method.upper(), json={"$where": "1"})
        assert assert_error(answer, 422, "invalid")["details"]["$where"] == ["Unknown field."]
        answer = driver.open(where, method=method.upper(), json=["no object"])
        assert assert_error(answer, 422, "invalid")["details"] == {"body": ["Invalid input type."]}
        answer = driver.open(where, method=method.upper(), data="a=1", content_type="text/plain")
        assert_error(answer, 415, "unsupported_media_type")
        answer = driver.open(where, method=method.upper(), data="{", content_type="application/json")
        assert_error(answer, 400, "bad_request")


def test_an_unknown_address_and_a_malformed_id_are_not_found(driver: FlaskClient) -> None:
    for path in ("/nothing", "/jobs/42", "/ai-model/6655f0c2a4b1c2d3e4f5061z", "/ai-model/active/spa/magic"):
        assert_error(driver.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SessionNotFound, 404),
        (errors.LapNotFound, 404),
        (errors.EmailTaken, 409),
        (errors.ChunksMissing, 409),
        (errors.IdempotencyKeyReused, 409),
        (errors.SetupMissing, 422),
        (errors.TooLarge, 413),
        (errors.InvalidCredentials, 401),
        (errors.TokenExpired, 401),
        (errors.Unavailable, 503),
        (errors.ModelUnreadable, 409),
        (errors.ArtifactRefused, 500),
        (learning_errors.UnknownFormat, 415),
        (learning_errors.TelemetryTooLarge, 413),
        (learning_errors.InvalidTelemetry, 422),
        (learning_errors.UnknownAlgorithm, 422),
        (learning_errors.InvalidInput, 422),
    ],
)
def test_an_error_has_the_status_of_its_nearest_class_in_the_table(
    error: type[Exception], status: int
) -> None:
    assert status_of(error()) == status


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    return fail


def test_details_of_an_error_reach_the_client(driver: FlaskClient, services: SimpleNamespace) -> None:
    services.uploads.complete = raising(errors.ChunksMissing(missing=[2, 5]))
    answer = driver.post("/racing-session/upload/complete?uploadId=6655f0c2a4b1c2d3e4f50617")
    assert assert_error(answer, 409, "chunks_missing")["details"] == {"missing": [2, 5]}


@pytest.mark.parametrize(
    "error", [ServerSelectionTimeoutError("no mongod at 10.0.0.7"), RedisDown("10.0.0.8")]
)
def test_a_dependency_that_is_down_is_a_503_that_says_when_to_try_again(
    driver: FlaskClient, services: SimpleNamespace, error: Exception
) -> None:
    services.jobs.get = raising(error)
    answer = driver.get("/jobs/6655f0c2a4b1c2d3e4f50617")
    assert_error(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "10.0.0" not in answer.text


def test_an_unforeseen_error_is_a_500_that_tells_its_cause_to_the_log_only(
    driver: FlaskClient, services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    services.jobs.get = raising(RuntimeError("the cause"))
    answer = driver.get("/jobs/6655f0c2a4b1c2d3e4f50617")
    assert_error(answer, 500, "internal_error")
    assert "the cause" not in answer.text
    assert "the cause" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Basic abc", "unauthorized"),
        ("Bearer", "token_invalid"),
        ("Bearer abc", "token_invalid"),
        ("Bearer a.b.c", "token_invalid"),
        ("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "token_invalid"),
    ],
)
def test_what_is_no_token_of_ours_is_a_401(stranger: FlaskClient, header: str, code: str) -> None:
    assert_error(stranger.get("/jobs", headers={"Authorization": header}), 401, code)


def test_expired_revoked_forged_and_refresh_tokens_are_a_401(api: Flask, stranger: FlaskClient) -> None:
    family = {"fam": "family"}
    with api.app_context():
        expired = create_access_token("1", expires_delta=timedelta(seconds=-1), additional_claims=family)
        revoked = create_access_token("1", additional_claims={"fam": "revoked"})
        refresh = create_refresh_token("1", additional_claims=family)
        homeless = create_access_token("1")
        genuine = create_access_token("1", additional_claims=family)
    forged = genuine[:-4] + ("AAAA" if not genuine.endswith("AAAA") else "BBBB")
    for token, code in [
        (expired, "token_expired"),
        (revoked, "token_revoked"),
        (homeless, "token_revoked"),
        (refresh, "token_invalid"),
        (forged, "token_invalid"),
    ]:
        answer = stranger.get("/jobs", headers={"Authorization": f"Bearer {token}"})
        assert_error(answer, 401, code)
    answer = stranger.post("/auth/refresh", headers={"Authorization": f"Bearer {genuine}"})
    assert_error(answer, 401, "token_invalid")


def test_a_token_shown_before_is_refused_once_it_is_revoked_or_has_expired(
    api: Flask, services: SimpleNamespace, stranger: FlaskClient
) -> None:
    services.jobs.page = lambda *_args, **_kwargs: Page(items=())
    with api.app_context():
        brief = create_access_token(
            "1", expires_delta=timedelta(seconds=1), additional_claims={"fam": "family"}
        )
    headers = {"Authorization": f"Bearer {brief}"}
    assert stranger.get("/jobs", headers=headers).status_code == 200
    services.accounts.is_revoked = lambda _family: True
    assert_error(stranger.get("/jobs", headers=headers), 401, "token_revoked")
    services.accounts.is_revoked = lambda _family: False
    time.sleep(1.1)  # tokens count whole seconds, by a clock that is not ours
    assert_error(stranger.get("/jobs", headers=headers), 401, "token_expired")


@pytest.mark.parametrize("header", ["Basic eA==", "Bearer a, Bearer b", ""])
def test_a_cookies_token_is_never_known_by_the_header_beside_it(
    api: Flask, services: SimpleNamespace, stranger: FlaskClient, header: str
) -> None:
    services.jobs.page = lambda *_args, **_kwargs: Page(items=())
    with api.app_context():
        token = create_access_token("1", additional_claims={"fam": "family"})
    signed_in = api.test_client()
    signed_in.set_cookie("access_token_cookie", token)
    headers = {"Authorization": header}
    assert signed_in.get("/jobs", headers=headers).status_code == 200
    assert_error(stranger.get("/jobs", headers=headers), 401, "unauthorized")


def test_sign_ins_from_one_address_are_limited_and_say_when_to_try_again(stranger: FlaskClient) -> None:
    first = stranger.post("/auth/login", json={})
    assert first.headers["X-RateLimit-Limit"] == "10"
    assert first.headers["X-RateLimit-Remaining"] == "9"
    for _ in range(9):
        assert_error(stranger.post("/auth/register", json={}), 422, "invalid")
    answer = stranger.post("/auth/login", json={})
    assert_error(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 61


def test_every_answer_has_security_headers_and_a_request_id(stranger: FlaskClient) -> None:
    for path, policy in (
        ("/healthz", "default-src 'none'"),
        ("/nothing", "default-src 'none'"),
        ("/docs", ""),
    ):
        headers = stranger.get(path, headers={"X-Request-Id": "my-id.1"}).headers
        assert headers["X-Request-Id"] == "my-id.1"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Security-Policy"].startswith(policy)
        assert "unsafe-inline" not in headers["Content-Security-Policy"].split("style-src")[0]
        assert "Access-Control-Allow-Origin" not in headers


def test_a_request_id_that_could_forge_log_lines_is_replaced(stranger: FlaskClient) -> None:
    headers = stranger.get("/healthz", headers={"X-Request-Id": "a b\tc"}).headers
    assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-Id"])

"""What browsers, proxies and scrapers are told and believed: headers, origins, addresses, figures."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token, create_refresh_token

from app import create_app
from app.settings import Settings

ORIGIN = "https://pits.example.org"
Doors = Callable[..., FlaskClient]


@pytest.fixture
def doors(api_settings: Settings) -> Doors:
    """A client of the application under other settings."""

    def made(**changes: Any) -> FlaskClient:
        parts = {
            "platform": SimpleNamespace(job_counts=lambda: {}, count_unreadable=lambda: 0),
            "live": None,
            "accounts": SimpleNamespace(is_revoked=lambda _family: True),
        }
        container: Any = SimpleNamespace(settings=replace(api_settings, **changes), **parts)
        return create_app(container=container).test_client()

    return made


def test_no_page_may_run_script_of_its_own_be_framed_or_be_kept(stranger: FlaskClient) -> None:
    for path in ("/healthz", "/docs", "/openapi.json", "/nothing", "/docs/start.js", "/auth/me"):
        headers = stranger.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'", path
        assert policy.get("script-src", "'none'") in ("'none'", "'self'"), path
        assert headers["Cache-Control"] == "no-store", path
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Werkzeug" not in headers.get("Server", "")


def test_browsers_stay_on_tls_once_they_came_by_it(doors: Doors, stranger: FlaskClient) -> None:
    assert "Strict-Transport-Security" not in stranger.get("/healthz").headers
    told = {"X-Forwarded-Proto": "https"}
    assert "Strict-Transport-Security" not in stranger.get("/healthz", headers=told).headers, (
        "anybody can say so"
    )
    behind = doors(trusted_proxies=1)
    assert behind.get("/healthz", headers=told).headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" in stranger.get("/healthz", base_url="https://localhost").headers


def remaining(client: FlaskClient, forwarded: str | None = None, address: str = "203.0.113.7") -> int:
    """How many more sign-ins the caller's network has, after one."""
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    answer = client.post("/auth/login", json={}, headers=headers, environ_base={"REMOTE_ADDR": address})
    return int(answer.headers["X-RateLimit-Remaining"])


def test_whom_a_caller_says_to_speak_for_does_not_matter(stranger: FlaskClient) -> None:
    assert [remaining(stranger, f"198.51.100.{number}") for number in range(3)] == [9, 8, 7]


def test_a_trusted_proxy_is_believed_about_the_last_address_and_nobody_about_those_before(
    doors: Doors,
) -> None:
    behind = doors(trusted_proxies=1)
    assert [remaining(behind, f"10.9.9.{number}, 198.51.100.1") for number in range(3)] == [9, 8, 7]
    assert remaining(behind, "10.9.9.1, 198.51.100.2") == 9
    assert remaining(behind, "unknown, not an address") == 9
    assert remaining(doors(trusted_proxies=2), "10.9.9.1, 198.51.100.2, 192.0.2.1") == 9


def test_the_addresses_of_one_customers_network_count_as_one(stranger: FlaskClient) -> None:
    addresses = (
        "2001:db8:0:1::1",
        "2001:db8:0:1:ffff::2",
        "::ffff:203.0.113.9",
        "203.0.113.9",
        "2001:db8:0:2::1",
    )
    assert [remaining(stranger, address=address) for address in addresses] == [9, 8, 9, 8, 9]


def test_registrations_have_a_limit_of_their_own(doors: Doors) -> None:
    client = doors(register_rate_limit="2 per hour")
    answers = [client.post("/auth/register", json={}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422, 422, 429]
    assert 3500 < int(answers[2].headers["Retry-After"]) <= 3601
    assert client.post("/auth/login", json={}).status_code == 422


def test_a_refresh_token_is_not_counted_for_its_user(doors: Doors) -> None:
    """A stolen one that was revoked would use up its driver's count."""
    client = doors(rate_limit="3 per minute")
    with client.application.app_context():
        tokens = [
            make("1", additional_claims={"fam": "f"}) for make in (create_refresh_token, create_access_token)
        ]
    left = []
    for token in (*tokens, *tokens):
        answer = client.get("/jobs", headers={"Authorization": f"Bearer {token}"})
        left.append(answer.headers.get("X-RateLimit-Remaining"))
    assert left == ["2", "2", "1", "1"]


def test_pages_of_other_origins_may_not_call_unless_they_are_named(
    doors: Doors, stranger: FlaskClient
) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for method in ("GET", "OPTIONS"):
        headers = stranger.open("/jobs", method=method, headers=asked).headers
        assert not [name for name in headers.keys() if name.startswith("Access-Control")]
    client = doors(cors_origins=f"https://example.org, {ORIGIN}")
    preflight = client.open("/jobs", method="OPTIONS", headers=asked)
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
    answer = client.get("/jobs", headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
    assert "Origin" in answer.headers["Vary"]
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers, "cookies stay at home"


@pytest.mark.parametrize(
    "origin",
    [
        f"{ORIGIN}.evil.example",
        f"{ORIGIN}:8443",
        "http://pits.example.org",
        "https://pitsxexample.org",
        "null",
        "*",
    ],
)
def test_an_origin_like_a_named_one_is_another(doors: Doors, origin: str) -> None:
    headers = doors(cors_origins=ORIGIN).get("/jobs", headers={"Origin": origin}).headers
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("change", "headers", "address", "status"),
    [
        ({}, {}, "127.0.0.1", 200),
        ({}, {}, "::1", 200),
        ({}, {}, "192.0.2.1", 401),
        ({}, {"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1", 401),
        ({}, {"Forwarded": "for=127.0.0.1"}, "127.0.0.1", 401),
        ({"trusted_proxies": 1}, {"X-Forwarded-For": "192.0.2.1"}, "127.0.0.1", 401),
        ({"trusted_proxies": 1}, {"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1", 401),
        ({"metrics_token": "a token for scrapers"}, {}, "127.0.0.1", 401),
        ({"metrics_token": "a token for scrapers"}, {"Authorization": "Bearer another"}, "127.0.0.1", 401),
        (
            {"metrics_token": "a token for scrapers"},
            {"Authorization": "Bearer a token for scrapers"},
            "192.0.2.1",
            200,
        ),
    ],
)
def test_figures_are_for_this_machine_or_for_who_knows_their_token(
    doors: Doors, change: dict[str, Any], headers: dict[str, str], address: str, status: int
) -> None:
    answer = doors(**change).get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == status
    assert ("lapwise_jobs" in answer.text) == (status == 200)

"""The dashboard's pages through HTTP: who gets in, who sees what, and what a foreign site cannot do."""

import re
from collections.abc import Callable
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.cli import cli
from app.container import Container
from app.errors import UserNotFound
from app.settings import Settings
from app.stores.accounts import Users
from tests.factories import TRACK
from tests.integration.drivers import PASSWORD, Driver, NewDriver

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
NewBrowser = Callable[[Driver], FlaskClient]


@pytest.fixture
def browser(container: Container) -> FlaskClient:
    """A browser in which nobody has signed in."""
    client = create_app(container=container).test_client()
    client.environ_base["HTTP_ACCEPT"] = HTML["Accept"]
    return client


@pytest.fixture
def ann(new_driver: NewDriver) -> Driver:
    return new_driver("ann")


def sign_in(browser: FlaskClient, driver: Driver, query: str = "", **form: str) -> TestResponse:
    return browser.post(f"/login{query}", data={"email": driver.email, "password": PASSWORD} | form)


def cookies(answer: TestResponse) -> dict[str, Any]:
    """What an answer sets, by name."""
    found: SimpleCookie = SimpleCookie()
    for line in answer.headers.getlist("Set-Cookie"):
        found.load(line)
    return dict(found)


def without_access(browser: FlaskClient) -> None:
    browser.delete_cookie("access_token_cookie")
    browser.delete_cookie("csrf_access_token")


def test_tokens_are_in_cookies_that_scripts_and_other_sites_do_not_get(
    browser: FlaskClient, ann: Driver
) -> None:
    answer = sign_in(browser, ann)
    assert (answer.status_code, answer.location) == (303, "/")
    given = cookies(answer)
    assert {name for name in given if given[name]["httponly"]} == {
        "access_token_cookie",
        "refresh_token_cookie",
    }
    assert {one["samesite"] for one in given.values()} == {"Lax"}
    assert given["refresh_token_cookie"]["path"] == "/login"
    assert not any(one["secure"] for one in given.values())
    by_tls = browser.post(
        "/login", data={"email": ann.email, "password": PASSWORD}, base_url="https://localhost"
    )
    assert all(one["secure"] for one in cookies(by_tls).values())
    assert browser.get("/").status_code == 200


def test_what_changes_something_by_cookie_needs_the_double_submit(browser: FlaskClient, ann: Driver) -> None:
    sign_in(browser, ann)
    token = browser.get_cookie("csrf_access_token")
    assert token is not None
    assert browser.get("/jobs").status_code == 200
    assert browser.delete("/auth/me").status_code == 401
    assert browser.delete("/auth/me", headers={"X-CSRF-TOKEN": "guessed"}).status_code == 401
    assert browser.delete("/auth/me", headers={"X-CSRF-TOKEN": token.value}).status_code == 204


def test_what_is_wrong_with_a_form_stands_beside_the_field(browser: FlaskClient, ann: Driver) -> None:
    short = {"email": "new@example.org", "password": "short", "displayName": " "}
    answer = browser.post("/register", data=short)
    assert answer.status_code == 422
    assert wrong_beside("password", answer) == "Length must be between 10 and 256."
    assert 'value="new@example.org"' in answer.text
    assert "short" not in answer.text
    answer = browser.post("/register", data={"email": ann.email, "password": PASSWORD})
    assert (answer.status_code, wrong_beside("email", answer)) == (
        409,
        "There is an account with this email address already.",
    )
    answer = browser.post("/login", data={"email": ann.email})
    assert (answer.status_code, wrong_beside("password", answer)) == (422, "Missing data for required field.")
    answer = sign_in(browser, ann, password="not the right one")
    assert answer.status_code == 401
    assert "do not belong together" in wrong_beside("password", answer)


def wrong_beside(field: str, answer: TestResponse) -> str:
    found = re.search(rf'id="{field}-wrong" role="alert">([^<]*)<', answer.text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "header", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_a_form_of_another_site_is_refused(browser: FlaskClient, ann: Driver, header: dict[str, str]) -> None:
    answer = browser.post("/login", data={"email": ann.email, "password": PASSWORD}, headers=header)
    assert answer.status_code == 403
    assert cookies(answer) == {}


@pytest.mark.parametrize(
    ("asked", "onward"),
    [
        ("/sessions/1?lap=2", "/sessions/1?lap=2"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_after_signing_in_one_is_sent_to_this_site_only(
    browser: FlaskClient, ann: Driver, asked: str, onward: str
) -> None:
    answer = browser.post(
        "/login", query_string={"next": asked}, data={"email": ann.email, "password": PASSWORD}
    )
    assert answer.location == onward
    renewed = browser.get("/login/renew", query_string={"next": asked})
    assert renewed.location == onward


def test_an_expired_sign_in_is_renewed_on_the_way_to_a_page_and_two_tabs_may_ask_at_once(
    browser: FlaskClient, ann: Driver
) -> None:
    sign_in(browser, ann)
    spent = browser.get_cookie("refresh_token_cookie", path="/login")
    assert spent is not None
    without_access(browser)
    sent = browser.get("/upload?track=spa")
    assert sent.location == "/login/renew?next=/upload?track%3Dspa"
    renewed = browser.get(sent.location)
    assert renewed.location == "/upload?track=spa"
    assert browser.get("/upload").status_code == 200
    browser.set_cookie("refresh_token_cookie", spent.value, path="/login")
    without_access(browser)
    assert browser.get("/login/renew").location == "/"  # the other tab, which asked with the spent token
    assert browser.get("/upload").status_code == 200


def test_a_token_that_was_spent_long_ago_ends_the_sign_in(
    browser: FlaskClient, ann: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(browser, ann)
    spent = browser.get_cookie("refresh_token_cookie", path="/login")
    assert spent is not None
    browser.get("/login/renew")
    monkeypatch.setattr("app.web.signin.LEEWAY", timedelta(0))
    browser.set_cookie("refresh_token_cookie", spent.value, path="/login")
    assert browser.get("/login/renew?next=/upload").location == "/login?next=/upload"
    assert browser.get("/upload").location == "/login?next=/upload"


def test_leaving_ends_the_sign_in_for_the_api_too_and_when_it_has_expired(
    browser: FlaskClient, ann: Driver
) -> None:
    sign_in(browser, ann)
    access, token = browser.get_cookie("access_token_cookie"), browser.get_cookie("csrf_refresh_token")
    assert access is not None
    assert token is not None
    without_access(browser)
    assert browser.post("/login/end", data={"csrf_token": token.value}).location == "/login"
    assert browser.get_cookie("csrf_refresh_token") is None
    answer = browser.get("/jobs", headers={"Authorization": f"Bearer {access.value}"})
    assert answer.status_code == 401
    assert browser.post("/login/end").location == "/login"  # there is nothing to end


def test_another_drivers_things_are_not_there_and_names_are_no_markup(
    browser: FlaskClient, new_driver: NewDriver, ann: Driver
) -> None:
    session = ann.upload(1, auto_train=False)["session"]
    model_id = ann.train([session["id"]])
    stranger = new_driver("bob")
    pages = [
        *(f"/sessions/{session['id']}", f"/models/{model_id}", f"/predict/{model_id}", f"/tracks/{TRACK}"),
        "/operations",
        "/operations/state",
    ]
    sign_in(browser, stranger)
    for path in pages:
        answer = browser.get(path)
        assert answer.status_code == 404, path
        assert "<!doctype html>" in answer.text
    assert TRACK not in browser.get("/").text
    ann.call("PUT", f"/ai-model/{model_id}", {"modelName": "<script>alert(1)</script>"})
    ann.call("POST", f"/ai-model/{model_id}/share", {"email": stranger.email}, status=201)
    for path in ("/", f"/models/{model_id}"):
        page = browser.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert(1)" in page.text


def test_operators_see_the_platform_and_what_failed(
    browser: FlaskClient, container: Container, ann: Driver
) -> None:
    Users(container.mongo_client[container.settings.database]).set_admin(ann.email, True)
    sign_in(browser, ann)
    session = ann.upload(1, auto_train=False)["session"]
    body = {"trackName": TRACK, "modelType": "lap_time_prediction", "sessionIds": [session["id"]]}
    job = ann.call("POST", "/model/train", body, status=202)
    ann.call("DELETE", f"/racing-session/{session['id']}", status=204)
    assert ann.run(job)["status"] == "failed"
    assert browser.get("/operations").status_code == 200
    state = browser.get("/operations/state").text
    assert ann.email in state
    assert ann.get(f"/jobs/{job['id']}")["error"]["code"] in state
    assert "No worker answers" in state  # there is none in this test
    assert re.search(r"<span>failed</span><b>1</b>", state)


def test_operators_retry_anybodys_failed_job_and_nobody_else_does(
    browser: FlaskClient, container: Container, new_driver: NewDriver, ann: Driver
) -> None:
    session = ann.upload(1, auto_train=False)["session"]
    body = {"trackName": TRACK, "modelType": "lap_time_prediction", "sessionIds": [session["id"]]}
    job = ann.call("POST", "/model/train", body, status=202)
    database = container.mongo_client[container.settings.database]
    path, operator = f"/operations/jobs/{job['id']}/retry", new_driver("olga")
    sign_in(browser, operator)
    assert browser.post(path, headers=submitted(browser)).status_code == 404  # is none yet
    Users(database).set_admin(operator.email, True)
    assert browser.post(path, headers=submitted(browser)).status_code == 409  # has not failed yet
    database["jobs"].update_one({"_id": job["id"]}, {"$set": {"status": "failed"}})
    assert browser.post(path).status_code == 302  # without the double submit nobody is signed in
    assert browser.post(path, headers=submitted(browser)).status_code == 204
    assert browser.post(path, headers=submitted(browser)).status_code == 204
    newest, first = ann.get("/jobs")["items"]
    assert first["id"] == job["id"]
    assert (newest["status"], newest["sessionIds"]) == ("queued", [session["id"]])
    assert ann.run(newest)["status"] == "succeeded"


def submitted(browser: FlaskClient) -> dict[str, str]:
    token = browser.get_cookie("csrf_access_token")
    assert token is not None
    return {"X-CSRF-TOKEN": token.value}


def test_operators_are_made_and_unmade_by_command(ann: Driver, settings: Settings) -> None:
    assert "now an operator" in user_command(settings, "admin", f" {ann.email.upper()}")
    assert user_command(settings, "list").split("\t")[::3] == [ann.email, "admin\n"]
    assert "no longer" in user_command(settings, "admin", ann.email, "--revoke")
    assert user_command(settings, "list").split("\t")[::3] == [ann.email, "\n"]
    with pytest.raises(UserNotFound, match="there is no account of nobody"):
        user_command(settings, "admin", "nobody@example.org")


def user_command(settings: Settings, *arguments: str) -> str:
    environment = {"LAPWISE_MONGO_URL": settings.mongo_url, "LAPWISE_DATABASE": settings.database}
    command = ["user", *arguments]
    return CliRunner().invoke(cli, command, env=environment, catch_exceptions=False).output


def test_errors_are_pages_for_people_and_json_for_scripts(browser: FlaskClient, ann: Driver) -> None:
    sign_in(browser, ann)
    for path in ("/no-such-page", f"/sessions/{'0' * 24}"):
        assert "<!doctype html>" in browser.get(path).text
        told = browser.get(path, headers={"Accept": "application/json"}).get_json()
        assert told["error"]["message"]
    browser.delete_cookie("access_token_cookie")
    assert browser.get("/operations/state", headers={"Accept": "application/json"}).status_code == 401


def test_simulated_sessions_are_sessions_like_others_and_come_once(ann: Driver) -> None:
    made = ann.call("POST", "/racing-session/simulated", status=201)
    assert len(made["sessions"]) == 4
    assert {job["modelType"] for job in made["jobs"]} == {
        "lap_time_prediction",
        "sector_analysis",
        "setup_optimization",
    }
    assert {ann.run(job)["status"] for job in made["jobs"]} == {"succeeded"}
    again = ann.call("POST", "/racing-session/simulated", status=201)
    assert [one["id"] for one in again["sessions"]] == [one["id"] for one in made["sessions"]]
    assert {job["id"] for job in again["jobs"]} == {job["id"] for job in made["jobs"]}


def test_a_session_that_was_only_read_is_learned_when_asked_for_once(ann: Driver) -> None:
    uploaded = ann.upload(1, auto_train=False)
    assert uploaded["jobs"] == []
    path = f"/racing-session/{uploaded['session']['id']}/learn"
    (job,) = ann.call("POST", path, status=202)["jobs"]
    assert ann.run(job)["modelVersion"] == "1.0.0"
    assert [one["id"] for one in ann.call("POST", path, status=202)["jobs"]] == [job["id"]]

"""Nobody sees or touches what is another's: every route is walked with every id of another driver."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from flask import Flask
from flask_jwt_extended import create_access_token
from pymongo.database import Database

from app import create_app
from app.container import Container, build_container
from app.settings import Settings
from tests.factories import session_file
from tests.integration.hostile import attacks
from tests.integration.walking import Call, Operation, Things, filled, operations

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

Found = dict[str, Any]
PASSWORD = "a long pass phrase"
LAP_TIME = "lap_time_prediction"
OPEN = {  # what a caller without a token may ask; a new route is added here only if that is meant
    *("POST /auth/register", "POST /auth/login", "GET /healthz", "GET /readyz", "GET /metrics"),
    *("GET /openapi.json", "GET /docs", "GET /docs/start.js"),
    "POST /webhooks/session-uploaded",
}
LAST = ("POST /auth/logout", "DELETE /auth/me")  # they end the walk


@dataclass(frozen=True)
class Driver:
    """An account, and all that it owns."""

    app: Flask
    token: str
    email: str
    track: str
    things: Things

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def secrets(self) -> set[str]:
        """Texts that tell of this driver."""
        ids = {one for kind in self.things.values() for one in kind}
        return ids | {self.email, self.track, f"{self.track} session", f"car of {self.track}"}

    def call(self, method: str, path: str, status: int, **options: Any) -> Any:
        answer = self.app.test_client().open(path, method=method, headers=self.headers, **options)
        assert answer.status_code == status, (path, answer.text)
        return answer.get_json()


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    generous = replace(
        settings,
        rate_limit="100000 per minute",
        login_rate_limit="1000 per minute",
        register_rate_limit="1000 per minute",
    )
    with build_container(generous) as built:
        yield built


@pytest.fixture
def app(container: Container) -> Flask:
    return create_app(container=container)


def register(app: Flask, name: str) -> Driver:
    client, email = app.test_client(), f"{name}@example.com"
    user = client.post("/auth/register", json={"email": email, "password": PASSWORD}).get_json()["user"]
    token = client.post("/auth/login", json={"email": email, "password": PASSWORD}).get_json()["accessToken"]
    return Driver(app, token, email, f"ring of {name}", {"user": [user["id"]]})


def equipped(app: Flask, container: Container, name: str, folder: Path) -> Driver:
    """A driver with one of everything, three versions of one lineage among it."""
    driver = register(app, name)
    sessions = [upload(driver, session_file(folder, index=index, driver=name)) for index in (1, 2, 3)]
    train = {"trackName": driver.track, "modelType": LAP_TIME, "sessionIds": sessions[:1]}
    jobs = [driver.call("POST", "/model/train", 202, json=train)["id"]]
    container.runs.run(jobs[0])
    for session in sessions[1:]:
        newest = driver.call("GET", f"/ai-model/active/{driver.track}/{LAP_TIME}", 200)["id"]
        body = {"modelId": newest, "newSessionIds": [session]}
        jobs.append(driver.call("POST", "/ai-model/incremental-training", 202, json=body)["id"])
        container.runs.run(jobs[-1])
    waiting = {"modelId": newest, "sessionIds": sessions}
    jobs.append(driver.call("POST", "/model/validate", 202, json=waiting)["id"])
    versions = driver.call("GET", f"/ai-model/user/{driver.track}", 200)["items"]
    start = {"sessionName": "on its way", "mapName": driver.track}
    upload_id = driver.call("POST", "/racing-session/upload/init", 200, json=start)["uploadId"]
    chunk = {"chunk": [{"lap": 1}], "chunkIndex": 0}
    driver.call("POST", f"/racing-session/upload/chunk?uploadId={upload_id}", 200, json=chunk)
    models = [version["id"] for version in versions]
    assert len(models) == 3
    owned = {"session": sessions, "job": jobs, "model": models, "upload": [upload_id]}
    return replace(driver, things=driver.things | owned | extras(app, driver, models))


def extras(app: Flask, driver: Driver, models: list[str]) -> Things:
    """What can be owned besides, as far as there are routes for it."""
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    found: dict[str, list[str]] = {}
    if "/webhooks" in rules:
        hook = driver.call("POST", "/webhooks", 201, json={"url": "https://example.org/hook"})
        delivery = driver.call("POST", f"/webhooks/{hook['id']}/test", 202)
        found |= {"webhook": [hook["id"]], "delivery": [delivery["id"]]}
    if "/ai-model/<id:id>/share" in rules:
        reader = register(app, f"reader-of-{driver.email.split('@')[0]}")
        driver.call("POST", f"/ai-model/{models[0]}/share", 201, json={"email": reader.email})
        found["reader"] = reader.things["user"]
    if "/ai-model/<id:id>/experiment" in rules:
        body = {"challengerId": models[1], "share": 0.5}
        found["experiment"] = [driver.call("POST", f"/ai-model/{models[0]}/experiment", 201, json=body)["id"]]
    return found


def upload(driver: Driver, path: Path) -> str:
    with path.open("rb") as file:
        form = {
            "file": (file, path.name),
            "trackName": driver.track,
            "sessionName": f"{driver.track} session",
            "carModel": f"car of {driver.track}",
            "autoTrain": "false",
        }
        answer = driver.call("POST", "/racing-session/upload", 201, data=form)
    session_id: str = answer["session"]["id"]
    return session_id


@pytest.fixture
def owner(app: Flask, container: Container, tmp_path: Path) -> Driver:
    return equipped(app, container, "olga", tmp_path)


@pytest.fixture
def stranger(app: Flask, container: Container, tmp_path: Path) -> Driver:
    """Has one of everything too, so that only the other's id can be what a call is refused for."""
    return equipped(app, container, "stan", tmp_path)


def foreign_calls(operation: Operation, stranger: Driver, owner: Driver) -> Iterator[Call]:
    """Each slot in turn with each thing of the owner's, the other slots with the stranger's own.

    Of open operations none: whoever calls them is no driver (a game backend, known by its signature).
    """
    for slot in () if operation.is_open else operation.slots:
        for ids in owner.things.values():
            for one in ids:
                yield filled(operation, stranger.things, slot, one)


def contents(database: Database[Found]) -> dict[tuple[str, str], str]:
    """Every document but the grids' chunks, which never change."""
    return {
        (name, str(found["_id"])): json_util.dumps(found, sort_keys=True)
        for name in sorted(database.list_collection_names())
        if not name.endswith(".chunks")
        for found in database[name].find()
    }


def leaked(driver: Driver, text: str, *, asked: str = "") -> set[str]:
    """What an answer tells of a driver that the question did not hold."""
    return {secret for secret in driver.secrets if secret in text and secret not in asked}


def test_every_id_of_another_driver_is_a_404_that_changes_and_tells_nothing(
    app: Flask, database: Database[Found], owner: Driver, stranger: Driver
) -> None:
    before = contents(database)
    client, called = app.test_client(), 0
    for operation in operations(app):
        for call in foreign_calls(operation, stranger, owner):
            answer = call.send(client, stranger.headers)
            assert answer.status_code == 404, (str(call), answer.text)
            assert leaked(owner, answer.text, asked=str(call)) == set(), str(call)
            called += 1
    assert called > 100
    assert contents(database) == before


def test_calls_that_name_nothing_of_anothers_tell_nothing_of_them(
    app: Flask, database: Database[Found], owner: Driver, stranger: Driver
) -> None:
    before = contents(database)
    client = app.test_client()
    for operation in sorted(operations(app), key=lambda operation: str(operation) in LAST):
        call = filled(operation, stranger.things)
        there = replace(call, path=call.path.replace("Nowhere", owner.track))
        for one in (call, there):
            answer = one.send(client, stranger.headers)
            text = "" if answer.is_streamed and answer.mimetype == "text/event-stream" else answer.text
            assert answer.status_code < 500 or str(operation) == "GET /readyz", (str(one), text)
            assert leaked(owner, text, asked=str(one)) == set(), str(one)
    after = contents(database)
    theirs = {key: text for key, text in before.items() if leaked(owner, text)}
    assert {key: after.get(key) for key in theirs} == theirs
    new = {key: text for key, text in after.items() if key not in before}
    assert {key for key, text in new.items() if leaked(owner, text, asked=owner.track)} == set()


def test_events_of_a_job_tell_of_that_job_alone(
    app: Flask, container: Container, owner: Driver, stranger: Driver
) -> None:
    for job_id in stranger.things["job"]:
        container.runs.run(job_id)
        answer = app.test_client().get(f"/jobs/{job_id}/events", headers=stranger.headers)
        assert json.loads(answer.text.split("data: ")[-1])["status"] == "succeeded"
        assert leaked(owner, answer.text) == set()


def test_a_driver_may_do_all_that_the_walks_do_with_things_of_their_own(app: Flask, stranger: Driver) -> None:
    """Or else the 404s of the walks would prove nothing."""
    statuses = {}
    for operation in sorted(operations(app), key=removals_last):
        if operation.slots:
            call = filled(operation, stranger.things)
            answer = call.send(app.test_client(), stranger.headers)
            statuses[str(operation)] = answer.status_code
            answer.close()
    assert {call for call, status in statuses.items() if status == 404} == set()
    assert len(statuses) >= 19


def removals_last(operation: Operation) -> tuple[bool, int]:
    """What is inside something is removed before it."""
    return operation.method == "DELETE", -len(operation.path)


def test_routes_without_a_token_are_those_meant_to_be(app: Flask) -> None:
    assert {str(operation) for operation in operations(app) if operation.is_open} <= OPEN


def test_without_a_good_token_every_route_is_a_401_that_changes_and_tells_nothing(
    app: Flask, database: Database[Found], owner: Driver, settings: Settings
) -> None:
    with app.app_context():
        family = {"fam": "0" * 24}
        unsigned = create_access_token(owner.things["user"][0], additional_claims=family)[:-3] + "AAA"
    broken = {
        "none": {},
        "not a token": {"Authorization": "Bearer nonsense"},
        "another scheme": {"Authorization": f"Basic {owner.token}"},
        "a bad signature": {"Authorization": f"Bearer {unsigned}"},
        "no algorithm": {"Authorization": f"Bearer {without_algorithm(owner.token)}"},
    }
    before = contents(database)
    client, called = app.test_client(), 0
    for operation in operations(app):
        if operation.is_open:
            continue
        call = filled(operation, owner.things)
        for name, headers in broken.items():
            answer = call.send(client, headers)
            assert answer.status_code == 401, (name, str(call), answer.text)
            assert leaked(owner, answer.text) == set(), (name, str(call))
            called += 1
    assert called > 100
    assert contents(database) == before


def without_algorithm(token: str) -> str:
    """The same claims under a header that says they need no signature."""
    claims = token.split(".")[1]
    return re.sub("=", "", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0") + f".{claims}."


def test_no_place_of_any_operation_takes_a_hostile_value_for_more_than_text(
    app: Flask, database: Database[Found], owner: Driver, stranger: Driver, settings: Settings
) -> None:
    before = contents(database)
    client, statuses = app.test_client(), Counter[int]()
    for attack in attacks(app):
        answer = attack.send(client, stranger.headers, stranger.things, settings.webhook_secret)
        assert answer.status_code < 500, (str(attack), answer.text)
        assert leaked(owner, answer.text) == set(), str(attack)
        assert "Set-Cookie" not in answer.headers, str(attack)
        statuses[answer.status_code] += 1
    assert statuses.total() > 1_500
    assert statuses[422] > statuses.total() / 2
    after = contents(database)
    theirs = {key: text for key, text in before.items() if leaked(owner, text)}
    assert {key: after.get(key) for key in theirs} == theirs

"""What game backends tell of sessions, through HTTP, on real servers."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import polars as pl
import pytest
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from werkzeug.test import TestResponse

from app import create_app
from app.api.events import BACKLOG, BACKLOG_AT_MOST
from app.container import Container, build_container
from app.domain import JobStatus, ModelType, Session, new_id
from app.errors import EventIdReused
from app.services import events
from app.settings import Settings
from app.signatures import HEADER, sign
from tests.factories import TRACK, new_session, session_file

DRIVER, STRANGER = new_id(), new_id()
EMAIL = "max@example.org"
LAP_TIME = ModelType.LAP_TIME_PREDICTION
Send = Callable[..., TestResponse]
AtOnce = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def drivers(database: Database[dict[str, Any]]) -> None:
    database["users"].insert_one({"_id": DRIVER, "email": EMAIL})
    database["users"].insert_one({"_id": STRANGER, "email": "lewis@example.org"})


@pytest.fixture
def app(container: Container) -> Flask:
    return create_app(container=container)


@pytest.fixture
def send(app: Flask, settings: Settings) -> Send:
    """Posts an event as a game backend does, by default a valid one without its session."""

    def post(**fields: Any) -> TestResponse:
        event = {"eventId": "event-1", "userId": DRIVER, "trackName": TRACK} | fields
        body = json.dumps({name: value for name, value in event.items() if value is not None}).encode()
        return app.test_client().post(
            "/webhooks/session-uploaded",
            data=body,
            content_type="application/json",
            headers={HEADER: sign(settings.webhook_secret, body, int(time.time()))},
        )

    return post


@pytest.fixture
def upload(container: Container, tmp_path: Path) -> Callable[..., Session]:
    def add(index: int = 1, *, user_id: str = DRIVER, **fields: Any) -> Session:
        return container.sessions.add(user_id, new_session(tmp_path, index=index, **fields), False)[0]

    return add


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    return pl.read_csv(session_file(tmp_path)).to_dicts()


def error(answer: TestResponse) -> tuple[int, str, dict[str, Any]]:
    found: dict[str, Any] = answer.json["error"]  # type: ignore[index]
    return answer.status_code, found["code"], found["details"]


def learn(container: Container, answer: TestResponse) -> None:
    for job in answer.json["jobs"]:  # type: ignore[index]
        container.runs.run(job["id"])


def test_an_event_has_its_session_learned(container: Container, send: Send, upload: Any) -> None:
    session = upload()
    answer = send(sessionId=session.id)
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    assert answer.json.keys() == {"eventId", "session", "jobs"}
    assert answer.json["eventId"] == "event-1"
    assert answer.json["session"]["id"] == session.id
    [job] = answer.json["jobs"]
    assert (job["status"], job["kind"], job["modelType"]) == ("queued", "train", LAP_TIME)
    assert job["sessionIds"] == [session.id]
    learn(container, answer)
    assert container.models.active(DRIVER, TRACK, LAP_TIME).training_session_ids == (session.id,)


def test_a_driver_is_named_by_address_as_well_however_it_is_written(send: Send, upload: Any) -> None:
    session = upload()
    answer = send(sessionId=session.id, userId=None, userEmail=" Max@Example.org ")
    assert answer.status_code == 202, answer.text
    assert answer.json["session"]["userId"] == DRIVER  # type: ignore[index]


def test_telemetry_that_comes_along_is_a_session_with_its_car_and_setup(
    container: Container, send: Send, rows: list[dict[str, Any]]
) -> None:
    answer = send(telemetry=rows, carModel="a car", setup={"rearWing": 5.0})
    assert answer.status_code == 202, answer.text
    session = container.sessions.get(DRIVER, answer.json["session"]["id"])  # type: ignore[index]
    assert (session.laps_count, session.car_model, session.setup) == (4, "a car", {"rearWing": 5.0})
    learn(container, answer)
    assert container.models.active(DRIVER, TRACK, LAP_TIME).training_session_ids == (session.id,)


def test_the_same_event_again_gets_the_same_answer_and_queues_nothing(
    container: Container, send: Send, rows: list[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    first = send(telemetry=rows)
    container.redis.flushall()
    assert send(telemetry=rows).json == first.json
    learn(container, first)
    assert send(telemetry=rows).json == first.json
    container.sessions.remove(DRIVER, first.json["session"]["id"])  # type: ignore[index]
    assert send(telemetry=rows).json == first.json
    assert database["jobs"].count_documents({}) == 1
    assert container.redis.llen("lapwise") == 0


def test_an_event_of_a_session_that_was_removed_since_is_still_the_same(
    container: Container, send: Send, upload: Any
) -> None:
    session = upload()
    first = send(sessionId=session.id)
    container.sessions.remove(DRIVER, session.id)
    assert send(sessionId=session.id).json == first.json
    assert error(send(eventId="another", sessionId=session.id))[:2] == (404, "session_not_found")


def test_an_event_id_with_another_body_is_a_conflict(send: Send, upload: Any, rows: Any) -> None:
    session, other = upload(1), upload(2)
    assert send(sessionId=session.id).status_code == 202
    for fields in (
        {"sessionId": other.id},
        {"sessionId": session.id, "modelTypes": [LAP_TIME]},
        {"telemetry": rows},
    ):
        assert error(send(**fields))[:2] == (409, "event_id_reused")


def test_one_event_sent_many_times_at_once_is_taken_once(
    send: Send, upload: Any, database: Database[dict[str, Any]]
) -> None:
    session, together = upload(), Barrier(8)

    def repeat(_: int) -> Any:
        together.wait()
        return send(sessionId=session.id).json

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(repeat, range(8)))
    assert answers[0]["eventId"] == "event-1"
    assert answers == [answers[0]] * 8
    assert database["jobs"].count_documents({}) == 1


def test_one_event_that_two_processes_get_at_once_is_taken_once(
    settings: Settings, container: Container, upload: Any, database: Database[dict[str, Any]]
) -> None:
    sessions = [upload(index) for index in (1, 2, 3)]
    asked = [
        events.SessionEvent(
            event_id=f"event-{i % 3}", track_name=TRACK, user_id=DRIVER, session_id=sessions[i % 3].id
        )
        for i in range(12)
    ]
    with build_container(settings) as other, ThreadPoolExecutor(12) as pool:
        work = [pool.submit((container, other)[i % 2].events.take, event) for i, event in enumerate(asked)]
        taken = [one.result() for one in work]
    assert {one.id: one for one in taken}.keys() == {"event-0", "event-1", "event-2"}
    assert [taken[i] for i in range(12)] == [taken[i % 3] for i in range(12)]
    assert database["webhookevents"].count_documents({}) == 3
    jobs = list(database["jobs"].find())
    assert sorted(one for job in jobs for one in job["sessionIds"]) == sorted(
        session.id for session in sessions
    )


def with_rows(rows: list[dict[str, Any]], event_id: str = "event-1") -> events.SessionEvent:
    return events.SessionEvent(event_id=event_id, track_name=TRACK, user_id=DRIVER, telemetry=tuple(rows))


def meet_once_prepared(monkeypatch: pytest.MonkeyPatch, *containers: Container) -> None:
    """Lets each event go on only when the sessions of all are prepared and none is recorded."""
    together = Barrier(2)
    for container in containers:
        prepare = container.sessions.prepare

        def meeting(*args: Any, prepare: Any = prepare) -> Any:
            draft = prepare(*args)
            together.wait(5)
            return draft

        monkeypatch.setattr(container.sessions, "prepare", meeting)


@pytest.fixture(params=["one process", "two processes"])
def at_once(
    request: pytest.FixtureRequest, settings: Settings, container: Container, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AtOnce]:
    """What becomes of two events that are taken at the same moment, by one process or by two."""
    with build_container(settings) as other, ThreadPoolExecutor(2) as pool:
        containers = (container, other if request.param == "two processes" else container)
        meet_once_prepared(monkeypatch, *dict.fromkeys(containers, None))

        def take(*bodies: events.SessionEvent) -> list[Any]:
            work = [pool.submit(one.events.take, body) for one, body in zip(containers, bodies, strict=True)]
            return [one.exception() or one.result() for one in work]

        yield take


def test_of_two_bodies_with_one_event_id_at_once_the_refused_one_leaves_nothing(
    rows: list[dict[str, Any]], database: Database[dict[str, Any]], at_once: AtOnce
) -> None:
    outcomes = at_once(with_rows(rows), with_rows(rows[:-1]))
    (refused,) = [one for one in outcomes if isinstance(one, EventIdReused)]
    (taken,) = [one for one in outcomes if one is not refused]
    [session] = database["sessions"].find()
    assert session["_id"] == taken.session.id
    assert [job["sessionIds"] for job in database["jobs"].find()] == [[session["_id"]]]
    assert database["telemetry.files"].count_documents({}) == 1
    assert database["laps.files"].count_documents({}) == 1


def test_the_same_rows_in_two_events_at_once_are_one_session(
    rows: list[dict[str, Any]], database: Database[dict[str, Any]], at_once: AtOnce
) -> None:
    taken = at_once(with_rows(rows, "event-1"), with_rows(rows, "event-2"))
    [session] = database["sessions"].find()
    assert [one.session.id for one in taken] == [session["_id"]] * 2
    assert taken[0].jobs[0].id == taken[1].jobs[0].id
    assert database["jobs"].count_documents({}) == 1
    assert database["telemetry.files"].count_documents({}) == 1
    assert database["laps.files"].count_documents({}) == 1


def test_events_that_pile_up_are_learned_together_and_each_once(
    container: Container, send: Send, upload: Any
) -> None:
    sessions = [upload(index) for index in range(1, 6)]
    answers = [send(eventId=f"event-{session.id}", sessionId=session.id) for session in sessions]
    assert {job["id"] for answer in answers for job in answer.json["jobs"]} == {  # type: ignore[index]
        answers[0].json["jobs"][0]["id"]  # type: ignore[index]
    }
    again = send(eventId="another", sessionId=sessions[0].id)
    assert again.json["jobs"][0]["sessionIds"] == [session.id for session in sessions]  # type: ignore[index]
    learn(container, answers[0])
    version = container.models.active(DRIVER, TRACK, LAP_TIME)
    assert version.training_session_ids == tuple(session.id for session in sessions)
    late = send(eventId="late", sessionId=sessions[3].id)
    assert [job["status"] for job in late.json["jobs"]] == ["succeeded"]  # type: ignore[index]


def test_a_job_that_has_many_sessions_already_is_followed_by_another(
    send: Send, upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.automatic.SESSIONS_OF_ONE_JOB", 2)
    sessions = [upload(index) for index in range(1, 6)]
    jobs = [
        send(eventId=session.id, sessionId=session.id).json["jobs"][0]["id"]  # type: ignore[index]
        for session in sessions
    ]
    assert [jobs.index(job) for job in jobs] == [0, 0, 2, 2, 4]


def test_model_types_choose_which_lineages_are_trained(container: Container, send: Send, upload: Any) -> None:
    session = upload(setup={"rear_wing": 5.0})
    chosen = send(
        sessionId=session.id, modelTypes=["sector_analysis", "setup_optimization", "sector_analysis"]
    )
    assert [job["modelType"] for job in chosen.json["jobs"]] == [  # type: ignore[index]
        "sector_analysis",
        "setup_optimization",
    ]
    learn(container, chosen)
    default = send(eventId="event-2", sessionId=session.id)
    assert [(job["modelType"], job["status"]) for job in default.json["jobs"]] == [  # type: ignore[index]
        ("lap_time_prediction", "queued"),
        ("sector_analysis", "succeeded"),
        ("setup_optimization", "succeeded"),
    ]


def test_a_failed_job_is_tried_anew_by_the_next_event(container: Container, send: Send, upload: Any) -> None:
    session = upload()
    [job] = send(sessionId=session.id).json["jobs"]  # type: ignore[index]
    assert container.jobs.cancel(DRIVER, job["id"]).status is JobStatus.CANCELLED
    [other] = send(eventId="event-2", sessionId=session.id).json["jobs"]  # type: ignore[index]
    assert other["id"] != job["id"]


def test_a_new_job_waits_in_mongodb_and_in_the_queue(container: Container, send: Send, upload: Any) -> None:
    [job] = send(sessionId=upload().id).json["jobs"]  # type: ignore[index]
    assert container.redis.llen("lapwise") == 1
    container.redis.flushall()
    container.platform.sweep()
    assert container.redis.llen("lapwise") == 1, "the sweep must send it again"
    assert container.jobs.get(DRIVER, job["id"]).status is JobStatus.QUEUED


def test_what_is_unknown_or_another_drivers_is_a_404(send: Send, upload: Any, rows: Any) -> None:
    foreign = upload(user_id=STRANGER)
    assert error(send(sessionId=foreign.id)) == (404, "session_not_found", {"sessionIds": [foreign.id]})
    assert error(send(sessionId=new_id()))[:2] == (404, "session_not_found")
    assert error(send(userId=new_id(), sessionId=foreign.id))[:2] == (404, "user_not_found")
    assert error(send(userId=None, userEmail="no@where.org", telemetry=rows))[:2] == (404, "user_not_found")


def test_a_driver_who_is_leaving_is_unknown(send: Send, upload: Any, database: Any) -> None:
    session = upload()
    database["users"].update_one({"_id": DRIVER}, {"$set": {"removedAt": session.created_at}})
    assert error(send(sessionId=session.id))[:2] == (404, "user_not_found")


def test_a_refused_event_leaves_no_mark_and_may_come_again_corrected(send: Send, upload: Any) -> None:
    session = upload()
    assert error(send(sessionId=session.id, trackName="elsewhere")) == (
        422,
        "invalid",
        {"trackName": [f"the session was driven on {TRACK!r}"]},
    )
    assert send(sessionId=session.id).status_code == 202


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {"sessionId", "telemetry"}),
        ({"sessionId": "0" * 24, "telemetry": [{"lap": 1}]}, {"sessionId", "telemetry"}),
        ({"sessionId": "0" * 24, "userEmail": EMAIL}, {"userId", "userEmail"}),
        ({"sessionId": "0" * 24, "userId": None}, {"userId", "userEmail"}),
        ({"sessionId": "0" * 24, "carModel": "a car"}, {"carModel"}),
        ({"sessionId": "x"}, {"sessionId"}),
        ({"sessionId": "0" * 24, "modelTypes": []}, {"modelTypes"}),
        ({"sessionId": "0" * 24, "modelTypes": ["luck"]}, {"modelTypes"}),
        ({"sessionId": "0" * 24, "eventId": ""}, {"eventId"}),
        ({"sessionId": "0" * 24, "eventId": "x" * 201}, {"eventId"}),
        ({"sessionId": "0" * 24, "eventId": {"$gt": ""}}, {"eventId"}),
        ({"telemetry": []}, {"telemetry"}),
        ({"telemetry": [1]}, {"telemetry"}),
        ({"sessionId": "0" * 24, "extra": 1}, {"extra"}),
    ],
)
def test_a_body_that_is_not_as_it_should_be_is_a_422_that_names_the_field(
    send: Send, fields: dict[str, Any], named: set[str]
) -> None:
    status, code, details = error(send(**fields))
    assert (status, code) == (422, "invalid")
    assert details.keys() == named


def test_rows_that_are_no_telemetry_are_a_422_that_says_why_and_store_nothing(
    send: Send, database: Database[dict[str, Any]]
) -> None:
    status, code, _ = error(send(telemetry=[{"speed": 1.0}]))
    assert (status, code) == (422, "invalid_telemetry")
    assert database["sessions"].count_documents({}) == database["webhookevents"].count_documents({}) == 0


def test_setup_optimisation_without_a_setup_is_refused_before_anything_is_stored(
    send: Send, rows: Any, upload: Any, database: Database[dict[str, Any]]
) -> None:
    for fields in ({"telemetry": rows}, {"sessionId": upload(2).id}):
        status, code, details = error(send(**fields, modelTypes=["setup_optimization"]))
        assert (status, code, list(details)) == (422, "setup_missing", ["modelTypes"])
    assert database["sessions"].count_documents({}) == 1
    assert database["jobs"].count_documents({}) == 0


def test_of_events_taken_together_each_has_its_own_outcome(container: Container, upload: Any) -> None:
    session = upload()
    asked = [
        events.SessionEvent(event_id="good", track_name=TRACK, user_id=DRIVER, session_id=session.id),
        events.SessionEvent(event_id="nobody", track_name=TRACK, user_id=new_id(), session_id=session.id),
        events.SessionEvent(event_id="foreign", track_name=TRACK, user_id=STRANGER, session_id=session.id),
        events.SessionEvent(event_id="good", track_name=TRACK, user_id=DRIVER, session_id=session.id),
        events.SessionEvent(event_id="good", track_name="other", user_id=DRIVER, session_id=session.id),
    ]
    outcomes = container.events._take_all(
        [events._Asked(event=one, digest=events._digest(one)) for one in asked]
    )
    kinds = [getattr(outcome, "code", None) for outcome in outcomes]
    assert kinds == [None, "user_not_found", "session_not_found", None, "event_id_reused"]
    assert outcomes[0] == outcomes[3]


def test_too_much_telemetry_at_once_is_refused_with_a_time_to_come_back(
    container: Container, send: Send, rows: Any, upload: Any
) -> None:
    for _ in range(events.READ_AT_ONCE):
        assert container.events._reading.acquire(blocking=False)
    answer = send(telemetry=rows)
    assert error(answer)[:2] == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    container.events._reading.release(events.READ_AT_ONCE)
    assert send(telemetry=rows).status_code == 202


def test_a_long_backlog_is_answered_at_once_with_a_time_to_come_back(
    app: Flask, send: Send, upload: Any
) -> None:
    session = upload()
    app.extensions[BACKLOG] = lambda: BACKLOG_AT_MOST + 1
    answer = send(sessionId=session.id)
    assert error(answer)[:2] == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    app.extensions[BACKLOG] = lambda: BACKLOG_AT_MOST
    assert send(sessionId=session.id).status_code == 202


def test_an_unsigned_or_altered_request_is_a_401_and_does_nothing(
    app: Flask, upload: Any, settings: Settings, database: Database[dict[str, Any]]
) -> None:
    body = json.dumps(
        {"eventId": "1", "userId": DRIVER, "trackName": TRACK, "sessionId": upload().id}
    ).encode()
    now = int(time.time())
    headers = [
        {},
        {"Authorization": "Bearer abc"},
        {HEADER: "nonsense"},
        {HEADER: sign("another secret, also long", body, now)},
        {HEADER: sign(settings.webhook_secret, body + b" ", now)},
        {HEADER: sign(settings.webhook_secret, body, now - 400)},
        {HEADER: sign(settings.webhook_secret, body, now + 400)},
    ]
    client: FlaskClient = app.test_client()
    for given in headers:
        answer = client.post(
            "/webhooks/session-uploaded", data=body, content_type="application/json", headers=given
        )
        assert error(answer)[:2] == (401, "signature_invalid")
        assert settings.webhook_secret not in answer.text
    assert database["webhookevents"].count_documents({}) == 0


def test_a_signed_body_that_is_no_json_is_a_400_and_another_type_a_415(
    app: Flask, settings: Settings
) -> None:
    signed = {HEADER: sign(settings.webhook_secret, b"{", int(time.time()))}
    client = app.test_client()
    path = "/webhooks/session-uploaded"
    assert client.post(path, data=b"{", content_type="application/json", headers=signed).status_code == 400
    assert client.post(path, data=b"{", content_type="text/plain", headers=signed).status_code == 415


def test_an_account_takes_its_events_along(
    container: Container, send: Send, upload: Any, database: Database[dict[str, Any]]
) -> None:
    assert send(sessionId=upload().id).status_code == 202
    container.accounts.remove(DRIVER)
    assert database["webhookevents"].count_documents({}) == 0

"""Telling drivers of events, through HTTP, on real servers, with the courier's calls made by hand."""

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token
from pymongo.database import Database

from app import create_app
from app.api.webhooks import WebhookSchema
from app.container import Container, build_container
from app.courier import build_deliveries
from app.domain import ModelType, TrainRequest, new_id, utc_now
from app.errors import SignatureInvalid
from app.mongo import in_transaction
from app.services.deliveries import AT_ONCE_OF_ONE_DRIVER, Deliveries
from app.services.webhooks import HOOKS_OF_ONE_DRIVER
from app.settings import Settings
from app.signatures import HEADER, check
from app.stores.job_status import EPOCH
from tests.factories import TRACK, new_session
from tests.receiver import Receiver, receiving

DRIVER, STRANGER = new_id(), new_id()
LAP_TIME = ModelType.LAP_TIME_PREDICTION
Found = dict[str, Any]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With receivers on loopback allowed."""
    return replace(settings, webhook_allow_private=True)


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    with build_container(settings) as built:
        built.redis.set(EPOCH, "1")
        yield built


@pytest.fixture(autouse=True)
def drivers(database: Database[Found]) -> None:
    for user_id in (DRIVER, STRANGER):
        database["users"].insert_one({"_id": user_id, "email": f"{user_id}@example.org"})
        database["tokenfamilies"].insert_one({"_id": f"family of {user_id}", "userId": user_id})


@pytest.fixture
def app(container: Container) -> Flask:
    return create_app(container=container)


def client_of(app: Flask, user_id: str) -> FlaskClient:
    with app.app_context():
        token = create_access_token(user_id, additional_claims={"fam": f"family of {user_id}"})
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return client_of(app, DRIVER)


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    return client_of(app, STRANGER)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def courier(settings: Settings, container: Container) -> Deliveries:
    return build_deliveries(settings, container.mongo_client)


@pytest.fixture
def register(client: FlaskClient, receiver: Receiver) -> Callable[..., Found]:
    """A new webhook at the receiver, as the answer to its registration shows it."""

    def post(**fields: Any) -> Found:
        answer = client.post("/webhooks", json={"url": f"{receiver.url}/hook"} | fields)
        assert answer.status_code == 201, answer.text
        assert answer.headers["Location"].endswith(f"/webhooks/{answer.json['id']}")  # type: ignore[index]
        found: Found = answer.json  # type: ignore[assignment]
        return found

    return post


def deliveries(client: FlaskClient, hook: Found, **query: Any) -> list[Found]:
    answer = client.get(f"/webhooks/{hook['id']}/deliveries", query_string=query)
    assert answer.status_code == 200, answer.text
    items: list[Found] = answer.json["items"]  # type: ignore[index]
    return items


def make_due(database: Database[Found]) -> None:
    """As if the time of the next attempts had come."""
    database["webhookdeliveries"].update_many({"status": "pending"}, {"$set": {"nextAt": utc_now()}})


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


def test_a_registration_shows_its_secret_once_and_nothing_else_ever_does(
    client: FlaskClient, register: Any, courier: Deliveries, container: Container, capsys: Any
) -> None:
    hook = register(events=["job.failed", "job.succeeded", "job.failed"], description="pit wall")
    secret = hook.pop("secret")
    assert re.fullmatch(r"whsec_[\w-]{43}", secret)
    assert hook["events"] == ["job.failed", "job.succeeded"]
    assert client.get(f"/webhooks/{hook['id']}").json == hook
    assert client.get("/webhooks").json == {"items": [hook], "nextCursor": None}
    assert hook.keys() == {field.data_key for field in WebhookSchema().fields.values()}
    client.post(f"/webhooks/{hook['id']}/test")
    courier.deliver()
    shown = client.get(f"/webhooks/{hook['id']}/deliveries").text + capsys.readouterr().out
    assert hook["id"] in shown
    assert secret not in shown
    assert secret not in repr(container.webhooks.get(DRIVER, hook["id"]))


def test_a_webhook_is_for_all_events_where_none_is_named(register: Any) -> None:
    assert register()["events"] == [
        "job.succeeded",
        "job.failed",
        "model.activated",
        "drift.detected",
        "model.retrained",
    ]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "url"),
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "https://user:word@example.org"}, "url"),
        ({"url": "x" * 3000}, "url"),
        ({"url": "https://example.org", "events": ["lap.driven"]}, "events"),
        ({"url": "https://example.org", "events": []}, "events"),
        ({"url": "https://example.org", "secret": "mine"}, "secret"),
    ],
)
def test_what_cannot_be_registered_is_a_422_that_names_the_field(
    client: FlaskClient, body: Found, named: str
) -> None:
    answer = client.post("/webhooks", json=body)
    assert refused(answer) == (422, "invalid")
    assert list(answer.json["error"]["details"]) == [named]  # type: ignore[index]


def test_inside_addresses_are_refused_where_the_setting_does_not_allow_them(settings: Settings) -> None:
    with build_container(replace(settings, webhook_allow_private=False)) as container:
        client = client_of(create_app(container=container), DRIVER)
        for url in (
            "http://127.0.0.1:8080/",
            "http://localhost/",
            "http://[::1]/",
            "http://169.254.169.254/",
        ):
            answer = client.post("/webhooks", json={"url": url})
            assert refused(answer) == (422, "invalid")
            assert list(answer.json["error"]["details"]) == ["url"]  # type: ignore[index]
        assert client.post("/webhooks", json={"url": "https://example.org/"}).status_code == 201


def test_a_driver_has_so_many_webhooks_and_no_more_also_when_asking_at_once(
    app: Flask, client: FlaskClient
) -> None:
    together = Barrier(HOOKS_OF_ONE_DRIVER + 2)

    def post(_: int) -> int:
        together.wait()
        return client_of(app, DRIVER).post("/webhooks", json={"url": "https://example.org/"}).status_code

    with ThreadPoolExecutor(HOOKS_OF_ONE_DRIVER + 2) as pool:
        answers = sorted(pool.map(post, range(HOOKS_OF_ONE_DRIVER + 2)))
    assert answers == [201] * HOOKS_OF_ONE_DRIVER + [409, 409]
    assert refused(client.post("/webhooks", json={"url": "https://example.org/"})) == (
        409,
        "too_many_webhooks",
    )


def test_another_drivers_webhook_is_unknown_in_every_way(
    client: FlaskClient, stranger: FlaskClient, register: Any
) -> None:
    hook = register()
    client.post(f"/webhooks/{hook['id']}/test")
    where = f"/webhooks/{hook['id']}"
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")):
        assert refused(stranger.open(where + path, method=method)) == (404, "webhook_not_found")
    assert stranger.get("/webhooks").json == {"items": [], "nextCursor": None}
    assert [item["id"] for item in client.get("/webhooks").json["items"]] == [hook["id"]]  # type: ignore[index]
    assert len(deliveries(client, hook)) == 1


def test_a_notification_is_signed_with_the_secret_of_its_webhook(
    client: FlaskClient, register: Any, receiver: Receiver, courier: Deliveries, settings: Settings
) -> None:
    hook = register()
    answer = client.post(f"/webhooks/{hook['id']}/test")
    assert answer.status_code == 202
    courier.deliver()
    [(path, headers, body)] = receiver.requests
    assert path == "/hook"
    check(headers[HEADER], hook["secret"], body, time.time())
    with pytest.raises(SignatureInvalid):
        check(headers[HEADER], settings.webhook_secret, body, time.time())
    sent = json.loads(body)
    assert sent.keys() == {"id", "event", "createdAt", "data"}
    assert (sent["event"], headers["X-Lapwise-Event"]) == ("webhook.test", "webhook.test")
    assert sent["id"] == headers["X-Lapwise-Delivery"] == answer.json["id"]  # type: ignore[index]
    assert sent["createdAt"] == answer.json["createdAt"]  # type: ignore[index]
    [delivery] = deliveries(client, hook)
    assert (delivery["status"], delivery["attempts"], delivery["responseStatus"]) == ("succeeded", 1, 200)
    assert (delivery["error"], delivery["nextAttemptAt"]) == (None, None)
    assert delivery["finishedAt"] >= delivery["createdAt"]


def test_a_test_that_waits_is_not_sent_twice(client: FlaskClient, register: Any) -> None:
    hook = register()
    first, second = (client.post(f"/webhooks/{hook['id']}/test") for _ in range(2))
    assert first.json == second.json


def test_training_tells_that_the_job_succeeded_and_its_version_is_active(
    container: Container, register: Any, receiver: Receiver, courier: Deliveries, tmp_path: Path
) -> None:
    register()
    _, (job,) = container.sessions.add(DRIVER, new_session(tmp_path), True)
    container.runs.run(job.id)
    assert container.redis.llen("lapwise-courier") == 1, "the courier must have been called"
    courier.deliver()
    sent = {headers["X-Lapwise-Event"]: json.loads(body)["data"] for _, headers, body in receiver.requests}
    version = container.models.active(DRIVER, TRACK, LAP_TIME)
    assert sent.keys() == {"job.succeeded", "model.activated"}
    done = sent["job.succeeded"]
    assert (done["id"], done["status"], done["modelId"]) == (job.id, "succeeded", version.id)
    assert done["result"]["learnedSessionIds"] == done["sessionIds"]
    assert re.fullmatch(r"[\d-]+T[\d:.]+Z", done["finishedAt"])
    assert sent["model.activated"] == {
        "modelId": version.id,
        "modelVersion": "1.0.0",
        "modelType": "lap_time_prediction",
        "trackName": TRACK,
        "cause": "trained",
        "reason": None,
    }


def test_a_job_that_is_given_up_is_told(
    container: Container, register: Any, receiver: Receiver, courier: Deliveries, tmp_path: Path
) -> None:
    register(events=["job.failed"])
    session, _ = container.sessions.add(DRIVER, new_session(tmp_path), False)
    request = TrainRequest(track_name=TRACK, model_type=LAP_TIME, session_ids=(session.id,))
    job = container.training.train(DRIVER, request)
    container.sessions.remove(DRIVER, session.id)
    container.runs.run(job.id)
    courier.deliver()
    [(_, _, body)] = receiver.requests
    data = json.loads(body)["data"]
    assert (data["id"], data["status"], data["error"]["code"]) == (job.id, "failed", "session_not_found")


def test_a_job_whose_workers_all_died_is_told(settings: Settings, register: Any, tmp_path: Path) -> None:
    hook = register(events=["job.failed"])
    with build_container(replace(settings, lease_seconds=0.01, job_attempts=1)) as container:
        _, (job,) = container.sessions.add(DRIVER, new_session(tmp_path), True)
        assert container.runs._jobs.claim(job.id) is not None
        time.sleep(0.02)
        container.platform.sweep()
        [delivery] = container.webhooks.deliveries(DRIVER, hook["id"]).items
    assert json.loads(delivery.body)["data"]["error"]["code"] == "job_given_up"


def test_activation_by_hand_and_by_removal_is_told(
    container: Container, register: Any, client: FlaskClient, tmp_path: Path, database: Database[Found]
) -> None:
    for index in (1, 2):
        container.runs.run(container.sessions.add(DRIVER, new_session(tmp_path, index=index), True)[1][0].id)
    first, second = container.models.history(DRIVER, TRACK, LAP_TIME)
    register(events=["model.activated"])
    assert client.post(f"/ai-model/{first.id}/activate").status_code == 200
    assert client.post(f"/ai-model/{first.id}/activate").status_code == 200, (
        "nothing changes, nothing is told"
    )
    assert client.post(f"/ai-model/{second.id}/activate").status_code == 200
    assert client.delete(f"/ai-model/{second.id}").status_code == 204
    sent = [json.loads(found["body"])["data"] for found in database["webhookdeliveries"].find().sort("_id")]
    assert [(data["modelId"], data["cause"], data["reason"]) for data in sent] == [
        (first.id, "chosen", None),
        (second.id, "chosen", None),
        (first.id, "inherited", "1.0.1 was removed"),
    ]


def test_only_the_drivers_own_webhooks_that_want_an_event_are_told(
    container: Container, register: Any, stranger: FlaskClient, database: Database[Found]
) -> None:
    wanted, other = register(events=["drift.detected"]), register(events=["job.failed"])
    stranger.post("/webhooks", json={"url": "https://example.org/"})
    container.webhooks.notify(DRIVER, "drift.detected", {"trackName": TRACK, "at": utc_now()})
    assert database["webhookdeliveries"].distinct("webhookId") == [wanted["id"]] != [other["id"]]
    with pytest.raises(ValueError, match=r"lap\.driven"):
        container.webhooks.notify(DRIVER, "lap.driven", {})


def test_a_notification_is_recorded_with_what_caused_it_or_not_at_all(
    container: Container, register: Any, database: Database[Found]
) -> None:
    register()

    def fail(tx: Any) -> None:
        container.webhooks.notify(DRIVER, "model.retrained", {}, tx=tx)
        raise RuntimeError("the cause did not happen")

    with pytest.raises(RuntimeError):
        in_transaction(container.mongo_client, fail)
    assert database["webhookdeliveries"].count_documents({}) == 0


def test_what_fails_is_tried_again_with_the_same_id_and_body_until_it_arrives(
    client: FlaskClient, register: Any, receiver: Receiver, courier: Deliveries, database: Database[Found]
) -> None:
    hook = register()
    receiver.answers = [(500, {}), (503, {}), (204, {})]
    client.post(f"/webhooks/{hook['id']}/test")
    courier.deliver()
    [waiting] = deliveries(client, hook, status="pending")
    assert (waiting["attempts"], waiting["responseStatus"]) == (1, 500)
    assert waiting["error"] == "the receiver answered 500"
    assert waiting["nextAttemptAt"] > waiting["createdAt"]
    courier.deliver()
    assert len(receiver.requests) == 1, "its time has not come"
    for _ in range(2):
        make_due(database)
        courier.deliver()
    [arrived] = deliveries(client, hook, status="succeeded")
    assert (arrived["attempts"], arrived["responseStatus"], arrived["error"]) == (3, 204, None)
    assert len({(headers["X-Lapwise-Delivery"], body) for _, headers, body in receiver.requests}) == 1
    assert len(receiver.requests) == 3


def test_what_does_not_arrive_for_a_day_is_given_up(
    client: FlaskClient, register: Any, receiver: Receiver, courier: Deliveries, database: Database[Found]
) -> None:
    hook = register()
    receiver.answers = [(500, {})]
    client.post(f"/webhooks/{hook['id']}/test")
    yesterday = {"createdAt": utc_now() - timedelta(hours=23, minutes=59), "attempts": 25}
    database["webhookdeliveries"].update_one({}, {"$set": yesterday})
    courier.deliver()
    [failed] = deliveries(client, hook)
    assert (failed["status"], failed["attempts"], failed["nextAttemptAt"]) == ("failed", 26, None)
    assert failed["finishedAt"] is not None


def test_gone_disables_the_webhook_and_gives_up_what_waits(
    client: FlaskClient, container: Container, register: Any, receiver: Receiver, courier: Deliveries
) -> None:
    hook = register()
    receiver.answers = [(410, {})]
    for _ in range(3):
        container.webhooks.notify(DRIVER, "model.retrained", {})
    courier.deliver()
    assert len(receiver.requests) == 1
    assert {delivery["status"] for delivery in deliveries(client, hook)} == {"failed"}
    shown = client.get(f"/webhooks/{hook['id']}").json
    assert shown["disabledReason"] == "the receiver answered 410 Gone"  # type: ignore[index]
    assert shown["disabledAt"] is not None  # type: ignore[index]
    assert refused(client.post(f"/webhooks/{hook['id']}/test")) == (409, "webhook_disabled")
    container.webhooks.notify(DRIVER, "model.retrained", {})
    assert len(deliveries(client, hook)) == 3


def test_an_address_that_became_an_inside_one_is_not_called(
    settings: Settings, container: Container, client: FlaskClient, register: Any, receiver: Receiver
) -> None:
    hook = register()
    client.post(f"/webhooks/{hook['id']}/test")
    strict = replace(settings, webhook_allow_private=False)
    build_deliveries(strict, container.mongo_client).deliver()
    [waiting] = deliveries(client, hook)
    assert receiver.requests == []
    assert (waiting["status"], waiting["attempts"], waiting["responseStatus"]) == ("pending", 1, None)


def test_two_couriers_send_a_notification_once(
    settings: Settings, container: Container, register: Any, receiver: Receiver
) -> None:
    register()
    for _ in range(10):
        container.webhooks.notify(DRIVER, "model.retrained", {})
    couriers = [build_deliveries(settings, container.mongo_client) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: couriers[i % 2].deliver(), range(8)))
    sent = [headers["X-Lapwise-Delivery"] for _, headers, _ in receiver.requests]
    assert len(sent) == len(set(sent)) == 10


def test_a_courier_that_died_in_the_midst_is_followed_by_another(
    client: FlaskClient, register: Any, receiver: Receiver, courier: Deliveries, database: Database[Found]
) -> None:
    hook = register()
    client.post(f"/webhooks/{hook['id']}/test")
    lost = courier._deliveries.take(utc_now(), hosts=[], users=[])
    assert lost is not None
    courier.deliver()
    assert receiver.requests == [], "it is another's until that one's time is up"
    make_due(database)
    courier.deliver()
    assert len(receiver.requests) == 1
    assert not courier._deliveries.record(lost), "the first must find out that it was too slow"
    assert deliveries(client, hook)[0]["status"] == "succeeded"


def test_a_slow_receiver_does_not_hold_up_another_driver(
    container: Container,
    register: Any,
    stranger: FlaskClient,
    receiver: Receiver,
    courier: Deliveries,
) -> None:
    register()
    receiver.go_on.clear()
    for _ in range(6):
        container.webhooks.notify(DRIVER, "model.retrained", {})
    with receiving() as quick, ThreadPoolExecutor(8) as pool:
        stranger.post("/webhooks", json={"url": quick.url})
        container.webhooks.notify(STRANGER, "model.retrained", {})
        work = [pool.submit(courier.deliver) for _ in range(8)]
        wait_until(lambda: len(quick.requests) == 1 and len(receiver.requests) == AT_ONCE_OF_ONE_DRIVER)
        time.sleep(0.1)
        assert len(receiver.requests) == AT_ONCE_OF_ONE_DRIVER, "no more of one driver at once"
        receiver.go_on.set()
        for one in work:
            one.result()
    assert len(receiver.requests) == 6


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_sweep_has_sent_what_nobody_was_told_of(
    client: FlaskClient, container: Container, register: Any
) -> None:
    hook = register()
    client.post(f"/webhooks/{hook['id']}/test")
    container.redis.flushall()
    container.platform.sweep()
    assert container.redis.llen("lapwise-courier") == 1


def test_deliveries_come_newest_first_in_pages(
    client: FlaskClient, container: Container, register: Any
) -> None:
    hook = register()
    for index in range(5):
        container.webhooks.notify(DRIVER, "model.retrained", {"index": index})
    everything = [delivery["id"] for delivery in deliveries(client, hook)]
    assert everything == sorted(everything, reverse=True)
    first = client.get(f"/webhooks/{hook['id']}/deliveries?limit=3").json
    rest = client.get(f"/webhooks/{hook['id']}/deliveries?limit=3&cursor={first['nextCursor']}").json  # type: ignore[index]
    assert [item["id"] for item in first["items"] + rest["items"]] == everything  # type: ignore[index]
    assert rest["nextCursor"] is None  # type: ignore[index]


def test_a_removed_webhook_gets_nothing_more(
    client: FlaskClient,
    container: Container,
    register: Any,
    receiver: Receiver,
    courier: Deliveries,
    database: Database[Found],
) -> None:
    hook = register()
    container.webhooks.notify(DRIVER, "model.retrained", {})
    taken = courier._deliveries.take(utc_now(), hosts=[], users=[])
    assert client.delete(f"/webhooks/{hook['id']}").status_code == 204
    assert refused(client.delete(f"/webhooks/{hook['id']}")) == (404, "webhook_not_found")
    assert taken is not None
    courier._attempt(taken)
    assert receiver.requests == []
    assert database["webhookdeliveries"].count_documents({}) == 0


def test_an_account_takes_its_webhooks_and_deliveries_along(
    container: Container, register: Any, database: Database[Found]
) -> None:
    register()
    container.webhooks.notify(DRIVER, "model.retrained", {})
    container.accounts.remove(DRIVER)
    assert database["webhooks"].count_documents({}) == database["webhookdeliveries"].count_documents({}) == 0

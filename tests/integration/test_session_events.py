"""What game backends tell of sessions, through HTTP, on real servers."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from flask import Flask
from pymongo.database import Database
from werkzeug.test import TestResponse

from app import create_app
from app.container import Container, build_container
from app.domain import ModelType, Session, new_id
from app.settings import Settings
from app.signatures import HEADER, sign
from tests.factories import TRACK, new_session, session_file

DRIVER, STRANGER = new_id(), new_id()
EMAIL = "max@example.org"
LAP_TIME = ModelType.LAP_TIME_PREDICTION
Send = Callable[..., TestResponse]


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    with build_container(settings) as built:
        yield built


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

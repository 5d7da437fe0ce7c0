"""Drivers who use the API through HTTP on real servers, and the worker's part done by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.container import Container
from app.domain import Version
from tests.factories import CAR, TRACK, session_file

LAP_TIME = "lap_time_prediction"
FRAME = {"speed": 200.0, "throttle": 1.0, "brake": 0.0, "gear": 5, "trackPosition": 0.5}
PASSWORD = "a long pass phrase"
Json = dict[str, Any]


class Driver:
    """A driver with a new account, signed in."""

    def __init__(self, container: Container, folder: Path, name: str, *, is_known: bool = False) -> None:
        self.container = container
        self.folder = folder
        self.name = name
        self.email = f"{name}@example.org"
        self.client: FlaskClient = create_app(container=container).test_client()
        login = {"email": self.email, "password": PASSWORD}
        if not is_known:
            self.call("POST", "/auth/register", login | {"displayName": name.title()}, status=201)
        answer = self.call("POST", "/auth/login", login)
        self.id: str = answer["user"]["id"]
        self.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer['accessToken']}"

    def on(self, container: Container) -> "Driver":
        """The same driver, signed in to another platform that has the account too."""
        return Driver(container, self.folder, self.name, is_known=True)

    def ask(self, method: str, path: str, body: Json | None = None, **headers: str) -> TestResponse:
        return self.client.open(path, method=method, json=body, headers=headers)

    def status(self, method: str, path: str, body: Json | None = None) -> int:
        return self.ask(method, path, body).status_code

    def call(self, method: str, path: str, body: Json | None = None, *, status: int = 200) -> Json:
        """The answer's body; the status must be the one given."""
        answer = self.ask(method, path, body)
        assert answer.status_code == status, answer.text
        return (answer.json if answer.data else None) or {}

    def get(self, path: str) -> Json:
        return self.call("GET", path)

    def upload(self, index: int, *, laps: int = 4, auto_train: bool = True, **fields: Any) -> Json:
        path = session_file(self.folder, index=index, laps=laps, **fields)
        with path.open("rb") as file:
            form = {
                "file": (file, path.name),
                "trackName": TRACK,
                "carModel": fields.get("car_model", CAR),
                "setup": json.dumps(fields.get("setup", {})),
                "autoTrain": str(auto_train).lower(),
            }
            answer = self.client.post("/racing-session/upload", data=form)
        assert answer.status_code == 201, answer.text
        assert answer.json is not None
        return answer.json

    def run(self, job: Json) -> Json:
        """The job after a worker has taken it."""
        self.container.runs.run(job["id"])
        return self.get(f"/jobs/{job['id']}")

    def learn(self, index: int, **fields: Any) -> Json:
        """The session uploaded and learned: the finished job."""
        (job,) = self.upload(index, **fields)["jobs"]
        return self.run(job)

    def grow(self, index: int) -> Version:
        """The version that comes of learning the session of an index."""
        done = self.learn(index)
        assert done["status"] == "succeeded", done["error"]
        return self.container.models.get(self.id, done["modelId"])

    def train(self, session_ids: list[str], **request: Any) -> str:
        """The id of a version trained from scratch."""
        body = {"trackName": TRACK, "modelType": LAP_TIME, "sessionIds": session_ids} | request
        done = self.run(self.call("POST", "/model/train", body, status=202))
        assert done["status"] == "succeeded", done["error"]
        return str(done["modelId"])

    def active(self) -> Json:
        return self.get(f"/ai-model/active/{TRACK}/{LAP_TIME}")

    def predict(self, model_id: str | None = None, *, status: int = 200, **fields: Any) -> Json:
        """What a version says, or the active one where none is named."""
        which = {"modelId": model_id} if model_id else {"trackName": TRACK, "modelType": LAP_TIME}
        body = which | {"inputData": FRAME} | fields
        return self.call("POST", "/ai-model/predict", body, status=status)


NewDriver = Callable[[str], Driver]

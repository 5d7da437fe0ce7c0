"""Drivers who use the API through HTTP, and the worker's part done by hand."""

import json
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from app import create_app
from app.container import Container
from tests.factories import CAR, TRACK, session_file

LAP_TIME = "lap_time_prediction"
FRAME = {"speed": 200.0, "throttle": 1.0, "brake": 0.0, "gear": 5, "track_position": 0.5}
PASSWORD = "a long enough password"
Json = dict[str, Any]


class Driver:
    """A new driver, signed in."""

    def __init__(self, container: Container, folder: Path, name: str) -> None:
        self.container = container
        self._folder = folder
        self._client = create_app(container=container).test_client()
        login = {"email": f"{name}@example.com", "password": PASSWORD}
        self.id: str = self.call("POST", "/auth/register", login, status=201)["user"]["id"]
        token = self.call("POST", "/auth/login", login)["accessToken"]
        self._client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def ask(self, method: str, path: str, body: Json | None = None, **headers: str) -> TestResponse:
        return self._client.open(path, method=method, json=body, headers=headers)

    def call(self, method: str, path: str, body: Json | None = None, *, status: int = 200) -> Json:
        answer = self.ask(method, path, body)
        assert answer.status_code == status, answer.text
        return (answer.json if answer.data else None) or {}

    def upload(self, index: int, *, laps: int = 4, auto_train: bool = True, **fields: Any) -> Json:
        path = session_file(self._folder, index=index, laps=laps, **fields)
        with path.open("rb") as file:
            form = {
                "file": (file, path.name),
                "trackName": TRACK,
                "carModel": fields.get("car_model", CAR),
                "setup": json.dumps(fields.get("setup", {})),
                "autoTrain": str(auto_train).lower(),
            }
            answer = self._client.post("/racing-session/upload", data=form)
        assert answer.status_code == 201, answer.text
        assert answer.json is not None
        return answer.json

    def run(self, job: Json) -> Json:
        """The job after a worker has taken it."""
        self.container.runs.run(job["id"])
        return self.call("GET", f"/jobs/{job['id']}")

    def learn(self, index: int, **fields: Any) -> Json:
        """The session uploaded and learned: the finished job."""
        (job,) = self.upload(index, **fields)["jobs"]
        return self.run(job)

    def train(self, session_ids: list[str], **request: Any) -> str:
        """The id of a version trained from scratch."""
        body = {"trackName": TRACK, "modelType": LAP_TIME, "sessionIds": session_ids} | request
        done = self.run(self.call("POST", "/model/train", body, status=202))
        assert done["status"] == "succeeded", done["error"]
        return str(done["modelId"])

    def active(self) -> Json:
        return self.call("GET", f"/ai-model/active/{TRACK}/{LAP_TIME}")

    def predict(self, **fields: Any) -> Json:
        body = {"trackName": TRACK, "modelType": LAP_TIME, "inputData": FRAME} | fields
        return self.call("POST", "/model/predict", body)

"""What tests of the whole API on real servers share: drivers who call it, and jobs run by hand."""

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.container import Container
from app.domain import Version
from tests.factories import TRACK, new_session

LAP_TIME = "lap_time_prediction"
FRAME = {"speed": 200.0, "throttle": 1.0, "brake": 0.0, "gear": 5, "trackPosition": 0.5}
PASSWORD = "a long pass phrase"


class Driver:
    """A driver with an account, signed in."""

    def __init__(self, container: Container, folder: Path, name: str) -> None:
        self.container = container
        self.email = f"{name}@example.org"
        self.client: FlaskClient = create_app(container=container).test_client()
        self.folder = folder
        login = {"email": self.email, "password": PASSWORD}
        self.client.post("/auth/register", json=login | {"displayName": name.title()})
        answer = self.client.post("/auth/login", json=login)
        assert answer.json is not None
        self.id: str = answer.json["user"]["id"]
        self.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['accessToken']}"

    def call(self, method: str, path: str, body: Any = None) -> TestResponse:
        return self.client.open(path, method=method, json=body)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json

    def status(self, method: str, path: str, body: Any = None) -> int:
        return self.call(method, path, body).status_code

    def train(self, index: int) -> Version:
        """The version that comes of the simulated session of an index."""
        _, (job,) = self.container.sessions.add(self.id, new_session(self.folder, index=index), True)
        self.container.runs.run(job.id)
        done = self.container.jobs.get(self.id, job.id)
        assert done.model_id is not None, done.error
        return self.container.models.get(self.id, done.model_id)

    def predict(self, model_id: str | None = None) -> TestResponse:
        which = {"modelId": model_id} if model_id else {"trackName": TRACK, "modelType": LAP_TIME}
        return self.call("POST", "/ai-model/predict", which | {"inputData": FRAME})

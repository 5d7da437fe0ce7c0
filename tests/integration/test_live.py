"""Live predictions through a real socket: gunicorn serves them, on real MongoDB and Redis."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask_jwt_extended import create_access_token, decode_token
from pymongo.database import Database
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.drivers import Driver, NewDriver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(30)]

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
FRAME = {"speed": 200.0, "throttle": 1.0, "brake": 0.0, "gear": 5, "trackPosition": 0.5}
SOON = 2.5  # seconds within which an end of access closes a connection, on a loaded machine


class Server:
    """One web process under gunicorn."""

    def __init__(self, environment: dict[str, str]) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:create_app()"],
            cwd=ROOT,
            env=os.environ | environment | {"LAPWISE_PORT": str(self.port)},
        )

    def wait_ready(self) -> None:
        for _ in range(300):
            try:
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the web process does not answer")

    def reload(self) -> None:
        """Replaces the process gracefully, as a new release would."""
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture(scope="module")
def server(
    mongo_url: str, redis_url: str, migrated: Database[Json], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    environment = {
        "LAPWISE_MONGO_URL": mongo_url,
        "LAPWISE_REDIS_URL": redis_url,
        "LAPWISE_DATABASE": migrated.name,
        "LAPWISE_SECRET_KEY": "a secret of the tests, long enough",
        "LAPWISE_MODEL_KEY": "another secret of the tests",
        "LAPWISE_WEBHOOK_SECRET": "a third secret of the tests",
        "LAPWISE_DATA_DIR": str(tmp_path_factory.mktemp("live")),
        "LAPWISE_RATE_LIMIT": "100000 per minute",
        "LAPWISE_WEB_PROCESSES": "1",
        "LAPWISE_WEB_THREADS": "2",
    }
    started = Server(environment)
    started.wait_ready()
    yield started
    started.stop()


Open = Callable[..., AbstractContextManager[ClientConnection]]


@pytest.fixture
def live(server: Server) -> Open:
    """Opens a driver's connection to a model."""

    def opened(driver: Driver, model_id: str, query: str = "", **options: Any) -> ClientConnection:
        headers = {"Authorization": driver.client.environ_base["HTTP_AUTHORIZATION"]}
        url = f"ws://127.0.0.1:{server.port}/ai-model/{model_id}/live{query}"
        return connect(
            url, **{"additional_headers": headers, "compression": None, "close_timeout": 1} | options
        )

    return opened


@pytest.fixture
def ann(new_driver: NewDriver) -> Driver:
    return new_driver("ann")


@pytest.fixture
def model_id(ann: Driver) -> str:
    """A version of Ann's, as small as one can be."""
    return str(ann.learn(1, laps=3)["modelId"])


def ask(connection: ClientConnection, frame: Any) -> Json:
    connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
    return heard(connection)


def heard(connection: ClientConnection) -> Json:
    answer: Json = json.loads(connection.recv(3))
    return answer


def close_of(connection: ClientConnection, within: float = SOON) -> tuple[int, str]:
    """How the platform closes a connection that says nothing."""
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(within)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def refusal(opening: Callable[[], AbstractContextManager[Any]]) -> tuple[int, Json]:
    with pytest.raises(InvalidStatus) as refused, opening():
        raise AssertionError("it opened")
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"{}")


def test_a_frame_is_answered_as_a_request_for_its_prediction_is(
    ann: Driver, model_id: str, live: Open
) -> None:
    options = {"include_confidence": True, "confidence_level": 0.8, "include_feature_importance": True}
    frame = FRAME | {"outingLap": 2}
    asked = ann.predict(model_id, inputData=frame, predictionOptions=options)
    query = "?include_confidence=true&confidence_level=0.8&include_feature_importance=true"
    with live(ann, model_id, query) as connection:
        answer = ask(connection, frame | {"id": "lap 3, 50 %"})
    assert {name: answer[name] for name in asked} == asked
    assert (answer["frame"], answer["id"]) == (1, "lap 3, 50 %")
    assert answer["lap"] == {"number": 1, "whole": False, "lastLapTime": None}


def test_splits_and_speeds_of_the_lap_are_gathered(ann: Driver, model_id: str, live: Open) -> None:
    steps = [step / 100 for step in range(41)]
    rows = [FRAME | {"trackPosition": at, "currentLapTime": 100 * at, "outingLap": 2} for at in steps]
    with live(ann, model_id) as connection:
        last = [ask(connection, row) for row in rows][-1]
    passed = [mark * 5.0 for mark in range(1, 9)]
    asked = rows[-1] | {"splits": passed, "speeds": [200.0] * 9}
    assert last["lap"]["whole"] is True
    assert last["predictions"]["lap_time"] == pytest.approx(
        ann.predict(model_id, inputData=asked)["predictions"]["lap_time"], abs=1e-6
    )


BAD_FRAMES: list[tuple[str | bytes, str, set[str]]] = [
    ("{", "bad_request", set()),
    (b"\xff\xfe", "bad_request", set()),
    ("[1]", "invalid", {"frame"}),
    ('{"speed": NaN}', "bad_request", set()),
    (json.dumps(FRAME | {"id": [1]}), "invalid", {"id"}),
    (json.dumps(FRAME | {"speed": "fast"}), "invalid_input", {"speed"}),
    (json.dumps({"speed": 100}), "invalid_input", {"throttle", "brake", "gear", "track_position"}),
    (json.dumps(FRAME | {"trackPosition": 7}), "invalid_input", {"track_position"}),
]


def test_bad_frames_are_told_why_and_the_next_good_one_is_answered(
    ann: Driver, model_id: str, live: Open
) -> None:
    with live(ann, model_id) as connection:
        for number, (message, code, named) in enumerate(BAD_FRAMES, start=1):
            refused = ask(connection, message)
            assert (refused["error"]["code"], set(refused["error"]["details"])) == (code, named)
            assert refused["error"]["message"]
            assert refused["frame"] == number
        assert ask(connection, FRAME)["frame"] == len(BAD_FRAMES) + 1


def test_names_that_mean_nothing_are_told_once(ann: Driver, model_id: str, live: Open) -> None:
    with live(ann, model_id) as connection:
        first, second = (ask(connection, FRAME | {"trak_position": 1}) for _ in range(2))
    assert first["ignored"] == ["trak_position"]
    assert "ignored" not in second


def test_a_client_that_is_slow_gets_the_answer_to_the_newest_frame(
    server: Server, ann: Driver, model_id: str, live: Open
) -> None:
    """It sends 6,000 frames as fast as it can and reads nothing meanwhile."""
    count = 6_000
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", server.port))
    with live(ann, model_id, max_queue=1, sock=small) as connection:
        for number in range(1, count + 1):
            connection.send(json.dumps(FRAME | {"id": number}))
        answered = [heard(connection)]
        while answered[-1]["id"] < count:
            answered.append(heard(connection))
    numbers = [answer["frame"] for answer in answered]
    assert numbers == sorted(numbers)
    assert numbers[-1] == count
    assert len(numbers) < count / 10


def test_a_message_that_is_too_large_closes_the_connection(ann: Driver, model_id: str, live: Open) -> None:
    with live(ann, model_id) as connection:
        connection.send("x" * 70_000)
        assert close_of(connection)[0] == 1009


def test_a_browser_shows_its_token_as_a_subprotocol(ann: Driver, model_id: str, live: Open) -> None:
    token = ann.client.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    shown = {"additional_headers": {}, "subprotocols": ["lapwise.live", f"bearer.{token}"]}
    with live(ann, model_id, **shown) as connection:
        assert connection.subprotocol == "lapwise.live"
        assert ask(connection, FRAME)["modelId"] == model_id


def test_without_a_good_token_nothing_opens(ann: Driver, model_id: str, live: Open) -> None:
    token = ann.client.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    assert refusal(lambda: live(ann, model_id, additional_headers={}))[0] == 401
    assert refusal(lambda: live(ann, model_id, f"?token={token}", additional_headers={}))[0] == 401
    forged = {"additional_headers": {}, "subprotocols": ["lapwise.live", f"bearer.{token[:-3]}AAA"]}
    status, answer = refusal(lambda: live(ann, model_id, **forged))
    assert (status, answer["error"]["code"]) == (401, "token_invalid")


def test_a_model_of_anothers_is_a_404_before_anything_opens(
    ann: Driver, model_id: str, live: Open, new_driver: NewDriver
) -> None:
    status, answer = refusal(lambda: live(new_driver("ben"), model_id))
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


def test_a_shared_model_answers_until_its_owner_ends_the_share(
    ann: Driver, model_id: str, live: Open, new_driver: NewDriver
) -> None:
    ben = new_driver("ben")
    ann.call("POST", f"/ai-model/{model_id}/share", {"email": ben.email}, status=201)
    with live(ben, model_id) as connection:
        assert ask(connection, FRAME)["modelId"] == model_id
        ann.call("DELETE", f"/ai-model/{model_id}/share/{ben.id}", status=204)
        assert close_of(connection)[0] == 4404


def test_a_removed_model_answers_no_more(ann: Driver, model_id: str, live: Open) -> None:
    with live(ann, model_id) as connection:
        assert ask(connection, FRAME)["modelId"] == model_id
        ann.call("DELETE", f"/ai-model/{model_id}", status=204)
        code, reason = close_of(connection)
    assert code == 4404
    assert reason.startswith("model_not_found")


def test_another_activation_changes_nothing_for_a_version_that_was_named(
    ann: Driver, model_id: str, live: Open
) -> None:
    with live(ann, model_id) as connection:
        first = ask(connection, FRAME)
        assert ann.learn(2, laps=3)["modelId"] != model_id
        second = ask(connection, FRAME)
    assert first["predictions"] == second["predictions"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/auth/logout"), ("DELETE", "/auth/me")])
def test_signing_out_or_leaving_closes_the_connection(
    ann: Driver, model_id: str, live: Open, method: str, path: str
) -> None:
    with live(ann, model_id) as connection:
        assert ask(connection, FRAME)["modelId"] == model_id
        ann.call(method, path, status=204)
        code, reason = close_of(connection)
    assert code == 4401
    assert reason.startswith("token_revoked")


def test_the_end_of_the_token_closes_the_connection(ann: Driver, model_id: str, live: Open) -> None:
    with ann.client.application.app_context():
        family = decode_token(ann.client.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer "))["fam"]
        life = {"additional_claims": {"fam": family}, "expires_delta": timedelta(seconds=2)}
        token = create_access_token(ann.id, **life)
    with live(ann, model_id, additional_headers={"Authorization": f"Bearer {token}"}) as connection:
        assert ask(connection, FRAME)["modelId"] == model_id
        code, reason = close_of(connection, within=2 + SOON)
    assert code == 4401
    assert reason.startswith("token_expired")


def test_open_connections_hold_no_thread_and_a_driver_has_at_most_eight(
    server: Server, ann: Driver, model_id: str, live: Open
) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(live(ann, model_id)) for _ in range(8)]
        status, answer = refusal(lambda: live(ann, model_id))
        assert (status, answer["error"]["code"]) == (429, "too_many_connections")
        assert {ask(connection, FRAME)["modelId"] for connection in connections} == {model_id}
        figures = httpx.get(f"{server.url}/metrics", timeout=5).text
        assert re.search(r"^lapwise_live_connections 8.0$", figures, re.MULTILINE)
    with live(ann, model_id) as connection:
        assert ask(connection, FRAME)["modelId"] == model_id


def test_answered_frames_are_counted_as_predictions(
    ann: Driver, model_id: str, live: Open, database: Database[Json]
) -> None:
    with live(ann, model_id) as connection:
        for _ in range(30):
            ask(connection, FRAME)
    for _ in range(100):
        counted = [found["rows"] for found in database["usage"].find({"userId": ann.id})]
        if counted == [30]:
            return
        time.sleep(0.1)
    raise AssertionError(counted)


def test_a_process_that_ends_tells_its_clients(
    server: Server, ann: Driver, model_id: str, live: Open
) -> None:
    with live(ann, model_id) as connection:
        assert ask(connection, FRAME)["modelId"] == model_id
        server.reload()
        code, _ = close_of(connection, within=15)
    assert code == 1001
    server.wait_ready()

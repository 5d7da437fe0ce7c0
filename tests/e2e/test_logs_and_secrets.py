"""One upload can be followed through all logs by its id, and no secret is in any of them."""

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import Client
from app.local.child import ChildPlatform
from app.signatures import HEADER, sign
from tests.e2e.conftest import wait_until
from tests.factories import TRACK, session_file
from tests.receiver import receiving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(120)]

MARK = "m4rk3d"  # in every secret, so that one search finds whichever leaks
EMAIL = f"{MARK}@example.com"
PASSWORD = f"a long {MARK} password"
REQUEST = "upload-of-the-tests.1"
SECRETS = {
    f"LAPWISE_{name}": f"{MARK}-{name.lower()}-{secrets.token_hex(12)}"
    for name in (
        "SECRET_KEY",
        "MODEL_KEY",
        "MODEL_KEY_OLD",
        "WEBHOOK_SECRET",
        "WEBHOOK_SECRET_OLD",
        "FLOWER_PASSWORD",
    )
}
PROGRAMS = ("web", "worker", "courier", "beat")


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildPlatform]:
    """A platform all of whose secrets can be told by their mark."""
    environment = SECRETS | {"LAPWISE_WEBHOOK_ALLOW_PRIVATE": "true", "LAPWISE_LOG_LEVEL": "DEBUG"}
    with ChildPlatform(tmp_path_factory.mktemp("marked") / "data", environment) as running:
        yield running


def lines(platform: ChildPlatform, program: str) -> list[dict[str, Any]]:
    """A program's log; whatever is not JSON fails the test."""
    return [
        json.loads(line) for line in (platform.data_dir / "logs" / f"{program}.log").read_text().splitlines()
    ]


def events(platform: ChildPlatform, program: str) -> set[str]:
    """The events of the request in a program's log."""
    return {line["event"] for line in lines(platform, program) if REQUEST in json.dumps(line)}


def test_an_upload_is_followed_from_the_request_to_the_notification_and_no_secret_is_told(
    marked: ChildPlatform, tmp_path: Path
) -> None:
    api = marked.endpoints()["api"]
    answers: list[str] = []
    shown: list[str] = []  # what is only ever shown to whom it belongs
    with receiving() as receiver, Client(api) as driver, httpx.Client(base_url=api) as http:
        driver.register(EMAIL, PASSWORD)
        http.post("/auth/login", json={"email": EMAIL, "password": f"{PASSWORD}?"})
        grant = http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()
        shown += [grant["accessToken"], grant["refreshToken"]]
        auth = {"Authorization": f"Bearer {grant['accessToken']}"}
        hook = http.post("/webhooks", json={"url": f"{receiver.url}/{MARK}"}, headers=auth).json()
        shown.append(hook["secret"])
        with session_file(tmp_path).open("rb") as file:
            uploaded = http.post(
                "/racing-session/upload",
                files={"file": file},
                data={"trackName": TRACK},
                headers=auth | {"X-Request-ID": REQUEST},
            )
        assert uploaded.headers["X-Request-Id"] == REQUEST
        job = driver.wait(uploaded.json()["jobs"][0]["id"])
        wait_until(lambda: receiver.requests)
        body = json.dumps(
            {"eventId": "e1", "userId": hook["id"], "trackName": TRACK, "sessionId": hook["id"]}
        )
        signature = sign(SECRETS["LAPWISE_WEBHOOK_SECRET_OLD"], body.encode(), int(time.time()))
        told = http.post(
            "/webhooks/session-uploaded",
            content=body,
            headers={HEADER: signature, "Content-Type": "application/json"},
        )
        assert told.status_code == 404, "the former secret is good, the driver unknown"
        for path in (
            "/openapi.json",
            "/metrics",
            "/readyz",
            "/jobs",
            "/webhooks",
            f"/webhooks/{hook['id']}",
            f"/webhooks/{hook['id']}/deliveries",
            f"/ai-model/{job['modelId']}",
            f"/ai-model/{job['modelId']}/export?format=lapwise",
            f"/ai-model/{job['modelId']}/export?format=json",
            "/auth/refresh",
        ):
            answers.append(http.get(path, headers=auth).text.replace(f"{receiver.url}/{MARK}", ""))
        http.post("/auth/refresh", headers={"Authorization": f"Bearer {grant['refreshToken']}"})
        answers.append(receiver.requests[0][2].decode())

        assert {"request", "job_recorded"} <= events(marked, "web")
        wait_until(lambda: "job_left" in events(marked, "worker"))
        assert "job_taken" in events(marked, "worker")
        wait_until(lambda: "notification_sent" in events(marked, "courier"))
        [left] = [line for line in lines(marked, "worker") if line["event"] == "job_left"]
        assert (left["job_id"], left["model_id"], left["request_ids"]) == (
            job["id"],
            job["modelId"],
            [REQUEST],
        )
        assert receiver.requests[0][1]["X-Request-Id"] == REQUEST

    endpoints = marked.endpoints()
    flower = httpx.get(
        f"{endpoints['flower']}/api/tasks", auth=("lapwise", SECRETS["LAPWISE_FLOWER_PASSWORD"])
    )
    assert job["id"] in flower.text
    table = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    logs = {path.name: path.read_text(errors="replace") for path in (marked.data_dir / "logs").glob("*.log*")}
    mine = {name: text for name, text in logs.items() if not name.startswith("mongod")}
    assert {f"{program}.log" for program in PROGRAMS} <= mine.keys()
    everything = mine | {
        "answers": "".join(answers),
        "endpoints.json": json.dumps(endpoints),
        "flower": flower.text,
        "ps": table,
        "output": marked.output,
    }
    leaks = [
        (name, text[max(0, text.index(word) - 200) :][:300])
        for name, text in everything.items()
        for word in (MARK, *shown)
        if word in text
    ]
    assert leaks == []
    assert all(word not in logs["mongod.log"] for word in (*shown, *SECRETS.values(), PASSWORD))
    for program in PROGRAMS:
        assert lines(marked, program)


def test_no_address_of_a_driver_is_logged_at_info(marked: ChildPlatform) -> None:
    info = [line for program in PROGRAMS for line in lines(marked, program) if line["level"] != "debug"]
    assert info
    assert [line for line in info if "@example" in json.dumps(line)] == []

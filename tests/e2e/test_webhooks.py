"""A game backend tells of a session, and the driver's server is told what came of it."""

import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import Client
from app.local.child import ChildPlatform
from app.signatures import HEADER, check, sign
from tests.e2e.conftest import wait_until
from tests.factories import TRACK, session_file
from tests.receiver import receiving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(120)]


def test_an_event_comes_in_is_learned_and_its_end_is_told_although_all_goes_wrong(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    session = driver.upload(session_file(files), TRACK, auto_train=False)["session"]
    with receiving((503, {}), (200, {})) as receiver:
        hook = driver.call("POST", "/webhooks", json={"url": receiver.url, "events": ["job.succeeded"]})
        answer = tell(platform, {"userId": session["userId"], "sessionId": session["id"], "trackName": TRACK})
        driver.wait(answer["jobs"][0]["id"])
        wait_until(lambda: len(receiver.requests) == 1)
        os.kill(platform.endpoints()["pids"]["courier"], signal.SIGKILL)
        wait_until(lambda: len(receiver.requests) >= 2)
        for _, headers, body in receiver.requests:
            check(headers[HEADER], hook["secret"], body, time.time())
            assert json.loads(body)["data"]["id"] == answer["jobs"][0]["id"]
        assert len({headers["X-Lapwise-Delivery"] for _, headers, _ in receiver.requests}) == 1
        wait_until(lambda: driver.call("GET", f"/webhooks/{hook['id']}/deliveries?status=succeeded")["items"])
    [version] = driver.history(TRACK)
    assert version["sessions"] == 1


def tell(platform: ChildPlatform, event: dict[str, str]) -> dict[str, Any]:
    secret = json.loads((platform.data_dir / "secrets.json").read_text())["LAPWISE_WEBHOOK_SECRET"]
    body = json.dumps(event | {"eventId": secrets.token_hex(8)}).encode()
    answer = httpx.post(
        f"{platform.endpoints()['api']}/webhooks/session-uploaded",
        content=body,
        headers={HEADER: sign(secret, body, int(time.time())), "Content-Type": "application/json"},
    )
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found

"""The heart of the end-to-end tests on external servers, and that their passwords stay where they belong."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from app.client import Client
from app.local.child import ChildPlatform
from app.stores.queue import broker_answers
from tests.e2e.external.servers import Servers
from tests.e2e.test_exactly_once import (
    test_a_worker_killed_in_mid_training_is_recovered_from_within_a_minute,
    test_two_uploads_at_once_make_one_chain_in_which_each_is_learned_once,
)
from tests.e2e.test_main_job import test_a_session_becomes_a_version_that_predicts
from tests.e2e.test_webhooks import (
    test_an_event_comes_in_is_learned_and_its_end_is_told_although_all_goes_wrong,
)
from tests.factories import TRACK, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]

__all__ = [
    "test_a_session_becomes_a_version_that_predicts",
    "test_a_worker_killed_in_mid_training_is_recovered_from_within_a_minute",
    "test_an_event_comes_in_is_learned_and_its_end_is_told_although_all_goes_wrong",
    "test_two_uploads_at_once_make_one_chain_in_which_each_is_learned_once",
]


def test_an_upload_while_rabbitmq_is_away_is_learned_when_it_is_back(
    platform: ChildPlatform, servers: Servers, driver: Client, files: Path
) -> None:
    url = platform.environment.get("LAPWISE_BROKER_URL")
    if url is None:
        pytest.skip("this platform has its queue in Redis")
    servers.kill("rabbitmq")
    jobs = [driver.upload(session_file(files, index=index), TRACK)["jobs"][0] for index in (1, 2)]
    servers.start_again("rabbitmq")
    servers.wait("rabbitmq", lambda: broker_answers(url))
    for job in jobs:
        assert driver.wait(job["id"], seconds=60)["status"] == "succeeded"
    assert driver.history(TRACK)[-1]["sessions"] == 2


def lapwise(platform: ChildPlatform, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, known = [sys.executable, "-m", "app.cli", *arguments], os.environ | platform.environment
    done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_backup_needs_no_other_rights_than_the_platform(
    platform: ChildPlatform, driver: Client, files: Path
) -> None:
    driver.upload(session_file(files), TRACK, auto_train=False)
    assert " sessions, " in lapwise(platform, "backup", str(files / "lapwise.backup")).stdout


def test_no_password_is_in_a_log_a_report_or_a_command_line(
    platform: ChildPlatform, servers: Servers
) -> None:
    doctor = lapwise(platform, "doctor")
    asked = ["MongoDB", "Redis", *(["queue"] if "LAPWISE_BROKER_URL" in platform.environment else [])]
    assert [f"{name}: the server that was set answers" in doctor.stdout for name in asked] == [True] * len(
        asked
    )
    assert "models: all can be read" in doctor.stdout
    texts = [path.read_text(errors="replace") for path in (platform.data_dir / "logs").iterdir()]
    texts += [doctor.stdout, doctor.stderr, platform.output]
    for process in psutil.process_iter(["cmdline"]):
        texts.append(" ".join(process.info["cmdline"] or []))
    assert not [text for text in texts if servers.password in text]
    assert len(texts) > 20

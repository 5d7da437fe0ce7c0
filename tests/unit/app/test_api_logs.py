"""Logs are JSON lines that name the request and hide secrets."""

import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import structlog
from flask.testing import FlaskClient

from app import logs

LAST_WORD = """
import structlog
from app import logs
logs.configure(gathered=True)
structlog.get_logger().info("end", of={(1, 2): 3})
structlog.get_logger().info("end")
"""


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Takes back what `configure` did in a test."""
    root = logging.getLogger()
    level = root.level
    yield
    for handler in [handler for handler in root.handlers if isinstance(handler, logs.Handler)]:
        root.removeHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def test_our_lines_and_those_of_libraries_are_json_with_the_bound_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("ours").info("job_done", laps=3, access_token="eyJ", db_password="p")
        logging.getLogger("theirs").warning("slow %s", "query")
        structlog.get_logger("ours").debug("too quiet")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["laps"], ours["request_id"]) == ("job_done", 3, "r1")
    assert (ours["access_token"], ours["db_password"]) == ("[hidden]", "[hidden]")
    assert (theirs["event"], theirs["level"], theirs["request_id"]) == ("slow query", "warning", "r1")


def test_configuring_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logs.configure("INFO")
    structlog.get_logger().error("failed", exc_info=ValueError("the cause"))
    [line] = capsys.readouterr().err.splitlines()
    assert "ValueError: the cause" in json.loads(line)["exception"]


def test_credentials_addresses_and_tokens_are_hidden_wherever_they_stand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO")
    try:
        raise ConnectionError("mongodb://lapwise:hunter2@db/ of ann@example.com with whsec_abc-1")
    except ConnectionError:
        structlog.get_logger().exception("failed", urls=["amqp://u:hunter2@mq//"], of={"token": "hunter2"})
    logging.getLogger("theirs").warning("Bearer %s", "eyJhbGciOi.eyJzdWIiOi.hunter2")
    written = capsys.readouterr().err
    assert "mongodb://[hidden]@db/ of [hidden] with [hidden]" in written
    for secret in ("hunter2", "ann@example.com", "whsec_"):
        assert secret not in written


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_text_can_begin_a_line_of_its_own(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", form)
    forged = 'spa\n{"event": "forged", "level": "info"}\r\x1b[2Kforged\u2028'
    structlog.get_logger().info("request", path=forged)
    logging.getLogger("theirs").warning(forged)
    written = capsys.readouterr().err
    assert "\x1b[2K" not in written
    assert len(written.splitlines()) == 2


def test_text_indents_a_traceback_so_that_no_line_of_it_passes_for_a_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO", "text")
    structlog.get_logger().error("failed", exc_info=ValueError("one\ntwo\x1b[2K"))
    first, *rest = capsys.readouterr().err.splitlines()
    assert "failed" in first
    assert "    two\\x1b[2K" in rest
    assert all(line.startswith("    ") for line in rest)


def test_work_knows_the_requests_it_comes_from() -> None:
    structlog.contextvars.clear_contextvars()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        assert logs.request_ids() == ("r1",)
    with structlog.contextvars.bound_contextvars(request_ids=["r1", "r2"]):
        assert logs.request_ids() == ("r1", "r2")
    assert logs.request_ids() == ()


def test_what_a_caller_sends_makes_no_line_and_no_colour_of_its_own(
    stranger: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO")
    forged = '\r\n{"event": "request", "status": 200}\x1b[2J\u202e'
    stranger.get("/jobs" + forged, query_string={"token": forged}, headers={"X-Request-Id": "a\x1b[31m"})
    stranger.post("/auth/login", json={"email": f"max@example.org{forged}", "password": f"secret{forged}"})
    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["status"] for line in lines if line["event"] == "request"] == [404, 422]
    assert written.isascii()
    assert "\x1b" not in written
    assert "secret" not in written


def test_gathered_lines_come_together_and_no_later_than_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "GATHERING_SECONDS", 60)
    logs.configure("INFO", gathered=True)
    log = structlog.get_logger()
    log.info("first", token="eyJ")  # what is to be hidden
    log.debug("too quiet")
    assert capsys.readouterr().err == "", "it waits for others"
    log.warning("second", exc_info=ValueError("the cause"))
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["token"], first["level"]) == ("first", "[hidden]", "info")
    assert "ValueError: the cause" in second["exception"]


def test_gathered_lines_are_written_by_themselves_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "GATHERING_SECONDS", 0.01)
    file, deadline = io.StringIO(), time.monotonic() + 5
    gathered = logs.Gathered(file, structlog.processors.JSONRenderer())
    for number in range(3):
        gathered.info({"event": "request", "number": number})
    while file.getvalue().count("\n") < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [json.loads(line)["number"] for line in file.getvalue().splitlines()] == [0, 1, 2]


def test_gathered_lines_are_written_when_the_process_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", LAST_WORD], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()] == ["line_not_made", "end"]

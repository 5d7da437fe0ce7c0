"""A driver's first session at the command line, on a whole platform."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.local.child import ChildPlatform
from tests.factories import TRACK, session_file

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(120)]

Lapwise = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lapwise(platform: ChildPlatform, tmp_path: Path) -> Lapwise:
    """Runs a command where `make up` runs, as a user with no settings yet."""
    own = {"LAPWISE_DATA_DIR": str(platform.data_dir), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment = {name: value for name, value in os.environ.items() if name != "LAPWISE_URL"} | own

    def run(*arguments: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "app.cli", *arguments]
        return subprocess.run(command, env=environment, input=typed, capture_output=True, text=True)

    return run


def test_from_sign_in_to_prediction_and_out(lapwise: Lapwise, tmp_path: Path) -> None:
    assert lapwise("models").returncode == 3
    signed = lapwise(
        "login",
        "--register",
        "--email",
        f"{tmp_path.name}@example.com",
        "--password-stdin",
        typed="a long pass phrase\n",
    )
    assert (signed.returncode, signed.stdout) == (0, "")
    assert (tmp_path / "config" / "lapwise" / "tokens.json").stat().st_mode & 0o777 == 0o600

    files = [str(session_file(tmp_path, index=index, laps=6)) for index in (1, 2)]
    first = lapwise("upload", files[0], "--track", TRACK, "--car", "gt3", "--setup", "rear_wing=5")
    assert (first.returncode, first.stderr) == (0, ""), "quiet when piped"
    assert first.stdout.splitlines()[1].endswith("lap_time_prediction: version 1.0.0")
    second = lapwise("upload", files[1], "--track", TRACK, "--chunks", "--json")
    [uploaded] = json.loads(second.stdout)
    assert [job["modelVersion"] for job in uploaded["jobs"]] == ["1.0.1"]

    trained = lapwise("train", "--track", TRACK, "--type", "sector_analysis", "--all", "--json")
    assert json.loads(trained.stdout)["status"] == "succeeded"
    versions = lapwise("models", "--track", TRACK).stdout.splitlines()
    assert [line.split("\t")[1:4] for line in versions[1:]] == [
        ["sector_analysis", "1.0.0", "active"],
        ["lap_time_prediction", "1.0.1", "active"],
        ["lap_time_prediction", "1.0.0", ""],
    ]
    frame = ("speed=180", "throttle=1", "brake=0", "gear=5", "track_position=0.5", "current_lap_time=0:50.1")
    predicted = lapwise("predict", "--track", TRACK, *frame).stdout.splitlines()
    assert re.fullmatch(r"1\t1:\d\d\.\d{3}\t1:\d\d\.\d{3}\t\d:\d\d\.\d{3}", predicted[1])
    rows = lapwise("predict", "--track", TRACK, "--file", files[1])
    assert len(rows.stdout.splitlines()) > 1_000
    assert "does not know them: " in rows.stderr

    assert lapwise("logout").returncode == 0
    assert lapwise("sessions").returncode == 3


def test_a_file_that_is_refused_keeps_no_other_from_being_uploaded(lapwise: Lapwise, tmp_path: Path) -> None:
    typed = "a long pass phrase\n"
    lapwise("login", "--register", "--email", f"{tmp_path.name}@example.com", "--password-stdin", typed=typed)
    bad, good = tmp_path / "bad.csv", session_file(tmp_path, index=3)
    bad.write_text("nothing of use\n")
    result = lapwise("upload", str(bad), str(good), "--track", TRACK, "--no-train")
    assert result.returncode == 1
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["file", good.name]
    assert result.stderr.startswith(f"error: {bad}: ")

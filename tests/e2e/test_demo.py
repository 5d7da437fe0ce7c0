"""`make demo`, as the README has it."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "f1_testing"

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def demo(data_dir: Path, *arguments: str) -> str:
    environment = os.environ | {"LAPWISE_DATA_DIR": str(data_dir), "COLUMNS": "160"}
    done = subprocess.run(
        ["make", "demo", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_plays_simulated_sessions(tmp_path: Path) -> None:
    output = demo(tmp_path)
    assert "1.0.2" in output
    assert "mean of 5" in output
    assert "/docs" in output


@pytest.mark.skipif(not REAL.is_dir(), reason="the real telemetry is not beside the project")
def test_the_demo_plays_the_real_sessions(tmp_path: Path) -> None:
    output = demo(tmp_path, f"SESSIONS={REAL}")
    for driver, sessions in {"ALB": 3, "BEA": 2, "BOR": 3, "PIA": 2, "SAI": 3}.items():
        assert f"{driver}" in output
        assert f"1.0.{sessions - 1}" in output

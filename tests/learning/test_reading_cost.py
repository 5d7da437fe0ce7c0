"""Reading an hour of telemetry stays cheap."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.unit.learning.motec_files import export

RATE, SECONDS, LAP_TIME = 60, 3600, 90.0
MEASURE = """
import json, re, sys, time
from pathlib import Path
import polars as pl
from learning.telemetry import read_session

def seconds(read):
    began = time.perf_counter()
    read()
    return time.perf_counter() - began

laps = len(read_session(Path(sys.argv[1])).session.laps)
status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's peak, if that is higher
peak = int(re.search("VmHWM:[^0-9]*([0-9]+) kB", status)[1]) * 1024
plain = min(seconds(lambda: pl.read_csv(sys.argv[2])) for _ in range(3))
own = min(seconds(lambda: read_session(Path(sys.argv[1]))) for _ in range(3))
print(json.dumps({"laps": laps, "peak": peak, "ratio": own / plain}))
"""


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """216,000 rows of 20 columns, as plain CSV and as MoTeC i2 exports it."""
    folder, rng = tmp_path_factory.mktemp("hour"), np.random.default_rng(1)
    time = np.arange(RATE * SECONDS) / RATE
    share = time % LAP_TIME / LAP_TIME
    noise = {
        f"{name}{wheel}": 80 + rng.normal(0, 1, len(time)).round(4)
        for name in ("tyreTemp", "tyrePressure", "brakeTemp")
        for wheel in ("FL", "FR", "RL", "RR")
    }
    driven = {"speed": 160 + 80 * np.sin(share * 30), "throttle": share, "brake": 1 - share, "rpm": 6000.0}
    keys = {"lap": time // LAP_TIME, "currentLapTime": share * LAP_TIME, "trackPosition": share}
    pl.DataFrame(keys | driven | {"gear": 4} | noise).write_csv(folder / "plain.csv", float_precision=6)
    names = {
        ("Time", "s"): time,
        ("Ground Speed", "km/h"): driven["speed"],
        ("Throttle Pos", "%"): share * 100,
    }
    units = {"tyreTemp": "C", "tyrePressure": "kPa", "brakeTemp": "C"}
    names |= {(name, units[name[:-2]]): values for name, values in noise.items()}
    names |= {(f"Other {i}", ""): time for i in range(5)}
    beacons = " ".join(f"{second:.3f}" for second in np.arange(1, SECONDS / LAP_TIME) * LAP_TIME)
    (folder / "motec.csv").write_bytes(export(names, (("Beacon Markers", beacons),)))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["plain.csv", "motec.csv"])
def test_an_hour_at_60_hz_takes_little_memory_and_a_few_times_what_polars_alone_takes(
    name: str, hour: Path
) -> None:
    arguments = [sys.executable, "-c", MEASURE, str(hour / name), str(hour / "plain.csv")]
    measured = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    assert measured["laps"] == 40
    assert measured["peak"] < 500e6
    assert measured["ratio"] < 10

"""`python -m bench.fairness`: how long a driver's job takes while another driver floods the queue.

The bound to hold: it waits at most twice as long as on an idle platform, plus one job.
"""

import json
import secrets
import statistics
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from app.client import Client
from app.client.answers import Job
from app.local.child import ChildPlatform
from learning.simulator import CARS, TRACKS, simulate_session, write_session

FLOOD = 300  # sessions of one driver, each on a track of its own
ROUNDS = 5
LAPS, FLOOD_LAPS = 30, 200
RESULTS = Path(__file__).with_name("results-fairness.json")


def main() -> None:
    """Prints the figures and writes them to `bench/results-fairness.json`; fails when the bound is broken."""
    with TemporaryDirectory(prefix="lapwise-bench-") as name, ChildPlatform(Path(name) / "data") as platform:
        api = platform.endpoints()["api"]
        files = [_file(Path(name), index, LAPS) for index in range(ROUNDS)]
        large = _file(Path(name), ROUNDS, FLOOD_LAPS)
        flooder, driver = _driver(api), _driver(api)
        _waits(driver, files[:2], "warm")
        idle = _waits(driver, files, "idle")
        for number in range(FLOOD):
            flooder.upload(large, f"track {number}")
        flooded = _waits(driver, files, "flooded")
        left = sum(1 for _ in flooder.jobs(status="queued"))
        one_job = statistics.median(
            _seconds(job, "startedAt", "finishedAt") for job in flooder.jobs(status="succeeded")
        )
    results = _figures(idle, flooded, one_job) | {"flood": FLOOD, "still_queued_at_the_end": left}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    _print(results)
    if left == 0:
        raise SystemExit("the flood was over before the measurement")
    if results["flooded_wait"] > results["bound"]:
        raise SystemExit("another driver's flood makes a job wait for too long")


def _file(folder: Path, index: int, laps: int) -> Path:
    session = simulate_session(
        track=TRACKS[0],
        driver="BENCH",
        car_model=next(iter(CARS)),
        session_index=index,
        laps=laps,
        sample_rate=2.0,
        seed=index,
    )
    return write_session(session, folder)


def _driver(api: str) -> Client:
    client = Client(api)
    client.register(f"{secrets.token_hex(6)}@example.com", secrets.token_hex(12))
    return client


def _waits(driver: Client, files: list[Path], label: str) -> list[Job]:
    """One job after another, each on a track of its own."""
    done = []
    for number, file in enumerate(files):
        (job,) = driver.upload(file, f"{label} {number}")["jobs"]
        done.append(driver.wait(job["id"], seconds=300))
    return done


def _seconds(job: Any, begin: str, end: str) -> float:
    return (datetime.fromisoformat(job[end]) - datetime.fromisoformat(job[begin])).total_seconds()


def _figures(idle: list[Any], flooded: list[Any], one_job: float) -> dict[str, Any]:
    idle_wait = statistics.median(_seconds(job, "queuedAt", "startedAt") for job in idle)
    flooded_wait = statistics.median(_seconds(job, "queuedAt", "startedAt") for job in flooded)
    return {
        "idle_wait": idle_wait,
        "flooded_wait": flooded_wait,
        "longest_flooded_wait": max(_seconds(job, "queuedAt", "startedAt") for job in flooded),
        "one_job": one_job,
        "bound": 2 * idle_wait + one_job,
    }


def _print(results: dict[str, Any]) -> None:
    names = {
        "idle_wait": "wait of a job on an idle platform, median",
        "flooded_wait": f"its wait while another driver has {FLOOD} jobs queued, median",
        "longest_flooded_wait": "the longest of these",
        "one_job": "one of the flood's jobs, median",
        "bound": "bound: twice the idle wait plus one job",
    }
    table = Table("", "seconds", title="Fairness")
    for key, label in names.items():
        table.add_row(label, f"{results[key]:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()

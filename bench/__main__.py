"""`make bench`: from upload to active version, against reading and learning the same file in one process."""

import gc
import json
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import psutil
from rich.console import Console
from rich.table import Table

from app.client import Client
from app.local.child import ChildPlatform
from learning.simulator import CARS, TRACKS, simulate_session, write_session
from learning.telemetry import read_session
from learning.zoo import create_model

R = TypeVar("R")
ROUNDS = 5
LAPS = 60
SAMPLE_RATE = 20.0
MODEL_TYPE = "lap_time_prediction"
RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Prints the figures and writes them to `bench/results.json`."""
    console = Console()
    with TemporaryDirectory(prefix="lapwise-bench-") as name:
        folder = Path(name)
        files = [_file(folder, index) for index in range(ROUNDS)]
        with ChildPlatform(folder / "data") as platform:
            _warm_up(platform, folder)
            rounds = [_round(platform, file) for file in files]
            memory = _peak_memory(platform)
    results = {"rounds": rounds, "peak_memory_mib": memory, "laps": LAPS, "sample_rate_hz": SAMPLE_RATE}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    _print(console, rounds, memory)


def _file(folder: Path, index: int) -> Path:
    session = simulate_session(
        track=TRACKS[0],
        driver="BENCH",
        car_model=next(iter(CARS)),
        session_index=index,
        laps=LAPS,
        sample_rate=SAMPLE_RATE,
        seed=index,
    )
    return write_session(session, folder)


def _warm_up(platform: ChildPlatform, folder: Path) -> None:
    """One session learned beforehand, so that no round pays for a process's first imports."""
    for index in range(ROUNDS, ROUNDS + 3):
        _platform_seconds(platform, _file(folder, index))


def _round(platform: ChildPlatform, file: Path) -> dict[str, float]:
    """Seconds of the same file through the platform and, right after, in this process."""
    whole = _platform_seconds(platform, file)
    gc.collect()
    read, recording = _timed(lambda: read_session(file))
    model = create_model(MODEL_TYPE)
    learn, _ = _timed(lambda: model.learn_session(recording.session))
    return {"platform": whole, "read": read, "learn": learn, "ratio": whole / (read + learn)}


def _platform_seconds(platform: ChildPlatform, file: Path) -> float:
    with Client(platform.endpoints()["api"]) as driver:
        driver.register(f"{secrets.token_hex(6)}@example.com", secrets.token_hex(12))
        started = time.perf_counter()
        answer = driver.upload(file, TRACKS[0])
        driver.wait(answer["jobs"][0]["id"])
        return time.perf_counter() - started


def _timed(work: Callable[[], R]) -> tuple[float, R]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _peak_memory(platform: ChildPlatform) -> dict[str, float]:
    """MiB each process held at most; of a program with children, the largest of them."""
    peaks = {}
    for name, pid in platform.endpoints()["pids"].items():
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        peaks[name] = max(_high_water(process.pid) for process in processes)
    return peaks


def _high_water(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _print(console: Console, rounds: list[dict[str, float]], memory: dict[str, float]) -> None:
    table = Table(title=f"Upload to active version, {LAPS} laps at {SAMPLE_RATE:g} Hz, {ROUNDS} rounds")
    for column in ("", "median", "min", "max"):
        table.add_column(column, justify="right" if column else "left")
    names = {
        "platform": "through the platform (s)",
        "read": "reading the file in process (s)",
        "learn": "bare learning loop in process (s)",
        "ratio": "platform / (reading + learning)",
    }
    for key, label in names.items():
        values = [one[key] for one in rounds]
        table.add_row(label, *(f"{f(values):.3f}" for f in (statistics.median, min, max)))
    console.print(table)
    peaks = Table(title="Peak memory of each process (MiB)")
    for name in memory:
        peaks.add_column(name, justify="right")
    peaks.add_row(*(f"{peak:.0f}" for peak in memory.values()))
    console.print(peaks)


if __name__ == "__main__":
    main()

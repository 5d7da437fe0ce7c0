"""How soon the platform is ready, what importing it takes, and what a worker's children weigh."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from app.local.child import ChildPlatform
from bench.figures import Figure
from bench.stage import Stage, learn, new_driver

MEGABYTE = 1_000_000
SWEEP_SECONDS = 12.0  # in which both children have done chores, which come every 5 s
MOST_ROUNDS = 3  # of `make up`, whose stop takes as long as its start
ROOT = Path(__file__).parents[2]
_IMPORTED = re.compile(r"import time:\s+\d+ \|\s+(\d+) \| app$", re.MULTILINE)


def start(stage: Stage) -> list[Figure]:
    """`make up` on an empty data directory until it is ready, and imports of `app` and of all it serves."""
    rounds = min(stage.rounds, MOST_ROUNDS)
    ready = [_ready_seconds(stage.folder / f"start-{number}") for number in range(rounds)]
    again = [_ready_seconds(stage.folder / "start-0")]
    imports = [_import_seconds("app") for _ in range(stage.rounds)]
    whole = [_run_seconds("import app.api.application, app.container") for _ in range(stage.rounds)]
    return [
        _seconds("make up until ready, on an empty data directory", ready, 8),
        _seconds("the same on one that it has run on", again, None),
        _seconds("import of app, by -X importtime", imports, 1),
        _seconds("a whole Python that imports all that web loads", whole, None),
    ]


def worker_memory(stage: Stage) -> list[Figure]:
    """What a worker's child has for itself alone, before it has learned anything and after."""
    with ChildPlatform(stage.folder / "memory") as platform:
        time.sleep(SWEEP_SECONDS)
        at_rest = _children_megabytes(platform)
        driver = new_driver(platform.endpoints()["api"])
        for index in range(4):
            learn(driver, stage.session(index, laps=60), f"track {index}")
        after = _children_megabytes(platform)
    return [
        Figure(
            what="what the larger of a worker's children at rest adds to their parent (USS)",
            against="–",
            values=[max(at_rest)],
            bar=60,
            at_most=True,
            unit="MB",
        ),
        Figure(what="the same once they have learned", against="–", values=[max(after)], bar=None, unit="MB"),
    ]


def _seconds(what: str, values: list[float], bar: float | None) -> Figure:
    return Figure(what=what, against="–", values=values, bar=bar, at_most=True, unit="s")


def _ready_seconds(folder: Path) -> float:
    """Seconds until `make up` says that it is ready; it is stopped again."""
    started = time.perf_counter()
    with subprocess.Popen(
        ["make", "up"],  # noqa: S607  # the make of whoever ran `make bench`
        cwd=ROOT,
        env=os.environ | {"LAPWISE_DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("ready http"):
                break
        seconds = time.perf_counter() - started
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    if not said or not said[-1].startswith("ready http"):
        raise RuntimeError("make up has not become ready:\n" + "".join(said))
    return seconds


def _import_seconds(module: str) -> float:
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    found = _IMPORTED.search(told)
    assert found
    return int(found[1]) / 1e6


def _run_seconds(program: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    return time.perf_counter() - started


def _children_megabytes(platform: ChildPlatform) -> list[float]:
    """Of each child, its memory that no other process shares."""
    worker = psutil.Process(platform.endpoints()["pids"]["worker"])
    return [child.memory_full_info().uss / MEGABYTE for child in worker.children()]

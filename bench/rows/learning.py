"""How long a session takes from upload to active version, and whether a long past makes it longer."""

import gc
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from bench.figures import Figure, interleaved, ratios
from bench.stage import LAP_TIME, TRACK, Driver, Stage, learn
from learning.telemetry import read_session
from learning.zoo import create_model

R = TypeVar("R")
LAPS = 60
SHORT = 5  # laps of a session, of which the first and the last are not timed
ALLOWED_SECONDS = 0.150
PAST, NEW = 499, 4  # sessions learned before the one that is measured


def upload(stage: Stage) -> list[Figure]:
    """A session of 60 laps through the platform, against reading and learning its file in this process."""
    for index in range(3):  # no round pays for a process's first imports
        _both(stage, stage.session(index, laps=LAPS))
    files = iter(stage.session(10 + index, laps=LAPS) for index in range(stage.rounds))
    rounds = [_both(stage, file) for file in files]
    whole, read, learned = zip(*rounds, strict=True)
    allowed = [1.25 * (one + other) + ALLOWED_SECONDS for one, other in zip(read, learned, strict=True)]
    return [
        Figure(
            what="upload of a 60-lap session to its active version",
            against="1.25 times reading and learning it in process, plus 150 ms",
            values=ratios(whole, allowed),
            bar=1,
            at_most=True,
            details={"platform_s": whole, "reading_s": read, "learning_s": learned},
        )
    ]


def history(stage: Stage) -> list[Figure]:
    """The 500th session of a lineage, against the 5th of another, each a job of its own."""
    driver = stage.driver()
    past = stage.many(PAST)
    for index in range(past):
        learn(driver, stage.session(index, laps=SHORT, sample_rate=5.0), "long")
    rounds = max(3 * stage.rounds, 3)
    for lineage in range(rounds):
        for index in range(NEW):
            learn(driver, stage.session(index, laps=SHORT, sample_rate=5.0), f"short {lineage}")
    numbers = iter(range(past, past + rounds))
    lineages = iter(range(rounds))
    found = interleaved(
        rounds,
        lambda: _job_seconds(driver, stage.session(next(numbers), laps=SHORT, sample_rate=5.0), "long"),
        lambda: _job_seconds(
            driver, stage.session(NEW, laps=SHORT, sample_rate=5.0), f"short {next(lineages)}"
        ),
    )
    long, short = zip(*found, strict=True)
    return [
        Figure(
            what=f"a job of the {past + 1}th session of a lineage",
            against=f"of the {NEW + 1}th",
            values=ratios(long, short),
            bar=1.1,
            at_most=True,
            details={"late_s": long, "early_s": short},
        )
    ]


def _both(stage: Stage, file: Path) -> tuple[float, float, float]:
    """Seconds of a file through the platform and, right after, of reading and learning it here."""
    driver = stage.driver()
    whole, _ = _timed(lambda: learn(driver, file))
    gc.collect()
    read, recording = _timed(lambda: read_session(file))
    model = create_model(LAP_TIME)
    learned, _ = _timed(lambda: model.learn_session(recording.session))
    return whole, read, learned


def _job_seconds(driver: Driver, file: Path, track_name: str = TRACK) -> float:
    job = learn(driver, file, track_name)
    return (_moment(job, "finishedAt") - _moment(job, "startedAt")).total_seconds()


def _moment(job: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(job[name])


def _timed(work: Callable[[], R]) -> tuple[float, R]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result

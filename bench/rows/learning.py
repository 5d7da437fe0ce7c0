"""How long a session takes from upload to active version, and whether a long past makes it longer."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from app.domain import JobKind, LineageKey, ModelType, new_id
from app.mongo import in_transaction
from app.services.jobs import new_job
from bench.figures import Figure, interleaved, ratios
from bench.planting import Seed, plant
from bench.stage import LAP_TIME, TRACK, Driver, Stage, learn
from learning.model import RacingModel
from learning.telemetry import read_session
from learning.zoo import create_model
from models_store.store import Training

R = TypeVar("R")
LAPS = 60
EVENING = 30  # laps of a session; after four such a model remembers, and watches for drift, as much as ever
SHORT, LONG = "short", "long"
DISTINCT, FEW = 20, 8  # earlier sessions of the long past that are simulated, and the laps of each
ALLOWED_SECONDS = 0.150
PAST, NEW = 499, 4  # sessions learned before the one that is measured
PAIRS = 6  # jobs of each kind in a round


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
    """The 500th session of a lineage, against the 5th of another: jobs of both, turn by turn."""
    driver = stage.driver()
    for file in _evenings(stage, 0, NEW):
        job = learn(driver, file, SHORT)
    past = stage.many(PAST)
    bases = {SHORT: str(job["modelId"]), LONG: _give_past(stage, driver, str(job["modelId"]), past)}
    files = iter(_evenings(stage, NEW, stage.rounds * PAIRS))
    rounds = [_pairs(driver, bases, list(islice(files, PAIRS))) for _ in range(stage.rounds)]
    short, long = zip(*rounds, strict=True)
    return [
        Figure(
            what=f"{PAIRS} jobs, each of the {past + 1}th session of a lineage, {EVENING} laps each",
            against=f"of the {NEW + 1}th",
            values=ratios(long, short),
            bar=1.1,
            at_most=True,
            details={"late_s": long, "early_s": short},
        )
    ]


def _pairs(driver: Driver, bases: dict[str, str], files: Sequence[Path]) -> tuple[float, ...]:
    """Seconds that jobs of the lineages, by track, take in all: each learns each file on the same base."""
    turns = [partial(_grown_seconds, driver, *lineage, iter(files)) for lineage in bases.items()]
    return tuple(map(sum, zip(*interleaved(len(files), *turns), strict=True)))


def _grown_seconds(driver: Driver, track_name: str, base_id: str, files: Iterator[Path]) -> float:
    """Seconds of a job that grows the base by the next file, whatever has been grown from it before."""
    driver.client.call("POST", f"/ai-model/{base_id}/activate")
    return _job_seconds(driver, next(files), track_name)


def _evenings(stage: Stage, first: int, count: int) -> list[Path]:
    return [stage.session(index, laps=EVENING, sample_rate=10.0) for index in range(first, first + count)]


def _give_past(stage: Stage, driver: Driver, model_id: str, sessions: int) -> str:
    """A lineage with as many versions as sessions; the id of the newest, which has really learned them."""
    container = stage.container
    key = LineageKey(user_id=driver.user_id, track_name=LONG, model_type=ModelType(LAP_TIME))
    database, keys = container.mongo_client[container.settings.database], container.settings.model_keys
    seed = Seed.of(database, model_id)
    plant(database, seed, [(driver.user_id, LONG)], versions=sessions - 1, key=keys.current)
    version = container.runs._models.prepare(
        _learned(stage, sessions),
        Training(
            key=key,
            number=f"1.0.{sessions - 1}",
            parent=None,
            job=new_job(JobKind.TRAIN, key, ()),
            session_ids=tuple(new_id() for _ in range(sessions)),
            validation=None,
            duration=0.0,
        ),
    )
    registry = container.runs._registry
    in_transaction(
        container.mongo_client,
        lambda tx: registry.add_version(version, expected_revision=sessions - 1, tx=tx),
    )
    return version.id


def _learned(stage: Stage, sessions: int) -> RacingModel[Any]:
    """A model of so many sessions, learned in this process: short ones, then those of the other lineage."""
    model = create_model(LAP_TIME)
    files = [stage.session(index, laps=FEW, sample_rate=10.0) for index in range(DISTINCT)]
    distinct = [read_session(file).session for file in files]
    for index in range(max(sessions - NEW, 0)):
        model.learn_session(distinct[index % len(distinct)])
    for file in _evenings(stage, 0, NEW):
        model.learn_session(read_session(file).session)
    return model


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

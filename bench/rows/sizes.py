"""How large versions become, and what each level of compression saves and costs."""

import pickle
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zstandard

from bench.figures import Figure
from bench.stage import LAP_TIME, TRACK, Stage
from learning.model import RacingModel
from learning.simulator import CARS, simulate_session, write_session
from learning.telemetry import read_session
from learning.zoo import create_model
from models_store.codec import Owner, encode

SESSIONS, DISTINCT, LAPS, RATE = 500, 60, 5, 4.0
MANY_CARS = 3
LEVELS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 15, 19)
TYPES = (LAP_TIME, "sector_analysis", "setup_optimization")
OWNER = Owner(user_id="bench", model_id="bench")
KILOBYTE = 1_000


def storage(stage: Stage) -> list[Figure]:
    """A version of the default lap-time model after 500 sessions, and zstd's levels on real binaries."""
    cars = list(CARS)
    sizes = {}
    for count in (1, MANY_CARS):
        sizes[count] = _kilobytes(_learned(stage, LAP_TIME, cars[:count], stage.many(SESSIONS)))
    trained = [_learned(stage, model_type, cars[:1], stage.many(DISTINCT)) for model_type in TYPES]
    pickles = [pickle.dumps(model, protocol=5) for model in trained]
    return [_size(stage, sizes[1], 1, bar=100), _size(stage, sizes[MANY_CARS], MANY_CARS, bar=None)] + [
        _level(stage, level, pickles) for level in LEVELS
    ]


def _size(stage: Stage, kilobytes: float, cars: int, bar: float | None) -> Figure:
    driven = "one car" if cars == 1 else f"{cars} cars"
    return Figure(
        what=f"a version of the default lap-time model after {stage.many(SESSIONS)} sessions, {driven}",
        against="–",
        values=[kilobytes],
        bar=bar,
        at_most=True,
        unit="kB",
    )


def _level(stage: Stage, level: int, pickles: Sequence[bytes]) -> Figure:
    """Time of one level, and in its name what is left of the pickles."""
    compressor = zstandard.ZstdCompressor(level=level)
    left = sum(len(compressor.compress(one)) for one in pickles)
    times = []
    for _ in range(stage.rounds):
        started = time.perf_counter()
        for one in pickles:
            compressor.compress(one)
        times.append(1000 * (time.perf_counter() - started) / len(pickles))
    whole = sum(map(len, pickles))
    return Figure(
        what=f"zstd level {level}, three versions: {left / KILOBYTE:.0f} of {whole / KILOBYTE:.0f} kB",
        against="–",
        values=times,
        bar=None,
        unit="ms each",
        details={"bytes": left, "bytes_before": whole},
    )


def _kilobytes(model: RacingModel[Any]) -> float:
    return encode(model, owner=OWNER, key=b"bench", max_size=1 << 30).compressed_size / KILOBYTE


def _learned(stage: Stage, model_type: str, cars: Sequence[str], sessions: int) -> RacingModel[Any]:
    """A model of so many sessions, of which no more than a hundred differ: simulating takes longer."""
    model = create_model(model_type)
    distinct = list(_recordings(stage, cars, min(DISTINCT, sessions)))
    for index in range(sessions):
        model.learn_session(distinct[index % len(distinct)])
    return model


def _recordings(stage: Stage, cars: Sequence[str], count: int) -> Iterator[Any]:
    for index in range(count):
        car = cars[index % len(cars)]
        session = simulate_session(
            track=TRACK,
            driver="SIZES",
            car_model=car,
            setup={"rear_wing": 3.0 + index % 5},
            session_index=index,
            laps=LAPS,
            sample_rate=RATE,
            seed=index,
        )
        file: Path = write_session(session, stage.folder)
        yield read_session(file, car_model=car, setup=session.setup).session

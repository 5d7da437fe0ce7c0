"""`make bench-learning`: the zoo's lap-time algorithms side by side, and what learning and predicting cost.

`python -m bench.learning [FOLDER]` plays a folder of files named `DRIVER_p1.csv.gz`, `DRIVER_p2.csv.gz`, … as
one history for each driver; without a folder, the simulator's drivers. `--costs` leaves out the tables of
accuracy. Set OMP_NUM_THREADS=1.
"""

import argparse
import gc
import math
import pickle
import statistics
import sys
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from river import linear_model, preprocessing

from learning.evaluate import Row, follow
from learning.history import AT_PACE, Features
from learning.lap_time import LapTimeModel
from learning.laps import Lap, SessionLaps
from learning.moments import moment_of, situation_of
from learning.simulator import CARS, TRACKS, SimulatedSession, simulate_session, write_session
from learning.telemetry import read_session
from learning.zoo import algorithms, create_model

Histories = dict[str, list[tuple[str, SessionLaps]]]
MODEL_TYPE = "lap_time_prediction"
POSITIONS = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0)
LEVELS = (0.5, 0.9, 0.99)
ROUNDS = 5
_REPEATS = 20


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--costs", action="store_true")
    chosen = parser.parse_args()
    console = Console(width=110)
    with TemporaryDirectory(prefix="lapwise-bench-") as name:
        if not chosen.costs:
            histories = _read(chosen.folder) if chosen.folder else _simulated(Path(name))
            console.print(_accuracy(histories), _coverage(histories))
        console.print(_costs(Path(name)))


def _read(folder: Path) -> Histories:
    files = sorted(folder.glob("*_p*.csv.gz"))
    if not files:
        sys.exit(f"there are no files named DRIVER_p1.csv.gz in {folder}")
    return {
        driver: [(path.name, read_session(path).session) for path in paths]
        for driver, paths in groupby(files, lambda path: path.name.split("_p")[0])
    }


def _simulated(folder: Path) -> Histories:
    return {f"D{i}": [_session(folder, _recorded(f"D{i}", i, k)) for k in range(4)] for i in range(6)}


def _recorded(
    driver: str, seed: int, index: int, *, laps: int = 22, sample_rate: float = 10.0
) -> SimulatedSession:
    return simulate_session(
        track=TRACKS[seed % len(TRACKS)],
        driver=driver,
        car_model=list(CARS)[seed % len(CARS)],
        session_index=index,
        laps=laps,
        sample_rate=sample_rate,
        seed=100 * seed + index,
    )


def _session(folder: Path, recorded: SimulatedSession) -> tuple[str, SessionLaps]:
    path = write_session(recorded, folder)
    return path.name, read_session(path, car_model=recorded.car_model).session


def _scored(histories: Histories, algorithm: str, level: float = 0.9) -> list[Row]:
    """The predictions of the laps within 107 % of their driver's best."""
    rows: list[Row] = []
    for sessions in histories.values():
        own = list(follow(create_model(MODEL_TYPE, algorithm), sessions, positions=POSITIONS, level=level))
        best = min(row.actual for row in own if row.learned and row.actual)
        rows += [
            row
            for row in own
            if row.learned and row.references and row.actual and row.actual <= AT_PACE * best
        ]
    return rows


def _accuracy(histories: Histories) -> Table:
    """Mean absolute errors as shares of those of the best reference predictor at each position."""
    table = _table("Mean absolute error, share of the best reference; in brackets seconds", "algorithm")
    for algorithm in algorithms(MODEL_TYPE):
        rows = _scored(histories, algorithm.name)
        table.add_row(algorithm.name, *(_share(rows, position) for position in POSITIONS))
    return table


def _share(rows: Sequence[Row], position: float) -> str:
    here = [row for row in rows if row.part == position]
    error = statistics.fmean(abs(row.predicted - row.actual) for row in here if row.predicted and row.actual)
    names = here[0].references
    references = [
        statistics.fmean(abs(row.references[name] - (row.actual or 0)) for row in here) for name in names
    ]
    return f"{error / min(references):.2f} ({error:.2f})"


def _coverage(histories: Histories) -> Table:
    """The share of laps inside the default algorithm's intervals."""
    table = _table(f"Laps inside the intervals of {algorithms(MODEL_TYPE)[0].name}", "level")
    for level in LEVELS:
        rows = _scored(histories, algorithms(MODEL_TYPE)[0].name, level)
        cells = []
        for position in POSITIONS:
            inside = [
                row.actual in row.interval
                for row in rows
                if row.part == position and row.interval and row.actual
            ]
            cells.append(f"{statistics.fmean(inside):.3f}")
        table.add_row(f"{level:g}", *cells)
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=title)
    for column in (first, *(f"{position:g} %" for position in POSITIONS)):
        table.add_column(column)
    return table


def _costs(folder: Path) -> Table:
    """Ratios, each of one run side by side: median, least and greatest of some rounds."""
    recorded = {rate: _recorded(f"R{rate:g}", 1, 0, laps=30, sample_rate=rate) for rate in (10.0, 60.0)}
    sessions = {rate: _session(folder, session)[1] for rate, session in recorded.items()}
    trained = create_model(MODEL_TYPE)
    for seed in range(4):
        trained.learn_session(_session(folder, _recorded("T", 1, seed))[1])
    old, young = _aged(500, sessions[10.0]), _aged(5, sessions[10.0])
    table = Table(title=f"Costs, {ROUNDS} rounds")
    for column in ("", "median", "min", "max"):
        table.add_column(column)
    _add(table, "learning at 60 Hz / at 10 Hz", lambda: _learn(sessions[60.0]) / _learn(sessions[10.0]))
    _add(
        table,
        "plain learn_one on every frame of 60 Hz / learning",
        lambda: _plain(recorded[60.0]) / _learn(sessions[60.0]),
    )
    _add(
        table,
        "501st session / 6th session",
        lambda: _more(old, sessions[10.0]) / _more(young, sessions[10.0]),
    )
    _add(
        table,
        "size after 10,000 laps / after 500",
        lambda: _size(340, sessions[10.0]) / _size(18, sessions[10.0]),
        rounds=1,
    )
    _add_predicting(table, trained, "of five laps in order", _in_order(sessions[10.0]))
    _add_predicting(table, trained, "at random of all laps", _at_random(sessions[10.0]))
    return table


def _add(table: Table, label: str, figure: Callable[[], float], rounds: int = ROUNDS) -> None:
    values = [figure() for _ in range(rounds)]
    table.add_row(label, *(f"{f(values):.2f}" for f in (statistics.median, min, max)))


def _add_predicting(table: Table, model: Any, of: str, frames: Sequence[Features]) -> None:
    """CPU times of frames asked for one by one and in one list, side by side in each round."""
    rounds = [(1e6 * _one(model, frames), 1e6 * _many(model, frames)) for _ in range(ROUNDS)]
    for label, values in (
        ("one frame (µs)", [one for one, _ in rounds]),
        ("a row of 1,000 (µs)", [row for _, row in rounds]),
        ("one frame / a row", [one / row for one, row in rounds]),
    ):
        table.add_row(f"{label}, {of}", *(f"{f(values):.2f}" for f in (statistics.median, min, max)))


def _in_order(session: SessionLaps) -> list[Features]:
    """A thousand frames as they were recorded, 200 of each of five laps."""
    return [_frame(session, lap, (i + 0.5) / 200) for lap in session.valid_laps[3:8] for i in range(200)]


def _at_random(session: SessionLaps) -> list[Features]:
    """A thousand frames from anywhere in a session."""
    rng, laps = np.random.default_rng(0), session.valid_laps
    return [_frame(session, laps[rng.integers(len(laps))], rng.uniform(0.01, 0.99)) for _ in range(1000)]


def _frame(session: SessionLaps, lap: Lap, share: float) -> Features:
    return moment_of(lap, share) | {"outing_lap": situation_of(session, lap)["outing_lap"]}


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def _learn(session: SessionLaps) -> float:
    model = create_model(MODEL_TYPE)
    model.learn_session(session)
    return _seconds(lambda: model.learn_session(session))


def _plain(recorded: SimulatedSession) -> float:
    """River's own loop over every frame of the timed laps: the frame's channels as features."""
    columns = {name: values.tolist() for name, values in recorded.columns.items() if values.dtype.kind == "f"}
    lap_times = columns.pop("lap_time")
    frames = [
        (dict(zip(columns, frame, strict=True)), lap_time)
        for *frame, lap_time in zip(*columns.values(), lap_times, strict=True)
        if math.isfinite(lap_time)
    ]
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()

    def learn() -> None:
        for x, y in frames:
            model.predict_one(x)
            model.learn_one(x, y)

    return _seconds(learn)


def _aged(sessions: int, session: SessionLaps) -> bytes:
    """A model that has learned a session of ten timed laps so many times."""
    short = replace(session, laps=session.laps[:12])
    model = create_model(MODEL_TYPE)
    for _ in range(sessions):
        model.learn_session(short)
    return pickle.dumps(model, protocol=5)


def _more(pickled: bytes, session: SessionLaps) -> float:
    model: LapTimeModel = pickle.loads(pickled)  # noqa: S301 - made above
    return _seconds(lambda: model.learn_session(session))


def _size(sessions: int, session: SessionLaps) -> float:
    model: Any = create_model(MODEL_TYPE)
    for _ in range(sessions):
        model.learn_session(session)
    return len(pickle.dumps(model, protocol=5))


def _one(model: Any, frames: Sequence[Features]) -> float:
    rows = list(frames[::5])
    return _least(lambda: [model.predict([row]) for row in rows]) / len(rows)


def _many(model: Any, frames: Sequence[Features]) -> float:
    return _least(lambda: model.predict(frames)) / len(frames)


def _least(work: Callable[[], object]) -> float:
    """CPU seconds, of several times the shortest: what others do on the machine only adds to them."""
    return min(timeit.repeat(work, number=1, repeat=_REPEATS, timer=time.process_time))


if __name__ == "__main__":
    main()

"""Whatever a file holds, it becomes laps or a clear error, within bounded time and memory.

`HYPOTHESIS_PROFILE=long` tries many more files.
"""

import json
import subprocess
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.errors import LearningError
from learning.laps import Lap, decode, encode
from learning.telemetry import Limits
from tests.learning.mutations import SPOILING, Mutation, spoilt
from tests.unit.learning import motec_files as motec
from tests.unit.learning.foreign_files import acc_results, ibt, racechrono
from tests.unit.learning.telemetry_sessions import as_csv, as_json, as_json_lines, as_parquet, read, session

LIMITS = Limits(decoded_bytes=4 << 20, rows=20_000, columns=200, laps=200)
FRAMES = session(laps=2, lapTime=[80.5] * 400, tyreCompound=["soft"] * 400)
LAPS = pl.DataFrame(
    {
        "driver": ["ANN", "BO"] * 6,
        "lap": np.repeat(np.arange(1, 7), 2),
        "lapTime": ["1:31.5", "92.25"] * 6,
        "sector1": [30.5] * 12,
        "sector2": [30.0] * 12,
        "sector3": [31.0] * 12,
        "compound": ["soft"] * 12,
        "airTemp": [21.5] * 12,
    }
)
SEEDS = {
    "csv": as_csv(FRAMES),
    "json": as_json(FRAMES),
    "jsonl": as_json_lines(FRAMES),
    "parquet": as_parquet(FRAMES),
    "laps_csv": as_csv(LAPS),
    "laps_json": as_json(LAPS),
    "laps_jsonl": as_json_lines(LAPS),
    "laps_parquet": as_parquet(LAPS),
    "ibt": ibt(),
    "racechrono": racechrono(),
    "acc_utf8": acc_results("utf-8"),
    "acc_utf16": acc_results("utf-16-le"),
    "motec_ld": motec.log(
        [*motec.car(), motec.timer(), motec.beacon_words(), motec.counter(2), motec.last_times()]
    ),
    "motec_csv": motec.export(
        motec.exported_car(), (("Beacon Markers", " ".join(f"{second:.3f}" for second in motec.LINE)),)
    ),
}
SLOW = 30.0  # seconds that no file may cost, on a machine that many tests share
SHORT = pl.DataFrame(
    {
        "lap": np.repeat([1.0, 2.0], 20),
        "currentLapTime": np.tile(np.arange(20) * 4.0, 2),
        "sessionTime": np.arange(40) * 4.0,
        "trackPosition": np.tile(np.linspace(0, 0.99, 20), 2),
        "lapDistance": np.tile(np.arange(20) * 100.0, 2),
        "lapTime": np.repeat([80.0, 80.5], 20),
        "lastLapTime": np.repeat([0.0, 80.0], 20),
        "sectorIndex": np.tile(np.repeat([0.0, 1.0], 10), 2),
        "inPit": np.zeros(40),
        "speed": np.full(40, 150.0),
    }
)
TIMES = pl.DataFrame(
    {
        "lap": np.arange(1.0, 13.0),
        "lapTime": np.full(12, 91.5),
        "sector1": np.full(12, 30.5),
        "sector2": np.full(12, 30.0),
        "sector3": np.full(12, 31.0),
        "session": np.repeat([1.0, 2.0], 6),
        "stint": np.repeat([1.0, 2.0, 3.0], 4),
        "valid": np.ones(12),
        "airTemp": np.full(12, 21.5),
    }
).with_columns(lap=pl.Series([*range(1, 7), *range(1, 7)], dtype=pl.Float64))
CHILD = Path(__file__).with_name("hostile_files.py")


def check_laps(laps: tuple[Lap, ...]) -> None:
    """What every lap promises, whatever it was read from."""
    assert laps
    assert len({lap.number for lap in laps}) == len(laps)
    for lap in laps:
        assert lap.valid is (lap.reason is None)
        assert lap.lap_time is None or 0 < lap.lap_time < 1e7
        assert ((lap.position >= 0) & (lap.position <= 1)).all()
        assert (np.diff(lap.position) >= 0).all()
        assert np.isfinite(lap.time).all()
        assert not lap.valid or lap.lap_time is not None


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.timeout(0)  # hypothesis holds each example to its deadline
@given(mutations=SPOILING, driver=st.sampled_from([None, "ANN", "ARC"]))
def test_a_spoilt_file_gives_laps_or_a_clear_error(
    name: str, mutations: list[Mutation], driver: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        recording = read(spoilt(SEEDS[name], mutations), folder, limits=LIMITS, driver=driver)
    except LearningError as refused:
        assert refused.message
        assert json.dumps(dict(refused.details), allow_nan=False)  # the API sends them
    else:
        check_laps(recording.session.laps)
        assert decode(encode(recording.session)).laps[-1].number == recording.session.laps[-1].number


WRITERS = {"csv": as_csv, "json": as_json, "parquet": as_parquet}
VALUES = st.sampled_from([None, float("nan"), float("inf"), -1.0, 0.0, 0.5, 1.0, 2.5, 50.0, 1e300])
STRETCHES = st.tuples(st.integers(0, 39), st.integers(1, 40))  # first row, how many
CHANGES = st.tuples(STRETCHES, st.integers(0, 9), VALUES | st.sampled_from(["turned", "shifted", "held"]))


def changed(rows: pl.DataFrame, stretch: tuple[int, int], column: int, change: Any) -> pl.DataFrame:
    """The rows with a stretch of one column turned round, moved on, held still, or set to a value."""
    values = rows[rows.columns[column % rows.width]].to_list()
    first = stretch[0] % rows.height
    own = values[first : first + stretch[1]]
    new = {"turned": own[::-1], "shifted": [*own[2:], *own[:2]], "held": own[:1] * len(own)}
    values[first : first + stretch[1]] = new.get(change, [change] * len(own))
    return rows.with_columns(pl.Series(rows.columns[column % rows.width], values, dtype=pl.Float64))


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.timeout(0)
@given(writer=st.sampled_from(sorted(WRITERS)), changes=st.lists(CHANGES, min_size=1, max_size=4))
def test_rows_of_any_values_give_laps_or_a_clear_error(
    table: bool, writer: str, changes: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = reduce(lambda rows, change: changed(rows, *change), changes, TIMES if table else SHORT)
    try:
        check_laps(read(WRITERS[writer](rows), tmp_path_factory.getbasetemp(), limits=LIMITS).session.laps)
    except LearningError as refused:
        assert refused.message
        assert json.dumps(dict(refused.details), allow_nan=False)


def test_seeds_are_good_files(tmp_path: Path) -> None:
    drivers = {"laps_csv": "ANN", "laps_json": "ANN", "laps_jsonl": "BO", "laps_parquet": "BO"}
    for name, data in SEEDS.items():
        own = drivers.get(name, "ARC" if name.startswith("acc") else None)
        check_laps(read(data, tmp_path, limits=LIMITS, driver=own).session.laps)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_hostile_files_cost_neither_much_memory_nor_much_time(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(CHILD), "make", str(tmp_path)], timeout=60, check=True)
    child = subprocess.run(
        [sys.executable, str(CHILD), "read", str(tmp_path)], capture_output=True, text=True, timeout=110
    )
    assert child.returncode == 0, child.stdout + child.stderr
    outcomes = [json.loads(line) for line in child.stdout.splitlines()]
    assert {outcome["name"]: outcome["error"] for outcome in outcomes} == {
        "gzip_bomb": "TelemetryTooLarge",
        "zstd_bomb": "TelemetryTooLarge",
        "deep_json": "InvalidTelemetry",
        "deep_results": "InvalidTelemetry",
        "long_csv_row": "InvalidTelemetry",
        "long_table_row": "InvalidTelemetry",
        "many_table_rows": "TelemetryTooLarge",
        "many_empty_objects": "UnknownFormat",
        "many_columns": "TelemetryTooLarge",
        "huge_ibt_header": "InvalidTelemetry",
        "many_results": "InvalidTelemetry",
        "long_numbers": "InvalidTelemetry",
        "long_category_in_frames": "InvalidTelemetry",
        "long_category_in_table": "TelemetryTooLarge",
        "packed_text_in_table": "TelemetryTooLarge",
        "packed_text_in_frames": "TelemetryTooLarge",
        "long_text_in_table": "TelemetryTooLarge",
    }
    assert [outcome["name"] for outcome in outcomes if outcome["seconds"] > SLOW] == []

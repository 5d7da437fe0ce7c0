"""Makes small sessions of telemetry, as rows of any names, for the tests of reading them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from learning.telemetry import Recording, read_session

LAP_TIME = 80.0
FRAMES = 200  # a lap


def session(laps: int = 3, **columns: Any) -> pl.DataFrame:
    """Laps of 80 s at an even pace; a column given replaces one of that name, None drops it."""
    share = np.tile(np.arange(FRAMES) / FRAMES, laps)
    rows: dict[str, Any] = {
        "lap": np.repeat(np.arange(1, laps + 1), FRAMES),
        "currentLapTime": share * LAP_TIME,
        "trackPosition": share,
        "speed": 150 + 50 * np.sin(share * 20),
    }
    return pl.DataFrame({name: values for name, values in (rows | columns).items() if values is not None})


def changed(name: str, values: dict[int, Any], **columns: Any) -> pl.DataFrame:
    """A session in which some rows (counted from 1) of one column have other values."""
    rows = session(**columns)
    return rows.with_columns(rows[name].scatter([row - 1 for row in values], list(values.values())))


def as_csv(rows: pl.DataFrame) -> bytes:
    return rows.write_csv().encode()


def as_json(rows: pl.DataFrame) -> bytes:
    return json.dumps(rows.to_dicts(), indent=1).encode()


def as_json_lines(rows: pl.DataFrame) -> bytes:
    return rows.write_ndjson().encode()


def as_parquet(rows: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    rows.write_parquet(file)
    return file.getvalue()


def read(data: bytes | pl.DataFrame, folder: Path, **options: Any) -> Recording:
    """What the reader makes of an upload."""
    path = folder / "upload"
    path.write_bytes(data if isinstance(data, bytes) else as_csv(data))
    return read_session(path, **options)

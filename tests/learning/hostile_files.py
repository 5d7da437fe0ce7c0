"""Makes files that should cost much, or reads them with little memory and prints what came of each."""

import gzip
import json
import resource
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import zstandard

from learning.errors import LearningError
from learning.telemetry import Limits, read_session

MEMORY = 1 << 30  # beyond what the libraries have taken for themselves
LIMITS = Limits(decoded_bytes=64 << 20)
ZEROS = b"0" * (1 << 20)


def packed(folder: Path, names: list[str]) -> bytes:
    """A megabyte of text in each of 200 rows, each of its own, which compresses to a few kilobytes."""
    path = folder / "text.parquet"
    texts = pl.Series([f"{'A' * 1_000_000}{row}" for row in range(200)])
    rows = pl.DataFrame({name: range(200) for name in names[:-1]}).with_columns(texts.alias(names[-1]))
    rows.write_parquet(path, statistics=False)
    return path.read_bytes()


def parquet(folder: Path, name: str) -> bytes:
    """A text of a megabyte in each of 20,000 rows, which a dictionary keeps once."""
    path = folder / "text.parquet"
    text = pl.Series(name, ["9" * 1_000_000], dtype=pl.Categorical).new_from_index(0, 20_000)
    pl.DataFrame({"lap": range(1, 20_001), "lapTime": 90.0}).with_columns(text).write_parquet(path)
    return path.read_bytes()


FILES: dict[str, Callable[[Path], bytes]] = {
    "gzip_bomb": lambda _: gzip.compress(ZEROS) * 4_000,
    "zstd_bomb": lambda _: zstandard.compress(ZEROS) * 4_000,
    "deep_json": lambda _: b'[{"lap":' + b"[" * (60 << 20),
    "deep_results": lambda _: b'{"sessionResult":' + b"[" * (30 << 20),
    "long_csv_row": lambda _: b"lap,speed,trackPosition\n" + b"," * (60 << 20),
    "long_table_row": lambda _: b"lap,lapTime\n" + b"," * (60 << 20),
    "many_table_rows": lambda _: b"lap,lapTime\n" + b"1,9\n" * (15 << 20),
    "many_empty_objects": lambda _: b"[" + b"{}," * (20 << 20) + b"{}]",
    "many_columns": lambda _: b"lap,speed," + b"a," * (100 << 10) + b"\n",
    "huge_ibt_header": lambda _: (
        struct.pack("<14i", 2, 1, 60, 0, 2**31 - 1, 200, 1000, 144, 1, 1 << 20, 0, 0, 0, 200).ljust(
            112, b"\0"
        )
        + struct.pack("<qddii", 0, 0.0, 0.0, 0, 2**31 - 1)
        + b"\0" * (60 << 20)
    ),
    "many_results": lambda _: b'{"sessionResult": {}, "laps": [' + b"{}," * (8 << 20) + b"{}]}",
    "long_numbers": lambda _: b"lap,lapTime\n1," + b"9" * 900_000 + b"\n",
    "long_category_in_frames": lambda folder: parquet(folder, "tyreCompound").replace(b"lapTime", b"lapTimX"),
    "long_category_in_table": lambda folder: parquet(folder, "driver"),
    "packed_text_in_table": lambda folder: packed(folder, ["lap", "lapTime", "driver"]),
    "packed_text_in_frames": lambda folder: packed(
        folder, ["lap", "currentLapTime", "trackPosition", "tyreCompound"]
    ),
    # without the schema that polars writes for itself, the column is one of text
    "long_text_in_table": lambda folder: parquet(folder, "driver").replace(b"ARROW:schema", b"OTHER:schema"),
}


def outcome(path: Path) -> dict[str, str | float]:
    start = time.monotonic()
    try:
        read_session(path, limits=LIMITS)
        error = "none"
    except LearningError as refused:
        error = type(refused).__name__
    return {"error": error, "seconds": round(time.monotonic() - start, 2)}


def make(folder: Path) -> None:
    for name, data in FILES.items():
        (folder / name).write_bytes(data(folder))


def read(folder: Path) -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    for name in FILES:
        print(json.dumps({"name": name, **outcome(folder / name)}), flush=True)


if __name__ == "__main__":
    {"make": make, "read": read}[sys.argv[1]](Path(sys.argv[2]))

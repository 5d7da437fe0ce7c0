"""Reads Parquet, one column at a time, so that memory follows the channels kept and not the file."""

from pathlib import Path

import polars as pl

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry.channels import TEXT, Column, resolve
from learning.telemetry.frames import canonical, collect
from learning.telemetry.source import Limits

MAGIC = b"PAR1"
BYTES = 8  # that a value takes


def sniff(head: bytes) -> bool:
    """Whether a file begins like Parquet."""
    return head.startswith(MAGIC)


def read(path: Path, limits: Limits) -> pl.DataFrame:
    """A Parquet file's frames.

    Raises
    ------
    InvalidTelemetry
        The file is damaged, or a numeric channel is of another type.
    TelemetryTooLarge
        It has too many rows or columns, or decodes to too much.
    """
    try:
        return _read(path, limits)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as exc:
        raise InvalidTelemetry(
            "The Parquet file is damaged or cut short; write and upload it again.", cause=str(exc)[:200]
        ) from exc


def _read(path: Path, limits: Limits) -> pl.DataFrame:
    scan = pl.scan_parquet(path, glob=False)
    schema = scan.collect_schema()
    if len(schema) > limits.columns:
        raise TelemetryTooLarge(
            f"The file has {len(schema):,} columns, the limit is {limits.columns:,}; leave some out.",
            limit=limits.columns,
        )
    columns, rows = resolve(schema.names()), scan.select(pl.len()).collect().item()
    if rows > limits.rows or rows * len(columns) * BYTES > limits.decoded_bytes:
        raise TelemetryTooLarge(
            f"The file's {rows:,} rows are too many; split the session.", limit=limits.rows
        )
    return collect(
        [pl.concat([_column(scan, column, schema) for column in columns], how="horizontal")], limits
    )


def _column(scan: pl.LazyFrame, column: Column, schema: pl.Schema) -> pl.DataFrame:
    text = schema[column.source] == pl.String
    if text and column.channel.name != TEXT:
        raise InvalidTelemetry(
            f"Column {column.source!r} must hold numbers, not text.", column=column.source, row=None
        )
    return canonical(scan.select(column.source).collect(), [column])

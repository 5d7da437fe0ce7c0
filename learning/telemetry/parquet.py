"""Reads Parquet, one column at a time, so that memory follows the channels kept and not the file."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry.channels import TEXT, Column, resolve
from learning.telemetry.frames import canonical, collect, short_text
from learning.telemetry.parquet_pages import sizes
from learning.telemetry.source import Limits, check_size

MAGIC = b"PAR1"
BYTES = 8  # that a value takes
TABLE_ROWS = 1000  # read at once
TEXT_LENGTH, LIST_LENGTH = 64, 32  # that a value of a table needs


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
    with _errors_translated():
        return _read(path, limits)


def names(path: Path, limits: Limits) -> tuple[str, ...]:
    """The columns' names."""
    with _errors_translated():
        return tuple(_schema(pl.scan_parquet(path, glob=False), limits).names())


def rows(path: Path, limits: Limits) -> Iterator[Mapping[str, Any]]:
    """The rows one by one, for a table that has few; long texts and lists are cut off, errors as `read`."""
    with _errors_translated():
        scan = pl.scan_parquet(path, glob=False)
        schema = _schema(scan, limits)
        plain = {name: kind for name, kind in schema.items() if _is_plain(kind)}
        _check_sizes(path, plain, limits)
        columns = [_short(name, kind) for name, kind in plain.items()]
        for first in range(0, scan.select(pl.len()).collect().item(), TABLE_ROWS):
            yield from scan.select(columns).slice(first, TABLE_ROWS).collect().iter_rows(named=True)


def _short(name: str, kind: pl.DataType) -> pl.Expr:
    if kind == pl.String:
        return pl.col(name).str.slice(0, TEXT_LENGTH)
    if kind in (pl.Categorical, pl.Enum):
        return pl.col(name).map_batches(short_text, return_dtype=pl.String)
    return pl.col(name).list.head(LIST_LENGTH) if isinstance(kind, pl.List) else pl.col(name)


def _is_plain(kind: pl.DataType) -> bool:
    inner = kind.inner if isinstance(kind, pl.List) else kind
    return (
        inner.is_numeric()
        or inner == pl.Boolean
        or (not kind.is_nested() and kind in (pl.String, pl.Categorical, pl.Enum, pl.Duration))
    )


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as exc:
        raise InvalidTelemetry(
            "The Parquet file is damaged or cut short; write and upload it again.", cause=str(exc)[:200]
        ) from exc


def _read(path: Path, limits: Limits) -> pl.DataFrame:
    scan = pl.scan_parquet(path, glob=False)
    schema = _schema(scan, limits)
    columns, rows = resolve(schema.names()), scan.select(pl.len()).collect().item()
    if rows > limits.rows or rows * len(columns) * BYTES > limits.decoded_bytes:
        raise TelemetryTooLarge(
            f"The file's {rows:,} rows are too many; split the session.", limit=limits.rows
        )
    _check_sizes(path, [column.source for column in columns], limits)
    return collect(
        [pl.concat([_column(scan, column, schema) for column in columns], how="horizontal")], limits
    )


def _check_sizes(path: Path, names: Iterable[str], limits: Limits) -> None:
    found = sizes(path)
    check_size(sum(found.get(name, 0) for name in names), limits)


def _schema(scan: pl.LazyFrame, limits: Limits) -> pl.Schema:
    schema = scan.collect_schema()
    if len(schema) > limits.columns:
        raise TelemetryTooLarge(
            f"The file has {len(schema):,} columns, the limit is {limits.columns:,}; leave some out.",
            limit=limits.columns,
        )
    return schema


def _column(scan: pl.LazyFrame, column: Column, schema: pl.Schema) -> pl.DataFrame:
    text = schema[column.source] == pl.String
    if text and column.channel.name != TEXT:
        raise InvalidTelemetry(
            f"Column {column.source!r} must hold numbers, not text.", column=column.source, row=None
        )
    return canonical(scan.select(column.source).collect(), [column])

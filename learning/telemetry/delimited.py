"""Reads CSV in blocks of whole rows, so that memory follows the channels kept and not the file."""

import csv
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry.channels import TEXT, Column, is_known, resolve
from learning.telemetry.frames import canonical, collect
from learning.telemetry.source import Limits

BLOCK = 8 << 20
ROW_BYTES = 1 << 20  # a longer row is a missing line end or quote
ROW_TOO_LONG = "A row is longer than a megabyte; a line end or a closing quote is missing."
SEPARATORS = ",;\t|"
TELLING = 2_000  # names that are looked at to find the separator
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Header:
    """The first line of a file: its column names, what separates them, and where the rows begin."""

    names: tuple[str, ...]
    separator: str
    end: int


def sniff(head: bytes) -> bool:
    """Whether a file begins like CSV: text whose first line names a known channel."""
    return b"\0" not in head and any(is_known(name) for name in _header(head).names[:TELLING])


def read(path: Path, limits: Limits) -> pl.DataFrame:
    """A CSV file's frames, with any of the usual separators.

    Raises
    ------
    InvalidTelemetry
        A row has more or fewer fields than the first line, or text where a number belongs.
    TelemetryTooLarge
        It has too many rows or columns.
    """
    with path.open("rb") as file:
        header = _header(file.read(ROW_BYTES))
    check_names(header.names, limits)
    return frames_of(path, header, resolve(header.names), limits)


def names(path: Path, limits: Limits) -> tuple[str, ...]:
    """The column names in the first line."""
    with path.open("rb") as file:
        names = _header(file.read(ROW_BYTES)).names
    check_names(names, limits)
    return names


def rows(path: Path, limits: Limits) -> Iterator[Mapping[str, str]]:
    """The rows one by one as they stand, for a table that has few of them; errors as `read` has them."""
    with path.open("rb") as file:
        header = _header(file.read(ROW_BYTES))
        file.seek(header.end)
        lines = csv.reader(_lines(file), delimiter=header.separator)
        for number, line in enumerate(_parsed_lines(lines), start=1):
            if line and len(line) != len(header.names):
                raise _ragged(number, len(line), len(header.names))
            if line:
                yield dict(zip(header.names, line, strict=True))


def _lines(file: BinaryIO) -> Iterator[str]:
    while line := file.readline(ROW_BYTES + 1):
        if len(line) > ROW_BYTES:
            raise InvalidTelemetry(ROW_TOO_LONG, column=None)
        yield line.decode("utf-8", "replace")


def _parsed_lines(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from lines
    except csv.Error as exc:
        raise InvalidTelemetry(
            "A field is too long, or the quotes do not pair; check the quoting.", cause=str(exc)
        ) from exc


def frames_of(path: Path, header: Header, columns: Sequence[Column], limits: Limits) -> pl.DataFrame:
    """The frames in the rows below a header, wherever in the file and under whatever names it stands."""
    return collect(_frames(path, header, columns), limits)


def _header(head: bytes) -> Header:
    start = len(BOM) if head.startswith(BOM) else 0
    while head[start : start + 1] in (b"\n", b"\r"):
        start += 1
    end = head.find(b"\n", start) + 1 or len(head)
    line = head[start:end].decode("utf-8", "replace").strip("\r\n")
    by_separator = {separator: fields(line, separator) for separator in SEPARATORS}
    separator = max(SEPARATORS, key=lambda mark: sum(map(is_known, by_separator[mark][:TELLING])))
    return Header(by_separator[separator], separator, end)


def fields(line: str, separator: str) -> tuple[str, ...]:
    """One line's fields."""
    try:
        return tuple(name.strip() for name in next(csv.reader([line], delimiter=separator), []))
    except csv.Error:  # a field longer than any name
        return ()


def check_names(names: Sequence[str], limits: Limits) -> None:
    """Refuses more or longer names than the limits allow."""
    if len(names) > limits.columns:
        raise TelemetryTooLarge(
            f"The file has {len(names):,} columns, the limit is {limits.columns:,}; leave some out.",
            limit=limits.columns,
        )
    if (longest := max(names, key=len, default="")) and len(longest) > limits.name_length:
        raise InvalidTelemetry(
            f"A column's name is longer than {limits.name_length} characters; shorten it.",
            column=longest[: limits.name_length],
        )


def _frames(path: Path, header: Header, columns: Sequence[Column]) -> Iterator[pl.DataFrame]:
    first_row = 0
    for block in _blocks(path, header.end):
        raw = _parsed(block, header, columns, first_row)
        yield canonical(raw, columns, first_row=first_row)
        first_row += raw.height


def _blocks(path: Path, start: int) -> Iterator[bytes]:
    """Whole rows, blank lines removed; a line end inside quotes does not end a row."""
    rest = b""
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(BLOCK):
            data = rest + chunk
            end = _last_row_end(data)
            rest = data[end:]
            if len(rest) > ROW_BYTES:
                raise InvalidTelemetry(ROW_TOO_LONG, column=None)
            if rows := _without_blank_lines(data[:end]):
                yield rows
    if rows := _without_blank_lines(rest + b"\n"):
        yield rows


def _last_row_end(data: bytes) -> int:
    if b'"' not in data:
        return data.rfind(b"\n") + 1
    (ends,) = _places(data, b"\n")
    return int(ends[-1]) + 1 if len(ends) else 0


def _places(data: bytes, *marks: bytes) -> tuple[NDArray[np.intp], ...]:
    """Where each of the characters stands outside quotes."""
    characters = np.frombuffer(data, dtype=np.uint8)
    if b'"' not in data:
        return tuple(np.flatnonzero(characters == ord(mark)) for mark in marks)
    outside = ~np.logical_xor.accumulate(characters == ord('"'))
    return tuple(np.flatnonzero((characters == ord(mark)) & outside) for mark in marks)


def _without_blank_lines(data: bytes) -> bytes:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    while b"\n\n" in data:
        data = data.replace(b"\n\n", b"\n")
    return data.removeprefix(b"\n")


def _parsed(block: bytes, header: Header, columns: Sequence[Column], first_row: int) -> pl.DataFrame:
    rows = _check_widths(block, header, first_row)
    places = {header.names.index(column.source): column for column in columns}
    try:
        raw = _numbers_or_text(block, header, places)
    except pl.exceptions.PolarsError as exc:
        raise _malformed(first_row, rows) from exc
    if raw.height != rows:
        raise _malformed(first_row, rows)
    raw.columns = [places[place].source for place in sorted(places)]
    return raw


def _numbers_or_text(block: bytes, header: Header, places: Mapping[int, Column]) -> pl.DataFrame:
    """The block's columns, numbers parsed at once; if some are not plain numbers, all is left as text."""
    numbers = {place for place, column in places.items() if column.channel.name != TEXT}
    try:
        return _csv(block, header, places, numbers)
    except pl.exceptions.ComputeError:
        return _csv(block, header, places, set())


def _csv(block: bytes, header: Header, places: Iterable[int], numbers: Container[int]) -> pl.DataFrame:
    return pl.read_csv(
        block,
        has_header=False,
        schema={str(i): pl.Float64 if i in numbers else pl.String for i in range(len(header.names))},
        separator=header.separator,
        columns=sorted(places),
        encoding="utf8-lossy",
    )


def _malformed(first_row: int, rows: int) -> InvalidTelemetry:
    return InvalidTelemetry(
        f"Between rows {first_row + 1} and {first_row + rows} quotes do not pair; check the quoting.",
        row=first_row + 1,
    )


def _check_widths(block: bytes, header: Header, first_row: int) -> int:
    """The number of rows in the block, each of which has as many fields as the header."""
    ends, separators = _places(block, b"\n", header.separator.encode())
    fields = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
    ragged = np.flatnonzero(fields != len(header.names))
    if not len(ends):
        raise _malformed(first_row, 1)
    if len(ragged):
        row, count = first_row + int(ragged[0]) + 1, int(fields[ragged[0]])
        raise _ragged(row, count, len(header.names))
    return len(ends)


def _ragged(row: int, count: int, expected: int) -> InvalidTelemetry:
    return InvalidTelemetry(
        f"Row {row} has {count} fields, the first line has {expected}; is the file cut short?",
        row=row,
        fields=count,
        expected=expected,
    )

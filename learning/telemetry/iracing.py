"""Reads iRacing's `.ibt`: fixed-size records behind a header that says where in them each variable lies."""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry.channels import Column, resolve
from learning.telemetry.frames import canonical, collect
from learning.telemetry.source import Limits

# version, status, tick rate; update, length and offset of the session's text; number and offset of the
# variables; number of buffers, length of a record; two unused; tick and offset of the first buffer
_HEADER = struct.Struct("<14i")
_DISK_HEADER = struct.Struct("<qddii")  # start date, start and end time, laps, records
_DISK_HEADER_AT = 112
_VARIABLE = struct.Struct("<iiiB3x32s64s32s")  # type, offset, count, count as time; name, description, unit
_TYPES = {1: "?", 2: "<i4", 3: "<u4", 4: "<f4", 5: "<f8"}  # bool, int, bit field, float, double
_TICK_RATES = range(1, 1001)
BLOCK = 8 << 20
RECORD_BYTES = 1 << 20  # a longer record is none: today's are 1 to 8 kB
TEXT_BYTES = 4 << 20


@dataclass(frozen=True)
class _Variable:
    name: str
    type: int
    offset: int
    count: int


@dataclass(frozen=True)
class _Header:
    text_at: int
    text_bytes: int
    variables: tuple[_Variable, ...]
    record_bytes: int
    records_at: int
    records: int


def sniff(head: bytes) -> bool:
    """Whether a file begins with iRacing's header: a version, a status, and samples a second."""
    if len(head) < _HEADER.size:
        return False
    version, status, tick_rate, *_ = _HEADER.unpack_from(head)
    return version in (1, 2) and status in (0, 1) and tick_rate in _TICK_RATES


def read(path: Path, limits: Limits) -> pl.DataFrame:
    """The frames of a recording; `sector_index` comes from the track's own sectors.

    Raises
    ------
    InvalidTelemetry
        It was cut short or never finished, is a copy of the simulator's live memory, or is damaged.
    TelemetryTooLarge
        It has too many records or variables.
    """
    with path.open("rb") as file:
        header = _header(file, limits)
        names = [v.name for v in header.variables if v.count == 1 and v.type in _TYPES]
        frames = collect(_frames(file, header, resolve(names)), limits)
        starts = _sector_starts(_text(file, header))
    if len(starts) < 2 or "track_position" not in frames.columns:
        return frames
    position = frames["track_position"].fill_null(0.0).to_numpy()
    sector = np.searchsorted(starts, position, side="right") - 1
    return frames.with_columns(pl.Series("sector_index", sector, dtype=pl.Float32))


def names(path: Path) -> tuple[str | None, str | None]:
    """The track with its layout, and the car, as iRacing shows them."""
    with path.open("rb") as file:
        text = _text(file, _header(file, Limits()))
    track = [_value(text, "TrackDisplayName"), _value(text, "TrackConfigName")]
    own = re.search(rf"^ *-? *CarIdx: *{_value(text, 'DriverCarIdx') or 0}\s*$", text, re.MULTILINE)
    return " ".join(filter(None, track)) or None, _value(text[own.end() :], "CarScreenName") if own else None


def _header(file: BinaryIO, limits: Limits) -> _Header:
    size = file.seek(0, 2)
    start = _read(file, 0, _DISK_HEADER_AT + _DISK_HEADER.size)
    head = _HEADER.unpack_from(start)
    text_bytes, text_at, count, at, buffers, record_bytes, records_at = *head[4:10], head[13]
    if buffers != 1:
        raise InvalidTelemetry(
            f"This is a copy of iRacing's live memory with {buffers} buffers, not a recording; upload the "
            ".ibt file that iRacing wrote into its telemetry folder.",
            buffers=buffers,
        )
    if count > limits.columns:
        raise TelemetryTooLarge(
            f"The file has {count:,} variables, the limit is {limits.columns:,}.", limit=limits.columns
        )
    if count < 1 or not 1 <= record_bytes <= RECORD_BYTES or min(at, text_at, text_bytes, records_at) < 0:
        raise _damaged("its header points to nowhere")
    records = _DISK_HEADER.unpack_from(start, _DISK_HEADER_AT)[-1]
    _check_records(records, max(size - records_at, 0), record_bytes)
    variables = tuple(
        _variable(fields, record_bytes)
        for fields in _VARIABLE.iter_unpack(_read(file, at, count * _VARIABLE.size))
    )
    return _Header(text_at, text_bytes, variables, record_bytes, records_at, records)


def _check_records(records: int, available: int, record_bytes: int) -> None:
    if records < 1:
        raise InvalidTelemetry(
            "iRacing did not finish this file: its header counts no records; leave the car first.",
            records=records,
        )
    if records * record_bytes > available:
        there = available // record_bytes
        raise InvalidTelemetry(
            f"The file is cut short: its header counts {records:,} records of {record_bytes:,} bytes, there "
            f"are {there:,}; upload the whole file.",
            records=records,
            found=there,
        )


def _variable(fields: Sequence[int | bytes], record_bytes: int) -> _Variable:
    kind, offset, count, _, raw = fields[:5]
    assert isinstance(kind, int) and isinstance(offset, int) and isinstance(count, int)  # noqa: S101 - typing
    assert isinstance(raw, bytes)  # noqa: S101 - as the struct has it
    name = raw.split(b"\0")[0].decode("latin-1")
    bytes_each = np.dtype(_TYPES.get(kind, "S1")).itemsize
    if count < 1 or offset < 0 or offset + count * bytes_each > record_bytes:
        raise _damaged(f"variable {name[:32]!r} lies outside its records", column=name[:32])
    return _Variable(name, kind, offset, count)


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    data = file.read(size)
    if len(data) < size:
        raise InvalidTelemetry(
            f"The file is cut short: its header points to byte {at + size:,}, it ends at {at + len(data):,}; "
            "upload the whole file."
        )
    return data


def _damaged(what: str, **details: str) -> InvalidTelemetry:
    return InvalidTelemetry(
        f"The .ibt file is damaged: {what}; upload it again as iRacing wrote it.", **details
    )


def _frames(file: BinaryIO, header: _Header, columns: Sequence[Column]) -> Iterator[pl.DataFrame]:
    by_name = {variable.name: variable for variable in reversed(header.variables)}
    wanted = [by_name[column.source] for column in columns]
    record = np.dtype(
        {
            "names": [variable.name for variable in wanted],
            "formats": [_TYPES[variable.type] for variable in wanted],
            "offsets": [variable.offset for variable in wanted],
            "itemsize": header.record_bytes,
        }
    )
    step = max(BLOCK // header.record_bytes, 1)
    for first in range(0, header.records, step):
        count = min(step, header.records - first)
        data = _read(file, header.records_at + first * header.record_bytes, count * header.record_bytes)
        rows = np.frombuffer(data, dtype=record)
        raw = pl.DataFrame({variable.name: rows[variable.name].copy() for variable in wanted})
        yield canonical(raw, columns, first_row=first)


def _text(file: BinaryIO, header: _Header) -> str:
    """What the file says of track and cars. It looks like YAML, but names in it are not always quoted."""
    file.seek(header.text_at)
    return file.read(min(header.text_bytes, TEXT_BYTES)).split(b"\0")[0].decode("latin-1")


def _value(text: str, name: str) -> str | None:
    found = re.search(rf"^ *{name}: *(.*?)\s*$", text, re.MULTILINE)
    return (found[1].strip("\"'") or None) if found else None


def _sector_starts(text: str) -> list[float]:
    return sorted(float(share) for share in re.findall(r"SectorStartPct: *(0?\.\d+|[01](?:\.\d*)?)\s", text))

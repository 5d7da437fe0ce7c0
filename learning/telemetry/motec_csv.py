"""Reads the CSV that MoTeC i2 exports: lines about the session, names, units, then the frames."""

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from learning.errors import InvalidTelemetry
from learning.telemetry.channels import is_known, key, known
from learning.telemetry.crossings import plausible, with_laps
from learning.telemetry.delimited import BOM, ROW_BYTES, Header, check_names, fields, frames_of
from learning.telemetry.motec_ld import LAP_TIME, text
from learning.telemetry.source import Limits

_TIME = "time"
LINES = 200  # that may come before the frames
_FIRST = re.compile(rb'"?format"?\s*([,;\t|])\s*"?motec csv file', re.IGNORECASE)
_ONE_LAP = re.compile(r"lap\s+\d+", re.IGNORECASE)


@dataclass(frozen=True)
class _Export:
    """What comes before the frames."""

    about: dict[str, tuple[str, ...]]
    header: Header
    units: tuple[str, ...]

    def first(self, name: str) -> str | None:
        return next(iter(self.about.get(name, ())), "") or None

    def seconds(self, name: str) -> tuple[float, ...]:
        """The numbers of a line; i2 writes several into one field, other programs each into its own."""
        words = re.split(r"[\s,;]+", " ".join(self.about.get(name, ())))
        return tuple(float(word) for word in words if re.fullmatch(r"\d+(\.\d*)?", word))


def sniff(head: bytes) -> bool:
    """Whether a file begins like an export of MoTeC i2."""
    return _FIRST.match(head.removeprefix(BOM)) is not None


def read(path: Path, limits: Limits) -> pl.DataFrame:
    """An export's frames, in canonical units.

    Raises
    ------
    InvalidTelemetry
        There is no row of names with a Time, a needed channel is in a unit nobody knows, a row has more or
        fewer fields than there are names, or nothing shows where laps begin.
    TelemetryTooLarge
        It has too many rows or columns.
    """
    export = _export(path)
    check_names(export.header.names, limits)
    columns = known(export.header.names, export.units, LAP_TIME)
    frames = frames_of(path, export.header, columns, limits)
    crossings, end = _crossings(export, frames)
    return plausible(with_laps(frames, crossings, end=end))


def names(path: Path) -> tuple[str | None, str | None]:
    """The venue's and the vehicle's name, None where the export has none."""
    export = _export(path)
    return export.first("venue"), export.first("vehicle")


def _crossings(export: _Export, frames: pl.DataFrame) -> tuple[tuple[float, ...], float | None]:
    """The beacons; an export of one lap begins and ends at the line."""
    start, duration = frames["session_time"][0], export.seconds("duration")
    if duration and start is not None and _ONE_LAP.fullmatch(export.first("range") or ""):
        return (start,), start + duration[0]
    return export.seconds("beaconmarkers"), None


def _export(path: Path) -> _Export:
    with path.open("rb") as file:
        head = file.read(ROW_BYTES)
    first = _FIRST.match(head.removeprefix(BOM))
    separator = first[1].decode() if first else ","
    lines = head.splitlines(keepends=True)[:LINES]
    cells = [fields(text(line).strip("\r\n"), separator) for line in lines]
    named = _named(cells)
    time = [key(name) for name in cells[named]].index(_TIME)
    begins = next((i for i in range(named + 1, len(cells)) if _is_frame(cells[i], time)), len(cells))
    units = next((row for row in cells[named + 1 : begins] if len(row) == len(cells[named])), ())
    about = {key(row[0]): row[1:] for row in cells[:named] if row}
    return _Export(about, Header(cells[named], separator, sum(map(len, lines[:begins]))), units)


def _named(cells: list[tuple[str, ...]]) -> int:
    for i, row in enumerate(cells):
        if sum(map(is_known, row)) > 1 and _TIME in map(key, row):
            return i
    raise InvalidTelemetry(
        f"There is no row of channel names with a Time in the first {LINES} lines; export the file again.",
        column="Time",
    )


def _is_frame(row: tuple[str, ...], time: int) -> bool:
    return len(row) > time and re.fullmatch(r"-?\d+([.,]\d*)?", row[time]) is not None

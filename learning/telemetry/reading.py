"""The one door to telemetry: finds out what a file is and returns its laps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from learning.errors import UnknownFormat
from learning.laps import SessionLaps
from learning.telemetry import (
    acc_results,
    delimited,
    iracing,
    json_rows,
    lap_table,
    motec_csv,
    motec_ld,
    parquet,
    racechrono,
)
from learning.telemetry.cutting import cut
from learning.telemetry.frames import check
from learning.telemetry.source import Contents, Limits, decoded, printable

HEAD = 1 << 18  # enough for the first line of a CSV with as many columns as allowed
NAME_LENGTH = 100  # that a track or a car may have


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a file held: its format (`csv`, `parquet+zstd`, …), its laps, and what it says of them.

    `driver` is whose laps they are, where the format tells drivers apart.
    """

    format: str
    session: SessionLaps
    track_name: str | None = None
    car_model: str | None = None
    driver: str | None = None


@dataclass(frozen=True)
class Reader:
    """A format that holds frames of canonical channels.

    Parameters
    ----------
    name, sniff
        What it is called, and how a file of it begins.
    read
        The frames.
    names
        The track and the car, where the format knows them.
    """

    name: str
    sniff: Callable[[bytes], bool]
    read: Callable[[Path, Limits], pl.DataFrame]
    names: Callable[[Path], tuple[str | None, str | None]] = lambda _: (None, None)

    def contents(self, path: Path, limits: Limits, driver: str | None) -> Contents:
        """The laps cut from the frames; they are of one driver."""
        laps = cut(check(self.read(path, limits)), limits)
        track_name, car_model = self.names(path)
        return Contents(laps=laps, track_name=track_name, car_model=car_model)


@dataclass(frozen=True)
class RowReader:
    """A format of rows: of frames, or with one row a lap, as its `columns` tell."""

    name: str
    sniff: Callable[[bytes], bool]
    read: Callable[[Path, Limits], pl.DataFrame]
    columns: Callable[[Path, Limits], Sequence[str]]
    rows: Callable[[Path, Limits], Iterator[Mapping[str, Any]]]

    def contents(self, path: Path, limits: Limits, driver: str | None) -> Contents:
        """The laps in the table, or those cut from the frames."""
        columns = self.columns(path, limits)
        if lap_table.is_table(columns):
            return lap_table.read(columns, self.rows(path, limits), limits, driver)
        return Contents(laps=cut(check(self.read(path, limits)), limits))


@dataclass(frozen=True)
class LapReader:
    """A format that holds laps without telemetry, of several drivers."""

    name: str
    sniff: Callable[[bytes], bool]
    contents: Callable[[Path, Limits, str | None], Contents]


# Asked in this order; a new format is one module and one line here.
READERS: tuple[Reader | RowReader | LapReader, ...] = (
    Reader("motec_ld", motec_ld.sniff, motec_ld.read, motec_ld.names),
    Reader("ibt", iracing.sniff, iracing.read, iracing.names),
    Reader("racechrono", racechrono.sniff, racechrono.read, racechrono.names),
    LapReader("acc_results", acc_results.sniff, acc_results.read),
    RowReader("parquet", parquet.sniff, parquet.read, parquet.names, parquet.rows),
    RowReader("json", json_rows.sniff_array, json_rows.read_array, json_rows.names, json_rows.array_rows),
    RowReader("jsonl", json_rows.sniff_lines, json_rows.read_lines, json_rows.names, json_rows.line_rows),
    Reader("motec_csv", motec_csv.sniff, motec_csv.read, motec_csv.names),
    RowReader("csv", delimited.sniff, delimited.read, delimited.names, delimited.rows),
)


def read_session(
    path: Path,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    car_model: str | None = None,
    setup: Mapping[str, float] | None = None,
    driver: str | None = None,
) -> Recording:
    """The laps in a telemetry file of any known format, plain or inside gzip or zstd.

    Parameters
    ----------
    path
        The file; its name means nothing.
    limits
        How much it may unfold to.
    car_model, setup
        What the driver told of the car, kept with the laps; without a car model, the file's counts.
    driver
        Whose laps to take from a file that names several drivers; others pay no heed to it.

    Raises
    ------
    UnknownFormat
        It is not telemetry in a known format.
    InvalidTelemetry
        It is, but cannot be used; the message says what to do, the details name the row, lap or column, or
        the drivers to choose from.
    TelemetryTooLarge
        It is beyond a limit.
    """
    with decoded(path, limits) as (plain, compression):
        reader = _reader(plain)
        found = reader.contents(plain, limits, driver)
    car_model = car_model or _name(found.car_model)
    return Recording(
        format="+".join(filter(None, (reader.name, compression))),
        session=SessionLaps(laps=found.laps, car_model=car_model, setup=dict(setup or {})),
        track_name=_name(found.track_name),
        car_model=_name(found.car_model),
        driver=found.driver,
    )


def _name(found: str | None) -> str | None:
    """A name from a file in a form that may stand in a form's field or a path."""
    return " ".join(printable(found or "").split()).lstrip("/. ")[:NAME_LENGTH].strip() or None


def _reader(path: Path) -> Reader | RowReader | LapReader:
    with path.open("rb") as file:
        head = file.read(HEAD)
    for reader in READERS:
        if reader.sniff(head):
            return reader
    names = ", ".join(reader.name for reader in READERS)
    raise UnknownFormat(
        f"This is not telemetry in a known format, for it begins with {head[:12]!r}; upload {names}. "
        "A CSV begins with the channels' names.",
        formats=[reader.name for reader in READERS],
    )

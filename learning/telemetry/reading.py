"""The one door to telemetry: finds out what a file is and returns its laps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from learning.errors import UnknownFormat
from learning.laps import SessionLaps
from learning.telemetry import delimited, json_rows, motec_csv, motec_ld, parquet
from learning.telemetry.cutting import cut
from learning.telemetry.frames import check
from learning.telemetry.source import Limits, decoded

HEAD = 1 << 18  # enough for the first line of a CSV with as many columns as allowed


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a file held: its format (`csv`, `parquet+zstd`, …), its laps, what it calls track and car."""

    format: str
    session: SessionLaps
    track_name: str | None = None
    car_model: str | None = None


@dataclass(frozen=True)
class Reader:
    """A format: how a file begins, what reads its frames of canonical channels, and its track and car."""

    name: str
    sniff: Callable[[bytes], bool]
    read: Callable[[Path, Limits], pl.DataFrame]
    names: Callable[[Path], tuple[str | None, str | None]] = lambda _: (None, None)


# Asked in this order; a new format is one module and one line here.
READERS = (
    Reader("motec_ld", motec_ld.sniff, motec_ld.read, motec_ld.names),
    Reader("parquet", parquet.sniff, parquet.read),
    Reader("json", json_rows.sniff_array, json_rows.read_array),
    Reader("jsonl", json_rows.sniff_lines, json_rows.read_lines),
    Reader("motec_csv", motec_csv.sniff, motec_csv.read, motec_csv.names),
    Reader("csv", delimited.sniff, delimited.read),
)


def read_session(
    path: Path,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    car_model: str | None = None,
    setup: Mapping[str, float] | None = None,
) -> Recording:
    """The laps in a telemetry file of any known format, plain or inside gzip or zstd.

    Parameters
    ----------
    path
        The file; its name means nothing.
    limits
        How much it may unfold to.
    car_model, setup
        What the driver told of the car, kept with the laps.

    Raises
    ------
    UnknownFormat
        It is not telemetry in a known format.
    InvalidTelemetry
        It is, but cannot be used; the message says what to do, the details name the row, lap or column.
    TelemetryTooLarge
        It is beyond a limit.
    """
    with decoded(path, limits) as (plain, compression):
        reader = _reader(plain)
        frames = check(reader.read(plain, limits))
        track_name, car_model_found = reader.names(plain)
    laps = cut(frames, limits)
    session = SessionLaps(laps=laps, car_model=car_model, setup=dict(setup or {}))
    return Recording(
        format="+".join(filter(None, (reader.name, compression))),
        session=session,
        track_name=track_name,
        car_model=car_model_found,
    )


def _reader(path: Path) -> Reader:
    with path.open("rb") as file:
        head = file.read(HEAD)
    for reader in READERS:
        if reader.sniff(head):
            return reader
    names = ", ".join(reader.name for reader in READERS)
    raise UnknownFormat(
        f"This is not telemetry in a known format; upload {names}; a CSV begins with the channels' names.",
        formats=[reader.name for reader in READERS],
    )

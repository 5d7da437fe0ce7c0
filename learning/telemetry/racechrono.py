"""Reads RaceChrono's CSV v3: a preamble, then rows of names, units and sources; names may come repeatedly."""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from learning.errors import InvalidTelemetry
from learning.laps import Floats
from learning.telemetry import delimited
from learning.telemetry.channels import CHANNELS, resolve
from learning.telemetry.source import Limits

MARK = b"This file is created using RaceChrono"
VERSION = "3"
PREAMBLE_BYTES = 1 << 16
EARTH_RADIUS = 6_371_000.0  # metres

# RaceChrono's name → ours; of two names for one channel the first that the file has counts
_NAMES = {
    "lap_number": "lap",
    "elapsed_time": "session_time",
    "distance_traveled": "lap_distance",
    "speed": "speed",
    "accelerator_pos": "throttle",  # the pedal
    "throttle_pos": "throttle",  # the valve that follows it
    "brake_pos": "brake",
    "clutch_pos": "clutch",
    "gear": "gear",
    "rpm": "rpm",
    "steering_angle": "steering",
    "latitude": "latitude",
    "longitude": "longitude",
    "lateral_acc": "g_lat",
    "longitudinal_acc": "g_lon",
}
_SOURCES = ("gps", "canbus", "obd", "calc")  # of columns with one name the first of these counts, then others
_SHARE = "%"


@dataclass(frozen=True)
class _Preamble:
    track_name: str | None
    names: tuple[str, ...]
    units: tuple[str, ...]
    sources: tuple[str, ...]
    end: int


def sniff(head: bytes) -> bool:
    """Whether a file begins as RaceChrono's CSV does."""
    return head.removeprefix(delimited.BOM).startswith(MARK)


def read(path: Path, limits: Limits) -> pl.DataFrame:
    """The frames of a session; each lap's clock and distance begin where it crossed the line.

    RaceChrono writes a row at each crossing of the line, so a lap between two crossings has an exact time.

    Raises
    ------
    InvalidTelemetry
        It is another version, has no lap between two crossings of the line, or a row is wrong.
    TelemetryTooLarge
        It has too many rows or columns.
    """
    preamble = _preamble(path)
    chosen = _chosen(preamble)
    renamed = tuple(chosen.get(place, f"{place}") for place in range(len(preamble.names)))
    delimited.check_names(preamble.names, limits)
    header = delimited.Header(renamed, ",", preamble.end)
    frames = delimited.frames_of(path, header, resolve(chosen.values()), limits)
    for name in ("lap", "session_time"):
        if name not in frames.columns:
            raise InvalidTelemetry(f"There is no {name} in the file; export it as CSV v3.", missing=[name])
    return _by_lap(frames.filter(frames["lap"].is_not_null()))


def names(path: Path) -> tuple[str | None, str | None]:
    """The track; RaceChrono does not name the car."""
    return _preamble(path).track_name, None


def _preamble(path: Path) -> _Preamble:
    with path.open("rb") as file:
        lines = file.read(PREAMBLE_BYTES).splitlines(keepends=True)
    rows = [delimited.fields(line.decode("utf-8", "replace").strip("\r\n"), ",") for line in lines]
    facts = {row[0]: row[1] for row in rows if len(row) == 2}
    if (version := facts.get("Format")) != VERSION:
        raise InvalidTelemetry(
            f"This is RaceChrono's CSV format {version}, which has not all that is needed; export CSV v3.",
            format=version,
        )
    at = next((number for number, row in enumerate(rows[:-2]) if "lap_number" in row), None)
    if at is None:
        raise InvalidTelemetry(
            "There is no row of column names with lap_number; export the session as CSV v3."
        )
    names, units, sources = rows[at : at + 3]
    if not len(names) == len(units) == len(sources):
        raise InvalidTelemetry(
            "The rows of names, units and sources differ in length; export the file again."
        )
    end = sum(map(len, lines[: at + 3]))
    return _Preamble(facts.get("Track name") or None, names, units, sources, end)


def _chosen(preamble: _Preamble) -> dict[int, str]:
    """The columns to take, by place, under our names with the unit in brackets."""
    chosen: dict[str, int] = {}
    order = list(_NAMES)
    places = [place for place, name in enumerate(preamble.names) if name in _NAMES]
    for place in sorted(
        places, key=lambda at: (order.index(preamble.names[at]), _rank(preamble.sources[at]))
    ):
        name, unit = _NAMES[preamble.names[place]], preamble.units[place]
        if unit != _SHARE or CHANNELS[name].unit == "share":
            chosen.setdefault(name, place)
    return {place: f"{name} [{preamble.units[place]}]" for name, place in chosen.items()}


def _rank(source: str) -> int:
    kind = re.sub(r"^\d+: *", "", source)
    return _SOURCES.index(kind) if kind in _SOURCES else len(_SOURCES)


def _by_lap(frames: pl.DataFrame) -> pl.DataFrame:
    lap, clock = frames["lap"].to_numpy(), frames["session_time"].fill_null(np.nan).to_numpy()
    starts = np.flatnonzero(np.diff(lap, prepend=np.nan) != 0)
    bounds = list(pairwise([*starts.tolist(), len(lap)]))
    whole = [i for i in range(1, len(bounds) - 1) if _is_between_crossings(lap[starts[i - 1 : i + 2]])]
    distance = _distance(frames)
    lengths = {i: distance[bounds[i][1]] - distance[bounds[i][0]] for i in whole}
    if not lengths or not min(lengths.values()) > 0:
        raise InvalidTelemetry(
            "No lap is complete, with rows of the laps before and after it; export the whole session.",
            laps=[int(number) for number in lap[starts[:100]]],
        )
    usual = float(np.median(list(lengths.values())))
    since, position, lap_time = clock.copy(), distance.copy(), np.full(len(lap), np.nan)
    for i, (first, last) in enumerate(bounds):
        since[first:last] -= clock[first]
        ends_at_line = i == 0 and len(bounds) > 1  # and where it began is not known
        position[first:last] -= distance[last] - usual if ends_at_line else distance[first]
        position[first:last] /= lengths.get(i, usual)
        if i in lengths:
            lap_time[first:last] = clock[last] - clock[first]
    position[(position < 0) | (position > 1)] = np.nan  # more than a lap from the one line that was crossed
    own = {"track_position": position, "current_lap_time": since, "lap_time": lap_time}
    return frames.drop("session_time", "lap_distance", strict=False).with_columns(
        pl.Series(name, values, nan_to_null=True) for name, values in own.items()
    )


def _is_between_crossings(numbers: Floats) -> bool:
    return bool(np.diff(numbers).tolist() == [1.0, 1.0])


def _distance(frames: pl.DataFrame) -> Floats:
    """Metres driven at each row: as recorded, else along the coordinates."""
    if "lap_distance" in frames.columns and frames["lap_distance"].null_count() < frames.height:
        return _filled(frames["lap_distance"])
    for name in ("latitude", "longitude"):
        if name not in frames.columns or frames[name].null_count() == frames.height:
            raise InvalidTelemetry(
                "There is neither distance_traveled nor latitude and longitude; export them.", missing=[name]
            )
    latitude, longitude = (np.radians(_filled(frames[name])) for name in ("latitude", "longitude"))
    north, east = np.diff(latitude), np.diff(longitude) * np.cos(latitude[1:])
    return np.concatenate([[0.0], np.cumsum(EARTH_RADIUS * np.hypot(north, east))])


def _filled(values: pl.Series) -> Floats:
    filled = (
        values.cast(pl.Float64).interpolate().fill_null(strategy="backward").fill_null(strategy="forward")
    )
    return filled.to_numpy()

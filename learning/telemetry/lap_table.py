"""Laps from a table with one row a lap, which has official times and conditions but no telemetry."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry.channels import CHANNELS, NO_TIME, TEXT, key, resolve
from learning.telemetry.cutting import CONTEXT, Reason
from learning.telemetry.drivers import Driver, choose
from learning.telemetry.frames import MISSING_WORDS, TEXT_LENGTH
from learning.telemetry.source import Contents, Limits, printable
from learning.telemetry.timed_laps import SECTORS, TimedLap, laps_of, positive

ROWS_A_LAP = 20  # drivers that a table may hold
NAMELESS = "without a name"
_POSITION = ("track_position", "lap_distance", "current_lap_time")  # a file with one of these has telemetry
_MILLI = 0.001

# what names mean in a table of laps, by `key`, beside the channels' own; the first that the file has counts
_NAMES = {
    "lap": ("lap", "lapnumber", "lapno", "lapnum"),
    "lap_time": ("laptime", "lapduration"),
    "sector_times": ("sectortimes", "sectors", "splits"),
    "lap_valid": ("lapvalid", "valid", "isvalid", "isvalidlap", "isvalidforbest"),
    "deleted": ("deleted", "isdeleted", "invalid"),
    "out_lap": ("outlap", "isoutlap", "ispitoutlap"),
    "in_lap": ("inlap", "isinlap", "ispitinlap"),
    "driver": ("driver", "drivername", "playerid", "driverid", "drivernumber"),
    "session": ("session", "sessionno", "sessionnumber", "sessionid", "sessionkey", "sessionname"),
    "stint": ("stint", "outing", "run"),
    TEXT: ("tyrecompound", "compound", "tyre", "tirecompound", "tire"),
    "tyre_life": ("tyrelife", "tyreage", "tirelife", "tireage"),
}
_MEANS = {name: (field, rank) for field, names in _NAMES.items() for rank, name in enumerate(names)}
_SECTOR = re.compile(r"(?:durationsector|sector|s)(\d{1,2})(?:time)?")
_TIME = re.compile(r"(?:(\d{1,3}) days? )?(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:[.,]\d{1,9})?)")


@dataclass(frozen=True)
class _Source:
    """The column that holds a field, and how its numbers become ours."""

    name: str
    factor: float = 1.0
    offset: float = 0.0


def is_table(names: Iterable[str]) -> bool:
    """Whether a file with these columns is a table of laps: it has lap times, and no place on the track.

    >>> is_table(["lap", "lapTime", "sector1Time"]), is_table(["lap", "lapTime", "trackPosition", "speed"])
    (True, False)
    """
    columns = [*names]
    known = {column.channel.name for column in resolve([*columns, "lap_time"])}
    return not known.intersection(_POSITION) and "lap_time" in _sources(columns)


def read(
    names: Sequence[str], rows: Iterable[Mapping[str, Any]], limits: Limits, driver: str | None
) -> Contents:
    """The laps of one driver in a table, in the order driven.

    A table of several sessions becomes one: their laps are numbered on, and each begins an outing.

    Parameters
    ----------
    names
        Of the columns.
    rows
        One for each lap; a value may be absent, None or a text.
    driver
        Whose laps to take, where the table names drivers.

    Raises
    ------
    InvalidTelemetry
        A value is wrong, a lap comes twice, no lap has a time, or the driver is not named or not there.
    TelemetryTooLarge
        There are more laps than the limits allow.
    """
    sources = _sources(names)
    own: dict[str, list[TimedLap]] = {}
    for number, row in enumerate(rows, start=1):
        if number > limits.laps * ROWS_A_LAP:
            raise TelemetryTooLarge("The table has too many rows; upload fewer laps.", limit=limits.laps)
        name = (_words(row.get(sources["driver"].name)) or NAMELESS) if "driver" in sources else NAMELESS
        laps = own.setdefault(name, [])
        laps.append(_timed(_Row(number, row, sources), len(laps) + 1))
    if not own:
        raise InvalidTelemetry("The table has no rows; upload a session with at least one timed lap.")
    drivers = list(own)
    if "driver" not in sources:
        return Contents(laps=laps_of(own[NAMELESS], limits))
    chosen = drivers[choose([Driver.of(name) for name in drivers], driver)]
    return Contents(laps=laps_of(own[chosen], limits), driver=chosen)


def _sources(names: Sequence[str]) -> dict[str, _Source]:
    """Which column holds which field; sectors are `sector_1`, `sector_2`, …."""
    found: dict[str, tuple[int, _Source]] = {}
    for name in names:
        bare = key(name)
        is_milli = bool(re.search(r"[\[(]\s*ms\s*[\])]", name.lower())) or _means(bare) is None
        bare = bare if _means(bare) else bare.removesuffix("ms")
        if means := _means(bare):
            meant, rank = means
            if meant not in found or rank < found[meant][0]:
                found[meant] = rank, _Source(name, _MILLI if is_milli else 1.0)
    sources = {meant: source for meant, (_, source) in found.items()}
    for column in resolve([*names, "lap_time"]):
        if column.channel.name in (*CONTEXT, TEXT) and column.source in names:
            sources.setdefault(column.channel.name, _Source(column.source, column.factor, column.offset))
    return sources


def _means(bare: str) -> tuple[str, int] | None:
    if sector := _SECTOR.fullmatch(bare):
        return f"sector_{int(sector[1])}", 0
    return _MEANS.get(bare)


@dataclass(frozen=True)
class _Row:
    """A row of the table and its number, read field by field."""

    number: int
    values: Mapping[str, Any]
    sources: Mapping[str, _Source]

    def text(self, meant: str) -> str:
        return _words(self.values.get(self.sources[meant].name)) if meant in self.sources else ""

    def time(self, meant: str) -> float | None:
        """A field's seconds; some write 0, -1 or a huge number where there is no time."""
        source = self.sources.get(meant)
        return None if source is None else positive(self._parsed(source, self.values.get(source.name)))

    def real(self, meant: str) -> float | None:
        """A field's number within what its channel may be."""
        source = self.sources.get(meant)
        value = None if source is None else self._parsed(source, self.values.get(source.name))
        channel = CHANNELS.get(meant)
        if value is not None and channel and not channel.low <= value <= channel.high:
            raise self.wrong(
                meant, f"must be from {channel.low:g} to {channel.high:g} {channel.unit}".rstrip()
            )
        return value

    def flag(self, meant: str) -> bool | None:
        value = self.real(meant)
        return None if value is None else value != 0

    def sectors(self) -> tuple[float | None, ...]:
        if "sector_times" in self.sources:
            source = self.sources["sector_times"]
            values = self.values.get(source.name)
            if isinstance(values, str):
                values = [part for part in re.split(r"[\[\];|\s]+|, ?", values) if part]
            if not isinstance(values, list | tuple) or len(values) > SECTORS:
                return ()
            return tuple(positive(self._parsed(source, value)) for value in values)
        numbers = sorted(int(name[7:]) for name in self.sources if re.fullmatch(r"sector_\d+", name))
        return tuple(self.time(f"sector_{number}") for number in numbers)

    def wrong(self, meant: str, what: str) -> InvalidTelemetry:
        column = self.sources[meant].name
        value = str(self.values.get(column))[:40]
        return InvalidTelemetry(
            f"Row {self.number}: {column!r} {what}, not {value!r}.",
            row=self.number,
            column=column,
            value=value,
        )

    def _parsed(self, source: _Source, value: Any) -> float | None:
        number = _number(value)
        if number is None:
            return None
        if not math.isfinite(number):
            raise InvalidTelemetry(
                f"Row {self.number}: {source.name!r} must be a number or a time, not {str(value)[:40]!r}.",
                row=self.number,
                column=source.name,
                value=str(value)[:40],
            )
        return number * source.factor + source.offset


def _timed(row: _Row, following: int) -> TimedLap:
    number = row.real("lap")
    if number is not None and number != math.floor(number):
        raise row.wrong("lap", "must be a whole number")
    return TimedLap(
        number=following if number is None else int(number),
        lap_time=row.time("lap_time"),
        sector_times=row.sectors(),
        reason=_reason(row),
        context=_context(row),
        session=row.text("session"),
        stint=row.text("stint"),
    )


def _reason(row: _Row) -> Reason | None:
    if row.flag("out_lap"):
        return Reason.OUT_LAP
    if row.flag("in_lap"):
        return Reason.IN_LAP
    return Reason.CUT if row.flag("lap_valid") is False or row.flag("deleted") else None


def _context(row: _Row) -> dict[str, str | float]:
    known = {name: value for name in CONTEXT if (value := row.real(name)) is not None}
    compound = row.text(TEXT).upper()
    return {"compound": compound, **known} if compound else dict(known)


def _words(value: Any) -> str:
    """A short text of a value; a number that a table has turned into a fraction is whole again."""
    if isinstance(value, float) and value.is_integer():
        value = int(value) if abs(value) < NO_TIME else value
    text = "" if value is None or isinstance(value, list | dict) else str(value)[: 2 * TEXT_LENGTH]
    text = printable(text).strip()
    return "" if text.lower() in (*MISSING_WORDS, "nan") else text


def _number(value: Any) -> float | None:
    """A number or a time as `1:39.416`; NaN for what is neither."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool | int | float):
        return None if value != value else _as_float(value)
    text = _words(value)
    if not text or text.lower() == "nat":
        return None
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    if time := _TIME.fullmatch(text):
        days, hours, minutes, seconds = time.groups(default="0")
        return (
            86_400 * int(days) + 3600 * int(hours) + 60 * int(minutes) + _as_float(seconds.replace(",", "."))
        )
    return _as_float(re.sub(r"^([-+]?\d*),(\d+)$", r"\1.\2", text))


def _as_float(value: str | float) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan

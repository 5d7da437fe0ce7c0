"""Reads MoTeC's binary log, `.ld`.

A header points to a linked list of channels, each with its own rate and a pointer to its values; all numbers
are little-endian. MoTeC does not publish the layout; gotzl/ldparser and motec-i2 describe it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from mmap import ACCESS_READ, mmap
from pathlib import Path
from struct import Struct

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.laps import Floats
from learning.telemetry.channels import Alias, Column, key, known
from learning.telemetry.crossings import plausible, with_laps
from learning.telemetry.frames import canonical, collect
from learning.telemetry.source import Limits

MAGIC = b"\x40\0\0\0"
BYTES = 8  # that a value takes once decoded
MAX_RATE = 60  # Hz; laps are thinned to less
MAX_SECONDS = 24 * 3600
MAX_DECIMALS = 12
LAP_TIME = {key("Lap Time"): Alias("last_lap_time", missing=(0.0,))}  # MoTeC's is that of the lap before
BEACONS = ("beacon", "lapbeacon")

Seconds = tuple[float, ...]

_HEADER = Struct(
    "<8x2I20xI54x16s16x16s16x64s64s64x64s"
)  # channels, data, event, date, time, driver, vehicle, venue
_CHANNEL = Struct("<4I2x3H4h32s8s12s")
_NAME, _TO_VENUE, _TO_VEHICLE = Struct("<64s"), Struct("<1152xH"), Struct("<1098xH")
_TYPES = {(kind, size): f"<i{size}" for kind in (0, 3, 5) for size in (2, 4)} | {(7, 2): "<f2", (7, 4): "<f4"}


@dataclass(frozen=True)
class Logged:
    """One channel of a log, `rate` values a second: `(raw / scale / 10**decimals + shift) * multiplier`.

    `kind` is NumPy's name of the raw type, None if it is unknown.
    """

    name: str
    unit: str
    rate: int
    raw: NDArray[np.generic]
    kind: str | None
    shift: int
    multiplier: int
    scale: int
    decimals: int

    def values(self) -> Floats:
        """The values in the channel's unit; NaN where there is none.

        Raises
        ------
        InvalidTelemetry
            They cannot be decoded.
        """
        wrong = (
            "is of an unknown type"
            if self.kind is None
            else "has the rate 0"
            if not self.rate
            else "has the scale 0"
            if not self.scale
            else f"has {self.decimals} decimals"
            if abs(self.decimals) > MAX_DECIMALS
            else None
        )
        if wrong:
            raise _broken(f"channel {self.name!r} {wrong}", self.name)
        with np.errstate(invalid="ignore"):  # a damaged file may hold NaN that signal
            values = self.raw.astype(np.float64) / self.scale / 10.0**self.decimals
        decoded = (values + self.shift) * self.multiplier
        return np.where(np.isfinite(decoded), decoded, np.nan)


def sniff(head: bytes) -> bool:
    """Whether a file begins like a MoTeC log."""
    return head.startswith(MAGIC)


def read(path: Path, limits: Limits) -> pl.DataFrame:
    """A log's frames on the clock of the fastest channel that lasts, each value the last one known by then.

    Raises
    ------
    InvalidTelemetry
        The file is cut short or damaged, or does not show where laps begin.
    TelemetryTooLarge
        It has too many channels, or unfolds to too many rows.
    """
    by_name = {channel.name: channel for channel in reversed(logged(path, limits)) if len(channel.raw)}
    columns = known(by_name, [channel.unit for channel in by_name.values()], LAP_TIME)
    columns = tuple(column for column in columns if column.channel.name != "session_time")
    values = {column.source: by_name[column.source].values() for column in columns}
    beacon = next((channel for name, channel in by_name.items() if key(name) in BEACONS), None)
    frames = collect([_frames(columns, by_name, values, limits)], limits)
    line, splits = crossings(beacon) if beacon else ((), ())
    if beacon and not line and "lap" not in frames.columns:
        frames = frames.with_columns(_counted(beacon, frames))
    return plausible(with_laps(frames, line, splits=splits))


def names(path: Path) -> tuple[str | None, str | None]:
    """The venue's and the vehicle's name, None where the log has none."""
    data = _mapped(path)
    if len(data) < _HEADER.size:
        return None, None
    event, *_, vehicle, venue = _HEADER.unpack_from(data)[2:]
    venue_block = _follow(data, event, _TO_VENUE)
    vehicle_block = _follow(data, venue_block, _TO_VEHICLE)
    return (
        text(venue) or _named(data, venue_block) or None,
        text(vehicle) or _named(data, vehicle_block) or None,
    )


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))


def _follow(data: memoryview, block: int, pointer: Struct) -> int:
    inside = 0 < block <= len(data) - pointer.size
    return int(pointer.unpack_from(data, block)[0]) if inside else 0


def _named(data: memoryview, block: int) -> str:
    inside = 0 < block <= len(data) - _NAME.size
    return text(_NAME.unpack_from(data, block)[0]) if inside else ""


def logged(path: Path, limits: Limits) -> tuple[Logged, ...]:
    """All channels of a log, in the order of the file.

    Raises
    ------
    InvalidTelemetry
        The header, the list of channels or a channel's values reach beyond the file, or the list has no end.
    TelemetryTooLarge
        There are too many channels.
    """
    data = _mapped(path)
    if len(data) < _HEADER.size:
        raise _broken(f"its header has {len(data)} of {_HEADER.size} bytes")
    channels = []
    for block in _list(data, limits):
        channels.append(_channel(data, block))
    return tuple(channels)


def _list(data: memoryview, limits: Limits) -> Iterator[int]:
    """Where the channels' blocks are."""
    block, seen = int(_HEADER.unpack_from(data)[0]), set[int]()
    if not block:
        raise _broken("it has no channels")
    while block:
        if block > len(data) - _CHANNEL.size:
            raise _broken(f"the list of channels leaves the file after {len(seen)} of them")
        if block in seen:
            raise _broken(f"the list of channels runs in a circle after {len(seen)} of them")
        if len(seen) >= limits.columns:
            raise TelemetryTooLarge(
                f"The log has more than {limits.columns:,} channels; leave some out.", limit=limits.columns
            )
        seen.add(block)
        yield block
        block = int(_CHANNEL.unpack_from(data, block)[1])


def _channel(data: memoryview, block: int) -> Logged:
    _, _, start, count, type_, size, rate, *conversion, name, _, unit = _CHANNEL.unpack_from(data, block)
    kind = _TYPES.get((type_, size))
    if kind and start + count * size > len(data):
        raise _broken(f"the {count:,} values of channel {text(name)!r} reach beyond its end", text(name))
    raw = np.frombuffer(data, kind, count, start) if kind and count else np.zeros(min(count, 1), np.int16)
    return Logged(text(name), text(unit), rate, raw, kind, *conversion)


def text(raw: bytes) -> str:
    """Text up to the first zero byte, in UTF-8 or else Latin 1."""
    bare = raw.split(b"\0")[0]
    try:
        return bare.decode().strip()
    except UnicodeDecodeError:
        return bare.decode("latin-1").strip()


def _broken(what: str, channel: str | None = None) -> InvalidTelemetry:
    return InvalidTelemetry(
        f"The MoTeC log is damaged or cut short: {what}; write and upload it again.", channel=channel
    )


def _frames(
    columns: tuple[Column, ...], by_name: dict[str, Logged], values: dict[str, Floats], limits: Limits
) -> pl.DataFrame:
    lasting = {column.source: len(values[column.source]) / by_name[column.source].rate for column in columns}
    seconds = max(lasting.values())
    if seconds > MAX_SECONDS:
        raise TelemetryTooLarge(
            f"The log lasts {seconds / 3600:,.0f} hours, more than {MAX_SECONDS // 3600}; split the session.",
            limit=MAX_SECONDS,
        )
    rates = [by_name[name].rate for name, length in lasting.items() if length >= seconds / 2]
    rate = min(MAX_RATE, max(rates))
    rows = ceil(seconds * rate)
    if rows > limits.rows or rows * len(columns) * BYTES > limits.decoded_bytes:
        raise TelemetryTooLarge(
            f"The log unfolds to {rows:,} rows, which is too many; split the session.", limit=limits.rows
        )
    ticks = np.arange(rows)
    held = [
        canonical(_held(column, values[column.source], ticks * by_name[column.source].rate // rate), [column])
        for column in columns
    ]
    return pl.concat([pl.DataFrame({"session_time": ticks / rate}), *held], how="horizontal")


def _held(column: Column, values: Floats, at: NDArray[np.int64]) -> pl.DataFrame:
    """The last value known at each tick; none once the channel has ended."""
    known_values = np.where(at < len(values), values[at.clip(max=len(values) - 1)], np.nan)
    return pl.DataFrame({column.source: pl.Series(known_values, nan_to_null=True)})


def crossings(beacon: Logged) -> tuple[Seconds, Seconds]:
    """When the beacons at the line and those at splits were passed, in seconds since the log began.

    MoTeC's dash loggers write a passing as four words, whose two upper bits count down: low and high 14 bits
    of the device's milliseconds, the milliseconds within the log's second, and the beacon's number, which is
    higher at the line than at splits. This was worked out from Sample1.ld, where the times agree with the
    logger's own to 0.02 s. Both are empty for a channel that holds no such words.
    """
    if beacon.raw.dtype != np.dtype("<i2") or not beacon.rate:
        return (), ()
    words = beacon.raw.astype(np.int64) & 0xFFFF
    first = np.flatnonzero(np.diff(words, prepend=-1) != 0)
    tags, bodies = words[first] >> 14, words[first] & 0x3FFF
    at = np.flatnonzero((tags[:-3] == 3) & (tags[1:-2] == 2) & (tags[2:-1] == 1) & (tags[3:] == 0))
    if not len(at):
        return (), ()
    device = (bodies[at] + (bodies[at + 1] << 14)) / 1000
    within = bodies[at + 2] / 1000
    shown = np.floor(first[at] / beacon.rate - within) + within
    time = device + np.median(shown - device)
    line = bodies[at + 3] == bodies[at + 3].max()
    return tuple(time[line].tolist()), tuple(time[~line].tolist())


def _counted(beacon: Logged, frames: pl.DataFrame) -> pl.Series:
    """Laps by a channel that other makes count up, or raise, at the line."""
    risen = (np.flatnonzero(np.diff(beacon.values()) > 0) + 1) / beacon.rate
    return pl.Series("lap", np.searchsorted(risen, frames["session_time"].to_numpy(), side="right"))

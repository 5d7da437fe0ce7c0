"""Makes MoTeC logs and exports of a made-up car, that know the line in different ways."""

import csv
import io
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

HEADER = 0x800
CHANNEL = Struct("<4I4H4h32s8s12s40x")
OUT, LAP_TIMES = 20.0, (30.0, 31.0, 29.5)  # seconds before the line, and of the laps
LINE = OUT + np.cumsum((0.0, *LAP_TIMES))
END = float(LINE[-1]) + 12.0
LENGTH = 1200.0  # m, of the track


@dataclass
class LogChannel:
    """A channel as it is written; `kind` is MoTeC's type, its value's type NumPy's."""

    name: str
    unit: str
    rate: int
    raw: NDArray[Any]
    conversion: tuple[int, int, int, int] = (0, 1, 1, 0)
    kind: int = 3
    written: dict[str, int] = field(default_factory=dict)  # what stands in the file instead of the truth


def at(rate: int) -> NDArray[np.float64]:
    """The seconds at which a channel of this rate has its values."""
    return np.arange(int(END * rate)) / rate


def laps_driven(seconds: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.searchsorted(LINE, seconds, side="right")


def since_line(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds since the line; in the first lap, which began before, since 5 s before the recording."""
    return seconds - np.append(-5.0, LINE)[laps_driven(seconds)]


def share(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the lap, at an even pace in each; the laps before and after the timed ones are not whole."""
    return since_line(seconds) / np.array([25.0, *LAP_TIMES, 30.0])[laps_driven(seconds)]


def speed(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """In km/h, so that every timed lap is as long as the track."""
    return LENGTH * 3.6 / np.array([25.0, *LAP_TIMES, 30.0])[laps_driven(seconds)]


def car() -> list[LogChannel]:
    """What a car logs that knows nothing of laps: speed, throttle and gear, at three rates."""
    return [
        LogChannel("Ground Speed", "km/h", 10, np.round(speed(at(10)) * 100).astype("<i2"), (0, 1, 1, 2)),
        LogChannel("Throttle Pos", "%", 20, np.linspace(0, 100, len(at(20)), dtype="<f4"), kind=7),
        LogChannel("Gear", "", 2, np.full(len(at(2)), 4, "<i2")),
    ]


def timer() -> LogChannel:
    """A lap timer of 1 Hz in hundredths, that stands still before the line is first crossed."""
    running = np.where(laps_driven(at(1)) > 0, since_line(at(1)), 0.0)
    return LogChannel("Running Lap Time", "s", 1, np.round(running * 100).astype("<i2"), (0, 1, 1, 2))


def last_times(late: float = 0.0, wrong: float = 0.0) -> LogChannel:
    times = np.array([0.0, 0.0, *LAP_TIMES]) + wrong
    raw = np.round(times[laps_driven(at(1) - late)] * 100).astype("<i2")
    return LogChannel("Lap Time", "s", 1, raw, (0, 1, 1, 2))


def counter(rate: int = 10) -> LogChannel:
    return LogChannel("Lap Number", "", rate, laps_driven(at(rate)).astype("<i4") + 3)


def distance(rate: int = 10) -> LogChannel:
    return LogChannel("Lap Distance", "m", rate, np.round(share(at(rate)) * LENGTH).astype("<i2"))


def pulses() -> LogChannel:
    raw = np.zeros(len(at(10)), "<f4")
    raw[np.ceil(LINE * 10).astype(int)] = 1.0
    return LogChannel("LAP_BEACON", "", 10, raw, kind=7)


def beacon_words(splits: tuple[float, ...] = ()) -> LogChannel:
    """Passings as a dash logger writes them: the line's beacon is number 100, a split's 56."""
    raw = np.zeros(len(at(1)), "<u2")
    for second, number in sorted([*((s, 100) for s in LINE), *((s, 56) for s in splits)]):
        device, row = round(second * 1000) + 400_000, int(np.ceil(second))
        words = (0xC000 | device & 0x3FFF, 0x8000 | device >> 14, 0x4000 | round(second % 1 * 1000), number)
        raw[row : row + 3], raw[row + 3 :] = words[:3], number
    return LogChannel("Beacon", "", 1, raw.view("<i2"), kind=0)


def log(channels: list[LogChannel], *, venue: str = "Calder", vehicle: str = "11A", **header: int) -> bytes:
    """A `.ld` file; `header` has what stands in it instead of the truth (`first`, `event`)."""
    first, data = HEADER, HEADER + len(channels) * CHANNEL.size
    blocks, values = [], b""
    for i, channel in enumerate(channels):
        next_ = first + (i + 1) * CHANNEL.size if i + 1 < len(channels) else 0
        size = channel.written.get("size", channel.raw.itemsize)
        blocks.append(
            CHANNEL.pack(
                first + (i - 1) * CHANNEL.size if i else 0,
                channel.written.get("next", next_),
                channel.written.get("data", data + len(values)),
                channel.written.get("count", len(channel.raw)),
                0,
                channel.kind,
                size,
                channel.written.get("rate", channel.rate),
                *channel.conversion,
                channel.name.encode(),
                channel.name.encode()[:7],
                channel.unit.encode("latin-1"),
            )
        )
        values += channel.raw.tobytes()
    top = bytearray(HEADER)
    Struct("<2I2I").pack_into(top, 0, 0x40, 0, header.get("first", first if channels else 0), data)
    Struct("<I").pack_into(top, 0x24, header.get("event", 0))
    top[0x5E:0x68], top[0xDE : 0xDE + len(vehicle)] = b"23/11/2005", vehicle.encode()
    top[0x15E : 0x15E + len(venue)] = venue.encode()
    return bytes(top) + b"".join(blocks) + values


def export(
    columns: dict[tuple[str, str], NDArray[Any]],
    about: tuple[tuple[str, ...], ...] = (),
    *,
    encoding: str = "utf-8",
) -> bytes:
    """An i2 export with these channels, named with their units, and more lines about the session."""
    text = io.StringIO()
    lines = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    lines.writerow(["Format", "MoTeC CSV File", "", "", "Workbook", ""])
    lines.writerows(
        [["Venue", "Calder"], ["Vehicle", "11A"], ["Log Time", "10:00:00", "", "", "Start Time", "0", "s"]]
    )
    lines.writerows([["Sample Rate", "20.000", "Hz"], *about])
    text.write("\r\n\r\n")
    lines.writerow([name for name, _ in columns])
    lines.writerow([unit for _, unit in columns])
    text.write("\r\n\r\n")
    frames = pl.DataFrame({str(i): np.asarray(values, float) for i, values in enumerate(columns.values())})
    frames.write_csv(
        text, include_header=False, quote_style="always", line_terminator="\r\n", float_precision=4
    )
    return text.getvalue().encode(encoding)


def exported_car(**replaced: Any) -> dict[tuple[str, str], NDArray[Any]]:
    """Time, speed and throttle at 20 Hz."""
    seconds = at(20)
    return {
        ("Time", "s"): seconds,
        ("Ground Speed", "km/h"): speed(seconds),
        ("Throttle Pos", "%"): np.linspace(0, 100, len(seconds)),
        **replaced,
    }

"""Makes small files as other programs write them: iRacing, RaceChrono, an ACC server."""

import json
import struct
from typing import Any

import numpy as np

TICKS = 300  # a lap
IBT_LAP = 60.0
IBT_VARIABLES = (  # name, type, unit
    ("SessionTime", "<f8", "s"),
    ("Lap", "<i4", ""),
    ("LapCurrentLapTime", "<f4", "s"),
    ("LapLastLapTime", "<f4", "s"),
    ("LapDistPct", "<f4", "%"),
    ("Speed", "<f4", "m/s"),
    ("Throttle", "<f4", "%"),
    ("Clutch", "<f4", "%"),
    ("OnPitRoad", "?", ""),
    ("LFpressure", "<f4", "kPa"),
    ("TrackWetness", "<i4", "irsdk_TrackWetness"),
)
IBT_TYPES = {"?": 1, "<i4": 2, "<f4": 4, "<f8": 5}
IBT_TEXT = """---
WeekendInfo:
 TrackName: spielberg gp
 TrackDisplayName: Red Bull Ring
 TrackConfigName: Grand Prix

DriverInfo:
 DriverCarIdx: 12
 Drivers:
 - CarIdx: 1
   UserName: A: Nother
   CarScreenName: Pace Car
 - CarIdx: 12
   UserName: "unbalanced
   CarScreenName: Mercedes AMG GT4

SplitTimeInfo:
 Sectors:
 - SectorNum: 0
   SectorStartPct: 0.000000
 - SectorNum: 1
   SectorStartPct: 0.250000
 - SectorNum: 2
   SectorStartPct: 0.600000
...
"""


def ibt(laps: int = 3, *, text: str = IBT_TEXT, **header: int) -> bytes:
    """A recording of laps of 60 s; one more has begun. `header` replaces what the header says."""
    count = laps * TICKS + 10
    tick = np.arange(count)
    share = (tick % TICKS) / TICKS
    columns = {
        "SessionTime": 100 + tick * IBT_LAP / TICKS,
        "Lap": tick // TICKS + 1,
        "LapCurrentLapTime": share * IBT_LAP,
        "LapLastLapTime": np.where(tick < TICKS, -1.0, IBT_LAP + 0.01 * (tick // TICKS)),
        "LapDistPct": share,
        "Speed": 50 + 10 * np.sin(7 * share),
        "Throttle": 1.0,
        "Clutch": 0.25,
        "OnPitRoad": False,
        "LFpressure": 165.5,
        "TrackWetness": 4,
    }
    record = np.dtype([(name, kind) for name, kind, _ in IBT_VARIABLES])
    rows = np.zeros(count, dtype=record)
    for name, values in columns.items():
        rows[name] = values
    return _ibt_head(record, text.encode("latin-1"), count, laps, header) + rows.tobytes()


def _ibt_head(record: np.dtype[Any], text: bytes, count: int, laps: int, header: dict[str, int]) -> bytes:
    variables = b"".join(
        struct.pack(
            "<iii4x32s64s32s", IBT_TYPES[kind], record.fields[name][1], 1, name.encode(), b"", unit.encode()
        )
        for name, kind, unit in IBT_VARIABLES
    )
    start = 144 + len(variables)
    said = {"version": 2, "buffers": 1, "record_bytes": record.itemsize, "records": count} | header
    numbers = [said["version"], 1, 60, 0, len(text), start, len(IBT_VARIABLES), 144, said["buffers"]]
    numbers += [said["record_bytes"], 0, 0, 0, start + len(text)]
    disk = struct.pack("<qddii", 1_700_000_000, 100.0, 200.0, laps, said["records"])
    return struct.pack("<14i56x", *numbers) + disk + variables + text


RACECHRONO_COLUMNS = (  # name, unit, source
    ("timestamp", "unix time", ""),
    ("fragment_id", "", ""),
    ("lap_number", "", ""),
    ("elapsed_time", "s", ""),
    ("distance_traveled", "m", ""),
    ("latitude", "deg", "100: gps"),
    ("longitude", "deg", "100: gps"),
    ("speed", "m/s", "calc"),
    ("speed", "m/s", "100: gps"),
    ("throttle_pos", "%", "200: obd"),
    ("accelerator_pos", "%", "200: obd"),
    ("accelerator_pos", "%", "300: canbus"),
    ("fuel_level", "%", "200: obd"),
    ("lateral_acc", "G", "calc"),
)
RACECHRONO_LAP, RACECHRONO_LENGTH = 70.0, 2_000.0


def racechrono(*, without: tuple[str, ...] = (), version: str = "3", first: int = 4, laps: int = 3) -> bytes:
    """Part of a lap, whole laps of 70 s and 2,000 m, 10 s of the next; a row at each crossing of the line."""
    start = 1000.0
    clock = np.arange(start - 10, start + RACECHRONO_LAP * laps + 10, 0.25)
    lap = np.floor((clock - start) / RACECHRONO_LAP)
    driven = (clock - start) / RACECHRONO_LAP * RACECHRONO_LENGTH
    angle = 2 * np.pi * driven / RACECHRONO_LENGTH
    values = {
        "timestamp": 1.7e9 + clock,
        "fragment_id": 0 * clock,
        "lap_number": first + lap,
        "elapsed_time": clock,
        "distance_traveled": 5_000 + driven,
        "latitude": 31 + np.sin(angle) * 318.31 / 111_194.93,
        "longitude": 121 + np.cos(angle) * 318.31 / 111_194.93 / np.cos(np.radians(31)),
        ("speed", "calc"): 0 * clock + 20.0,
        ("speed", "100: gps"): 0 * clock + 28.0,
        "throttle_pos": 0 * clock + 10.0,
        ("accelerator_pos", "200: obd"): 0 * clock + 20.0,
        ("accelerator_pos", "300: canbus"): 0 * clock + 75.0,
        "fuel_level": 0 * clock + 40.0,
        "lateral_acc": np.sin(clock),
    }
    columns = [column for column in RACECHRONO_COLUMNS if column[0] not in without]
    data = np.column_stack([values.get(column[0], values.get((column[0], column[2]))) for column in columns])
    lines = [
        "This file is created using RaceChrono Pro v9.1.3 ( http://racechrono.com/ ).",
        f"Format,{version}",
        'Session title,"Morning, wet"',
        'Track name,"Tianma"',
        "Note,",
        "",
        *(",".join(parts) for parts in zip(*columns, strict=True)),
        *(",".join(f"{value:.10g}" for value in row) for row in data),
    ]
    return "\r\n".join(lines).encode()


def results(**changes: Any) -> dict[str, Any]:
    """An Assetto Corsa Competizione server's results: car 1001 with two drivers, car 1002 with one."""
    own = {
        "sessionType": "R",
        "trackName": "monza",
        "sessionResult": {
            "bestlap": 107_000,
            "isWetSession": 0,
            "leaderBoardLines": [
                {
                    "car": {
                        "carId": 1001,
                        "carModel": 32,
                        "drivers": [
                            driver("Ann", "Archer", "ARC", "S76561"),
                            driver("Bo", "Berg", "BER", "S76562"),
                        ],
                    }
                },
                {"car": {"carId": 1002, "carModel": 99, "drivers": [driver("Cy", "Cole", "COL", "M2535")]}},
            ],
        },
        "laps": [
            lap(1001, 0, 118_250, False, [311_927, 423_839, 118_250]),
            lap(1002, 0, 109_000),
            lap(1001, 0, 107_512, True, [35_275, 36_327, 35_910]),
            lap(1001, 1, 108_750, True, [35_500, 37_000, 36_250]),
            lap(1001, 0, 2_147_483_647),
        ],
    }
    return own | changes


def driver(first: str, last: str, short: str, player: str) -> dict[str, str]:
    return {"firstName": first, "lastName": last, "shortName": short, "playerId": player}


def lap(
    car: int, driver: int, time: int, valid: bool = True, splits: list[int] | None = None
) -> dict[str, Any]:
    return {
        "carId": car,
        "driverIndex": driver,
        "laptime": time,
        "isValidForBest": valid,
        "splits": splits or [],
    }


def acc_results(encoding: str = "utf-16-le", mark: bytes = b"", **changes: Any) -> bytes:
    return mark + json.dumps(results(**changes), indent=1).encode(encoding)

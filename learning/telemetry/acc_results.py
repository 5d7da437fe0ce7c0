"""Reads the results that an Assetto Corsa Competizione server writes: every car's laps, without telemetry."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry.cutting import Reason
from learning.telemetry.drivers import Driver, choose
from learning.telemetry.source import Contents, Limits, printable
from learning.telemetry.timed_laps import SECTORS, TimedLap, laps_of, positive

TEXT_BYTES = 32 << 20  # a day's race of 80 cars, in UTF-16
MARKS = ('"sessionResult"', '"leaderBoardLines"', '"isValidForBest"')
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"\xef\xbb\xbf": "utf-8"}
_MILLI = 0.001
_WET = 1.0

# The cars' numbers, as the server's handbook lists them
CARS: Mapping[int, str] = MappingProxyType(
    {
        0: "Porsche 991 GT3 R",
        1: "Mercedes-AMG GT3",
        2: "Ferrari 488 GT3",
        3: "Audi R8 LMS",
        4: "Lamborghini Huracan GT3",
        5: "McLaren 650S GT3",
        6: "Nissan GT-R Nismo GT3 2018",
        7: "BMW M6 GT3",
        8: "Bentley Continental GT3 2018",
        9: "Porsche 991II GT3 Cup",
        10: "Nissan GT-R Nismo GT3 2017",
        11: "Bentley Continental GT3 2016",
        12: "Aston Martin V12 Vantage GT3",
        13: "Lamborghini Gallardo R-EX",
        14: "Jaguar G3",
        15: "Lexus RC F GT3",
        16: "Lamborghini Huracan Evo",
        17: "Honda NSX GT3",
        18: "Lamborghini Huracan SuperTrofeo",
        19: "Audi R8 LMS Evo",
        20: "AMR V8 Vantage GT3",
        21: "Honda NSX Evo",
        22: "McLaren 720S GT3",
        23: "Porsche 911II GT3 R",
        24: "Ferrari 488 GT3 Evo",
        25: "Mercedes-AMG GT3 2020",
        26: "Ferrari 488 Challenge Evo",
        27: "BMW M2 CS Racing",
        28: "Porsche 992 GT3 Cup",
        29: "Lamborghini Huracan SuperTrofeo EVO2",
        30: "BMW M4 GT3",
        31: "Audi R8 LMS GT3 Evo II",
        32: "Ferrari 296 GT3",
        33: "Lamborghini Huracan Evo2",
        34: "Porsche 992 GT3 R",
        35: "McLaren 720S GT3 Evo",
        36: "Ford Mustang GT3",
        50: "Alpine A110 GT4",
        51: "AMR V8 Vantage GT4",
        52: "Audi R8 LMS GT4",
        53: "BMW M4 GT4",
        55: "Chevrolet Camaro GT4",
        56: "Ginetta G55 GT4",
        57: "KTM X-Bow GT4",
        58: "Maserati MC GT4",
        59: "McLaren 570S GT4",
        60: "Mercedes-AMG GT4",
        61: "Porsche 718 Cayman GT4",
        80: "Audi R8 LMS GT2",
        82: "KTM X-Bow GT2",
        83: "Maserati MC20 GT2",
        84: "Mercedes-AMG GT2",
        85: "Porsche 911 GT2 RS CS Evo",
        86: "Porsche 935",
    }
)


def sniff(head: bytes) -> bool:
    """Whether a file begins like results: a JSON object, in UTF-8 or UTF-16, with their names in it."""
    text = head.decode(_encoding(head), "ignore").lstrip("\ufeff \t\r\n")
    return text.startswith("{") and any(mark in text for mark in MARKS)


def read(path: Path, limits: Limits, driver: str | None) -> Contents:
    """The laps of one driver, numbered as their car counted them.

    Parameters
    ----------
    driver
        By player id, first and last name, short name, or the number of the car (`carId`).

    Raises
    ------
    InvalidTelemetry
        It is not what a server writes, or the driver is not named or not there.
    TelemetryTooLarge
        The file or its laps are more than a race has.
    """
    results = _parsed(path)
    cars = _cars(results)
    wetness = _WET if _mapping(results.get("sessionResult")).get("isWetSession") in (1, True) else None
    stints: dict[tuple[int, int], list[TimedLap]] = {}
    driven: dict[int, int] = {}
    for place, lap in enumerate(_list(results.get("laps"))):
        who = _whole(lap, "carId", place), _whole(lap, "driverIndex", place, absent=0)
        driven[who[0]] = number = driven.get(who[0], 0) + 1
        stints.setdefault(who, []).append(_timed(_mapping(lap), number, place, wetness))
    if not stints:
        raise InvalidTelemetry(
            "The results hold no laps; upload those of a session in which laps were driven."
        )
    drivers = [_driver(cars.get(car, {}), car, index) for car, index in stints]
    chosen = choose(drivers, driver)
    car, _ = own = list(stints)[chosen]
    model = cars.get(car, {}).get("carModel")
    return Contents(
        laps=laps_of(stints[own], limits),
        track_name=_text(results.get("trackName")),
        car_model=CARS.get(model, f"Car model {model}") if type(model) is int else None,
        driver=drivers[chosen].shown,
    )


def _encoding(head: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if head[:1] == b"\0":
        return "utf-16-be"
    return "utf-16-le" if head[1:2] == b"\0" else "utf-8"


def _parsed(path: Path) -> dict[str, Any]:
    if path.stat().st_size > TEXT_BYTES:
        raise TelemetryTooLarge(
            f"The results are larger than {TEXT_BYTES:,} bytes; no race has so many laps.", limit=TEXT_BYTES
        )
    data = path.read_bytes()
    try:
        results = json.loads(data.decode(_encoding(data)).lstrip("\ufeff"))
    except (ValueError, RecursionError) as exc:
        raise InvalidTelemetry(
            "The results are not valid JSON, or are cut short; upload the file as the server wrote it.",
            cause=str(exc)[:200],
        ) from exc
    if not isinstance(results, dict) or not isinstance(results.get("laps"), list):
        raise InvalidTelemetry("The results have no list of laps; upload the file as the server wrote it.")
    return results


def _cars(results: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    lines = _list(_mapping(results.get("sessionResult")).get("leaderBoardLines"))
    cars = [_mapping(_mapping(line).get("car")) for line in lines]
    return {car["carId"]: car for car in cars if type(car.get("carId")) is int}


def _driver(car: Mapping[str, Any], car_id: int, index: int) -> Driver:
    drivers = _list(car.get("drivers"))
    own = _mapping(drivers[index]) if 0 <= index < len(drivers) else {}
    name = " ".join(filter(None, (_text(own.get("firstName")), _text(own.get("lastName")))))
    player, short = _text(own.get("playerId")) or "", _text(own.get("shortName")) or ""
    shown = f"{name or short or player or 'driver'} (car {car_id})"
    return Driver.of(shown, name, player, short, str(car_id))


def _timed(lap: Mapping[str, Any], number: int, place: int, wetness: float | None) -> TimedLap:
    splits = [positive(_milliseconds(split, "splits", place)) for split in _list(lap.get("splits"))[:SECTORS]]
    return TimedLap(
        number=number,
        lap_time=positive(_milliseconds(lap.get("laptime"), "laptime", place)),
        sector_times=tuple(splits),
        reason=Reason.CUT if lap.get("isValidForBest") in (False, 0) else None,
        context={} if wetness is None else {"wetness": wetness},
    )


def _milliseconds(value: Any, name: str, place: int) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1 << 53:
        raise _wrong(name, place, value, "milliseconds")
    return value * _MILLI


def _whole(lap: Any, name: str, place: int, *, absent: int | None = None) -> int:
    value = _mapping(lap).get(name, absent)
    if type(value) is not int or not abs(value) < 1 << 53:
        raise _wrong(name, place, value, "a whole number")
    return value


def _wrong(name: str, place: int, value: Any, what: str) -> InvalidTelemetry:
    shown = repr(value)[:40] if isinstance(value, str | float | bool | None) else type(value).__name__
    return InvalidTelemetry(
        f"Lap {place + 1} of the list: {name} must be {what}, not {shown}.", lap=place + 1, column=name
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return printable(value[:200]).strip()[:100] or None if isinstance(value, str) else None

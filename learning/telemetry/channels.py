"""The channels the platform knows, their units and plausible values, and what other programs call them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from learning.errors import InvalidTelemetry, UnknownFormat
from learning.telemetry.units import UNITS, units_of

WHEELS = ("fl", "fr", "rl", "rr")
WHEEL_WORDS = {"frontleft": "fl", "frontright": "fr", "rearleft": "rl", "rearright": "rr"}
KEYS = (
    "lap",
    "lap_time",
    "last_lap_time",
    "current_lap_time",
    "session_time",
    "track_position",
    "lap_distance",
)
TEXT = "tyre_compound"
NEEDED = (*KEYS, "speed", "throttle", "brake")  # a unit nobody knows makes the file unusable
REDUNDANT = (("current_lap_time", "session_time"), ("track_position", "lap_distance"))  # not needed beside
NO_TIME = 2_147_483_647.0  # what Assetto Corsa Competizione writes where there is no lap time


@dataclass(frozen=True)
class Channel:
    """A canonical channel: its name, unit, and the values a working sensor can give.

    The key channels, on which laps are cut, are kept in double precision and must be right in every row; in
    the others an impossible value is a missing one.
    """

    name: str
    unit: str
    low: float
    high: float

    @property
    def is_key(self) -> bool:
        return self.name in KEYS


@dataclass(frozen=True)
class Column:
    """Where a channel comes from: `value = raw * factor + offset`; a raw value in `missing` means none."""

    channel: Channel
    source: str
    factor: float = 1.0
    offset: float = 0.0
    missing: tuple[float, ...] = ()


@dataclass(frozen=True)
class Alias:
    """How a foreign name turns into a canonical channel."""

    name: str
    factor: float = 1.0
    offset: float = 0.0
    missing: tuple[float, ...] = ()


def _wheels(name: str, unit: str, low: float, high: float) -> tuple[Channel, ...]:
    return tuple(Channel(f"{name}_{wheel}", unit, low, high) for wheel in WHEELS)


CHANNELS = MappingProxyType(
    {
        channel.name: channel
        for channel in (
            Channel("lap", "", -1, 1_000_000),
            Channel("lap_time", "s", 0, 86_400),
            Channel("last_lap_time", "s", 0, 86_400),
            Channel("current_lap_time", "s", 0, 86_400),
            Channel("session_time", "s", 0, 1e10),  # a Unix time too
            Channel("track_position", "share", -0.5, 1.5),  # a little outside is judged lap by lap
            Channel("lap_distance", "m", -1000, 100_000),
            Channel("speed", "km/h", -50, 600),
            Channel("throttle", "share", 0, 1),
            Channel("brake", "share", 0, 1),
            Channel("clutch", "share", 0, 1),
            Channel("gear", "", -1, 12),
            Channel("steering", "", -2000, 2000),  # share of the lock or an angle, as recorded
            Channel("rpm", "1/min", 0, 30_000),
            Channel("fuel", "l", 0, 1000),
            *_wheels("tyre_pressure", "kPa", 0, 1000),
            *_wheels("tyre_temp", "degC", -60, 400),
            *_wheels("brake_temp", "degC", -60, 2000),
            Channel("air_temp", "degC", -60, 70),
            Channel("road_temp", "degC", -60, 100),
            Channel("sector_index", "", 0, 100),
            Channel("tyre_life", "laps", 0, 10_000),
            Channel("wetness", "share", 0, 1),
            Channel("in_pit", "", 0, 1),
            Channel("lap_valid", "", 0, 1),
            Channel("x", "m", -1e6, 1e6),
            Channel("y", "m", -1e6, 1e6),
            Channel("z", "m", -1e6, 1e6),
            Channel("latitude", "deg", -90, 90),
            Channel("longitude", "deg", -180, 180),
            Channel("g_lat", "g", -20, 20),
            Channel("g_lon", "g", -20, 20),
            Channel(TEXT, "", 0, 0),
        )
    }
)

_PERCENT, _MILLI, _METRES_A_SECOND, _MS2 = 0.01, 0.001, 3.6, 1 / 9.80665
_PSI = UNITS["kPa", "psi"][0]

# Assetto Corsa Competizione's shared memory, as its recorders flatten it; gear 0 is reverse, 1 neutral
_ACC = {
    "Graphics_completed_lap": Alias("lap"),
    "Graphics_completed_laps": Alias("lap"),
    "Graphics_current_time": Alias("current_lap_time", _MILLI),
    "Graphics_last_time": Alias("last_lap_time", _MILLI, missing=(0.0, NO_TIME)),
    "Graphics_normalized_car_position": Alias("track_position"),
    "Graphics_current_sector_index": Alias("sector_index"),
    "Graphics_is_in_pit_lane": Alias("in_pit"),
    "Graphics_is_in_pit": Alias("in_pit"),
    "Graphics_is_valid_lap": Alias("lap_valid"),
    "Graphics_tyre_compound": Alias(TEXT),
    "Graphics_player_pos_x": Alias("x"),
    "Graphics_player_pos_y": Alias("y"),
    "Graphics_player_pos_z": Alias("z"),
    "Physics_speed_kmh": Alias("speed"),
    "Physics_gas": Alias("throttle"),
    "Physics_brake": Alias("brake"),
    "Physics_clutch": Alias("clutch"),
    "Physics_gear": Alias("gear", 1.0, -1.0),
    "Physics_steer_angle": Alias("steering"),
    "Physics_rpm": Alias("rpm"),
    "Physics_fuel": Alias("fuel"),
    "Physics_air_temp": Alias("air_temp"),
    "Physics_road_temp": Alias("road_temp"),
    "Physics_g_force_x": Alias("g_lat"),
    "Physics_g_force_z": Alias("g_lon"),
    **{f"Physics_wheel_pressure_{wheel}": Alias(f"tyre_pressure_{wheel}", _PSI) for wheel in WHEELS},
    **{f"Physics_tyre_core_temp_{wheel}": Alias(f"tyre_temp_{wheel}") for wheel in WHEELS},
    **{f"Physics_brake_temp_{wheel}": Alias(f"brake_temp_{wheel}") for wheel in WHEELS},
}

# iRacing's variables; the ones that other programs use too are in `_IRACING_ONLY`
_IRACING = {
    "LapCurrentLapTime": Alias("current_lap_time"),
    "LapLastLapTime": Alias("last_lap_time", missing=(-1.0, 0.0)),
    "LapDistPct": Alias("track_position", missing=(-1.0,)),
    "LapDist": Alias("lap_distance"),
    "SessionTime": Alias("session_time"),
    "SteeringWheelAngle": Alias("steering"),
    "FuelLevel": Alias("fuel"),
    "OnPitRoad": Alias("in_pit"),
    "TrackWetness": Alias("wetness", 1 / 6, -1 / 6, missing=(0.0,)),  # 1 is dry, 7 extremely wet, 0 unknown
    "TrackTempCrew": Alias("road_temp"),
    "TrackTemp": Alias("road_temp"),
    "LatAccel": Alias("g_lat", _MS2),
    "LongAccel": Alias("g_lon", _MS2),
    "Lat": Alias("latitude"),
    "Lon": Alias("longitude"),
    **{f"{wheel[::-1]}pressure": Alias(f"tyre_pressure_{wheel}") for wheel in WHEELS},
    **{f"{wheel[::-1]}tempCM": Alias(f"tyre_temp_{wheel}") for wheel in WHEELS},
}
_IRACING_MARK = "lapdistpct"
_IRACING_ONLY = {"speed": Alias("speed", _METRES_A_SECOND), "clutch": Alias("clutch", -1.0, 1.0)}

_TYRE = ("Tyre", "Tire")

# MoTeC i2 and what loggers of other makes write
_OTHERS = {
    "Lap Number": Alias("lap"),
    "Lap No": Alias("lap"),
    "Session Lap Count": Alias("lap"),
    "Running Lap Time": Alias("current_lap_time"),
    "Lap Time Running": Alias("current_lap_time"),
    "Last Lap Time": Alias("last_lap_time", missing=(0.0,)),
    "Time": Alias("session_time"),
    "Elapsed Time": Alias("session_time"),
    "Lap Distance": Alias("lap_distance"),
    "Corr Lap Dist": Alias("lap_distance"),
    "Normalised Lap Distance": Alias("track_position"),
    "Lap Progression": Alias("track_position"),
    "Car Pos Norm": Alias("track_position"),
    "Ground Speed": Alias("speed"),
    "Corr Speed": Alias("speed"),
    "GPS Speed": Alias("speed"),
    "Drive Speed": Alias("speed"),
    "Vehicle Speed": Alias("speed"),
    "Speed Kmh": Alias("speed"),
    "Speed Kph": Alias("speed"),
    "Throttle Pos": Alias("throttle"),
    "Throttle Pos %": Alias("throttle", _PERCENT),
    "Throttle Position": Alias("throttle"),
    "Throttle Pedal": Alias("throttle"),
    "Throttle Pedal Pos": Alias("throttle"),
    "Driver Throttle Pos": Alias("throttle"),
    "Gas": Alias("throttle"),
    "Brake Pos": Alias("brake"),
    "Brake Pedal Pos": Alias("brake"),
    "Brake Pos %": Alias("brake", _PERCENT),
    "Clutch Pos": Alias("clutch"),
    "Engine RPM": Alias("rpm"),
    "Engine Speed": Alias("rpm"),
    "RPMs": Alias("rpm"),
    "Steering Angle": Alias("steering"),
    "Steered Angle": Alias("steering"),
    "Steer Angle": Alias("steering"),
    "Steering Wheel Angle": Alias("steering"),
    "Fuel Level": Alias("fuel"),
    "Fuel Remaining": Alias("fuel"),
    "Air Temperature": Alias("air_temp"),
    "Ambient Temp": Alias("air_temp"),
    "Ambient Temperature": Alias("air_temp"),
    "Track Temperature": Alias("road_temp"),
    "Sector": Alias("sector_index"),
    "Compound": Alias(TEXT),
    "Tyre": Alias(TEXT),
    "Tyre Age": Alias("tyre_life"),
    "In Pits": Alias("in_pit"),
    "Is Valid Lap": Alias("lap_valid"),
    "G Force Lat": Alias("g_lat"),
    "G Force Long": Alias("g_lon"),
    "Lateral Acc": Alias("g_lat"),
    "Longitudinal Acc": Alias("g_lon"),
    "GPS Latitude": Alias("latitude"),
    "GPS Longitude": Alias("longitude"),
    "Pos X": Alias("x"),
    "Pos Y": Alias("y"),
    "Pos Z": Alias("z"),
    **{f"{tyre} Pres {wheel}": Alias(f"tyre_pressure_{wheel}") for tyre in _TYRE for wheel in WHEELS},
    **{f"Tire Pressure {wheel}": Alias(f"tyre_pressure_{wheel}") for wheel in WHEELS},
    **{f"Tyre Press {wheel[::-1]}": Alias(f"tyre_pressure_{wheel}") for wheel in WHEELS},
    **{
        f"{tyre} Temp {wheel} {place}": Alias(f"tyre_temp_{wheel}")
        for tyre in _TYRE
        for wheel in WHEELS
        for place in ("Centre", "Center", "Middle")
    },
    **{f"Tire Temp {wheel}": Alias(f"tyre_temp_{wheel}") for wheel in WHEELS},
    **{f"Tyre TAir {wheel[::-1]}": Alias(f"tyre_temp_{wheel}") for wheel in WHEELS},
    **{f"Brake Temp {wheel[::-1]}": Alias(f"brake_temp_{wheel}") for wheel in WHEELS if wheel != "rr"},
    **{f"Brake Disc Temp {wheel}": Alias(f"brake_temp_{wheel}") for wheel in WHEELS},
}


def key(name: str) -> str:
    """A column's name without case, blanks and the unit in brackets, with wheels as `fl`, `fr`, `rl`, `rr`.

    >>> key("trackPosition"), key("Ground Speed [km/h]"), key("Tyre Pressure Front Left"), key("Brake Pos %")
    ('trackposition', 'groundspeed', 'tyrepressurefl', 'brakepos%')
    """
    bare = re.sub(r"[^a-z0-9%]", "", re.sub(r"[\[(].*", "", name).lower())
    for words, wheel in WHEEL_WORDS.items():
        if bare.endswith(words):
            return bare[: -len(words)] + wheel
    return bare


CANONICAL = MappingProxyType({key(name): name for name in CHANNELS})
ALIASES = MappingProxyType({key(name): alias for name, alias in (_ACC | _IRACING | _OTHERS).items()})


def resolve(names: Iterable[str]) -> tuple[Column, ...]:
    """The known columns among a file's names, one for each channel; a canonical name wins over its aliases.

    >>> [(c.channel.name, c.source) for c in resolve(["Physics_gas", "throttle", "Ground Speed [m/s]"])]
    [('throttle', 'throttle'), ('speed', 'Ground Speed [m/s]')]

    Raises
    ------
    UnknownFormat
        None of the names is known.
    """
    found = {column.channel.name: column for column in known(names)}
    for better, worse in REDUNDANT:
        if better in found:
            found.pop(worse, None)
    return tuple(found.values())


def known(
    names: Iterable[str],
    units: Sequence[str] = (),
    own: Mapping[str, Alias] = MappingProxyType({}),
) -> tuple[Column, ...]:
    """The known columns among a file's names, also those that are not needed beside another.

    Parameters
    ----------
    names
        As the file has them.
    units
        One for each name, where the file says them apart; else they are looked for in brackets.
    own
        What names mean in this format, whatever they mean elsewhere, by `key`.

    Raises
    ------
    UnknownFormat
        None of the names is known.
    InvalidTelemetry
        A channel that is needed has a unit that nobody knows.
    """
    by_key = {key(name): (name, unit) for name, unit in reversed(_with_units(names, units))}
    own = {**(_IRACING_ONLY if _IRACING_MARK in by_key else {}), **own}
    aliases = {name: Alias(channel) for name, channel in CANONICAL.items() if name not in own}
    found: dict[str, Column] = {}
    for bare, alias in [
        *((bare, aliases[bare]) for bare in by_key if bare in aliases),
        *own.items(),
        *ALIASES.items(),
    ]:
        if bare in by_key and alias.name not in found and (column := _column(alias, *by_key[bare])):
            found[alias.name] = column
    if not found:
        raise UnknownFormat("No column is a channel the platform knows; name the columns as documented.")
    return tuple(found.values())


def _with_units(names: Iterable[str], units: Sequence[str]) -> list[tuple[str, str | None]]:
    return list(zip(names, units, strict=True)) if units else [(name, None) for name in names]


def _column(alias: Alias, source: str, unit: str | None) -> Column | None:
    """The column in the unit it has; None if nobody knows the unit and the channel can be done without."""
    channel = CHANNELS[alias.name]
    if unit is None:
        bracketed = re.search(r"[\[(]\s*(.*?)\s*[\])]", source)
        conversion = UNITS.get((channel.unit, bracketed[1].lower())) if bracketed else None
    else:
        conversion = UNITS.get((channel.unit, unit.lower()))
        if unit and channel.unit and not conversion:
            _check_unit(channel, source, unit)
            return None
    return Column(channel, source, *(conversion or (alias.factor, alias.offset)), alias.missing)


def _check_unit(channel: Channel, source: str, unit: str) -> None:
    if channel.name in NEEDED:
        raise InvalidTelemetry(
            f"{source!r} is in {unit!r}, which cannot be turned into {channel.unit}; "
            f"export it in one of {', '.join(units_of(channel.unit))}.",
            column=source,
            channel=channel.name,
            unit=unit,
        )


def is_known(name: str) -> bool:
    """Whether a column of this name is a channel the platform knows."""
    return key(name) in CANONICAL or key(name) in ALIASES

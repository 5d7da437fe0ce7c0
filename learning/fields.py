"""What a prediction may be asked with, and the check that names every field that will not do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from learning.errors import InvalidInput
from learning.history import Features
from learning.laps import SPLITS

_DAY = 86_400.0
_REPORTED = 100  # problems named in one error; a list of 10,000 bad rows needs no more
_LONGEST_LIST = 200
_LONGEST_TEXT = 200


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input field: its kind, and for numbers the range that is believed."""

    description: str
    kind: Literal["number", "text", "numbers", "mapping", "ranges"] = "number"
    minimum: float = 0.0
    maximum: float = _DAY
    required: bool = False


CONDITIONS: Mapping[str, Field] = {
    "car_model": Field(description="the car", kind="text"),
    "compound": Field(description="the tyre compound", kind="text"),
    "wetness": Field(description="of the track, 0 dry to 1 wet", maximum=1),
    "tyre_life": Field(description="laps on these tyres", maximum=1000),
    "fuel": Field(description="in the tank, as the telemetry counts it", maximum=1000),
    "air_temp": Field(description="°C", minimum=-60, maximum=80),
    "road_temp": Field(description="°C", minimum=-60, maximum=120),
    "recent_laps": Field(
        description="this outing's last lap times, newest last, s", kind="numbers", minimum=1
    ),
}
FRAME: Mapping[str, Field] = {
    "track_position": Field(description="share of the lap", maximum=1),
    "current_lap_time": Field(description="s since the lap began"),
    "splits": Field(description="elapsed at each 5 % passed, s", kind="numbers"),
    "speed": Field(description="km/h", maximum=700),
    "throttle": Field(description="0..1", maximum=1),
    "brake": Field(description="0..1", maximum=1),
    "gear": Field(description="-1 is reverse", minimum=-1, maximum=20),
    "rpm": Field(description="of the engine", maximum=50_000),
    "steering": Field(description="as the telemetry has it", minimum=-7200, maximum=7200),
}
ALIASES = {"tyre_compound": "compound"}


def check_rows(fields: Mapping[str, Field], rows: Sequence[Mapping[str, Any]]) -> list[Features]:
    """The rows as features.

    Raises
    ------
    InvalidInput
        Its details' `fields` has the problems of each field, with the number of the row, from 0.
    """
    checked: list[Features] = []
    problems: dict[str, list[str]] = {}
    for index, row in enumerate(rows):
        features, found = _check_row(fields, row)
        checked.append(features)
        for name, problem in found.items():
            problems.setdefault(name, []).append(f"row {index}: {problem}")
        if sum(map(len, problems.values())) >= _REPORTED:
            break
    if problems:
        raise InvalidInput(f"some input fields will not do: {', '.join(sorted(problems))}", fields=problems)
    return checked


def _check_row(fields: Mapping[str, Field], row: Mapping[str, Any]) -> tuple[Features, dict[str, str]]:
    problems = {name: "is missing" for name, field in fields.items() if field.required and name not in row}
    features: Features = {}
    for given, value in row.items():
        name = ALIASES.get(given, given)
        if name not in fields:
            problems[str(given)[:_LONGEST_TEXT]] = "is not a known field"
        elif name in features:
            problems[given] = f"is given twice, as {name} too"
        elif problem := _problem(fields[name], value):
            problems[given] = problem
        else:
            features[name] = _converted(fields[name], value)
    if not problems and (problem := _splits_problem(features)):
        problems["splits"] = problem
    return features, problems


def _problem(field: Field, value: Any) -> str | None:
    if field.kind == "text":
        good = isinstance(value, str) and len(value) <= _LONGEST_TEXT
        return None if good else f"must be a text of at most {_LONGEST_TEXT} characters"
    if field.kind == "number":
        return _number_problem(field, value)
    if field.kind == "mapping":
        if not isinstance(value, Mapping):
            return "must be a mapping of names to numbers"
        named = {name: _number_problem(field, item) for name, item in value.items()}
        return next((f"{name} {problem}" for name, problem in named.items() if problem), None)
    if field.kind == "ranges":
        return ranges_problem(value, field.minimum, field.maximum)
    if not isinstance(value, list | tuple) or len(value) > _LONGEST_LIST:
        return f"must be a list of at most {_LONGEST_LIST} numbers"
    return next(filter(None, (_number_problem(field, item) for item in value)), None)


def ranges_problem(value: Any, minimum: float, maximum: float) -> str | None:
    """Why a value is no mapping of names to a lowest and a highest number, or None."""
    if not isinstance(value, Mapping):
        return "must be a mapping of names to [lowest, highest]"
    number = Field(description="", minimum=minimum, maximum=maximum)
    for name, pair in value.items():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return f"{name} must be [lowest, highest]"
        if problem := next(filter(None, (_number_problem(number, item) for item in pair)), None):
            return f"{name} {problem}"
        if pair[0] > pair[1]:
            return f"{name} must not have its lowest above its highest"
    return None


def _number_problem(field: Field, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if not math.isfinite(value):
        return "must be finite"
    if not field.minimum <= value <= field.maximum:
        return f"must be between {field.minimum:g} and {field.maximum:g}"
    return None


def _converted(field: Field, value: Any) -> Any:
    if field.kind == "text":
        return value
    if field.kind == "number":
        return float(value)
    if field.kind == "mapping":
        return {name: float(item) for name, item in value.items()}
    if field.kind == "ranges":
        return {name: (float(low), float(high)) for name, (low, high) in value.items()}
    return tuple(float(item) for item in value)


def _splits_problem(features: Features) -> str | None:
    splits = features.get("splits")
    if not splits:
        return None
    if not {"current_lap_time", "track_position"} <= features.keys():
        return "need current_lap_time and track_position beside them"
    if len(splits) > int(features["track_position"] * SPLITS + 1e-9):
        return "are more than the 5 % marks passed at this track_position"
    if any(later <= earlier for earlier, later in zip((0.0, *splits), splits, strict=False)):
        return "must rise"
    return "must not be above current_lap_time" if splits[-1] > features["current_lap_time"] + 1e-6 else None

"""What a prediction may be asked with, and the check that names every field that will not do."""

import itertools
import marshal
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from learning.columns import Column, Columns, Ragged
from learning.errors import InvalidInput
from learning.history import Features
from learning.laps import SPLITS, Floats

_DAY = 86_400.0
_REPORTED = 100  # problems named in one error; a list of 10,000 bad rows needs no more
_LONGEST_LIST = 200
_FLOAT, _NUMBERS = {float}, {int, float, type(None)}
_TEXTS, _LISTS = {str, type(None)}, {list, tuple, type(None)}
_MANY = 8  # rows from which checking by column is cheaper
_LONGEST_TEXT = 200
_MARSHALLED = np.dtype([("code", "u1"), ("value", "<f8")])  # a float


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input field: its kind, and for numbers the range that is believed."""

    description: str
    kind: Literal["number", "text", "numbers", "mapping", "ranges"] = "number"
    minimum: float = 0.0
    maximum: float = _DAY
    required: bool = False

    def takes(self, value: float) -> bool:
        """Whether it is a field of numbers and believes this one."""
        return self.kind == "number" and self.minimum <= value <= self.maximum


CONDITIONS: Mapping[str, Field] = {
    "car_model": Field(description="the car", kind="text"),
    "compound": Field(description="the tyre compound", kind="text"),
    "wetness": Field(description="of the track, 0 dry to 1 wet", maximum=1),
    "tyre_life": Field(description="laps on these tyres", maximum=1000),
    "outing_lap": Field(description="laps since leaving the pits before this one", maximum=1000),
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
    "speeds": Field(description="at the line and at each 5 % passed, km/h", kind="numbers", maximum=700),
    "speed": Field(description="km/h", maximum=700),
    "throttle": Field(description="0..1", maximum=1),
    "brake": Field(description="0..1", maximum=1),
    "gear": Field(description="-1 is reverse", minimum=-1, maximum=20),
    "rpm": Field(description="of the engine", maximum=50_000),
    "steering": Field(description="as the telemetry has it", minimum=-7200, maximum=7200),
}
ALIASES = {"tyre_compound": "compound"}


def check_rows(fields: Mapping[str, Field], rows: Sequence[Mapping[str, Any]]) -> Sequence[Features]:
    """The rows as features.

    Raises
    ------
    InvalidInput
        Its details' `fields` has the problems of each field, with the number of the row, from 0.
    """
    if len(rows) >= _MANY and (by_column := _by_column(fields, rows)) is not None:
        return by_column
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


def _by_column(fields: Mapping[str, Field], rows: Sequence[Mapping[str, Any]]) -> Columns | None:
    """The rows, checked by column, when nothing is wrong with any; a field may be missing in some of them."""
    values = _values(rows)
    names = [ALIASES.get(name, name) for name in values or ()]
    if not values or len(set(names)) < len(names) or not set(names) <= fields.keys():
        return None
    columns: dict[str, Column] = {}
    for name, given in zip(names, values.values(), strict=True):
        try:
            column = _column(fields[name], given)
        except OverflowError:  # a number beyond all floats
            return None
        if column is None:
            return None
        columns[name] = column
    checked = Columns(columns, len(rows))
    in_all = {name for name, field in fields.items() if field.required}
    if set(map(len, rows)) == {len(names)}:
        in_all.update(names)
    return checked if all(map(checked.whole, in_all)) and _marks_stand(checked) else None


def _values(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]] | None:
    """What rows give for each field that any gives, None where one gives nothing.

    None alone when not all give the same fields and one gives None.
    """
    if set(map(len, rows)) == {len(rows[0])}:
        try:
            return {name: [row[name] for row in rows] for name in rows[0]}
        except KeyError:  # as many fields, but others
            pass
    names = dict.fromkeys(itertools.chain.from_iterable(rows))
    values = {name: [row.get(name) for row in rows] for name in names}
    given = len(names) * len(rows) - sum(column.count(None) for column in values.values())
    return values if given == sum(map(len, rows)) else None


def _column(field: Field, values: list[Any]) -> Column | None:
    """The values of one field in all rows, converted; None when there is a problem with one."""
    if field.kind == "number":
        return _numbers(field, values)
    kinds = set(map(type, values))
    if field.kind == "text":
        good = kinds <= _TEXTS and all(len(text) <= _LONGEST_TEXT for text in set(values) - {None})
        return values if good else None
    if field.kind != "numbers" or not kinds <= _LISTS:
        return None
    given = None
    if type(None) in kinds:
        given = np.array([value is not None for value in values])
        values = [value or () for value in values]
    lengths = np.array(list(map(len, values)), dtype=np.intp)
    flat = _numbers(field, list(itertools.chain.from_iterable(values)))
    good = flat is not None and not np.isnan(flat).any() and lengths.max() <= _LONGEST_LIST
    return Ragged(flat, lengths, given) if flat is not None and good else None


def _numbers(field: Field, values: list[Any]) -> Floats | None:
    """The values as an array, NaN for None; None unless the others are numbers that the field takes."""
    column, missing = _floats(values), 0
    if column is None:
        if not set(map(type, values)) <= _NUMBERS:
            return None
        missing = values.count(None)
        column = np.array(values, dtype=np.float64)  # NaN for None
    good = int(np.count_nonzero((column >= field.minimum) & (column <= field.maximum)))
    return column if good == len(values) - missing else None


def _floats(values: list[Any]) -> Floats | None:
    """The values when all are floats, else None: told, and read, by how they are marshalled.

    That is a float's code and its eight bytes each, after five of the list; twice as fast as asking each.
    """
    try:
        packed = marshal.dumps(values, 2)
    except ValueError:  # something that cannot be marshalled
        return None
    if len(packed) != 5 + _MARSHALLED.itemsize * len(values):
        return None
    table = np.frombuffer(packed, dtype=_MARSHALLED, offset=5)
    return table["value"].astype(np.float64) if (table["code"] == ord("g")).all() else None


def _marks_stand(rows: Columns) -> bool:
    """Whether `_marks_problem` would find none in any row."""
    splits, speeds = rows.lists("splits"), rows.lists("speeds")
    if not splits.values.size and not speeds.values.size:
        return True
    passed = np.floor(rows.numbers("track_position", math.nan) * SPLITS + 1e-9)
    elapsed = rows.numbers("current_lap_time", math.nan)
    many = (splits.lengths > 0) & ~(splits.lengths <= passed)  # also where the position is not known
    many |= (speeds.lengths > 0) & ~(speeds.lengths <= passed + 1)
    if many.any():
        return False
    steps = np.diff(splits.values, prepend=0.0)
    firsts = (np.cumsum(splits.lengths) - splits.lengths)[splits.lengths > 0]
    steps[firsts] = splits.values[firsts]
    in_time = splits.last() <= elapsed + 1e-6
    return bool((steps > 0).all() and in_time[splits.lengths > 0].all())


def _check_row(fields: Mapping[str, Field], row: Mapping[str, Any]) -> tuple[Features, dict[str, str]]:
    problems = {name: "is missing" for name, field in fields.items() if field.required and name not in row}
    features: Features = {}
    for given, value in row.items():
        if type(value) is float and given in fields and fields[given].takes(value):  # most are, so not slowly
            features[given] = value
            continue
        name = ALIASES.get(given, given)
        if name not in fields:
            problems[str(given)[:_LONGEST_TEXT]] = "is not a known field"
        elif name in features:
            problems[given] = f"is given twice, as {name} too"
        elif problem := _problem(fields[name], value):
            problems[given] = problem
        else:
            features[name] = _converted(fields[name], value)
    return features, problems or _marks_problem(features)


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
    if set(map(type, value)) == _FLOAT and field.minimum <= min(value) and max(value) <= field.maximum:
        return None if math.isfinite(sum(value)) else "must be finite"
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
    if isinstance(value, float) and not math.isfinite(value):
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
    return tuple(map(float, value))


def _marks_problem(features: Features) -> dict[str, str]:
    """What is wrong with `splits` or `speeds` beside the other fields, by field."""
    splits, speeds = features.get("splits", ()), features.get("speeds", ())
    if not splits and not speeds:
        return {}
    name = "splits" if splits else "speeds"
    if "track_position" not in features or (splits and "current_lap_time" not in features):
        return {name: "need current_lap_time and track_position beside them"}
    passed = int(features["track_position"] * SPLITS + 1e-9)
    if len(splits) > passed:
        return {"splits": "are more than the 5 % marks passed at this track_position"}
    if len(speeds) > passed + 1:
        return {"speeds": "are more than the line and the 5 % marks passed at this track_position"}
    if splits and (splits[0] <= 0 or any(map(operator.ge, splits, splits[1:]))):
        return {"splits": "must rise"}
    if splits and splits[-1] > features["current_lap_time"] + 1e-6:
        return {"splits": "must not be above current_lap_time"}
    return {}

"""Reads a frame as a game or a logger names its values: the names of sessions and those of predictions."""

from collections.abc import Iterable, Mapping
from typing import Any

from learning.errors import UnknownFormat
from learning.fields import Field
from learning.telemetry.channels import CHANNELS, TEXT, Channel, Column, key, known
from learning.telemetry.frames import ROUNDING, TEXT_LENGTH

COMPOUND = "compound"  # what predictions call the channel `tyre_compound`
FOR_GATHERING = ("lap", "session_time", "in_pit", "lap_valid", "last_lap_time")
FLAGS = ("in_pit", "lap_valid")


class FrameReader:
    """Turns frames into canonical channels and input fields; their names are looked up once while they stay.

    Parameters
    ----------
    fields
        The input fields of the model.

    Attributes
    ----------
    unknown
        The names in the last frame that mean nothing here.
    """

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._fields = fields
        self._own = {key(name): name for name in fields if name not in CHANNELS and name != COMPOUND}
        self._names: tuple[str, ...] = ()
        self._columns: tuple[Column, ...] = ()
        self._given: dict[str, str] = {}
        self.unknown: tuple[str, ...] = ()

    def read(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        """The frame by canonical names and in canonical units; what is null is left out."""
        if tuple(frame) != self._names:
            self._look_up(tuple(frame))
        values = {column.channel.name: self._value(column, frame[column.source]) for column in self._columns}
        values |= {name: frame[given] for name, given in self._given.items()}
        if TEXT in values:
            values[COMPOUND] = values.pop(TEXT)
        return {name: value for name, value in values.items() if value is not None}

    def fields_of(self, x: Mapping[str, Any]) -> dict[str, Any]:
        """What the model takes of it."""
        return {name: value for name, value in x.items() if name in self._fields}

    def _look_up(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._given = {self._own[key(name)]: name for name in names if key(name) in self._own}
        found = _known(names)
        used = {column.source for column in found} | set(self._given.values())
        wanted = {*self._fields, *FOR_GATHERING, TEXT}
        self._columns = tuple(column for column in found if column.channel.name in wanted)
        self.unknown = tuple(name for name in names if name not in used and not _known([name]))

    def _value(self, column: Column, value: Any) -> Any:
        if column.channel.name in FLAGS and isinstance(value, bool):
            return float(value)
        if column.channel.name == TEXT and isinstance(value, str):
            return value.strip()[:TEXT_LENGTH].upper() or None  # as sessions keep it
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value  # a text where a number belongs is refused by the model, by its name
        if value in column.missing:
            return None
        number = value * column.factor + column.offset
        field = self._fields.get(column.channel.name)
        return number if field is None else _fitted(number, column.channel, field)


def _known(names: Iterable[str]) -> tuple[Column, ...]:
    try:
        return known(names)
    except UnknownFormat:
        return ()


def _fitted(number: float, channel: Channel, field: Field) -> float:
    """A value that a working sensor can give, within what models believe; others stay, to be refused."""
    margin = ROUNDING * (channel.high - channel.low)
    if channel.low - margin <= number <= channel.high + margin:
        return min(max(number, field.minimum), field.maximum)
    return number

"""The fields and the base schema of all requests and answers: strict types, limits, camelCase names."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, pre_load
from marshmallow.validate import Length, Range
from werkzeug.exceptions import BadRequest

from app.api.requests import parsed_json
from app.domain import iso

ID = "[0-9a-f]{24}"
EXAMPLE_ID = "6655f0c2a4b1c2d3e4f50617"
EXAMPLE_ROW = {"speed": 212.4, "throttle": 0.81, "brake": 0.0, "gear": 6, "track_position": 0.37}
MAX_IDS = 1_000
MAX_ROW_FIELDS = 1_000
MAX_INTEGER = 2**53  # beyond it JSON numbers lose digits, and MongoDB takes 64 bits at most
MAX_VALUE_LENGTH = 1_000  # of a string, a list or a mapping inside a row or a parameter
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,63}")


class CamelSchema(Schema):
    """Fields are in snake_case here and in camelCase outside; unknown ones are refused; null is absent."""

    makes: ClassVar[type[Any] | None] = None  # what loading builds from the fields; None leaves a dict

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: "fields.Field[Any]") -> None:
        if field_obj.data_key is None:
            field_obj.data_key = re.sub(r"_(\w)", lambda match: match[1].upper(), field_name)
        field_obj.allow_none |= not field_obj.required  # for the documents; `_without_nulls` comes first

    @pre_load
    def _without_nulls(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if len(data) > MAX_ROW_FIELDS:  # else the answer would name each that is unknown
            raise ValidationError(f"More than {MAX_ROW_FIELDS} fields.")
        return {name: value for name, value in data.items() if value is not None}

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Any:
        return self.makes(**data) if self.makes else data


class Text(fields.String):
    """Printable text of bounded length, without the white space around it."""

    def __init__(
        self, longest: int, example: str, *, lines: bool = False, shortest: int = 1, **kwargs: Any
    ) -> None:
        self._allowed = "\n\t" if lines else ""
        super().__init__(
            validate=(Length(shortest, longest), self._check_printable),
            metadata={"example": example},
            **kwargs,
        )

    def _deserialize(self, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(*args, **kwargs).strip()

    def _check_printable(self, value: str) -> None:
        for letter in self._allowed:  # not the text letter by letter: one of 30 MB would take seconds
            value = value.replace(letter, "")
        if not value.isprintable():
            raise ValidationError("Control characters are not allowed.")


class TrackName(Text):
    """A track's name; one that could not stand in a path would make its models unreachable."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(100, "bahrain", **kwargs)

    def _deserialize(self, *args: Any, **kwargs: Any) -> str:
        name = super()._deserialize(*args, **kwargs)
        if name.startswith("/") or name in (".", ".."):
            raise ValidationError("Must not begin with / nor be . or ..")
        return name


class Id(fields.String):
    """The id of a session, a model, a job or an upload."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"example": EXAMPLE_ID, "pattern": f"^{ID}$"}
        super().__init__(validate=_check_id, metadata=metadata, **kwargs)


class Several(fields.List[Any]):
    """A list of bounded length, loaded as a tuple; one that is too long is refused unread.

    Otherwise the answer to millions of wrong items would name each of them.
    """

    def __init__(self, item: "fields.Field[Any]", *, fewest: int = 1, most: int, **kwargs: Any) -> None:
        self._length = Length(fewest, most)
        super().__init__(item, validate=self._length, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, list):
            self._length(value)
        return tuple(super()._deserialize(value, *args, **kwargs))


class Ids(Several):
    """One or more ids; in an answer there may be none."""

    def __init__(self, *, fewest: int = 1, most: int = MAX_IDS, **kwargs: Any) -> None:
        super().__init__(Id(), fewest=fewest, most=most, **kwargs)


class Flag(fields.Boolean):
    """True or false; as words too, which queries and forms are made of, and which are as clear in JSON."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if value is True or value == "true":
            return True
        if value is False or value == "false":
            return False
        raise self.make_error("invalid", input=value)


class Count(fields.Integer):
    """A whole number in a range; `strict=True` for JSON, where a string is not a number."""

    def __init__(self, low: int, high: int, example: int, **kwargs: Any) -> None:
        super().__init__(validate=Range(low, high), metadata={"example": example}, **kwargs)


class Real(fields.Float):
    """A finite number; a string is not one."""

    def _validated(self, value: Any) -> float:
        if not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Level(Real):
    """How likely a verdict shall be right; above 0.999 no reasonable number of laps decides."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=Range(0.5, 0.999), metadata={"example": 0.95}, **kwargs)


class Utc(fields.DateTime):
    """A time as clients see it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"example": "2026-02-11T09:30:00.000Z"}, **kwargs)

    def _serialize(self, value: datetime | None, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else iso(value)


class Day(fields.Date):
    """A day by UTC; a time stands for the day it is on."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"example": "2026-02-11"}, **kwargs)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> date:
        try:
            time = datetime.fromisoformat(value)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).date()
        except (ValueError, TypeError, OverflowError) as exc:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from exc


class Parameters(fields.Dict):
    """Settings by name: of an algorithm, or of a training."""

    def __init__(self, example: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(metadata={"example": example}, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        values = super()._deserialize(value, *args, **kwargs)  # type: ignore[no-untyped-call]
        check_names(values)
        refused = {name: ["Not a plain value."] for name in values if not is_plain(values[name], depth=2)}
        if refused:
            raise ValidationError(refused)
        return values


class Setup(fields.Dict):
    """A car's setup: numbers by parameter; in a form the JSON text of it."""

    def __init__(self, **kwargs: Any) -> None:
        example = {"frontWing": 4.0, "rearWing": 7.0}
        super().__init__(keys=fields.String(), values=Real(), metadata={"example": example}, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            value = self._parsed(value)
        if isinstance(value, dict):
            Length(0, MAX_ROW_FIELDS)(value)
        values = super()._deserialize(value, *args, **kwargs)  # type: ignore[no-untyped-call]
        check_names(values)
        return values

    @staticmethod
    def _parsed(text: str) -> Any:
        try:
            return parsed_json(text.encode())
        except BadRequest as exc:
            raise ValidationError("Not valid JSON.") from exc


class Rows(fields.Raw):
    """Rows of telemetry as JSON objects, or with `or_one`, of a model's input, a single one too.

    Input may hold mappings, such as a setup or its bounds. It is checked in a loop, for there are many rows.

    Loads a tuple of dicts.
    """

    def __init__(self, longest: int, *, or_one: bool = False, **kwargs: Any) -> None:
        self._longest, self._or_one = longest, or_one
        several = {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": longest}
        kinds = {"oneOf": [{"type": "object"}, several], "example": EXAMPLE_ROW}
        shape = kinds if or_one else several | {"example": [EXAMPLE_ROW]}
        super().__init__(metadata=shape, **kwargs)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> tuple[dict[str, Any], ...]:
        rows = [value] if self._or_one and isinstance(value, dict) else value
        if not isinstance(rows, list):
            raise ValidationError("Not a list of objects.")
        Length(1, self._longest)(rows)
        refused = {
            str(index): wrong
            for index, row in enumerate(rows)
            if (wrong := _wrong_in(row, mappings=self._or_one))
        }
        if refused:
            raise ValidationError(dict(list(refused.items())[:10]))
        return tuple(rows)


def page_of(item: type[Schema], name: str) -> type[Schema]:
    """The schema of a list's page."""
    page: dict[str, fields.Field[Any]] = {
        "items": fields.List(fields.Nested(item), required=True),
        "next_cursor": fields.String(required=True, allow_none=True, metadata={"example": None}),
    }
    return CamelSchema.from_dict(page, name=name)


def check_names(values: Mapping[str, Any]) -> None:
    """Refuses names of parameters that could mean something to a database, or too many of them."""
    Length(0, MAX_ROW_FIELDS)(values)
    refused = {str(name): ["Not a name."] for name in values if not _NAME.fullmatch(str(name))}
    if refused:
        raise ValidationError(refused)


def is_plain(value: Any, depth: int = 1) -> bool:
    """Whether a JSON value is a bounded scalar, or to some depth a list or mapping of such."""
    if isinstance(value, float):
        return math.isfinite(value)
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if len(value) > MAX_VALUE_LENGTH or isinstance(value, str):
        return len(value) <= MAX_VALUE_LENGTH
    inner = list(value.values()) + list(value) if isinstance(value, dict) else value
    if depth > 0 and set(map(type, inner)) == {float} and math.isfinite(sum(inner)):
        return True  # most lists are of numbers
    return depth > 0 and all(is_plain(item, depth - 1) for item in inner)


def _check_id(value: str) -> None:
    if not re.fullmatch(ID, value):
        raise ValidationError("Not an id: 24 hex characters.")


def _wrong_in(row: Any, *, mappings: bool) -> dict[str, list[str]] | list[str]:
    if not isinstance(row, dict):
        return ["Not an object."]
    if len(row) > MAX_ROW_FIELDS:
        return [f"More than {MAX_ROW_FIELDS} fields."]
    return {
        name: ["Not a number, a text, or a list of these."]
        for name, value in row.items()
        if not (type(value) is float and math.isfinite(value))  # most are
        and (not is_plain(value, depth=2 if mappings else 1) or (isinstance(value, dict) and not mappings))
    }

"""Turns a file's rows into frames of canonical channels, with numbers, units and values checked."""

from collections.abc import Iterable, Sequence

import polars as pl

from learning.errors import InvalidTelemetry, TelemetryTooLarge
from learning.telemetry.channels import CHANNELS, TEXT, Channel, Column
from learning.telemetry.source import Limits

MISSING_WORDS = ("", "null", "none", "na", "n/a", "-")
TEXT_LENGTH = 32
ROUNDING = 1e-3  # of a channel's range: a throttle of 1.0004 is full throttle
SPIKES = 0.01  # more than this share of impossible values is a wrong unit, not a sensor's spikes


def canonical(raw: pl.DataFrame, columns: Sequence[Column], *, first_row: int = 0) -> pl.DataFrame:
    """Known columns of a file's rows as canonical channels in canonical units.

    Parameters
    ----------
    raw
        Numbers, booleans or text; text is read as numbers.
    columns
        Which of them to take, and how.
    first_row
        The number of rows before these, for messages.

    Raises
    ------
    InvalidTelemetry
        A numeric channel holds something else; the details name the row.
    """
    return pl.DataFrame([_channel(raw[column.source], column, first_row) for column in columns])


def collect(blocks: Iterable[pl.DataFrame], limits: Limits) -> pl.DataFrame:
    """All blocks of frames as one; a channel that some lack is missing there."""
    parts, rows = [], 0
    for block in blocks:
        rows += block.height
        if rows > limits.rows:
            raise TelemetryTooLarge(
                f"The session has more than {limits.rows:,} rows; split it into several.", limit=limits.rows
            )
        parts.append(block)
    if not rows:
        raise InvalidTelemetry("The file has no rows; upload a session with at least one complete lap.")
    return pl.concat(parts, how="diagonal", rechunk=True)


def check(frames: pl.DataFrame) -> pl.DataFrame:
    """The frames, if laps can be cut from them; impossible values of other than key channels become missing.

    A channel without any value is left out.

    Raises
    ------
    InvalidTelemetry
        A key channel is absent or wrong in some row, or another is impossible in more than a few.
    """
    _require(frames, "lap")
    _require(frames, "current_lap_time", "session_time")
    _require(frames, "track_position", "lap_distance")
    for name in frames.columns:
        if CHANNELS[name].is_key:
            _check_key(frames, CHANNELS[name])
    checked = frames.with_columns(
        _plausible(frames[name], CHANNELS[name])
        for name in frames.columns
        if name != TEXT and not CHANNELS[name].is_key
    )
    return checked.select(name for name in checked.columns if checked[name].null_count() < checked.height)


def _require(frames: pl.DataFrame, *names: str) -> None:
    if not any(name in frames.columns and frames[name].null_count() < frames.height for name in names):
        raise InvalidTelemetry(
            f"There is no {' or '.join(names)} channel; name the columns as the documentation lists them.",
            missing=list(names),
            found=frames.columns,
        )


def _channel(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    name = column.channel.name
    if name == TEXT:
        return short_text(values).alias(name)
    numbers = _numbers(values, column, first_row)
    if column.missing:
        numbers = numbers.set(numbers.is_in(column.missing), None)
    if (column.factor, column.offset) != (1.0, 0.0):
        numbers = numbers * column.factor + column.offset
    return numbers.cast(pl.Float64 if column.channel.is_key else pl.Float32).alias(name)


def short_text(values: pl.Series) -> pl.Series:
    """Short words in capitals. Texts are cut first: however long, each may stand in very many rows."""
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        return pl.Series([None] * len(values), dtype=pl.String)
    if values.dtype in (pl.Categorical, pl.Enum):
        texts = values.unique().drop_nulls()
        return values.to_physical().replace_strict(
            texts.to_physical(), short_text(texts.cast(pl.String)), default=None, return_dtype=pl.String
        )
    text = values.cast(pl.String).str.slice(0, 2 * TEXT_LENGTH).str.strip_chars().str.slice(0, TEXT_LENGTH)
    text = text.str.to_uppercase()
    return text.set(text == "", None)


def _numbers(values: pl.Series, column: Column, first_row: int) -> pl.Series:
    if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
        return values.cast(pl.Float64)
    if values.dtype != pl.String:
        raise _not_a_number(column, first_row + 1, str(values.dtype))
    numbers = values.cast(pl.Float64, strict=False)
    odd = (numbers.is_null() & values.is_not_null()).arg_true()
    if not len(odd):
        return numbers
    words = values.gather(odd).str.strip_chars().str.to_lowercase()
    words = words.replace({**dict.fromkeys(MISSING_WORDS), "true": "1", "false": "0"})
    repaired = words.str.replace(r"^([-+]?\d*),(\d+)$", "$1.$2").cast(pl.Float64, strict=False)
    wrong = (repaired.is_null() & words.is_not_null()).arg_true()
    if len(wrong):
        row = int(odd[wrong[0]])
        raise _not_a_number(column, first_row + row + 1, str(values[row])[:40])
    return numbers.scatter(odd, repaired)


def _not_a_number(column: Column, row: int, value: str) -> InvalidTelemetry:
    return InvalidTelemetry(
        f"Row {row}: {column.source!r} must be a number, not {value!r}.",
        row=row,
        column=column.source,
        value=value,
    )


def _check_key(frames: pl.DataFrame, channel: Channel) -> None:
    """Every row's value is finite and in range; only a lap's time or a frame's position may be missing."""
    values = frames[channel.name]
    wrong = ~(values.is_between(channel.low, channel.high) & values.is_finite())
    wrong = wrong.fill_null(channel.name in ("lap", "current_lap_time", "session_time"))
    if channel.name == "lap":
        wrong |= values != values.floor()
    rows = wrong.arg_true()
    if not len(rows):
        return
    row, kind = int(rows[0]), "a whole number" if channel.name == "lap" else f"a number in {channel.unit}"
    raise InvalidTelemetry(
        f"Row {row + 1}: {channel.name} must be {kind} from {channel.low:g} to {channel.high:g}, "
        f"not {values[row]}.",
        row=row + 1,
        lap=_shown(frames["lap"][row]),
        column=channel.name,
        value=_shown(values[row]),
    )


def _shown(value: float | None) -> float | str | None:
    """A value that JSON can carry."""
    if value is None or abs(value) < float("inf"):
        return value
    return str(value)


def _plausible(values: pl.Series, channel: Channel) -> pl.Series:
    values = values.fill_nan(None)
    margin = ROUNDING * (channel.high - channel.low)
    wrong = ~values.is_between(channel.low - margin, channel.high + margin)
    count = wrong.sum() or 0
    if count > SPIKES * (len(values) - values.null_count()):
        row = wrong.arg_max() or 0
        raise InvalidTelemetry(
            f"{channel.name} must be from {channel.low:g} to {channel.high:g} {channel.unit}".rstrip()
            + f"; {count} values are not, the first is {values[row]:g} in row {row + 1}. Check its unit.",
            row=row + 1,
            column=channel.name,
            value=_shown(values[row]),
        )
    return values.set(wrong, None) if count else values

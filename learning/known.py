"""What is known at some points of laps being driven, as arrays: how the lap-time estimators see them."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.columns import Columns
from learning.history import (
    FACTS,
    MARKS,
    NO_LAP_BEFORE,
    NO_OUTING,
    Features,
    compound_code,
    facts_list,
    moments_of,
    position_of,
)
from learning.laps import SPLITS, Floats

# The columns of a table of moments.
_LEFT, _MARK, _PASSED, _KNOWN, _POSITION, _BEYOND, _ELAPSED, _SPEED, _SINCE = range(9)
_FACTS = slice(9, 9 + len(FACTS))
_SECTIONS = slice(_FACTS.stop, _FACTS.stop + SPLITS - 1)
_SPEEDS = slice(_SECTIONS.stop, _SECTIONS.stop + SPLITS)
_NOTHING = (0.0,) * SPLITS
NOT_STARTED = 0  # in place of how much is known of a lap, at its start


class Moments:
    """What is known at some points of laps being driven, a row each.

    Parameters
    ----------
    table
        Shape (m, 53), by the columns above.

    Attributes
    ----------
    left, beyond
        Shape (m,), the last of the 201 marks passed, and how far beyond it the point is, 0..1.
    mark
        Shape (m,), the nearest 5 %, 0..19.
    passed
        Shape (m,), how many splits are known.
    known
        Shape (m,), `NOT_STARTED`, or how many splits and speeds at marks are known, as one number.
    position
        Shape (m,).
    elapsed
        Shape (m,), seconds, 0 at position 0.
    here
        Shape (m, 3), elapsed, km/h, and seconds since the last split known; NaN where not known.
    facts
        Shape (m, 5), in the order of FACTS, NaN where not known.
    marks
        Shape (m, 39), as `LapHistory.centre`; anything where not known.
    """

    def __init__(self, table: Floats) -> None:
        self._table = table
        self.left, self.mark, self.passed, self.known = table[:, : _KNOWN + 1].T.astype(np.intp)
        self.position = table[:, _POSITION]
        self.beyond = table[:, _BEYOND]
        self.elapsed = table[:, _ELAPSED]
        self.here = table[:, _ELAPSED : _SINCE + 1]
        self.facts = table[:, _FACTS]
        self.marks = table[:, _SECTIONS.start :]

    @classmethod
    def of(cls, rows: Sequence[Features]) -> "Moments":
        """The rows of a prediction."""
        if isinstance(rows, Columns):
            return cls._of_columns(rows)
        return cls(np.array(list(map(_row, rows))))

    @classmethod
    def _of_columns(cls, rows: Columns) -> "Moments":
        splits, speeds = rows.lists("splits"), rows.lists("speeds")
        table = np.empty((len(rows), _SPEEDS.stop))
        position = positions_of(rows)
        started = position > 0
        elapsed = np.where(started, rows.numbers("current_lap_time", 0.0), 0.0)
        passed = np.minimum(splits.lengths, SPLITS - 1)
        every = splits.padded(SPLITS - 1)
        table[:, _LEFT] = np.minimum(np.floor(position * MARKS), MARKS - 1)
        table[:, _MARK] = np.minimum(np.floor(position * SPLITS + 0.5), SPLITS - 1)
        table[:, _PASSED] = passed
        table[:, _KNOWN] = started * _known_number(passed, np.minimum(speeds.lengths, SPLITS))
        table[:, _POSITION] = position
        table[:, _BEYOND] = position * MARKS - table[:, _LEFT]
        table[:, _ELAPSED] = elapsed
        table[:, _SPEED] = np.where(started, rows.numbers("speed", math.nan), math.nan)
        table[:, _SINCE] = elapsed - np.where(passed > 0, every[np.arange(len(every)), passed - 1], 0.0)
        table[:, _FACTS] = _facts_of_columns(rows)
        table[:, _SECTIONS] = every
        table[:, _SECTIONS][:, 1:] -= every[:, :-1]
        table[:, _SPEEDS] = speeds.padded(SPLITS)
        return cls(table)

    @classmethod
    def along(cls, lap: Features, lap_time: float) -> "Moments":
        """A whole lap as it was known at 0 %, 5 %, … 95 %; at 0 % alone when it has no shape."""
        return cls.of(list(moments_of(lap, lap_time)))

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> "Moments":
        return Moments(self._table[rows])

    def __len__(self) -> int:
        return len(self._table)


def _row(x: Features) -> list[float]:
    """The columns of one row."""
    splits, speeds = x.get("splits", ())[: SPLITS - 1], x.get("speeds", ())[:SPLITS]
    position, facts, passed = position_of(x), facts_list(x), len(splits)
    counts, here = (0, 0, passed, NOT_STARTED), (0.0, 0.0, 0.0, math.nan, 0.0)
    if position:
        place, elapsed = position * MARKS, x["current_lap_time"]
        left, mark = min(int(place), MARKS - 1), min(int(position * SPLITS + 0.5), SPLITS - 1)
        counts = left, mark, passed, _known_number(passed, len(speeds))
        since = elapsed - splits[-1] if passed else elapsed
        here = position, place - left, elapsed, x.get("speed", math.nan), since
    sections = map(operator.sub, splits, (0.0, *splits))
    marks = (*sections, *_NOTHING[passed + 1 :], *speeds, *_NOTHING[len(speeds) :])
    return [*counts, *here, *facts, *marks]


def _known_number(splits: Any, speeds: Any) -> Any:
    """The number of so many splits and speeds known, once a lap has started."""
    return 1 + splits * (SPLITS + 1) + speeds


def positions_of(rows: Sequence[Features]) -> Floats:
    """`position_of` each row."""
    if not isinstance(rows, Columns):
        return np.array([position_of(x) for x in rows])
    untimed = np.isnan(rows.numbers("current_lap_time", math.nan))
    return np.where(untimed, 0.0, rows.numbers("track_position", 0.0))


def _facts_of_columns(rows: Columns) -> Floats:
    """`facts_of` each row."""
    compounds = rows.listed("compound")
    codes = {compound: compound_code(compound) for compound in set(compounds)}
    previous = rows.lists("recent_laps").last()
    previous = np.where(np.isnan(previous), rows.numbers("previous_lap", math.nan), previous)
    known = previous > 0
    facts = np.empty((len(rows), 5))
    facts[:, 0] = rows.numbers("outing", NO_OUTING)
    facts[:, 1] = rows.numbers("tyre_life", math.nan)
    facts[:, 2] = rows.numbers("outing_lap", math.nan)
    facts[:, 3] = np.where(previous == 0, NO_LAP_BEFORE, np.nan)
    facts[known, 3] = np.log(previous[known])
    facts[:, 4] = [codes[compound] for compound in compounds]
    return facts

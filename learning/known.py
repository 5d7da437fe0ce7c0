"""What is known at some points of laps being driven, as arrays: how the lap-time estimators see them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.columns import Columns
from learning.history import (
    MARKS_PER_SPLIT,
    NO_LAP_BEFORE,
    NO_OUTING,
    Features,
    compound_code,
    facts_list,
    facts_of,
    is_shaped,
    position_of,
    speeds_of,
    trace_of,
)
from learning.laps import SPLITS, Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What is known at some points of laps being driven, a row each."""

    position: Floats  # (m,)
    here: Floats  # (m, 2), elapsed seconds, 0 at position 0, and km/h, NaN where not known
    known: NDArray[np.intp]  # (m, 2), how many splits and how many speeds at marks are known
    last_split: Floats  # (m,), elapsed at the last split known, 0 before the first
    marks: Floats  # (m, 39), as `LapHistory.centre`; anything where not known
    facts: Floats  # (m, 5), in the order of FACTS, NaN where not known

    @property
    def elapsed(self) -> Floats:
        return self.here[:, 0]

    @classmethod
    def of(cls, rows: Sequence[Features]) -> "Moments":
        """The rows of a prediction."""
        if isinstance(rows, Columns):
            return cls._of_columns(rows)
        splits, speeds = np.zeros((len(rows), SPLITS)), np.zeros((len(rows), SPLITS))
        known = np.zeros((len(rows), 2), dtype=np.intp)
        here, position = np.empty((len(rows), 2)), np.empty(len(rows))
        for i, x in enumerate(rows):
            passed, measured = x.get("splits", ())[: SPLITS - 1], x.get("speeds", ())[:SPLITS]
            known[i] = len(passed), len(measured)
            splits[i, 1 : 1 + len(passed)] = passed
            speeds[i, : len(measured)] = measured
            position[i] = position_of(x)
            here[i] = x.get("current_lap_time", 0.0) if position[i] else 0.0, x.get("speed", math.nan)
        facts = np.array([facts_list(x) for x in rows])
        return cls._built(position, here, known, splits, speeds, facts)

    @classmethod
    def _of_columns(cls, rows: Columns) -> "Moments":
        splits, speeds = rows.lists("splits"), rows.lists("speeds")
        position = positions_of(rows)
        elapsed = np.where(position > 0, rows.numbers("current_lap_time", 0.0), 0.0)
        passed = np.zeros((len(rows), SPLITS))
        passed[:, 1:] = splits.padded(SPLITS - 1)
        known = np.stack([splits.lengths, speeds.lengths], axis=1)
        np.minimum(known, (SPLITS - 1, SPLITS), out=known)
        here = np.stack([elapsed, rows.numbers("speed", math.nan)], axis=1)
        return cls._built(position, here, known, passed, speeds.padded(SPLITS), _facts_of_columns(rows))

    @classmethod
    def _built(
        cls,
        position: Floats,
        here: Floats,
        known: NDArray[np.intp],
        splits: Floats,
        speeds: Floats,
        facts: Floats,
    ) -> "Moments":
        """From the splits after a 0 for the line, and the speeds, both shape (m, 20)."""
        return cls(
            position=position,
            here=here,
            known=known,
            last_split=splits[np.arange(len(splits)), known[:, 0]],
            marks=np.concatenate([splits[:, 1:] - splits[:, :-1], speeds], axis=1),
            facts=facts,
        )

    @classmethod
    def along(cls, lap: Features, lap_time: float) -> "Moments":
        """A whole lap as it was known at 0 %, 5 %, … 95 %; at 0 % alone when it has no shape."""
        trace, speeds = (array[::MARKS_PER_SPLIT] for array in (trace_of(lap, lap_time), speeds_of(lap)))
        count = np.arange(SPLITS if is_shaped(lap) else 1)
        measured = np.where(np.isnan(speeds).any(), 0, count + 1)
        marks = np.concatenate([np.diff(trace)[:-1], speeds[:-1]])
        return cls(
            position=count / SPLITS,
            here=np.stack([trace, speeds], axis=1)[count],
            known=np.stack([count, measured], axis=1),
            last_split=trace[count],
            marks=np.tile(np.nan_to_num(marks), (len(count), 1)),
            facts=np.tile(facts_of(lap), (len(count), 1)),
        )

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> "Moments":
        return Moments(
            position=self.position[rows],
            here=self.here[rows],
            known=self.known[rows],
            last_split=self.last_split[rows],
            marks=self.marks[rows],
            facts=self.facts[rows],
        )

    def __len__(self) -> int:
        return len(self.position)


def positions_of(rows: Sequence[Features]) -> Floats:
    """`position_of` each row."""
    if not isinstance(rows, Columns):
        return np.array([position_of(x) for x in rows])
    if not rows.has("current_lap_time"):
        return np.zeros(len(rows))
    return rows.numbers("track_position", 0.0)


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

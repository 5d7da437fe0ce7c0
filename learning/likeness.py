"""How like a lap being driven earlier laps are, as seen from the point it has come to."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.history import LapHistory
from learning.known import Moments
from learning.laps import SPLITS, Floats

# What an earlier lap can have in common with the one being driven: shape, then what held when they began.
SHAPE = ("splits", "last_splits", "speeds", "last_speeds", "elapsed")
_SITUATION = ("tyre_life", "outing_lap", "previous_lap")
TERMS = (*SHAPE, *_SITUATION, "age", "age_elsewhere", "other_outing", "other_compound")
_LAST_SPLITS, _LAST_SPEEDS = 4, 2
_MINI = 1 / SPLITS
# Differences smaller than these are none: squares, as shares of the lap time's or of km/h; laps; logarithm.
_SAME_TIME = {"splits": 5e-5 * _MINI**2, "last_splits": 5e-5 * _MINI**2, "elapsed": 2e-6}
_SAME = {"speeds": 8.0, "last_speeds": 8.0, "tyre_life": 1.0, "outing_lap": 1.0, "previous_lap": 0.004}
NARROW = 0.35  # a likeness's width, in harmonic means of the distances
UNLIKE = 50.0  # widths beyond which a lap is as unlike as any
FAR = 1e9  # in place of a distance that is not known
ANOTHER_PACE = 0.1  # the laps before differ by this much of their time, or one had no lap before
_REMEMBERED = 16  # situations
_FEW_SITUATIONS = 4  # in a run of points: each is remembered
_ALONE = np.zeros(1, dtype=np.intp)
KINDS = (*SHAPE, *_SITUATION)
FLOORS = np.array([_SAME.get(name, 0.0) for name in KINDS], dtype=np.float32)
TIME_FLOORS = np.array([_SAME_TIME.get(name, 0.0) for name in KINDS], dtype=np.float32)
_SITUATION_FLOORS = FLOORS[len(SHAPE) :, None, None]


def _shares() -> NDArray[np.float32]:
    """What each mark counts by how many splits and speeds are known, in the order of `SHAPE`.

    Shape (20, 21, 4, 39); what is missing to 1 is left for the very point.
    """
    shares = np.zeros((SPLITS, SPLITS + 1, 4, 2 * SPLITS - 1), dtype=np.float32)
    for splits in range(1, SPLITS):
        shares[splits, :, 0, :splits] = 1 / (splits + 1)
        last = min(splits, _LAST_SPLITS)
        shares[splits, :, 1, splits - last : splits] = 1 / (last + 1)
    for speeds in range(1, SPLITS + 1):
        shares[:, speeds, 2, SPLITS - 1 : SPLITS - 1 + speeds] = 1 / (speeds + 1)
        last = min(speeds, _LAST_SPEEDS)
        shares[:, speeds, 3, SPLITS - 1 + speeds - last : SPLITS - 1 + speeds] = 1 / (last + 1)
    return shares


SHARES = _shares()
SHARES_HERE = 1 - SHARES.sum(axis=3)
_TOGETHER = 8  # elapsed, speed, time since the last split, 1, and what the marks behind say of four shapes


def _by_known(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (421, …), from (20, 21, …): by `Moments.known`; where a lap starts nothing counts."""
    flat = table.reshape(-1, *table.shape[2:])
    return np.concatenate([np.zeros_like(flat[:1]), flat])


def _shares_here() -> NDArray[np.float32]:
    """Shape (20, 21, 5, 8): what the rows of `_measure` count for each shape."""
    shares = np.zeros((SPLITS, SPLITS + 1, len(SHAPE), _TOGETHER), dtype=np.float32)
    shares[:, :, :2, 2] = SHARES_HERE[:, :, :2]
    shares[:, :, 2:4, 1] = SHARES_HERE[:, :, 2:]
    shares[:, :, 4, 0] = 1.0
    shares[:, :, :4, 4:] = np.eye(4)
    return shares


_HERE = _by_known(_shares_here())
_PARTS = np.ascontiguousarray(  # what (a - b)² is summed from, -2 a b and b², of each shape
    _by_known(np.concatenate([-2 * SHARES, SHARES], axis=3)).transpose(1, 0, 2)
)


def terms_of(now: Moments, history: LapHistory, at: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (terms, m, laps): likenesses in widths, ages in laps, other outing and compound as 1.

    Parameters
    ----------
    at
        Of the laps of the history at the points of those being driven, as `LapHistory.at` gives it.
    """
    terms = np.empty((len(TERMS), len(now), len(history)), dtype=np.float32)
    alike = terms[: len(SHAPE)]
    _measure(alike, now, history, at)
    alike *= _per_width(alike)
    np.minimum(alike, UNLIKE, out=alike)
    _situate(terms[len(SHAPE) :], now.facts, history)
    return terms


def _measure(
    distances: NDArray[np.float32], now: Moments, history: LapHistory, at: NDArray[np.float32]
) -> None:
    """Fills in how unlike in shape each lap is, its floor added, shape (shapes, m, laps).

    What is not known is the same for all laps, and so tells nothing.
    """
    here = np.empty((_TOGETHER, len(now), len(history)), dtype=np.float32)
    driven = now.here.T[:, :, None].astype(np.float32)
    np.subtract(at, driven[:2], out=here[:2])
    np.subtract(at[0], history.splits.take(now.passed, axis=0), out=here[2])
    here[2] -= driven[2]
    np.square(here[:3], out=here[:3])
    np.fmin(here[:3], FAR, out=here[:3])
    here[3] = 1.0
    first, which = _runs(now.known, now.marks)
    if 2 * len(first) > len(now):
        _measure_behind(here[4:], now, history)
    else:
        behind = np.empty((4, len(first), len(history)), dtype=np.float32)
        _measure_behind(behind, now[first], history)
        np.take(behind, which, axis=1, out=here[4:], mode="clip")
    shares = _HERE.take(now.known, axis=0)
    shares[:, :, 3] = _shape_floors(history.best_time)
    np.matmul(shares, here.transpose(1, 0, 2), out=distances.transpose(1, 0, 2))


def _measure_behind(behind: NDArray[np.float32], now: Moments, history: LapHistory) -> None:
    """Fills in what the marks behind say of four shapes, shape (4, m, laps): sums of a² - 2 a b + b²."""
    marks = len(history.centre)
    own = np.ones((len(now), 2 * marks), dtype=np.float32)
    np.subtract(now.marks, history.centre, out=own[:, :marks])
    parts = _PARTS.take(now.known, axis=1)
    squares = parts[:, :, marks:].transpose(1, 0, 2) @ np.square(own)[:, :marks, None]
    parts *= own
    np.matmul(parts, history.marks, out=behind)
    behind += squares.transpose(1, 0, 2)
    np.maximum(behind, 0.0, out=behind)


def _situate(terms: NDArray[np.float32], facts: Floats, history: LapHistory) -> None:
    """Fills in the terms after those of the shape."""
    first, which = _runs(facts.view(np.int64))
    if len(first) > _FEW_SITUATIONS:
        facts, which = _distinct(facts)
        np.take(_situated(facts, history), which, axis=1, out=terms, mode="clip")
        return
    for start, end in zip(first, [*first[1:], len(facts)], strict=True):
        terms[:, start:end] = _situated_once(facts[start : start + 1], history)


def _situated_once(facts: Floats, history: LapHistory) -> NDArray[np.float32]:
    """The same for one row, remembered, as frames of a lap come one after another."""
    known, key = history.situated, facts.tobytes()
    if (terms := known.get(key)) is None:
        if len(known) >= _REMEMBERED:
            known.clear()
        terms = known[key] = _situated(facts, history)
    return terms


def _situated(facts: Floats, history: LapHistory) -> NDArray[np.float32]:
    """Shape (terms after those of the shape, m, laps), for each row of facts."""
    kinds = len(_SITUATION)
    terms = np.empty((len(TERMS) - len(SHAPE), len(facts), len(history)), dtype=np.float32)
    alike, driven = terms[:kinds], facts.T[1:4, :, None].astype(np.float32)
    np.subtract(history.situations[:, None], driven, out=alike)
    np.abs(alike, out=alike)
    np.minimum(alike[2], ANOTHER_PACE, out=alike[2])
    np.copyto(alike, 0.0, where=driven != driven)
    np.fmin(alike, FAR, out=alike)
    alike *= _per_width(alike + _SITUATION_FLOORS)
    np.minimum(alike, UNLIKE, out=alike)
    elsewhere = history.facts[0] != facts[:, :1]
    alike *= elsewhere
    np.multiply(history.age, elsewhere, out=terms[-3])
    np.subtract(history.age, terms[-3], out=terms[-4])
    terms[-2] = elsewhere
    terms[-1] = history.facts[4] != facts[:, 4:]
    return terms


def _per_width(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (kinds, m, 1): 1 over the widths that follow from distances and their floors."""
    return sums(np.reciprocal(distances)) * np.float32(1 / (NARROW * distances.shape[2]))


def _runs(*columns: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where rows begin that are equal to each other, and of each row which of those it belongs to."""
    if len(columns[0]) == 1:
        return _ALONE, _ALONE
    new = np.zeros(len(columns[0]), dtype=np.bool_)
    new[0] = True
    for column in columns:
        changed = column[1:] != column[:-1]
        new[1:] |= changed.any(axis=1) if changed.ndim > 1 else changed
    return np.flatnonzero(new), new.cumsum() - 1


def _distinct(facts: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """The rows that differ, and which of them each row is: frames of a lap began alike."""
    found: dict[bytes, int] = {}
    rows = np.ascontiguousarray(facts).view(f"V{facts.shape[1] * facts.itemsize}")
    which = [found.setdefault(row, len(found)) for row in rows[:, 0].tolist()]
    return np.frombuffer(b"".join(found)).reshape(len(found), -1), np.array(which)


def sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (…, 1): the sums along the last axis of (…, laps)."""
    return values @ _ones(values.shape[-1])


@lru_cache(maxsize=256)
def _ones(laps: int) -> NDArray[np.float32]:
    return np.ones((laps, 1), dtype=np.float32)


@lru_cache(maxsize=256)
def _shape_floors(best: float) -> NDArray[np.float32]:
    """Of the kinds of shape, with a best lap of so many seconds."""
    floors: NDArray[np.float32] = (FLOORS + best**2 * TIME_FLOORS)[: len(SHAPE)]
    return floors

"""The mixture of experts as an ONNX graph.

It says with ONNX operators what `mixture.py` and `history.py` say with numpy; whoever changes one changes
the other, and `tests/learning/test_export_onnx.py` fails until it is so. Sums are of doubles; of single
values, what the platform rounds to single precision is rounded here too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from learning.history import AT_PACE, MARKS, MARKS_PER_SPLIT, NO_OUTING, TICKS, LapHistory
from learning.laps import SPLITS, Floats
from learning.likeness import (
    ANOTHER_PACE,
    FAR,
    FLOORS,
    KINDS,
    NARROW,
    SHAPE,
    SHARES,
    SHARES_HERE,
    TIME_FLOORS,
    UNLIKE,
)
from learning.mixture import ExpertMixture, MixtureArrays
from learning.onnx_graph import Graph, Value
from learning.past import CLUE_LIMIT, FORGOTTEN, MIDDLE, SLACK

INPUTS: Mapping[str, tuple[int | str, ...]] = {  # beside the smallest ones
    "splits": (SPLITS - 1,),
    "speeds": (SPLITS,),
    "recent_laps": ("recent",),
    "tyre_life": (),
    "outing_lap": (),
    "compound": (),
}
_END = np.iinfo(np.int64).max  # of a slice
_LAST = 5  # laps of the clue that goes by the last ones


def mixture_answers(graph: Graph, given: Mapping[str, Value], mixture: ExpertMixture) -> Value:
    """Shape (m,): the lap times that an `ExpertMixture` answers to the inputs, once it has learned a lap."""
    arrays = mixture.arrays()
    now = _Now(graph, given, arrays)
    pace = _Past(now, _with_recent(now, arrays.pace), arrays.pace.centre)
    weights = pace.mixed()
    answers = now.elapsed + _middles(pace, weights)
    answers = answers + pace.correction(weights, answers)
    slow = _Past(now, _as_learned(now, arrays.recent), arrays.recent.centre)
    slow_answers = now.elapsed + _middles(slow, slow.mixed())
    return graph.where(pace.lost(), slow_answers, answers)


class _Now:
    """What is known of the laps being driven, a row each: `Moments.of`."""

    def __init__(self, graph: Graph, given: Mapping[str, Value], arrays: MixtureArrays) -> None:
        self.graph = graph
        self.arrays = arrays
        timed = ~(given["track_position"].is_nan() | given["current_lap_time"].is_nan())
        self.position = graph.where(timed, given["track_position"], 0.0)
        self.started = self.position > 0.0
        self.elapsed = graph.where(self.started, given["current_lap_time"], 0.0)
        self.speed = given["speed"]
        self.mark = (self.position * float(SPLITS) + 0.5).cast(np.int64).minimum(SPLITS - 1)
        place = self.position * float(MARKS)
        self.left = place.cast(np.int64).minimum(MARKS - 1)
        self.beyond = (place - self.left.cast(np.float64)).cast(np.float32).widen(1)
        self.splits = (~given["splits"].is_nan()).cast(np.int64).sum(1)
        self.speeds = (~given["speeds"].is_nan()).cast(np.int64).sum(1)
        passed = graph.concat([self.column(0.0), given["splits"].known_or(0.0)], 1)
        self.last_split = passed.pick(self.splits.widen(1), 1)
        sections = passed.part(1, SPLITS, 1) - passed.part(0, SPLITS - 1, 1)
        self.marks = graph.concat([sections, given["speeds"].known_or(0.0)], 1)
        self.tyre_life, self.outing_lap = given["tyre_life"], given["outing_lap"]
        self.compound = given["compound"].known_or(0.0).widen(1)
        self.recent = given["recent_laps"]
        self.driven = ~self.recent.is_nan()
        self.before = self.driven.cast(np.float64).running_sum(1, from_end=True)  # 1 for the last of them
        last = self.driven & self.before.equals(1.0)
        previous = graph.where(last, self.recent, 0.0).sum(1)  # 0 where there was none
        self.previous = graph.where(previous > 0.0, previous, np.nan).map("Log")

    def column(self, number: float) -> Value:
        """Shape (m, 1)."""
        return (self.position * 0.0).widen(1) + number

    def in_each_row(self, value: Value, dimensions: int) -> Value:
        """Shape (1, …) stretched to (m, …)."""
        rows = self.graph.apply("Shape", self.position, dtype=np.int64)
        others = self.graph.constant(np.ones(dimensions - 1), np.int64)
        return self.graph.apply("Expand", value, self.graph.concat([rows, others], 0))


@dataclass(frozen=True, kw_only=True)
class _Laps:
    """Earlier laps as the rows see them; shapes are (m or 1, laps) unless said otherwise."""

    valid: Value
    lap_time: Value
    number: Value
    shaped: Value
    elapsed_at: Value  # where the row is, in single precision as are the next three
    speed_at: Value
    split_at: Value  # where the row's last split was taken
    marks: Value  # (m or 1, 39, laps), less their centre
    situations: Value  # (m or 1, 3, laps)
    elsewhere: Value  # whether in another outing
    other_compound: Value


def _as_learned(now: _Now, history: LapHistory) -> _Laps:
    """The laps of a history."""
    graph = now.graph
    traces = graph.constant(history.traces.transpose(1, 0, 2))
    before, after = traces.take(now.left), traces.take(now.left + 1)
    at = before + (after - before) * now.beyond.widen(2)
    return _Laps(
        valid=graph.constant(np.ones((1, len(history)), dtype=np.bool_)),
        lap_time=graph.constant(history.lap_time[None]),
        number=graph.constant(history.number[None], np.float64),
        shaped=graph.constant(history.shaped[None]),
        elapsed_at=at.part(0, 1, 1).narrow(1),
        speed_at=at.part(1, 2, 1).narrow(1),
        split_at=graph.constant(history.splits).take(now.splits),
        marks=graph.constant(history.marks[None, : len(history.centre)]),
        situations=graph.constant(history.situations[None]),
        elsewhere=graph.constant((history.facts[0] != NO_OUTING)[None]),
        other_compound=~now.compound.equals(history.facts[4][None]),
    )


def _with_recent(now: _Now, history: LapHistory) -> _Laps:
    """The laps of a history and the recent ones, of them those at pace: `LapHistory.with_recent`."""
    graph, known, recent = now.graph, vars(_as_learned(now, history)), vars(_recent(now, history))
    both = {}
    for name, value in known.items():
        dimensions = 3 if name in ("marks", "situations") else 2
        stretched = now.in_each_row(value, dimensions)
        both[name] = graph.concat([stretched, recent[name]], dimensions - 1)
    best = graph.where(both["valid"], both["lap_time"], np.inf).min(1, keep=True)
    both["valid"] &= both["lap_time"] <= best * AT_PACE
    return _Laps(**both)


def _recent(now: _Now, history: LapHistory) -> _Laps:
    """The recent laps as laps of the best one's shape."""
    graph, best = now.graph, history.best
    lap_time = now.recent.known_or(1.0)
    ratio = lap_time / float(history.lap_time[best])
    ticks = graph.constant(np.rint(history.traces[0, :, best].astype(np.float64) * TICKS[0]))
    speeds = graph.constant(history.traces[1, :, best])

    def elapsed(marks: Value, ratio: Value) -> Value:
        return ((marks * ratio).map("Round") / float(TICKS[0])).cast(np.float32)

    def at(left: Value, right: Value) -> Value:
        return left + (right - left) * now.beyond

    splits = graph.constant(np.arange(0, MARKS + 1, MARKS_PER_SPLIT))
    every = elapsed(ticks.take(splits).widen(0).widen(2), ratio.widen(1))
    sections = every.part(1, SPLITS, 1) - every.part(0, SPLITS - 1, 1)
    centre = graph.constant(history.centre[: SPLITS - 1, None])
    measured = graph.constant(history.marks[SPLITS - 1 : len(history.centre), best][None, :, None])
    nothing = (ratio * 0.0).cast(np.float32)
    never = now.driven & graph.constant(np.array(False))
    number = now.driven.cast(np.float64).sum(1, keep=True) - now.before + (float(history.number[-1]) + 1)
    earlier = graph.concat([now.column(np.nan), now.recent.part(0, -1, 1)], 1).map("Log")
    ages = [fact.widen(1) - now.before for fact in (now.tyre_life, now.outing_lap)]
    situations = graph.concat([value.widen(1) for value in (*ages, earlier)], 1)
    return _Laps(
        valid=now.driven,
        lap_time=lap_time,
        number=number,
        shaped=now.driven if history.shaped[best] else never,
        elapsed_at=at(*(elapsed(ticks.take(place).widen(1), ratio) for place in (now.left, now.left + 1))),
        speed_at=at(*(speeds.take(place).widen(1) for place in (now.left, now.left + 1))) + nothing,
        split_at=elapsed(ticks.take(splits).take(now.splits).widen(1), ratio),
        marks=graph.concat(
            [(sections.cast(np.float64) - centre).cast(np.float32), measured + nothing.widen(1)], 1
        ),
        situations=situations.cast(np.float32),
        elsewhere=never,
        other_compound=never,
    )


class _Past:
    """Earlier laps of one kind as the rows see them: `past.Past`."""

    def __init__(self, now: _Now, laps: _Laps, centre: Floats) -> None:
        graph = now.graph
        self.now = now
        self.laps = laps
        self.centre = centre
        any_shaped = (laps.valid & laps.shaped).cast(np.int64).max(1, keep=True) > 0
        free = now.mark.equals(0).widen(1) | ~any_shaped
        self.valid = laps.valid & (laps.shaped | free)
        self.count = self.valid.cast(np.float64).sum(1, keep=True)
        times = graph.where(self.valid, laps.lap_time, np.inf)
        best_at = graph.apply("ArgMin", times, dtype=np.int64, axis=1, keepdims=1)
        self.best = times.min(1, keep=True)
        remaining = laps.lap_time - laps.elapsed_at.cast(np.float64)
        self.best_remaining = remaining.pick(best_at, 1)
        # in the place of a lap that does not count one that changes no minimum and, without weight, no sum
        self.remaining = graph.where(self.valid, remaining, self.best_remaining)

    def lost(self) -> Value:
        """Whether a lap can hardly be one at pace any more."""
        slack = (1.0 - self.now.position) * SLACK + 1.0
        at_best = self.now.elapsed + self.best_remaining.narrow(1)
        return at_best > self.best.narrow(1) * AT_PACE * slack

    def mixed(self) -> Value:
        """Shape (m, laps): what each lap counts, by the experts that speak at each mark."""
        graph, now, arrays = self.now.graph, self.now, self.now.arrays
        theta = graph.constant(arrays.theta, np.float64).take(now.mark)
        trust = graph.constant(arrays.trust, np.float64).take(now.mark).widen(2)
        exponents = (theta @ self._terms()).maximum(-FORGOTTEN)
        weights = exponents.map("Exp") * self.valid.cast(np.float64).widen(1)
        return (weights / weights.sum(2, keep=True) * trust).sum(1)

    def correction(self, weights: Value, answers: Value) -> Value:
        """What to add to the mixture's answers, in seconds."""
        arrays, graph = self.now.arrays, self.now.graph
        coefficients = graph.constant(arrays.coefficients).take(self.now.mark)
        shares = (self._clues(weights, answers) * coefficients).sum(1)
        return shares.maximum(-arrays.correction).minimum(arrays.correction) * self.best.narrow(1)

    def _clues(self, weights: Value, answers: Value) -> Value:
        now, graph, limit = self.now, self.now.graph, CLUE_LIMIT
        elapsed, speed = (self._usual(weights, at) for at in (self.laps.elapsed_at, self.laps.speed_at))
        ahead = (now.elapsed - answers).widen(1)
        from_end = self.valid.cast(np.float64).running_sum(1, from_end=True)
        last, last_ones = (self.valid & (from_end <= float(laps)) for laps in (1, _LAST))
        seconds = (
            now.elapsed.widen(1) - elapsed,
            graph.where(last, self.remaining, 0.0).sum(1, keep=True) + ahead,
            self.remaining.min(1, keep=True) + ahead,
            graph.where(last_ones, self.remaining, 0.0).sum(1, keep=True) / self.count.minimum(float(_LAST))
            + ahead,
        )
        first, *others = (one / (self.best / 100.0) for one in seconds)
        faster = (now.speed.widen(1) - speed) / 20.0 * now.started.cast(np.float64).widen(1)
        clues = graph.concat([first, faster, *others], 1).known_or(0.0)
        return clues.maximum(-limit).minimum(limit)

    def _usual(self, weights: Value, at: Value) -> Value:
        """Shape (m, 1): the mean of what the laps had here."""
        graph = self.now.graph
        return graph.where(self.valid, weights * at.cast(np.float64), 0.0).sum(1, keep=True)

    def _terms(self) -> Value:
        """Shape (m, terms, laps): likenesses in widths, ages in laps, other outing and compound as 1."""
        graph, laps = self.now.graph, self.laps
        distances = self._distances()
        floors = graph.constant(FLOORS[None, :, None], np.float64)
        times = graph.constant(TIME_FLOORS[None, :, None], np.float64)
        of_shape = graph.constant(np.arange(len(KINDS))[None, :, None] < len(SHAPE), np.float64)
        best = self.best.widen(1)
        padding = floors + best * best * times
        inverse = graph.where(self.valid.widen(1), 1.0 / (distances + padding), 0.0)
        scale = inverse.sum(2, keep=True) / (self.count.widen(1) * NARROW)
        likeness = ((distances + padding * of_shape) * scale).minimum(UNLIKE)
        elsewhere = laps.elsewhere.cast(np.float64)
        kinds = len(KINDS)
        situations = likeness.part(kinds - 3, kinds, 1) * elsewhere.widen(1)
        age = graph.where(self.valid, laps.number, -np.inf).max(1, keep=True) - laps.number
        rows = (age * (1.0 - elsewhere), age * elsewhere, elsewhere, laps.other_compound.cast(np.float64))
        stretched = [(row + self.now.column(0.0)).widen(1) for row in rows]
        return graph.concat([likeness.part(0, kinds - 3, 1), situations, *stretched], 1)

    def _distances(self) -> Value:
        """Shape (m, kinds, laps): how unlike each lap is; what is not known is the same for all."""
        now, graph, laps = self.now, self.now.graph, self.laps
        known = now.splits * (SPLITS + 1) + now.speeds
        shares = graph.constant(SHARES.reshape(-1, *SHARES.shape[2:]), np.float64).take(known)
        rest = graph.constant(SHARES_HERE.reshape(-1, 4), np.float64).take(known).widen(2)
        own = (now.marks - self.centre[None]).cast(np.float32).cast(np.float64).widen(2)
        apart = own - laps.marks.cast(np.float64)
        squares = shares @ (apart * apart)
        timed = (laps.elapsed_at - now.elapsed.cast(np.float32).widen(1)).cast(np.float64)
        faster = (laps.speed_at - now.speed.cast(np.float32).widen(1)).cast(np.float64)
        since = timed - laps.split_at.cast(np.float64) + now.last_split
        here = [(one * one).widen(1) for one in (since, since, faster, faster)]
        shapes = graph.concat([squares + rest * graph.concat(here, 1), (timed * timed).widen(1)], 1)
        shapes = graph.where(now.started.widen(1).widen(2), shapes, 0.0)
        distances = graph.concat([shapes, self._situations()], 1)
        return distances.known_or(FAR).minimum(FAR)

    def _situations(self) -> Value:
        """Shape (m, 3, laps): how far apart tyre life, place in the outing, and the lap before are."""
        now, graph = self.now, self.now.graph
        facts = [fact.widen(1) for fact in (now.tyre_life, now.outing_lap, now.previous)]
        driven = graph.concat(facts, 1).cast(np.float32).widen(2)
        apart = (self.laps.situations - driven).map("Abs").cast(np.float64)
        limit = np.array([np.inf, np.inf, ANOTHER_PACE])[None, :, None]
        limited = graph.where(apart > limit, limit, apart)
        return graph.where(driven.is_nan(), 0.0, limited)


def _middles(past: _Past, weights: Value) -> Value:
    """For each row the mean of the middle part of the weighted remaining times."""
    graph, (low, high) = past.now.graph, MIDDLE
    laps = graph.apply("Shape", past.remaining, dtype=np.int64, start=1)
    ordered, order = graph.apply_all(
        "TopK", past.remaining, laps, dtypes=(None, np.int64), axis=1, largest=0, sorted=1
    )
    inside = weights.pick(order, 1).running_sum(1).part(0, -1, 1).maximum(low).minimum(high)
    steps = ordered.part(1, _END, 1) - ordered.part(0, -1, 1)
    first, last = ordered.part(0, 1, 1).narrow(1), ordered.part(-1, _END, 1).narrow(1)
    return (last * high - first * low - (inside * steps).sum(1)) / (high - low)

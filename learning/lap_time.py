"""Lap-time prediction at any point of a lap, and the forecast of the next lap."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from learning.answers import Context
from learning.fields import CONDITIONS, FRAME, Field
from learning.history import Features, position_of
from learning.intervals import Interval, ResidualWindow
from learning.known import positions_of
from learning.laps import Floats, Lap, SessionLaps
from learning.model import Estimator, RacingModel
from learning.moments import moment_of, whole_of
from learning.references import References
from learning.scores import LEVEL, LapTest, PartTest

CHECKPOINTS = (
    0,
    10,
    25,
    50,
    75,
    90,
)  # percent of the lap where predictions are scored and intervals calibrated
_POINTS = (*CHECKPOINTS, 100)
_MID_LAP = 50
_SMALLEST_INPUT = ("speed", "throttle", "brake", "gear", "track_position")
_AT_THE_LINE = 0.05  # what is left of the interval at 90 % when the lap ends


class LapTimeContext(Context):
    """One context's estimator, references, and errors by checkpoint, apart for laps at pace and slow ones."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self.references = References()
        self.windows = {(point, slow): ResidualWindow() for point in CHECKPOINTS for slow in (False, True)}

    @property
    def laps_learned(self) -> int:
        return self.estimator.laps_learned

    def described(self) -> dict[str, Any]:
        return {"bestLapTime": self.references.best}

    def intervals(self, positions: Floats, predicted: Floats, level: float) -> list[Interval]:
        """Interpolated between the checkpoints around each position."""
        widths = np.empty(len(predicted))
        slow = predicted > self.references.limit
        for kind in np.unique(slow):
            shares = [self.windows[point, bool(kind)].share(level) for point in CHECKPOINTS]
            rows = slow == kind
            widths[rows] = np.interp(100 * positions[rows], _POINTS, [*shares, _AT_THE_LINE * shares[-1]])
        widths *= predicted
        bounds = zip((predicted - widths).tolist(), (predicted + widths).tolist(), strict=True)
        return [Interval(lower=lower, upper=upper, level=level) for lower, upper in bounds]


class LapTimeModel(RacingModel[LapTimeContext]):
    """Elapsed plus predicted remaining time."""

    model_type = "lap_time_prediction"
    fields: ClassVar[Mapping[str, Field]] = {
        **CONDITIONS,
        **{name: replace(field, required=name in _SMALLEST_INPUT) for name, field in FRAME.items()},
    }

    def _new_context(self, session: SessionLaps, lap: Lap) -> LapTimeContext:
        return LapTimeContext(self._estimator.clone())

    def _typical_input(self, session: SessionLaps, lap: Lap) -> Features:
        return moment_of(lap, _MID_LAP / 100) | self._situation(session, lap)

    def _test(self, context: LapTimeContext, session: SessionLaps, lap: Lap) -> LapTest:
        truth, situation = self._truth(lap), self._situation(session, lap)
        rows = [moment_of(lap, point / 100) | situation for point in CHECKPOINTS]
        predicted = self._lap_times(context, rows)
        intervals = self._intervals(context, rows, predicted, LEVEL)
        parts = {
            str(point): PartTest(
                truth=truth,
                predicted=answer,
                interval=interval,
                references=context.references.predict(position_of(x), x.get("current_lap_time", 0.0)),
            )
            for point, x, answer, interval in zip(CHECKPOINTS, rows, predicted, intervals, strict=True)
        }
        at_pace = context.references.is_at_pace(truth)
        return LapTest(truth=truth, predicted=parts[str(_MID_LAP)].predicted, at_pace=at_pace, parts=parts)

    def _calibrate(self, context: LapTimeContext, test: LapTest) -> None:
        """A slow prediction is held to every lap, one at pace to the laps that ended at pace."""
        for point in CHECKPOINTS:
            part = test.parts[str(point)]
            slow = not context.references.is_at_pace(part.predicted)
            if slow or test.at_pace:
                context.windows[point, slow].update(part.truth, part.predicted)

    def _learn(self, context: LapTimeContext, session: SessionLaps, lap: Lap) -> None:
        whole = whole_of(lap) | self._situation(session, lap)
        context.estimator.learn_one(whole, self._truth(lap))
        context.references.add(self._truth(lap), whole["trace"])

    def _lap_times(self, context: LapTimeContext, rows: Sequence[Features]) -> list[float]:
        return context.estimator.predict_many(rows)

    def _values(self, context: LapTimeContext, x: Features) -> dict[str, Any]:
        return {"lap_time": self._lap_times(context, [x])[0]}

    def _values_many(self, context: LapTimeContext, rows: Sequence[Features]) -> list[dict[str, Any]]:
        return [{"lap_time": lap_time} for lap_time in self._lap_times(context, rows)]

    def _interval(self, context: LapTimeContext, x: Features, predicted: float, level: float) -> Interval:
        return self._intervals(context, [x], [predicted], level)[0]

    def _intervals(
        self, context: LapTimeContext, rows: Sequence[Features], predicted: Sequence[float], level: float
    ) -> list[Interval]:
        return context.intervals(positions_of(rows), np.array(predicted), level)

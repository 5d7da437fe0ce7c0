"""Lap-time prediction at any point of a lap, and the forecast of the next lap."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from learning.fields import CONDITIONS, FRAME, Field
from learning.history import Features, position_of
from learning.intervals import Interval, ResidualWindow
from learning.laps import Lap, SessionLaps
from learning.model import Context, Estimator, RacingModel
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

    def interval(self, position: float, predicted: float, level: float) -> Interval:
        """Interpolated between the checkpoints around a position."""
        slow = not self.references.is_at_pace(predicted)
        widths = [self.windows[point, slow].width(level, predicted) for point in CHECKPOINTS]
        points = [*CHECKPOINTS, 100]
        width = float(np.interp(100 * position, points, [*widths, _AT_THE_LINE * widths[-1]]))
        return Interval(lower=predicted - width, upper=predicted + width, level=level)


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
        return moment_of(lap, _MID_LAP / 100) | {"outing": self._outing(lap)}

    def _test(self, context: LapTimeContext, session: SessionLaps, lap: Lap) -> LapTest:
        truth = self._truth(lap)
        outing: Features = {"outing": self._outing(lap)}
        parts = {}
        for point in CHECKPOINTS:
            x = moment_of(lap, point / 100) | outing
            predicted = self._value(context, x)
            position, elapsed = position_of(x), x.get("current_lap_time", 0.0)
            parts[str(point)] = PartTest(
                truth=truth,
                predicted=predicted,
                interval=context.interval(position, predicted, LEVEL),
                references=context.references.predict(position, elapsed),
            )
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
        whole = whole_of(lap) | {"outing": self._outing(lap)}
        context.estimator.learn_one(whole, self._truth(lap))
        context.references.add(self._truth(lap), whole["trace"])

    def _values(self, context: LapTimeContext, x: Features) -> dict[str, Any]:
        return {"lap_time": float(context.estimator.predict_one(x))}

    def _interval(self, context: LapTimeContext, x: Features, predicted: float, level: float) -> Interval:
        return context.interval(position_of(x), predicted, level)

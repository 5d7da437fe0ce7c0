"""Lets River's own regressors predict lap times: they learn what a reference lap gets wrong."""

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from river import base, compose, linear_model, preprocessing

from learning.history import Features, moments_of, position_of, trace_of
from learning.references import References

_EVERY = 2  # a lap is learned at every second 5 % of it
CLIP = 0.01  # a residual counts at most as this share of the reference, so that slow laps pull only so far
CONDITIONS = ("tyre_life", "fuel", "air_temp", "road_temp", "wetness", "speed")


class ResidualRegressor(base.Regressor):
    """Reference + a River regressor's estimate of its error at this point of the lap.

    The reference is elapsed + the mean remaining time of the last five laps at pace. Learn a whole lap at
    once, as with `ExpertMixture`; the regressor sees it at each 10 %.

    Parameters
    ----------
    regressor
        Learns the residual in seconds from the gaps to the references and the conditions.
    """

    def __init__(self, regressor: base.Regressor | compose.Pipeline) -> None:
        self.regressor = regressor
        self.laps_learned = 0
        self._references = References()
        self._names: dict[Hashable, None] = {}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"regressor": preprocessing.StandardScaler() | linear_model.LinearRegression()}

    def learn_one(self, x: Features, y: base.typing.RegTarget) -> None:
        lap_time = float(y)
        trace = trace_of(x, lap_time)
        if self.laps_learned == 0:  # the first lap is its own reference, so that every lap is counted
            self._references.add(lap_time, trace)
        conditions: Features = {name: x[name] for name in CONDITIONS if name in x}
        for mark, moment in enumerate(moments_of(x, lap_time)):
            if mark % _EVERY == 0:
                self._learn_moment(conditions | moment, lap_time)
        self._references.add(lap_time, trace)
        self.laps_learned += 1

    def predict_one(self, x: Features) -> float:
        """The lap time in seconds; 0 before anything was learned, as River's regressors answer."""
        if not self.laps_learned:
            return 0.0
        reference, features = self._described(x)
        known: Features = {name: value for name, value in features.items() if name in self._names}
        residual = self.regressor.predict_one(known)
        limit = CLIP * reference
        return reference + min(max(float(residual or 0.0), -limit), limit)

    def predict_many(self, rows: Sequence[Features]) -> list[float]:
        """The lap times of some points of laps."""
        return [self.predict_one(x) for x in rows]

    @property
    def references(self) -> References:
        """The laps that the answers start from."""
        return self._references

    @property
    def names(self) -> tuple[str, ...]:
        """What the regressor has learned from; nothing else is shown to it."""
        return tuple(str(name) for name in self._names)

    def _learn_moment(self, moment: Features, lap_time: float) -> None:
        reference, features = self._described(moment)
        self._names.update(dict.fromkeys(features))
        limit = CLIP * reference
        self.regressor.learn_one(features, min(max(lap_time - reference, -limit), limit))

    def _described(self, x: Features) -> tuple[float, Features]:
        """The reference in seconds, and what may explain its error."""
        position = position_of(x)
        answers = self._references.predict(position, float(x["current_lap_time"]) if position else 0.0)
        reference = answers["mean_of_five"]
        forecasts = self._references.predict(0.0, 0.0)
        features: Features = {
            "progress": position,
            "gap": reference - forecasts["mean_of_five"],
            "gap_to_best": answers["best_lap"] - forecasts["best_lap"],
            "form": answers["last_lap"] - reference,
            "best": answers["best_lap"] - reference,
        }
        conditions = {name: float(x[name]) for name in CONDITIONS if name in x}
        features |= {name: value for name, value in conditions.items() if math.isfinite(value)}
        return reference, features

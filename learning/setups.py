"""Setup optimisation: what each setup parameter is worth, and which setup to try next."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, ClassVar, cast

import numpy as np

from learning.errors import InvalidInput, NothingToLearn
from learning.fields import CONDITIONS, FRAME, Field
from learning.history import SHARES, Features
from learning.intervals import Interval, ResidualWindow
from learning.laps import Lap, SessionLaps
from learning.model import Context, RacingModel
from learning.references import References
from learning.scores import LEVEL, LapTest, PartTest
from learning.setup_surface import SetupSurface

_CANDIDATES = 512  # setups drawn at random inside the range seen, to choose from
_CAUTION = 0.5  # standard deviations of doubt that a setup must make up for by its gain
_ALTERNATIVES = 3
_APART = 0.25  # of the range of at least one parameter, between a recommendation and an alternative
_LARGEST = 1e9


class SetupContext(Context):
    """One context's surface, the setup driven last, and the errors made."""

    def __init__(self, surface: SetupSurface) -> None:
        self.surface = surface
        self.references = References()
        self.window = ResidualWindow()
        self.setup: Features = {}

    @property
    def laps_learned(self) -> int:
        return self.surface.laps_learned


class SetupModel(RacingModel[SetupContext]):
    """Lap time as a function of the setup, and the setup that should be fastest."""

    model_type = "setup_optimization"
    fields: ClassVar[Mapping[str, Field]] = {
        "setup": Field(
            description="of the car now, by parameter", kind="mapping", minimum=-_LARGEST, maximum=_LARGEST
        ),
        **CONDITIONS,
        **FRAME,  # so that one live frame serves every model type; they do not move the answer
    }

    def fitting_laps(self, session: SessionLaps) -> tuple[Lap, ...]:
        if not session.setup:
            raise NothingToLearn(
                "setup optimisation learns from setups; this session was uploaded without one",
                missing=["setup"],
            )
        return super().fitting_laps(session)

    def fits(self, session: SessionLaps, lap: Lap) -> bool:
        return bool(session.setup) and super().fits(session, lap)

    def _new_context(self, session: SessionLaps, lap: Lap) -> SetupContext:
        return SetupContext(cast(SetupSurface, self._estimator.clone()))

    def _typical_input(self, session: SessionLaps, lap: Lap) -> Features:
        return {"setup": dict(session.setup)}

    def _test(self, context: SetupContext, session: SessionLaps, lap: Lap) -> LapTest:
        truth = self._truth(lap)
        predicted = context.surface.predict_one(_features(session))
        part = PartTest(
            truth=truth,
            predicted=predicted,
            interval=context.window.interval(predicted, LEVEL),
            references=context.references.predict(0.0, 0.0),
        )
        at_pace = context.references.is_at_pace(truth)
        return LapTest(truth=truth, predicted=predicted, at_pace=at_pace, parts={"0": part})

    def _calibrate(self, context: SetupContext, test: LapTest) -> None:
        if test.at_pace:
            context.window.update(test.truth, test.predicted)

    def _watched(self, test: LapTest) -> float:
        """What the setup does not explain."""
        return test.truth - test.predicted

    def _learn(self, context: SetupContext, session: SessionLaps, lap: Lap) -> None:
        context.surface.learn_one(_features(session), self._truth(lap))
        context.references.add(self._truth(lap), self._truth(lap) * SHARES)
        context.setup = _features(session)

    def _value(self, context: SetupContext, x: Features) -> float:
        return context.surface.predict_one(_setup_of(context, x))

    def _values(self, context: SetupContext, x: Features) -> dict[str, Any]:
        current = _setup_of(context, x)
        ranked = _ranked(context.surface, current)
        chosen = [ranked[0], *_apart(context.surface, ranked)]
        gains, deviations = (values.tolist() for values in context.surface.differences(current, chosen))
        width = NormalDist().inv_cdf((1 + LEVEL) / 2) * deviations[0]
        return {
            "lap_time": context.surface.predict_one(current),
            "recommended": chosen[0],
            "expected_gain": gains[0],
            "expected_gain_interval": {"lower": gains[0] - width, "upper": gains[0] + width, "level": LEVEL},
            "alternatives": [
                {"setup": setup, "expected_gain": gain}
                for setup, gain in zip(chosen[1:], gains[1:], strict=True)
            ],
        }

    def _interval(self, context: SetupContext, x: Features, predicted: float, level: float) -> Interval:
        return context.window.interval(predicted, level)


def _features(session: SessionLaps) -> Features:
    return {str(name): value for name, value in session.setup.items()}


def _setup_of(context: SetupContext, x: Features) -> Features:
    """The row's setup, completed from the one driven last."""
    given: Features = x.get("setup", {})
    unknown = sorted(str(name) for name in given if name not in context.surface.names)
    if unknown:
        problem = f"names parameters no session was driven with: {', '.join(unknown)[:200]}"
        raise InvalidInput(f"setup {problem}", fields={"setup": [problem]})
    return {**context.setup, **given}


def _ranked(surface: SetupSurface, current: Features) -> list[Features]:
    """Setups inside the range seen, those first that are fastest for certain."""
    bounds = surface.bounds()
    lows, highs = np.array(list(bounds.values())).T
    draws = np.random.default_rng(surface.seed).uniform(lows, highs, size=(_CANDIDATES, len(bounds)))
    drawn: list[Features] = [dict(zip(bounds, map(float, row), strict=True)) for row in draws]
    candidates = [*surface.seen(), *(drawn if (highs > lows).any() else [])]
    gains, deviations = surface.differences(current, candidates)
    order = np.argsort(_CAUTION * deviations - gains, kind="stable")
    return [candidates[index] for index in order]


def _apart(surface: SetupSurface, ranked: Sequence[Features]) -> list[Features]:
    """The best setups that differ clearly from those before them."""
    bounds = surface.bounds()
    lows, highs = np.array(list(bounds.values())).T
    ranges = np.where(highs > lows, highs - lows, np.inf)
    rows = np.array([[setup[name] for name in bounds] for setup in ranked]) / ranges
    chosen = [0]
    for index in range(1, len(rows)):
        if (np.abs(rows[chosen] - rows[index]).max(axis=1) >= _APART).all():
            chosen.append(index)
        if len(chosen) > _ALTERNATIVES:
            break
    return [ranked[index] for index in chosen[1:]]

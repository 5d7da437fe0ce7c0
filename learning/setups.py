"""Setup optimisation: what each setup parameter is worth, and which setup to try next."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, ClassVar, cast

import numpy as np
from river import stats

from learning.answers import Context, Prediction
from learning.errors import InvalidInput, NothingToLearn
from learning.fields import CONDITIONS, FRAME, Field
from learning.history import SHARES, Features
from learning.intervals import Interval, ResidualWindow
from learning.laps import Lap, SessionLaps
from learning.model import RacingModel
from learning.moments import conditions_of
from learning.references import References
from learning.scores import LEVEL, LapTest, PartTest
from learning.setup_plan import Plan, plan
from learning.setup_runs import RESERVED
from learning.setup_surface import SetupSurface

STRATEGIES = ("explore", "exploit")
_LARGEST = 1e9
_UNIT = 0.01  # share of the prediction that one standard deviation counts as in the window of errors
_REPLANNED = 10  # rows of one request that may bring bounds of their own: each needs a plan of its own
_RESPONSE = 7  # values of each parameter around the setup now
_NEAR = 0.25  # of the bounds, how far to either side these reach
_ADVISING = ("setup", "bounds", "strategy")  # the fields that advice depends on
_TRIED = 20  # setups named as tried, the last driven
_INFLUENCES = 200  # inputs whose influence is counted


class SetupContext(Context):
    """One context's surface, the plan made of it, and the errors made."""

    def __init__(self, surface: SetupSurface) -> None:
        self.surface = surface
        self.references = References()
        self.window = ResidualWindow()
        self.plan: Plan | None = None  # of the end of the session learned last

    @property
    def laps_learned(self) -> int:
        return self.surface.laps_learned

    def interval(self, x: Features, predicted: float, level: float) -> Interval:
        return self.intervals([x], [predicted], level)[0]

    def intervals(self, rows: Sequence[Features], predicted: Sequence[float], level: float) -> list[Interval]:
        """Wider for a setup of which little is known: errors are kept in standard deviations."""
        widths = (self.window.share(level) / _UNIT * self.surface.deviations(rows)).tolist()
        pairs = zip(predicted, widths, strict=True)
        return [Interval(lower=time - width, upper=time + width, level=level) for time, width in pairs]


class SetupModel(RacingModel[SetupContext]):
    """Lap time as a function of the setup, and the setup to drive next."""

    model_type = "setup_optimization"
    fields: ClassVar[Mapping[str, Field]] = {
        "setup": Field(
            description="of the car now, by parameter", kind="mapping", minimum=-_LARGEST, maximum=_LARGEST
        ),
        "bounds": Field(
            description="lowest and highest value allowed, by parameter",
            kind="ranges",
            minimum=-_LARGEST,
            maximum=_LARGEST,
        ),
        "strategy": Field(description="explore or exploit, to ask for one of them", kind="text"),
        **CONDITIONS,
        **FRAME,  # so that one live frame serves every model type; they do not move the answer
    }

    def predict(
        self, rows: Sequence[Mapping[str, Any]], *, level: float | None = None, importance: bool = False
    ) -> list[Prediction]:
        if sum("bounds" in row for row in rows) > _REPLANNED:
            problem = f"may be given in at most {_REPLANNED} rows of a request"
            raise InvalidInput(f"bounds {problem}", fields={"bounds": [problem]})
        return super().predict(rows, level=level, importance=importance)

    def fitting_laps(self, session: SessionLaps) -> tuple[Lap, ...]:
        if not parameters_of(session.setup):
            raise NothingToLearn(
                "setup optimisation learns from setups; this session was uploaded without one",
                missing=["setup"],
            )
        if wild := [name for name, value in session.setup.items() if not abs(value) <= _LARGEST]:
            problem = f"must be numbers between {-_LARGEST:g} and {_LARGEST:g}"
            raise NothingToLearn(f"setup values {problem}: {', '.join(wild)[:200]}", setup=[problem])
        return super().fitting_laps(session)

    def fits(self, session: SessionLaps, lap: Lap) -> bool:
        tame = all(abs(value) <= _LARGEST for value in session.setup.values())
        return bool(parameters_of(session.setup)) and tame and super().fits(session, lap)

    def end_session(self, session: SessionLaps) -> None:
        """Makes the plan that answers rest on until the next session, so that they take no time."""
        super().end_session(session)
        for context in self._contexts.values():
            if context.plan is None or context.plan.laps != context.laps_learned:
                context.plan = plan(context.surface)

    def _new_context(self, session: SessionLaps, lap: Lap) -> SetupContext:
        return SetupContext(cast(SetupSurface, self._estimator.clone()))

    def _typical_input(self, session: SessionLaps, lap: Lap) -> Features:
        return conditions_of(lap) | {"setup": {str(name): value for name, value in session.setup.items()}}

    def _known_of(self, session: SessionLaps, lap: Lap, x: Features) -> Features:
        names = {name for context in self._contexts.values() for name in context.surface.names}
        setup = {name: value for name, value in session.setup.items() if name in names}
        return super()._known_of(session, lap, x) | {"setup": setup}

    def _whole(self, session: SessionLaps, lap: Lap) -> Features:
        """A lap as the surface learns it; fuel and the like in a setup are conditions, unless measured."""
        setup: Features = {str(name): value for name, value in session.setup.items() if name != "session"}
        conditions = {name: value for name, value in conditions_of(lap).items() if name in RESERVED}
        return setup | conditions | {"session": self.sessions_learned}

    def _test(self, context: SetupContext, session: SessionLaps, lap: Lap) -> LapTest:
        truth, x = self._truth(lap), self._whole(session, lap)
        predicted = context.surface.predict_one(x)
        part = PartTest(
            truth=truth,
            predicted=predicted,
            interval=context.interval(x, predicted, LEVEL),
            references=context.references.predict(0.0, 0.0),
        )
        at_pace = context.references.is_at_pace(truth)
        return LapTest(truth=truth, predicted=predicted, at_pace=at_pace, parts={"0": part})

    def _calibrate(self, context: SetupContext, test: LapTest) -> None:
        """Keeps the error in standard deviations, which the interval's width tells."""
        if not test.at_pace:
            return
        width = (test.parts["0"].interval.upper - test.parts["0"].interval.lower) / 2
        scale = context.window.width(LEVEL, test.predicted) / width
        context.window.update(test.predicted + scale * (test.truth - test.predicted), test.predicted)

    def _watched(self, test: LapTest) -> float:
        """What the setup does not explain."""
        return test.truth - test.predicted

    def _learn(self, context: SetupContext, session: SessionLaps, lap: Lap) -> None:
        context.surface.learn_one(self._whole(session, lap), self._truth(lap))
        context.references.add(self._truth(lap), self._truth(lap) * SHARES)

    def _value(self, context: SetupContext, x: Features) -> float:
        return context.surface.predict_one(_flat(context, x))

    def _lap_times(self, context: SetupContext, rows: Sequence[Features]) -> list[float]:
        return context.surface.predict_many([_flat(context, x) for x in rows])

    def _values(self, context: SetupContext, x: Features) -> dict[str, Any]:
        current, surface = _setup_of(context, x), context.surface
        made = context.plan
        if "bounds" in x:
            surface = surface.within(_bounds_of(context, x))
            made = None
        return {"lap_time": self._value(context, x)} | _advice(surface, made or plan(surface), current, x)

    def _values_many(self, context: SetupContext, rows: Sequence[Features]) -> list[dict[str, Any]]:
        """What to drive next depends on the setup alone, not on the conditions: found once for each setup."""
        found: dict[str, dict[str, Any]] = {}
        keys = [repr([x.get(name) for name in _ADVISING]) for x in rows]
        for key, x in zip(keys, rows, strict=True):
            if key not in found:
                found[key] = self._values(context, x)
        lap_times = self._lap_times(context, rows)
        return [found[key] | {"lap_time": time} for key, time in zip(keys, lap_times, strict=True)]

    def _intervals(
        self, context: SetupContext, rows: Sequence[Features], predicted: Sequence[float], level: float
    ) -> list[Interval]:
        return context.intervals([_flat(context, x) for x in rows], predicted, level)

    def _interval(self, context: SetupContext, x: Features, predicted: float, level: float) -> Interval:
        return context.interval(_flat(context, x), predicted, level)

    def _importance(self, context: SetupContext, x: Features) -> dict[str, float]:
        """What the setup's parameters and the conditions add, against the middle of all setups driven.

        Parameters become known one after another, once in their order and once in the other, and the two are
        averaged: with effects of one or two parameters these are the Shapley values.
        """
        setup, surface = _setup_of(context, x), context.surface
        flat = _flat(context, x)
        names = list(map(str, flat))
        usual: Features = {name: value for name, value in surface.middle.items()}
        first = _steps(usual, flat, names)
        second = _steps(usual, flat, names[::-1])
        times = surface.predict_many([*first, *second])
        there, back = np.diff(times[: len(first)]), np.diff(times[len(first) :])[::-1]
        moved = {"history": times[0] - self.mean}
        for name, value in zip(names, ((there + back) / 2).tolist(), strict=True):
            moved[f"setup:{name}" if name in setup else name] = value
        return moved

    def _count_influence(self, context: SetupContext, session: SessionLaps, lap: Lap) -> None:
        x = self._typical_input(session, lap)
        x["setup"] = {name: x["setup"][name] for name in context.surface.names if name in x["setup"]}
        for name, moved in self._importance(context, x).items():
            if name in self._influence or len(self._influence) < _INFLUENCES:
                self._influence.setdefault(name, stats.Mean()).update(abs(moved))


def parameters_of(setup: Mapping[str, float]) -> list[str]:
    """What a setup can be optimised in: fuel and other conditions in it are not for choosing."""
    return [name for name in setup if name not in RESERVED]


def _advice(surface: SetupSurface, made: Plan, current: dict[str, float], x: Features) -> dict[str, Any]:
    """What to drive next, what that is worth, and what the advice rests on."""
    strategy = _strategy(made, x)
    chosen = made.exploring if strategy == "explore" else made.best
    setups = [chosen, made.best, *made.alternatives]
    means, deviations = (values.tolist() for values in surface.differences(current, setups))
    width = NormalDist().inv_cdf((1 + LEVEL) / 2) * deviations[0]
    return {
        "recommended": chosen,
        "expected_gain": means[0],
        "expected_gain_interval": {"lower": means[0] - width, "upper": means[0] + width, "level": LEVEL},
        "alternatives": [
            {"setup": setup, "expected_gain": gain}
            for setup, gain in zip(made.alternatives, means[2:], strict=True)
        ],
        "strategy": strategy,
        "best": {"setup": made.best, "expected_gain": means[1]},
        "exploration_gain": made.promise,
        "bounds": {
            name: {"low": limit.low, "high": limit.high, "source": limit.source}
            for name, limit in surface.limits().items()
        },
        "response": _response(surface, current),
        "tried": [{"setup": setup, "laps": laps} for setup, laps in surface.seen()[-_TRIED:]],
    }


def _strategy(made: Plan, x: Features) -> str:
    asked: str | None = x.get("strategy")
    if asked is None:
        return "explore" if made.explore else "exploit"
    if asked not in STRATEGIES:
        problem = f"must be one of {', '.join(STRATEGIES)}"
        raise InvalidInput(f"strategy {problem}", fields={"strategy": [problem]})
    return asked


def _response(surface: SetupSurface, current: dict[str, float]) -> dict[str, list[dict[str, float]]]:
    """By how many seconds the lap time changes when one parameter of the setup does."""
    rows: list[tuple[str, float]] = []
    for name, limit in surface.limits().items():
        reach = _NEAR * (limit.high - limit.low)
        values = np.linspace(current[name] - reach, current[name] + reach, _RESPONSE)
        rows.extend((name, value) for value in np.clip(values, limit.low, limit.high).tolist())
    gains, deviations = surface.differences(current, [current | {name: value} for name, value in rows])
    response: dict[str, list[dict[str, float]]] = {name: [] for name in current}
    for (name, value), gain, deviation in zip(rows, gains.tolist(), deviations.tolist(), strict=True):
        response[name].append({"value": value, "change": -gain, "deviation": deviation})
    return response


def _setup_of(context: SetupContext, x: Features) -> dict[str, float]:
    """The row's setup, completed from the one driven last."""
    given = {str(name): value for name, value in x.get("setup", {}).items() if name not in RESERVED}
    _check_names("setup", given, context)
    return {**context.surface.setup, **given}


def _bounds_of(context: SetupContext, x: Features) -> dict[str, tuple[float, float]]:
    bounds: dict[str, tuple[float, float]] = x["bounds"]
    _check_names("bounds", bounds, context)
    return bounds


def _check_names(field: str, given: Mapping[str, Any], context: SetupContext) -> None:
    unknown = sorted(str(name) for name in given if name not in context.surface.names)
    if unknown:
        problem = f"names parameters no session was driven with: {', '.join(unknown)[:200]}"
        raise InvalidInput(f"{field} {problem}", fields={field: [problem]})


def _flat(context: SetupContext, x: Features) -> Features:
    """The row as the surface takes it: the setup and the conditions side by side."""
    flat: Features = {name: value for name, value in _setup_of(context, x).items()}
    for known in (x.get("setup", {}), x):
        flat.update((name, known[name]) for name in sorted(RESERVED & known.keys() - {"session"}))
    return flat


def _steps(usual: Features, flat: Features, names: Sequence[str]) -> list[Features]:
    """From the usual setup to the whole row, one more name known at each step."""
    steps = [usual]
    for name in names:
        steps.append(steps[-1] | {name: flat[name]})
    return steps

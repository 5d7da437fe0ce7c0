"""Sector analysis: each sector's coming time, what is known of it, and where time is lost, how steadily."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev
from typing import Any, ClassVar

from river import base

from learning.answers import Context
from learning.carry_over import CarryOver
from learning.errors import InvalidInput
from learning.fields import CONDITIONS, FRAME, Field
from learning.history import AT_PACE, Features
from learning.intervals import Interval, ResidualWindow
from learning.laps import Lap, SessionLaps
from learning.model import ContextKey, Estimator, RacingModel
from learning.moments import conditions_of
from learning.scores import LEVEL, LapTest, PartTest

_RECENT = 5  # laps whose median is typical
_REMEMBERED = 40  # laps at pace that the losses are of
_BEFORE_THE_LAP = (
    "outing",
    "session",
    "compound",
    "wetness",
    "tyre_life",
    "fuel",
    "air_temp",
    "road_temp",
    "recent_laps",
)
_MOVING = (*_BEFORE_THE_LAP, "sector_times")  # the fields that an answer depends on


class SectorEstimators(base.MultiTargetRegressor):
    """A lap-time estimator for each sector, as one that predicts them all.

    Parameters
    ----------
    estimator
        Cloned for each sector.
    """

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self._of: dict[Hashable, Estimator] = {}

    @property
    def laps_learned(self) -> int:
        return next(iter(self._of.values())).laps_learned if self._of else 0

    def learn_one(self, x: Features, y: dict[Hashable, float], **_: Any) -> None:
        x = self._without_laps(x)
        for sector, time in y.items():
            if sector not in self._of:
                self._of[sector] = self.estimator.clone()
            self._of[sector].learn_one(x, time)

    def predict_one(self, x: Features) -> dict[Hashable, float]:
        x = self._without_laps(x)
        return {sector: float(estimator.predict_one(x)) for sector, estimator in self._of.items()}

    @staticmethod
    def _without_laps(x: Features) -> Features:
        """Without times of whole laps, which would pass for the sector's."""
        return {name: value for name, value in x.items() if name not in ("recent_laps", "session")}


class Sector:
    """What is known of one sector: its best time, its last times at pace, and the errors made, in seconds."""

    def __init__(self) -> None:
        self.best = float("inf")
        self.times: tuple[float, ...] = ()  # at pace
        self.window = ResidualWindow()

    def learn(self, time: float, *, at_pace: bool) -> None:
        self.best = min(self.best, time)
        if at_pace:
            self.times = (*self.times, time)[-_REMEMBERED:]

    @property
    def typical(self) -> float:
        return median(self.times[-_RECENT:])

    @property
    def losses(self) -> list[float]:
        """Against the best, of the last laps at pace."""
        return [time - self.best for time in self.times]


@dataclass(frozen=True, kw_only=True)
class SectorTest(LapTest):
    """A lap's test that knows what the lap was expected to be after each finished sector, none first."""

    on_the_way: tuple[float, ...]


class SectorContext(Context):
    """One context's estimator, its sectors, and the errors made in whole laps by the sectors then driven."""

    def __init__(self, estimator: base.MultiTargetRegressor, count: int) -> None:
        self.estimator = estimator
        self.sectors = [Sector() for _ in range(count)]
        self.carry_over = CarryOver()
        self.windows = [ResidualWindow() for _ in range(count)]  # by the number of sectors driven
        self.best_lap = float("inf")
        self.known: tuple[dict[str, float], ...] = ()  # of each sector, over its last laps at pace

    def is_at_pace(self, lap_time: float) -> bool:
        """Whether a lap is within 107 % of the best so far, its own time included."""
        return lap_time <= AT_PACE * self.best_lap

    @property
    def laps_learned(self) -> int:
        laps: int = self.estimator.laps_learned  # type: ignore[attr-defined]  # every entry of the zoo counts
        return laps

    def predict(self, x: Features) -> list[float]:
        """Every sector before its lap starts, from what holds for the whole lap."""
        known: Features = {name: x[name] for name in _BEFORE_THE_LAP if name in x}
        return [float(time) for time in self.estimator.predict_one(known).values()]

    def sum_up(self) -> None:
        """Brings `known` up to date: what each sector has lost, and how steadily."""
        losses = [sector.losses for sector in self.sectors]
        worst = [max(range(len(lap)), key=lap.__getitem__) for lap in zip(*losses, strict=True)]
        order = sorted(range(len(losses)), key=lambda number: -fmean(losses[number]))
        self.known = tuple(
            {
                "best": sector.best,
                "typical": sector.typical,
                "mean_loss": fmean(losses[number]),
                "spread": pstdev(losses[number]),
                "worst_share": worst.count(number) / len(worst),
                "rank": order.index(number) + 1,
            }
            for number, sector in enumerate(self.sectors)
        )


class SectorModel(RacingModel[SectorContext]):
    """All sectors of the coming lap, or the rest of the one being driven; the lap is their sum."""

    model_type = "sector_analysis"
    part = "sectors"
    unfit_reason = "no_sector_times"
    fields: ClassVar[Mapping[str, Field]] = {
        **CONDITIONS,
        "sector_times": Field(
            description="of this lap's finished sectors, in order, s", kind="numbers", minimum=0.1
        ),
        **FRAME,  # so that one live frame serves every model type; they do not move the answer
    }

    def fits(self, session: SessionLaps, lap: Lap) -> bool:
        times = lap.sector_times
        return super().fits(session, lap) and len(times) > 0 and all(time > 0 for time in times)

    def _key(self, session: SessionLaps, lap: Lap) -> ContextKey:
        key = super()._key(session, lap)
        return ContextKey(car_model=key.car_model, wet=key.wet, layout=f"{len(lap.sector_times)} sectors")

    def _new_context(self, session: SessionLaps, lap: Lap) -> SectorContext:
        estimator = self._estimator.clone()
        joint = estimator if isinstance(estimator, base.MultiTargetRegressor) else SectorEstimators(estimator)
        return SectorContext(joint, len(lap.sector_times))

    def _typical_input(self, session: SessionLaps, lap: Lap) -> Features:
        return conditions_of(lap) | {"outing": self._outing(lap), "session": self.sessions_learned}

    def _test(self, context: SectorContext, session: SessionLaps, lap: Lap) -> LapTest:
        predicted, truth = context.predict(self._typical_input(session, lap)), self._truth(lap)
        parts = {
            str(number): PartTest(
                truth=time,
                predicted=expected,
                interval=sector.window.interval(expected, LEVEL),
                references={"last_lap": sector.times[-1], "median_of_five": sector.typical},
            )
            for number, (sector, expected, time) in enumerate(
                zip(context.sectors, predicted, lap.sector_times, strict=True), start=1
            )
        }
        return SectorTest(
            truth=truth,
            predicted=sum(predicted),
            at_pace=context.is_at_pace(truth),
            parts=parts,
            on_the_way=tuple(
                sum(context.carry_over.lap(predicted, lap.sector_times[:done]))
                for done in range(len(predicted))
            ),
        )

    def _calibrate(self, context: SectorContext, test: LapTest) -> None:
        assert isinstance(test, SectorTest)  # noqa: S101 - made by `_test`
        parts = test.parts.values()
        context.carry_over.update([part.predicted for part in parts], [part.truth for part in parts])
        if not test.at_pace:
            return
        for window, expected in zip(context.windows, test.on_the_way, strict=True):
            window.update(test.truth, expected)
        for sector, part in zip(context.sectors, parts, strict=True):
            sector.window.update(part.truth, part.predicted)

    def _learn(self, context: SectorContext, session: SessionLaps, lap: Lap) -> None:
        lap_time = self._truth(lap)
        y: dict[Hashable, float] = dict(enumerate(lap.sector_times, start=1))
        context.estimator.learn_one(self._typical_input(session, lap), y)
        for sector, time in zip(context.sectors, lap.sector_times, strict=True):
            sector.learn(time, at_pace=context.is_at_pace(lap_time))
        context.best_lap = min(context.best_lap, lap_time)
        context.sum_up()

    def _values(self, context: SectorContext, x: Features) -> dict[str, Any]:
        driven = _driven(context, x)
        times = context.carry_over.lap(context.predict(x), driven)
        sectors = [
            {"sector": number, "time": time, **known, "loss": time - known["best"]}
            for number, (time, known) in enumerate(zip(times, context.known, strict=True), start=1)
        ]
        return {
            "sectors": sectors,
            "lap_time": sum(times),
            "theoretical_best": sum(sector.best for sector in context.sectors),
            "focus": max(sectors, key=lambda sector: sector["loss"])["sector"],
        }

    def _values_many(self, context: SectorContext, rows: Sequence[Features]) -> list[dict[str, Any]]:
        """Frames of one lap have one answer, which is found once."""
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        keys = [tuple(x.get(name) for name in _MOVING) for x in rows]
        for key, x in zip(keys, rows, strict=True):
            if key not in found:
                found[key] = self._values(context, x)
        return [found[key] for key in keys]

    def _value(self, context: SectorContext, x: Features) -> float:
        return sum(context.carry_over.lap(context.predict(x), _driven(context, x)))

    def _interval(self, context: SectorContext, x: Features, predicted: float, level: float) -> Interval:
        """From the errors of laps predicted after as many sectors; none is left when all are driven."""
        done = len(_driven(context, x))
        width = context.windows[done].width(level, predicted) if done < len(context.windows) else 0.0
        return Interval(lower=predicted - width, upper=predicted + width, level=level)

    def predict_sectors(
        self, session: SessionLaps, lap: Lap, *, level: float
    ) -> list[tuple[float, Interval]] | None:
        """Each sector of a lap of a session being learned, before it starts; None before the first lap."""
        if not self._contexts:
            return None
        x = self._known_of(session, lap, self._typical_input(session, lap))
        context = self._context_for(x)
        times = zip(context.sectors, context.predict(x), strict=True)
        return [(time, sector.window.interval(time, level)) for sector, time in times]


def _driven(context: SectorContext, x: Features) -> tuple[float, ...]:
    driven: tuple[float, ...] = x.get("sector_times", ())
    if len(driven) > len(context.sectors):
        problem = f"are more than the {len(context.sectors)} sectors of this track"
        raise InvalidInput(f"sector_times {problem}", fields={"sector_times": [problem]})
    return driven

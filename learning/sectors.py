"""Sector analysis: each sector's coming time, the best and typical ones, and where most is to be gained."""

from collections.abc import Mapping
from statistics import median
from typing import Any, ClassVar

from learning.errors import InvalidInput
from learning.fields import CONDITIONS, FRAME, Field
from learning.history import AT_PACE, Features
from learning.intervals import Interval, ResidualWindow
from learning.laps import Lap, SessionLaps
from learning.model import Context, ContextKey, Estimator, RacingModel
from learning.moments import conditions_of
from learning.scores import LEVEL, LapTest, PartTest

_RECENT = 5
_BEFORE_THE_LAP = ("outing", "compound", "wetness", "tyre_life", "fuel", "air_temp", "road_temp")


class Sector:
    """One sector's estimator, its best time, its last times at pace and the errors made, in seconds."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self.best = float("inf")
        self.recent: tuple[float, ...] = ()
        self.window = ResidualWindow()

    def predict(self, x: Features) -> float:
        """From what holds for the whole lap; other fields speak of laps, not of sectors."""
        return float(self.estimator.predict_one({name: x[name] for name in _BEFORE_THE_LAP if name in x}))

    def learn(self, x: Features, time: float, *, at_pace: bool) -> None:
        self.estimator.learn_one(x, time)
        self.best = min(self.best, time)
        if at_pace:
            self.recent = (*self.recent, time)[-_RECENT:]


class SectorContext(Context):
    """One context's sectors, and the errors made in whole laps."""

    def __init__(self, estimator: Estimator, count: int) -> None:
        self.sectors = [Sector(estimator.clone()) for _ in range(count)]
        self.window = ResidualWindow()
        self.best_lap = float("inf")

    def is_at_pace(self, lap_time: float) -> bool:
        """Whether a lap is within 107 % of the best so far, its own time included."""
        return lap_time <= AT_PACE * self.best_lap

    @property
    def laps_learned(self) -> int:
        return self.sectors[0].estimator.laps_learned


class SectorModel(RacingModel[SectorContext]):
    """Every sector by a regressor of its own; the lap is their sum."""

    model_type = "sector_analysis"
    part = "sectors"
    unfit_reason = "no_sector_times"
    fields: ClassVar[Mapping[str, Field]] = {
        **CONDITIONS,
        "sector_times": Field(description="of this lap's finished sectors, in order, s", kind="numbers"),
        **FRAME,  # so that one live frame serves every model type; they do not move the answer
    }

    def fits(self, session: SessionLaps, lap: Lap) -> bool:
        return super().fits(session, lap) and len(lap.sector_times) > 0

    def _key(self, session: SessionLaps, lap: Lap) -> ContextKey:
        key = super()._key(session, lap)
        return ContextKey(car_model=key.car_model, wet=key.wet, layout=f"{len(lap.sector_times)} sectors")

    def _new_context(self, session: SessionLaps, lap: Lap) -> SectorContext:
        return SectorContext(self._estimator, len(lap.sector_times))

    def _typical_input(self, session: SessionLaps, lap: Lap) -> Features:
        return conditions_of(lap) | {"outing": self._outing(lap)}

    def _test(self, context: SectorContext, session: SessionLaps, lap: Lap) -> LapTest:
        x = self._typical_input(session, lap)
        parts = {}
        for number, (sector, truth) in enumerate(
            zip(context.sectors, lap.sector_times, strict=True), start=1
        ):
            predicted = sector.predict(x)
            parts[str(number)] = PartTest(
                truth=truth,
                predicted=predicted,
                interval=sector.window.interval(predicted, LEVEL),
                references={"last_lap": sector.recent[-1], "median_of_five": median(sector.recent)},
            )
        truth = self._truth(lap)
        predicted = sum(part.predicted for part in parts.values())
        at_pace = context.is_at_pace(truth)
        return LapTest(truth=truth, predicted=predicted, at_pace=at_pace, parts=parts)

    def _calibrate(self, context: SectorContext, test: LapTest) -> None:
        if not test.at_pace:
            return
        context.window.update(test.truth, test.predicted)
        for sector, part in zip(context.sectors, test.parts.values(), strict=True):
            sector.window.update(part.truth, part.predicted)

    def _learn(self, context: SectorContext, session: SessionLaps, lap: Lap) -> None:
        x, lap_time = self._typical_input(session, lap), self._truth(lap)
        for sector, time in zip(context.sectors, lap.sector_times, strict=True):
            sector.learn(x, time, at_pace=context.is_at_pace(lap_time))
        context.best_lap = min(context.best_lap, lap_time)

    def _values(self, context: SectorContext, x: Features) -> dict[str, Any]:
        driven = _driven(context, x)
        sectors = []
        for number, sector in enumerate(context.sectors, start=1):
            time = driven[number - 1] if number <= len(driven) else sector.predict(x)
            sectors.append(
                {
                    "sector": number,
                    "time": time,
                    "best": sector.best,
                    "typical": median(sector.recent),
                    "loss": time - sector.best,
                }
            )
        return {
            "sectors": sectors,
            "lap_time": sum(sector["time"] for sector in sectors),
            "theoretical_best": sum(sector["best"] for sector in sectors),
            "focus": max(sectors, key=lambda sector: sector["loss"])["sector"],
        }

    def _interval(self, context: SectorContext, x: Features, predicted: float, level: float) -> Interval:
        """Narrower with every sector that is already driven."""
        open_sectors = context.sectors[len(_driven(context, x)) :]
        share = len(open_sectors) / len(context.sectors)
        width = context.window.width(level, predicted) * share
        return Interval(lower=predicted - width, upper=predicted + width, level=level)

    def predict_sectors(
        self, session: SessionLaps, lap: Lap, *, level: float
    ) -> list[tuple[float, Interval]] | None:
        """Each sector of a lap of a session being learned, before it starts; None before the first lap."""
        if not self._contexts:
            return None
        x = self._known_of(session, lap, self._typical_input(session, lap))
        context = self._context_for(x)
        times = [(sector, sector.predict(x)) for sector in context.sectors]
        return [(time, sector.window.interval(time, level)) for sector, time in times]


def _driven(context: SectorContext, x: Features) -> tuple[float, ...]:
    driven: tuple[float, ...] = x.get("sector_times", ())
    if len(driven) > len(context.sectors):
        problem = f"are more than the {len(context.sectors)} sectors of this track"
        raise InvalidInput(f"sector_times {problem}", fields={"sector_times": [problem]})
    return driven

"""A session's page: its laps, and two of them laid over each other."""

from dataclasses import dataclass
from typing import Any

from flask import g, render_template, request

from app.api.context import services
from app.domain import LapSummary
from app.errors import TraceNotFound
from app.web.blueprint import page
from app.web.traces import POINTS, channels_of, coordinates
from learning.history import AT_PACE

WITHOUT_FRAMES = "no_position"  # the reason of laps that have none


@dataclass(frozen=True)
class Compared:
    """Two laps laid over each other; `a` is the reference, and `b` the same where there is no other."""

    a: LapSummary
    b: LapSummary
    channels: dict[str, str]
    has_map: bool

    @property
    def gap(self) -> float | None:
        """Seconds that `b` took longer."""
        if self.a.lap_time is None or self.b.lap_time is None:
            return None
        return self.b.lap_time - self.a.lap_time


@page("/sessions/<id:id>")
def session(id: str) -> str:
    session = services().sessions.get(g.user.id, id)
    laps = services().sessions.laps(g.user.id, id)
    best = min((lap for lap in laps if _counts(lap)), key=_time, default=None)
    return render_template(
        "pages/session.html",
        session=session,
        laps=laps,
        best=best,
        compared=_compared(id, laps, best),
        best_sectors=_best_sectors(laps),
        has_tyres=any(lap.compound or lap.tyre_life is not None for lap in laps),
    )


def _best_sectors(laps: tuple[LapSummary, ...]) -> list[float | None]:
    """The best time of each sector on laps that count; None where there is no such lap."""
    every = range(max((len(lap.sector_times) for lap in laps), default=0))
    counting = [lap.sector_times for lap in laps if lap.valid]
    return [min((times[one] for times in counting if one < len(times)), default=None) for one in every]


def _compared(session_id: str, laps: tuple[LapSummary, ...], best: LapSummary | None) -> Compared | None:
    """Those asked for, else the best and the last other one at pace; None where no lap has frames."""
    shown: dict[int | None, LapSummary] = {lap.lap: lap for lap in laps if lap.reason != WITHOUT_FRAMES}
    if not shown:
        return None
    first = shown.get(request.args.get("a", type=int), best or next(iter(shown.values())))
    others = [lap for lap in shown.values() if lap is not first and _counts(lap)]
    at_pace = [lap for lap in others if best and _time(lap) <= AT_PACE * _time(best)]
    usual = (at_pace or others or [first])[-1]
    second = shown.get(request.args.get("b", type=int), usual)
    try:
        traces = services().sessions.traces(g.user.id, session_id, [first.lap, second.lap], POINTS)
    except TraceNotFound:
        return None
    return Compared(first, second, channels_of(traces[0]), any(map(coordinates, traces)))


def _counts(lap: LapSummary) -> bool:
    return lap.valid and lap.lap_time is not None


def _time(lap: LapSummary) -> Any:
    return lap.lap_time

"""A session's page: its laps, and two of them laid over each other."""

from typing import Any

import numpy as np
from flask import Response, g, render_template, request

from app.api.context import services
from app.domain import LapSummary
from app.errors import LapNotFound, TraceNotFound
from app.web.blueprint import page
from app.web.charts import asked_theme, chart, chart_answer, legend_above, series

POINTS = 600
CHANNELS = {"speed": "speed, km/h", "throttle": "throttle", "brake": "brake", "gear": "gear"}


@page("/sessions/<id:id>")
def session(id: str) -> str:
    session = services().sessions.get(g.user.id, id)
    laps = services().sessions.laps(g.user.id, id)
    timed = [lap for lap in laps if lap.valid and lap.lap_time is not None]
    best = min(timed, key=_time, default=None)
    others = [lap for lap in timed if lap is not best]
    first = request.args.get("a", best.lap if best else None, type=int)
    second = request.args.get("b", others[-1].lap if others else None, type=int)
    return render_template(
        "pages/session.html",
        session=session,
        laps=laps,
        timed=timed,
        best=best,
        shown=(first, second),
        has_traces=first is not None and second is not None and _has_trace(id, first),
        sectors=max((len(lap.sector_times) for lap in laps), default=0),
        channels=CHANNELS,
    )


@page("/charts/trace/<id:id>/<int:a>/<int:b>/<channel>")
def trace_chart(id: str, a: int, b: int, channel: str) -> Response:
    """A channel of two laps against the position on the lap; `gap` is the time that `b` has lost to `a`."""
    first, second = services().sessions.traces(g.user.id, id, [a, b], POINTS)
    theme = asked_theme()
    if channel == "gap":
        plot = chart(x="position on the lap", y=f"gap of lap {b}, s", height=160)
        lost = _numbers(second, "current_lap_time") - _numbers(first, "current_lap_time")
        plot.line(first["position"], lost, line_width=2, color=series(theme)[1])
        plot.line([0, 1], [0, 0], color=series(theme)[0], line_dash="dashed")
        return chart_answer(plot, theme)
    if channel not in CHANNELS:
        raise TraceNotFound(f"no chart of {channel!r}")
    plot = chart(x="position on the lap", y=CHANNELS[channel], height=260 if channel == "speed" else 160)
    for lap, color, trace in zip((a, b), series(theme), (first, second), strict=False):
        values = _numbers(trace, channel)
        plot.line(trace["position"], values, line_width=2, color=color, legend_label=f"lap {lap}")
    legend_above(plot)
    return chart_answer(plot, theme)


def _numbers(trace: dict[str, Any], channel: str) -> Any:
    values = trace["channels"].get(channel)
    if values is None:
        raise TraceNotFound(f"the session has no {channel}")
    return np.array(values, dtype=float)


def _has_trace(session_id: str, lap: int) -> bool:
    try:
        services().sessions.trace(g.user.id, session_id, lap, 2)
    except (LapNotFound, TraceNotFound):
        return False
    return True


def _time(lap: LapSummary) -> float:
    return lap.lap_time or 0.0

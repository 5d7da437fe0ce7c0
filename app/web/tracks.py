"""A driver's track: its sessions and lineages; where the time is in its sectors; its setups."""

from itertools import accumulate
from typing import Any

from flask import Response, g, render_template, request
from werkzeug.exceptions import NotFound

from app.api.context import services
from app.domain import ModelType, PredictRequest, SessionTimes, Version
from app.web.blueprint import page
from app.web.charts import asked_theme, chart, chart_answer, hover, lap_time_axis, legend_above, series
from app.web.words import lap_time, percent
from learning.history import AT_PACE

SESSIONS_SHOWN = 25


@page("/tracks/<path:track>")
def track(track: str) -> str:
    cursor = request.args.get("cursor")
    sessions = services().sessions.page(g.user.id, track, limit=SESSIONS_SHOWN, cursor=cursor)
    active = _all_active(track)
    found = next((one for one in services().sessions.tracks(g.user.id) if one.track_name == track), None)
    if not (found or active):
        raise NotFound(f"You have no sessions on a track named {track}.")
    return render_template("pages/track.html", track=track, summary=found, sessions=sessions, active=active)


@page("/charts/laps/<path:track>")
def laps_chart(track: str) -> Response:
    """The laps of the track's newest sessions in the order driven, and the best of each session."""
    sessions = [one for one in services().sessions.lap_times(g.user.id, track) if one.lap_times]
    theme = asked_theme()
    dots, bests = _laps_in_order(sessions)
    slowest = AT_PACE * min(dots["y"], default=0.0)
    shown = [time for time in dots["y"] if time <= slowest]
    plot = chart(x="laps in the order driven", y=f"lap time, up to {percent(AT_PACE)} of the best")
    marks = plot.scatter(source=dots, x="x", y="y", size=6, color=series(theme)[0], alpha=0.55)
    plot.line(
        source=bests, x="x", y="y", line_width=2, color=series(theme)[1], legend_label="best of a session"
    )
    plot.scatter(source=bests, x="x", y="y", size=8, color=series(theme)[1])
    legend_above(plot)
    hover(plot, marks, ("@lap", "@time"))
    lap_time_axis(plot, shown)
    return chart_answer(plot, theme)


@page("/sectors/<path:track>")
def sectors(track: str) -> str:
    return render_template("pages/sectors.html", track=track, **_asked(track, ModelType.SECTOR_ANALYSIS))


@page("/setup/<path:track>")
def setup(track: str) -> str:
    asked = _asked(track, ModelType.SETUP_OPTIMIZATION)
    curves = _curves(asked["said"].get("response", {}))
    return render_template("pages/setup.html", track=track, curves=curves, **asked)


def _asked(track: str, model_type: ModelType) -> dict[str, Any]:
    """The active version of a lineage and what it says of the coming lap; neither where there is none."""
    version = _all_active(track).get(model_type)
    if version is None:
        return {"version": None, "said": {}}
    request = PredictRequest(rows=({},), is_list=False, model_id=version.id)
    return {"version": version, "said": services().models.predict(g.user.id, request)["predictions"]}


def _curves(response: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, str]]:
    """Paths in a square of 100 by 100, all on one scale: how a lap changes along each parameter's values.

    `line` is the change, `band` what it may be off by, and `level` the height at which nothing changes.

    >>> slow = {"value": 1, "change": 0.3, "deviation": 0.1}
    >>> now = {"value": 3, "change": 0.0, "deviation": 0.0}
    >>> _curves({"wing": [slow, now]})["wing"]["line"]
    'M0.00,25.00 L100.00,100.00'
    """
    ends = [
        point["change"] + sign * point["deviation"]
        for points in response.values()
        for point in points
        for sign in (-1, 1)
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)

    def height(change: float) -> str:
        return f"{100 * (high - change) / ((high - low) or 1.0):.2f}"

    def path(points: list[dict[str, float]], sign: int) -> list[str]:
        first, reach = points[0]["value"], (points[-1]["value"] - points[0]["value"]) or 1.0
        return [
            f"{100 * (point['value'] - first) / reach:.2f},"
            f"{height(point['change'] + sign * point['deviation'])}"
            for point in points
        ]

    return {
        name: {
            "line": "M" + " L".join(path(points, 0)),
            "band": "M" + " L".join([*path(points, 1), *reversed(path(points, -1))]) + " Z",
            "level": height(0.0),
        }
        for name, points in response.items()
    }


def _laps_in_order(sessions: list[SessionTimes]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Columns of all laps, and of the best of each session in the middle of its laps."""
    times = [time for session in sessions for time in session.lap_times]
    names = [f"{session.session_name}, lap {lap}" for session in sessions for lap in session.laps]
    ends = list(accumulate(len(session.laps) for session in sessions))
    dots = {"x": [*range(1, len(times) + 1)], "y": times, "lap": names, "time": [*map(lap_time, times)]}
    middles = [end - (len(session.laps) - 1) / 2 for end, session in zip(ends, sessions, strict=True)]
    return dots, {"x": middles, "y": [min(session.lap_times) for session in sessions]}


def _all_active(track: str) -> dict[ModelType, Version]:
    """The active version of each lineage that the track has."""
    versions = services().models.page(g.user.id, track, active_only=True).items
    return {version.model_type: version for version in versions}

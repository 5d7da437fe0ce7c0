"""Charts of a lineage: the error of its versions, and its newest laps against what was predicted."""

from collections.abc import Sequence
from typing import Any

from flask import Response, g

from app.api.context import services
from app.domain import Version
from app.web.blueprint import page
from app.web.charts import asked_theme, chart, chart_answer, hover, lap_time_axis, series
from app.web.differences import error_interval
from app.web.records import Told, drifts_in, own_version, record_of
from app.web.words import gap, lap_time

VERSIONS_SHOWN = 100  # the newest
MOST_NUMBERS = 6  # on the axis
WIDE_LINE = 4  # of an interval


@page("/charts/versions/<id:id>")
def versions_chart(id: str) -> Response:
    """The mean error of each version and where it lies with 95 % certainty, drift, and the version itself."""
    version, theme = own_version(id), asked_theme()
    newest = services().models.page(g.user.id, version.track_name, version.model_type, limit=VERSIONS_SHOWN)
    known = [one for one in reversed(newest.items) if one.model_metadata["mae"] is not None]
    dots = _errors(known)
    plot = chart(x="versions in the order made", y="mean error, s")
    _draw_intervals(plot, _intervals(known), series(theme)[0])
    plot.line(source=dots, x="x", y="y", line_width=2, color=series(theme)[0])
    marks = plot.scatter(source=dots, x="x", y="y", size=8, color=series(theme)[0])
    here = [(x, y) for x, y, one in zip(dots["x"], dots["y"], known, strict=True) if one.id == version.id]
    plot.scatter(
        [x for x, _ in here],
        [y for _, y in here],
        size=15,
        line_width=3,
        fill_alpha=0,
        color=series(theme)[1],
    )
    hover(plot, marks, ("@number", "@error"))
    _draw_drifts(plot, _drifts(known), theme)
    _number_axis(plot, dict(zip(dots["x"], (one.model_version for one in known), strict=True)))
    return chart_answer(plot, theme)


@page("/charts/predicted/<id:id>")
def predicted_chart(id: str) -> Response:
    """The newest laps of a version and its ancestors, and what was predicted before they were learned."""
    laps, theme = record_of(services().models, own_version(id)).laps, asked_theme()
    columns = _laps(laps)
    plot = chart(x="laps in the order learned", y="lap time")
    _draw_intervals(plot, columns, series(theme)[1])
    plot.scatter(
        source=columns, x="x", y="predicted", marker="dash", size=11, line_width=3, color=series(theme)[1]
    )
    marks = plot.scatter(source=columns, x="x", y="y", size=7, color=series(theme)[0])
    hover(plot, marks, ("@lap", "@driven", "@said"))
    highest = max((max(lap.lap_time, lap.predicted) for lap in laps), default=0.0)
    found = [(x, highest, str(lap.drift)) for x, lap in zip(columns["x"], laps, strict=True) if lap.drift]
    _draw_drifts(plot, found, theme)
    lap_time_axis(plot, [time for lap in laps for time in (lap.lap_time, lap.predicted)])
    return chart_answer(plot, theme)


def _errors(known: Sequence[Version]) -> dict[str, list[Any]]:
    return {
        "x": [*range(1, len(known) + 1)],
        "y": [one.model_metadata["mae"] for one in known],
        "number": [f"version {one.model_version}" for one in known],
        "error": [_told(one) for one in known],
    }


def _told(version: Version) -> str:
    found = error_interval(version.model_metadata["performanceMetrics"])
    between = f", {found[0]:.3f} to {found[1]:.3f} s with 95 % certainty" if found else ""
    return f"{version.model_metadata['mae']:.3f} s{between}"


def _intervals(known: Sequence[Version]) -> dict[str, list[Any]]:
    found = [
        (x, error_interval(one.model_metadata["performanceMetrics"])) for x, one in enumerate(known, start=1)
    ]
    bounds = [(x, *interval) for x, interval in found if interval]
    return {name: [row[index] for row in bounds] for index, name in enumerate(("x", "lower", "upper"))}


def _draw_intervals(plot: Any, columns: dict[str, list[Any]], color: str) -> None:
    plot.segment(
        source={name: columns[name] for name in ("x", "lower", "upper")},
        x0="x",
        x1="x",
        y0="lower",
        y1="upper",
        line_width=WIDE_LINE,
        color=color,
        alpha=0.3,
    )


def _drifts(known: Sequence[Version]) -> list[tuple[int, float, str]]:
    """Where a drift was found, above the errors, and what it was."""
    intervals = [error_interval(one.model_metadata["performanceMetrics"]) for one in known]
    tops = [
        found[1] if found else one.model_metadata["mae"] for found, one in zip(intervals, known, strict=True)
    ]
    highest = max(tops, default=0.0)
    found = [(x, drifts_in(one)) for x, one in enumerate(known, start=1)]
    return [(x, highest, "; ".join(map(str, drifts))) for x, drifts in found if drifts]


def _draw_drifts(plot: Any, found: Sequence[tuple[int, float, str]], theme: str) -> None:
    """A dashed line and a triangle at each, so that they are told from all else without their colour."""
    if not found:
        return
    columns = {name: [row[index] for row in found] for index, name in enumerate(("x", "y", "said"))}
    plot.vspan(source=columns, x="x", line_color=series(theme)[3], line_dash="dashed")
    marks = plot.scatter(
        source=columns, x="x", y="y", marker="inverted_triangle", size=12, color=series(theme)[3]
    )
    hover(plot, marks, ("drift: @said",))


def _number_axis(plot: Any, numbers: dict[int, str]) -> None:
    step = -(-len(numbers) // MOST_NUMBERS) or 1
    plot.xaxis.ticker = [*numbers][::-step][::-1]  # the newest always has its number
    plot.xaxis.major_label_overrides = numbers


def _laps(laps: Sequence[Told]) -> dict[str, list[Any]]:
    return {
        "x": [*range(1, len(laps) + 1)],
        "y": [lap.lap_time for lap in laps],
        "predicted": [lap.predicted for lap in laps],
        "lower": [lap.lower for lap in laps],
        "upper": [lap.upper for lap in laps],
        "lap": [f"lap {lap.lap}, learned by {lap.number}" for lap in laps],
        "driven": [f"driven {lap_time(lap.lap_time)}" for lap in laps],
        "said": [f"predicted {lap_time(lap.predicted)}, {gap(lap.predicted - lap.lap_time)}" for lap in laps],
    }

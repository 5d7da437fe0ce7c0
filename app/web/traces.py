"""Two laps laid over each other: their channels, the time between them, and where on the track it goes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flask import Response, g

from app.api.context import services
from app.web.blueprint import page
from app.web.charts import INK, asked_theme, chart, charts_answer, diverging, series
from app.web.words import gap as signed
from learning.laps import Floats

PIECES = 50  # of the lap, on the map: the time gained or lost in each 2 %
POINTS = 12 * PIECES + 1
CHANNELS = {"speed": "Speed, km/h", "throttle": "Throttle", "brake": "Brake", "gear": "Gear"}
HEIGHTS = {"gap": 130, "speed": 210}  # pixels of a chart: app.css keeps the places
HEIGHT, AXIS, MAP_HEIGHT = 90, 24, 320  # of the others, of the axis below the last, and of the map
PEDALS = ("throttle", "brake")
LEFT = 52  # pixels for the numbers beside each chart, so that they stand exactly above each other
EARTH = 6_371_000.0  # metres, its mean radius
LEAST_EXTENT = 30.0  # metres; what moves less is no lap of a track
LEAST_SCALE = 0.01  # seconds gained or lost in one piece that are shown in full colour at least
Trace = Mapping[str, Any]


@page("/charts/traces/<id:id>/<int:a>/<int:b>")
def traces_chart(id: str, a: int, b: int) -> Response:
    """All charts of two laps as one document: a root for each, by name, and the source `traces` they share.

    `gap` is the time that `b` has lost to `a`; there is none of a lap with itself, and no `map` without
    coordinates.
    """
    (first, second), theme = services().sessions.traces(g.user.id, id, [a, b], POINTS), asked_theme()
    return charts_answer(_charts(first, second, theme, is_pair=a != b), theme)


def channels_of(trace: Trace) -> dict[str, str]:
    """The channels that there are charts of, with what they are called."""
    return {name: label for name, label in CHANNELS.items() if name in trace["channels"]}


def coordinates(trace: Trace) -> tuple[Floats, Floats] | None:
    """Where the car was, in metres seen from above, x to the right; None where the session does not say.

    Games have the height in `y`, which changes less than `z`, and `z` grows downwards on a map; loggers have
    the height in `z`. Degrees are laid flat around the lap's middle.
    """
    x, y, z = (_numbers(trace, name) for name in ("x", "y", "z"))
    seen = (x, -z) if _extent(z) > _extent(y) else (x, y)
    for across, up in (_flat(trace), seen):
        known = ~np.isnan(across + up)
        if min(_extent(across[known]), _extent(up[known])) > LEAST_EXTENT:
            return across, up
    return None


def _charts(first: Trace, second: Trace, theme: str, *, is_pair: bool) -> list[Any]:
    from bokeh.models import ColumnDataSource, Range1d

    columns = {"position": first["position"]}
    for name in channels_of(first):
        columns |= {f"{name}_a": _numbers(first, name), f"{name}_b": _numbers(second, name)}
    gap = _numbers(second, "current_lap_time") - _numbers(first, "current_lap_time")
    if is_pair:
        columns |= {"gap": gap, "gained": np.minimum(gap, 0.0), "lost": np.maximum(gap, 0.0)}
    if place := coordinates(first) or coordinates(second):
        columns |= {"x": place[0], "y": place[1]}
    source = ColumnDataSource({name: np.asarray(column, np.float32) for name, column in columns.items()})
    source.name = "traces"
    along = Range1d(start=0, end=1, bounds=(0.0, 1.0), min_interval=0.02, name="along")
    plots = [_gap_chart(source, along, theme)] if is_pair else []
    plots += [_channel_chart(source, along, theme, name, is_pair) for name in channels_of(first)]
    for last in plots[-1:]:
        last.xaxis.visible = True
        last.height += AXIS
    return [*plots, _map(source, gap if is_pair else np.full(POINTS, np.nan), theme)] if place else plots


def _gap_chart(source: Any, along: Any, theme: str) -> Any:
    plot = _along_chart("gap", along)
    slower, faster = series(theme)[1], series(theme)[0]
    plot.varea(source=source, x="position", y1=0, y2="lost", color=slower, alpha=0.35)
    plot.varea(source=source, x="position", y1=0, y2="gained", color=faster, alpha=0.35)
    plot.line(source=source, x="position", y="gap", line_width=2, color=faster)
    plot.line([0, 1], [0, 0], color=slower)
    return plot


def _channel_chart(source: Any, along: Any, theme: str, name: str, is_pair: bool) -> Any:
    plot = _along_chart(name, along)
    colors = {"a": series(theme)[1], "b": series(theme)[0]}
    for lap in ("a", "b") if is_pair else ("b",):
        plot.line(source=source, x="position", y=f"{name}_{lap}", line_width=2, color=colors[lap])
    return plot


def _along_chart(name: str, along: Any) -> Any:
    """An empty chart against the position; `traces.js` puts its tools to work where there is a mouse."""
    from bokeh.models import NumeralTickFormatter, PanTool, Range1d, WheelZoomTool

    plot = chart(x=None, y=None, height=HEIGHTS.get(name, HEIGHT), name=name, x_range=along)
    plot.add_tools(PanTool(dimensions="width"), WheelZoomTool(dimensions="width", modifiers={"ctrl": True}))
    plot.toolbar.active_drag = plot.toolbar.active_scroll = None
    plot.min_border_left = LEFT
    plot.min_border_top = plot.min_border_bottom = 6
    plot.xaxis.visible = False
    plot.xaxis.formatter = NumeralTickFormatter(format="0 %")
    plot.yaxis.ticker.desired_num_ticks = 4
    if name in PEDALS:
        plot.y_range = Range1d(start=-0.05, end=1.05)
        plot.yaxis.formatter = NumeralTickFormatter(format="0 %")
    return plot


def _map(source: Any, gap: Floats, theme: str) -> Any:
    """The track from above, in pieces of the colour of what the second lap gains or loses on each."""
    from bokeh.models import ColumnDataSource

    x, y, step = source.data["x"], source.data["y"], (POINTS - 1) // PIECES
    changes, ink = np.diff(gap[::step]), INK[theme][0]
    pieces = [slice(start, start + step + 1) for start in range(0, POINTS - 1, step)]
    plot = chart(x=None, y=None, height=MAP_HEIGHT, name="map", match_aspect=True)
    plot.axis.visible = plot.grid.visible = False
    paths = {"x": [x[piece] for piece in pieces], "y": [y[piece] for piece in pieces], "change": changes}
    lines = plot.multi_line(
        source=ColumnDataSource(paths, name="pieces"), xs="x", ys="y", line_width=6, line_cap="round"
    )
    lines.glyph.line_color = {"field": "change", "transform": _colors(plot, changes, theme)}
    start = np.flatnonzero(~np.isnan(x + y))[:2]
    heading = float(np.arctan2(np.diff(y[start]), np.diff(x[start]))[0])
    plot.scatter(x[start[:1]], y[start[:1]], marker="triangle", size=16, angle=heading - np.pi / 2, color=ink)
    dot = ColumnDataSource({"x": [], "y": []}, name="dot")
    plot.scatter(source=dot, x="x", y="y", size=14, color=ink, line_color="white", line_width=2)
    return plot


def _colors(plot: Any, changes: Floats, theme: str) -> Any:
    """Blue where time is gained, orange where it is lost; what they mean stands below the map."""
    from bokeh.models import FixedTicker, LinearColorMapper
    from bokeh.models.annotations.legends import ColorBar

    known = np.abs(changes[~np.isnan(changes)])
    most = max(float(np.percentile(known, 95)), LEAST_SCALE) if len(known) else LEAST_SCALE
    mapper = LinearColorMapper(palette=diverging(theme), low=-most, high=most, nan_color=INK[theme][1])
    if len(known):
        labels: dict[Any, Any] = {value: f"{signed(value)} s" for value in (-most, 0.0, most)}
        ticker = FixedTicker(ticks=[*labels])
        bar = ColorBar(color_mapper=mapper, height=8, ticker=ticker, major_label_overrides=labels)
        plot.add_layout(bar, "below")
    return mapper


def _numbers(trace: Trace, channel: str) -> Floats:
    values = trace["channels"].get(channel, [None] * POINTS)
    return np.array(values, dtype=float)


def _extent(values: Floats) -> float:
    return 0.0 if np.isnan(values).all() else float(np.nanmax(values) - np.nanmin(values))


def _flat(trace: Trace) -> tuple[Floats, Floats]:
    """Latitude and longitude as metres around the lap's middle."""
    north, east = (np.radians(_numbers(trace, name)) for name in ("latitude", "longitude"))
    known = ~np.isnan(north + east)
    if not known.any():
        return north, east
    middle_north, middle_east = north[known].mean(), east[known].mean()
    return EARTH * np.cos(middle_north) * (east - middle_east), EARTH * (north - middle_north)

"""Charts: Bokeh figures as JSON that the page's script embeds, in the colours of the page's theme."""

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

from flask import Response, jsonify, request

from app.web.words import THEMES, lap_time

# Okabe and Ito's palette, told apart by colour-blind eyes, in a shade that has contrast on each ground.
SERIES = {
    "light": ("#0067a5", "#c04f00", "#00775a", "#9a4b83"),
    "dark": ("#5cb8ff", "#ff9d4d", "#3fd1a4", "#e39ccb"),
}
NEUTRAL = {"light": "#c3c7cd", "dark": "#4d5765"}  # between gain and loss
INK = {"light": ("#1a1f27", "#5a6472", "#d9dde3"), "dark": ("#eef1f5", "#a3adba", "#333b47")}
FONT = "system-ui, sans-serif"
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 3600)  # seconds between ticks
MOST_TICKS = 6
ROOM = 0.08  # of the range, above and below what is shown
HEIGHT = 260  # pixels of a chart, 160 of a low and 420 of a tall one: app.css keeps the place


def asked_theme() -> str:
    """The theme that the page is in now; its script tells."""
    theme = request.args.get("theme", "light")
    return theme if theme in THEMES else "light"


def series(theme: str) -> tuple[str, ...]:
    """Colours for lines, told apart by colour-blind eyes too."""
    return SERIES[theme]


def diverging(theme: str) -> tuple[str, ...]:
    """Colours from gain over neither to loss, told apart by colour-blind eyes too."""
    from bokeh.palettes import interp_palette

    gain, loss = series(theme)[:2]
    return tuple(interp_palette((gain, NEUTRAL[theme], loss), 21))


def chart(*, x: str | None, y: str | None, height: int = HEIGHT, **options: Any) -> Any:
    """An empty figure that fills its place's width, without a toolbar; axes are labelled."""
    from bokeh.plotting import figure  # here and below: web processes start half a second sooner without

    return figure(
        height=height,
        sizing_mode="stretch_width",
        x_axis_label=x,
        y_axis_label=y,
        toolbar_location=None,
        tools="",
        output_backend="canvas",
        **options,
    )


def hover(plot: Any, marks: Any, lines: Sequence[str]) -> None:
    """Says what is under the pointer: columns of the marks' source, `@name`, one a line."""
    from bokeh.models import HoverTool

    plot.add_tools(HoverTool(renderers=[marks], tooltips=[("", line) for line in lines]))


def legend_above(plot: Any) -> None:
    """Moves the legend out of the way of what is drawn."""
    legend = plot.legend[0]
    legend.orientation = "horizontal"
    plot.add_layout(legend, "above")


def lap_time_axis(plot: Any, times: Sequence[float]) -> None:
    """Gives the y axis ticks as drivers write times, and the room for `times`, in seconds."""
    from bokeh.models import Range1d

    low, high = (min(times), max(times)) if times else (0.0, 1.0)
    room = ROOM * (high - low) or 1.0
    plot.y_range = Range1d(start=low - room, end=high + room)
    step = next((one for one in STEPS if (high - low) / one <= MOST_TICKS), STEPS[-1])
    ticks = [step * place for place in range(floor(low / step), ceil(high / step) + 1)]
    plot.yaxis.ticker = ticks
    plot.yaxis.major_label_overrides = {tick: _short(tick, step) for tick in ticks}


def _short(seconds: float, step: float) -> str:
    """A lap time without the digits that all ticks have as 0."""
    text = lap_time(seconds)
    return text[:-4] if step >= 1 else text[:-2]


def chart_answer(plot: Any, theme: str) -> Response:
    """The figure as `charts.js` draws it."""
    return charts_answer([plot], theme)


def charts_answer(plots: Sequence[Any], theme: str) -> Response:
    """Figures that share ranges and sources; each is drawn in the place of its name."""
    from bokeh.document import Document
    from bokeh.themes import Theme

    document = Document(theme=Theme(json={"attrs": _theme(theme)}))
    for plot in plots:
        document.add_root(plot)
    return jsonify({"doc": document.to_json(deferred=False)})


def _theme(name: str) -> dict[str, Any]:
    ink, soft, line = INK[name]
    axis = {
        "axis_line_color": line,
        "major_tick_line_color": line,
        "minor_tick_line_color": None,
        "major_label_text_color": soft,
        "major_label_text_font": FONT,
        "axis_label_text_color": soft,
        "axis_label_text_font": FONT,
        "axis_label_text_font_style": "normal",
    }
    return {
        "Plot": {
            "background_fill_alpha": 0,
            "border_fill_alpha": 0,
            "outline_line_color": None,
            "min_border_right": 12,
        },
        "Axis": axis,
        "Grid": {"grid_line_color": line, "grid_line_alpha": 0.6},
        "Legend": {
            "background_fill_alpha": 0,
            "border_line_color": None,
            "label_text_color": ink,
            "label_text_font": FONT,
        },
        "Title": {"text_color": soft, "text_font": FONT},
        "BaseColorBar": {"major_label_text_color": soft, "background_fill_alpha": 0},
    }

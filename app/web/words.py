"""How pages write numbers and times: as drivers do."""

from datetime import datetime
from typing import Any

from flask import Flask, g, request
from markupsafe import Markup

from app.domain import iso
from app.web.assets import BOKEH_JS, assets

THEMES = ("light", "dark")
NOTHING = "–"
TYPES = {
    "lap_time_prediction": "Lap time",
    "sector_analysis": "Sectors",
    "setup_optimization": "Setup",
}
JOBS = {
    "train": "Training from scratch",
    "incremental_training": "Learning",
    "retrain": "Retraining after drift",
    "validate": "Measuring",
    "compare": "Comparing",
}


def lap_time(seconds: float | None) -> str:
    """A lap time as on a timing screen.

    >>> lap_time(92.417), lap_time(29.8), lap_time(119.9996), lap_time(None)
    ('1:32.417', '29.800', '2:00.000', '–')
    """
    if seconds is None:
        return NOTHING
    minutes, thousandths = divmod(round(abs(seconds) * 1000), 60_000)
    sign = "−" if seconds < 0 else ""
    return f"{sign}{minutes}:{thousandths / 1000:06.3f}" if minutes else f"{sign}{thousandths / 1000:.3f}"


def gap(seconds: float | None) -> str:
    """A difference of two times.

    >>> gap(0.2134), gap(-0.05), gap(0.0), gap(None)
    ('+0.213', '−0.050', '0.000', '–')
    """
    if seconds is None:
        return NOTHING
    rounded = round(seconds, 3)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else ''}{lap_time(abs(rounded))}"


def seconds(value: float | None) -> str:
    """An error.

    >>> seconds(0.2134), seconds(None)
    ('0.213 s', '–')
    """
    return NOTHING if value is None else f"{value:.3f} s"


def size(count: int | float) -> str:
    """Bytes for people.

    >>> size(712), size(4_718_592), size(3_221_225_472)
    ('712 B', '4.5 MiB', '3.0 GiB')
    """
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):  # the last one is used
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def percent(share: float | None) -> str:
    """A share.

    >>> percent(0.8734), percent(None)
    ('87 %', '–')
    """
    return NOTHING if share is None else f"{share:.0%}".replace("%", " %")


def span(seconds: float) -> str:
    """How long something took or lasts.

    >>> span(42.4), span(150), span(7_260), span(300_000)
    ('42 s', '2 min', '2 h', '3 d')
    """
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(at: datetime | None) -> str | Markup:
    """A time in UTC, which the page's script turns into the reader's own."""
    if at is None:
        return NOTHING
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M}</time>').format(iso(at), at)


def day(at: datetime) -> Markup:
    """The day of a time, which the page's script turns into the reader's own."""
    return Markup('<time datetime="{}" data-day>{:%Y-%m-%d}</time>').format(iso(at), at)


def bokeh() -> Markup:
    """Fetches BokehJS for a page that has charts; `charts.js` runs it when the page itself is there."""
    g.has_charts = True
    return Markup('<link rel="preload" as="script" id="bokeh" href="{}">').format(assets().url(BOKEH_JS))


def needs(module: str) -> Markup:
    """Marks a button or field that does nothing without a module, which enables it: `ready` of `ready.js`."""
    return Markup('disabled data-needs="{}"').format(module)


def init_words(app: Flask) -> None:
    app.jinja_env.filters |= {
        "lap_time": lap_time,
        "gap": gap,
        "seconds": seconds,
        "size": size,
        "percent": percent,
        "moment": moment,
        "span": span,
        "day": day,
    }
    app.context_processor(_everywhere)


def _everywhere() -> dict[str, Any]:
    theme = request.cookies.get("theme")
    return {
        "static": assets().url,
        "bokeh": bokeh,
        "needs": needs,
        "theme": theme if theme in THEMES else None,
        "user": g.get("user"),
        "type_names": TYPES,
        "job_names": JOBS,
    }

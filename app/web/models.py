"""A version's pages: the version with its lineage, and predictions with it."""

from typing import Any

from flask import Response, g, render_template

from app.api.context import services
from app.domain import Version
from app.errors import ModelNotFound
from app.web.blueprint import page
from app.web.charts import asked_theme, chart, chart_answer, hover, legend_above, series
from learning.fields import CONDITIONS

FORMATS = {
    "lapwise": "Bundle, to import again",
    "json": "Description, to read",
    "onnx": "ONNX, for other devices",
}
SHOWN = 0.005  # the least share of importance
REPLAYED = 25  # the newest sessions of the track
SLIDERS = (  # name, label, least, most, step, value
    ("track_position", "Position on the lap", 0.0, 1.0, 0.01, 0.5),
    ("speed", "Speed, km/h", 0.0, 360.0, 1.0, 200.0),
    ("throttle", "Throttle", 0.0, 1.0, 0.05, 1.0),
    ("brake", "Brake", 0.0, 1.0, 0.05, 0.0),
    ("gear", "Gear", 1.0, 8.0, 1.0, 5.0),
)
LABELS = {"fuel": "Fuel", "tyre_life": "Laps on these tyres", "air_temp": "Air, °C", "road_temp": "Track, °C"}


@page("/models/<id:id>")
def model(id: str) -> str:
    version = services().models.get(g.user.id, id)
    is_own = version.user_id == g.user.id
    return render_template(
        "pages/model.html",
        version=version,
        is_own=is_own,
        lineage=[*reversed(_lineage(version))] if is_own else [],
        shares=services().sharing.given(g.user.id, id, limit=200).items if is_own else (),
        importance=_largest(version.feature_importance),
        formats={name: text for name, text in FORMATS.items() if name != "onnx" or _is_lap_time(version)},
    )


@page("/charts/versions/<id:id>")
def versions_chart(id: str) -> Response:
    """The mean error of each version of the lineage, and the version itself marked."""
    version, theme = services().models.get(g.user.id, id), asked_theme()
    if version.user_id != g.user.id:
        raise ModelNotFound
    known = [one for one in _lineage(version) if one.model_metadata["mae"] is not None]
    dots = {
        "x": [*range(1, len(known) + 1)],
        "y": [one.model_metadata["mae"] for one in known],
        "number": [f"version {one.model_version}" for one in known],
        "error": [f"{one.model_metadata['mae']:.3f} s" for one in known],
    }
    plot = chart(x="versions in the order made", y="mean error, s")
    plot.line(source=dots, x="x", y="y", line_width=2, color=series(theme)[0])
    marks = plot.scatter(source=dots, x="x", y="y", size=8, color=series(theme)[0])
    here = [(x, y) for x, y, one in zip(dots["x"], dots["y"], known, strict=True) if one.id == version.id]
    plot.scatter(
        [x for x, _ in here], [y for _, y in here], size=13, color=series(theme)[1], legend_label="this one"
    )
    legend_above(plot)
    hover(plot, marks, ("@number", "@error"))
    return chart_answer(plot, theme)


@page("/predict/<id:id>")
def predict(id: str) -> str:
    version = services().models.get(g.user.id, id)
    sessions = services().sessions.page(g.user.id, version.track_name, limit=REPLAYED).items
    return render_template(
        "pages/predict.html",
        version=version,
        sliders=SLIDERS if _is_lap_time(version) else (),
        conditions=[(name, text, CONDITIONS[name]) for name, text in LABELS.items()],
        sessions=[session for session in sessions if session.valid_laps_count],
    )


def _lineage(version: Version) -> tuple[Version, ...]:
    """Its lineage's versions, oldest first."""
    return services().models.history(version.user_id, version.track_name, version.model_type)


def _is_lap_time(version: Version) -> bool:
    return version.model_type == "lap_time_prediction"


def _largest(importance: Any, most: int = 8) -> list[tuple[str, float]]:
    """What counted most, as shares of all."""
    whole = sum(abs(value) for value in importance.values()) or 1.0
    shares = [(name, abs(value) / whole) for name, value in importance.items()]
    return sorted((one for one in shares if one[1] >= SHOWN), key=lambda pair: -pair[1])[:most]

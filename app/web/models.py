"""A version's pages: the version with its lineage, and predictions with it."""

from typing import Any

from flask import g, render_template, request

from app.api.context import services
from app.domain import Page, Session, Version
from app.errors import ModelNotFound, SessionNotFound
from app.web.blueprint import page
from app.web.differences import Change, before_each, change_of, coverage, error_interval
from app.web.records import drifts_in, record_of
from learning.fields import CONDITIONS

FORMATS = {
    "lapwise": "Bundle, to import again",
    "json": "Description, to read",
    "onnx": "ONNX, for other devices",
}
SHOWN = 0.005  # the least share of importance
VERSIONS_SHOWN = 20  # at a time
SESSIONS_NAMED = 8  # of those that a version is the first to have learned
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
    return render_template(
        "pages/model.html",
        version=version,
        importance=_largest(version.feature_importance),
        within=error_interval(version.model_metadata["performanceMetrics"]),
        coverage=coverage,
        most_bytes=services().settings.max_upload_bytes,
        **(_owned(version) if version.user_id == g.user.id else {"is_own": False}),
    )


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


def _owned(version: Version) -> dict[str, Any]:
    """What a version's page tells and offers its owner alone."""
    newest = services().models.page(
        g.user.id,
        version.track_name,
        version.model_type,
        limit=VERSIONS_SHOWN,
        cursor=request.args.get("cursor"),
    )
    change = change_of(version, _before(version))
    return {
        "is_own": True,
        "newest": newest,
        "changes": before_each(newest.items, _parents(newest)),
        "drifts_in": drifts_in,
        "change": change,
        "learned": _named(change),
        "record": record_of(services().models, version),
        "shares": services().sharing.given(g.user.id, version.id, limit=200).items,
        "formats": {name: text for name, text in FORMATS.items() if name != "onnx" or _is_lap_time(version)},
    }


def _parents(newest: Page[Version]) -> dict[str, Version]:
    """The parents of listed versions that are not listed themselves, by id."""
    listed = {version.id for version in newest.items}
    wanted = {version.parent_id for version in newest.items if version.parent_id} - listed
    found = (_find(one) for one in wanted)
    return {version.id: version for version in found if version}


def _find(id: str) -> Version | None:
    try:
        return services().models.get(g.user.id, id)
    except ModelNotFound:  # removed this moment
        return None


def _before(version: Version) -> Version | None:
    """The parent; of a version without one, the version of its lineage made before it."""
    return _find(version.parent_id) if version.parent_id else services().models.find_before(version)


def _named(change: Change) -> list[Session]:
    """The first of the sessions that a version learned and the one before had not."""
    found = []
    for id in change.session_ids[:SESSIONS_NAMED]:
        try:
            found.append(services().sessions.get(g.user.id, id))
        except SessionNotFound:  # it was removed; what was learned from it stays
            continue
    return found


def _is_lap_time(version: Version) -> bool:
    return version.model_type == "lap_time_prediction"


def _largest(importance: Any, most: int = 8) -> list[tuple[str, float]]:
    """What counted most, as shares of all."""
    whole = sum(abs(value) for value in importance.values()) or 1.0
    shares = [(name, abs(value) / whole) for name, value in importance.items()]
    return sorted((one for one in shares if one[1] >= SHOWN), key=lambda pair: -pair[1])[:most]

"""A driver's track: its sessions and lineages; where the time is in its sectors; its setups."""

from flask import g, render_template, request
from werkzeug.exceptions import NotFound

from app.api.context import services
from app.domain import ModelType, Version
from app.web.blueprint import page

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


@page("/sectors/<path:track>")
def sectors(track: str) -> str:
    version = _all_active(track).get(ModelType.SECTOR_ANALYSIS)
    return render_template("pages/sectors.html", track=track, version=version)


@page("/setup/<path:track>")
def setup(track: str) -> str:
    version = _all_active(track).get(ModelType.SETUP_OPTIMIZATION)
    return render_template("pages/setup.html", track=track, version=version)


def _all_active(track: str) -> dict[ModelType, Version]:
    """The active version of each lineage that the track has."""
    versions = services().models.page(g.user.id, track, active_only=True).items
    return {version.model_type: version for version in versions}

"""A driver's track: its sessions and lineages; where the time is in its sectors; its setups."""

from flask import abort, g, render_template

from app.api.context import services
from app.domain import ModelType, Version
from app.web.blueprint import page


@page("/tracks/<path:track>")
def track(track: str) -> str:
    sessions = services().sessions.page(g.user.id, track)
    versions = services().models.page(g.user.id, track, active_only=True).items
    if not (sessions.items or versions):
        abort(404, f"You have no sessions on a track named {track}.")
    active = {version.model_type: version for version in versions}
    return render_template("pages/track.html", track=track, sessions=sessions, active=active)


@page("/sectors/<path:track>")
def sectors(track: str) -> str:
    return render_template(
        "pages/sectors.html", track=track, version=_active(track, ModelType.SECTOR_ANALYSIS)
    )


@page("/setup/<path:track>")
def setup(track: str) -> str:
    return render_template(
        "pages/setup.html", track=track, version=_active(track, ModelType.SETUP_OPTIMIZATION)
    )


def _active(track: str, model_type: ModelType) -> Version | None:
    found = services().models.page(g.user.id, track, model_type, active_only=True).items
    return found[0] if found else None

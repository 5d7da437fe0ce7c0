"""The dashboard: pages for drivers and operators on the same application as the API."""

from flask import Flask

from app.web import (
    assets,
    blueprint,
    charts,
    faults,
    home,
    models,
    operations,
    sessions,
    signin,
    tracks,
    words,
)


def init_web(app: Flask) -> None:
    """Adds the pages to an application that has the API."""
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.extensions[assets.ASSETS] = assets.Assets()
    for module in (home, signin, sessions, models, tracks, operations, charts):
        blueprint.routes_of(module)
    words.init_words(app)
    app.register_blueprint(blueprint.bp)
    app.register_blueprint(assets.bp)
    faults.init_faults(app)

"""The dashboard: pages for drivers and operators on the same application as the API."""

from flask import Flask

from app.web import (  # noqa: F401  # they put their routes on `bp`
    home,
    models,
    operations,
    sessions,
    traces,
    tracks,
    training,
    version_charts,
)
from app.web.assets import ASSETS, Assets
from app.web.assets import bp as assets_bp
from app.web.blueprint import bp
from app.web.faults import init_faults
from app.web.words import init_words


def init_web(app: Flask) -> None:
    """Adds the pages to an application that has the API."""
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.extensions[ASSETS] = Assets()
    init_words(app)
    app.register_blueprint(bp)
    app.register_blueprint(assets_bp)
    init_faults(app)

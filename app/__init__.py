"""The Lapwise platform; importing it loads no Flask, so that workers and tools stay light."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.container import Container
    from app.settings import Settings


def create_app(settings: "Settings | None" = None, container: "Container | None" = None) -> "Flask":
    """The WSGI application; without arguments it is built from the environment."""
    from app.api.application import create_app as create
    from app.web import init_web

    app = create(settings, container)
    init_web(app)
    return app

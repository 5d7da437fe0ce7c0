"""Which routes of the application are the API's, for tests that walk them."""

from flask import Flask
from werkzeug.routing import Rule

PAGES = ("web", "assets")  # blueprints of the dashboard, which are tested by themselves


def api_rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint.split(".")[0] not in PAGES]

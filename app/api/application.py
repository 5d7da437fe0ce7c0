"""Assembles the Flask application: its limits, its errors, who may call, and every resource."""

import re
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from app import logs
from app.api import (
    accounts,
    analyses,
    analytics,
    docs,
    events,
    exchange,
    experiments,
    health,
    jobs,
    live,
    models,
    sessions,
    sharing,
    webhooks,
)
from app.api.blueprint import Api
from app.api.context import CONTAINER
from app.api.errors import init_errors
from app.api.fields import ID
from app.api.limits import init_limits
from app.api.observe import Metrics, init_observe
from app.api.requests import Request
from app.api.sockets import LiveSockets
from app.api.tokens import init_tokens
from app.settings import Settings

if TYPE_CHECKING:
    from app.container import Container

CORS_ALLOWED = ["Authorization", "Content-Type", "Idempotency-Key"]
CORS_EXPOSED = ["Location", "Retry-After", "X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining"]


class Json(DefaultJSONProvider):
    """Writes JSON as Flask does outside its debugger, without asking at each answer how."""

    sort_keys = False

    def response(self, *args: Any, **kwargs: Any) -> Response:
        text = self.dumps(self._prepare_response_obj(args, kwargs), separators=(",", ":")) + "\n"
        return Response(text, content_type="application/json")


class Application(Flask):
    """Flask that does not ask of every function, at each call, whether it is a coroutine: none of ours is."""

    json_provider_class = Json

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


class IdConverter(BaseConverter):
    """Lets only well-formed ids through, so that a malformed one is a 404."""

    regex = ID


def create_app(settings: Settings | None = None, container: "Container | None" = None) -> Flask:
    """The application on the given services; without any it builds them and sets up this process's logs."""
    is_web_process = container is None
    if container is None:
        from app.container import build_container  # here, for it loads all of the learning core

        settings = settings or Settings.from_environment()
        logs.configure(settings.log_level, settings.log_format, gathered=True)
        container = build_container(settings)
    app = _bare_app(container.settings)
    app.extensions[CONTAINER] = container
    app.extensions[jobs.STREAMS] = jobs.Streams()
    app.extensions[health.METRICS] = metrics = Metrics(container.platform)
    app.extensions[live.CONNECTIONS] = connections = live.new_connections()
    app.extensions[live.SOCKETS] = LiveSockets(container.live, metrics, connections.close)
    if is_web_process:
        container.usage.start(metrics.predicted)
    init_errors(app)
    init_observe(app, metrics)
    # health answers also when Redis does not; senders of events are known by their signature, and how many
    # wait is limited
    init_limits(app, container.settings, exempt=(health.bp.name, events.bp.name))
    init_tokens(app, container.settings)
    _register(app)
    return app


def _bare_app(settings: Settings) -> Flask:
    app = Application("app", static_folder=None)
    app.request_class = Request
    app.config["MAX_CONTENT_LENGTH"] = settings.max_json_bytes  # an upload raises it for itself
    app.url_map.converters["id"] = IdConverter
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a track's name may hold anything
    if proxies := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    if origins := settings.origins:
        CORS(app, origins=origins, allow_headers=CORS_ALLOWED, expose_headers=CORS_EXPOSED, max_age=600)
    return app


def _register(app: Flask) -> None:
    app.config.update(
        API_TITLE="Lapwise",
        API_VERSION=version("lapwise"),
        OPENAPI_VERSION="3.0.3",  # the newest that the Swagger UI in swagger-ui-bundle shows
        API_SPEC_OPTIONS={
            "info": {"description": "Personal racing models that learn from every telemetry session."},
            "components": {
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
            },
            "security": [{"bearer": []}],
        },
    )
    api = Api(app)
    api.register_converter(IdConverter, lambda _: {"type": "string", "pattern": f"^{ID}$"})
    modules = (
        accounts,
        sessions,
        analyses,
        events,
        webhooks,
        jobs,
        models,
        experiments,
        exchange,
        sharing,
        live,
        analytics,
        health,
        docs,
    )
    for module in modules:
        api.register_blueprint(module.bp)

    @app.url_value_preprocessor
    def in_snake_case(_endpoint: str | None, values: dict[str, Any] | None) -> None:
        """Routes speak the contract's camelCase, views Python."""
        for name in list(values or ()):
            values[re.sub(r"([A-Z])", lambda m: f"_{m[1].lower()}", name)] = values.pop(name)  # type: ignore[index,union-attr]

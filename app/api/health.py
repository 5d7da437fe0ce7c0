"""What supervisors and Prometheus ask; none of it needs a token, nor Redis to count the call."""

from hmac import compare_digest
from typing import cast

from flask import Response, current_app, request
from marshmallow import fields

from app.api.blueprint import Blueprint
from app.api.context import services
from app.api.fields import CamelSchema
from app.api.limits import address
from app.api.observe import Metrics
from app.errors import Unauthorized, Unavailable

bp = Blueprint("health", __name__, description="Whether all is well.")

METRICS = "lapwise-metrics"


class HealthSchema(CamelSchema):
    status = fields.String(required=True, metadata={"example": "ok"})


class ReadinessSchema(HealthSchema):
    checks = fields.Dict(required=True, metadata={"example": {"mongo": True, "redis": True, "worker": True}})
    unreadable_models = fields.Integer(
        required=True, metadata={"example": 0, "description": "versions that `lapwise verify` tells of"}
    )


@bp.operation("GET", "/healthz", answer=HealthSchema, shows="nothing")
def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@bp.operation("GET", "/readyz", answer=ReadinessSchema, shows="nothing")
def readyz() -> dict[str, object]:
    """MongoDB, Redis and a worker answer; 503 names those that do not."""
    checks = services().platform.readiness()
    missing = [name for name, answers in checks.items() if not answers]
    if missing:
        raise Unavailable(f"not ready: {', '.join(missing)}", missing=missing, checks=checks)
    unreadable = services().platform.count_unreadable()
    return {"status": "ready", "checks": checks, "unreadable_models": unreadable}


@bp.operation("GET", "/metrics", content_type="text/plain", errors=(401,), shows="nothing")
def metrics() -> Response:
    """Figures for Prometheus: on the platform's own machine, or with `LAPWISE_METRICS_TOKEN` as bearer."""
    if not _may_see_figures(services().settings.metrics_token):
        raise Unauthorized("Ask on the platform's own machine, or with LAPWISE_METRICS_TOKEN as bearer.")
    figures = cast(Metrics, current_app.extensions[METRICS])
    return Response(figures.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_see_figures(token: str) -> bool:
    if token:
        return compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode())
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False  # a proxy on this machine speaks for others
    caller = address()
    return caller is not None and caller.is_loopback

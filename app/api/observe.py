"""What operators see of requests, an id, a log line and figures for each, and the headers browsers heed."""

import os
import random
import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog
from flask import Flask, Request, Response, g
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from structlog.contextvars import bind_contextvars, clear_contextvars

from app.api.context import TOLD, present, tell
from app.errors import Unavailable
from app.services.platform import Platform
from app.stores.journal import Predicted

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}
M = TypeVar("M", Counter, Histogram)
LIVE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)  # seconds
log = structlog.get_logger()


class Metrics:
    """Figures for Prometheus, of this process or, where prometheus_client is told a folder, of all."""

    def __init__(self, platform: Platform) -> None:
        self._counts = _Counts(platform)
        self._children: dict[tuple[Any, ...], Any] = {}
        self._registry = CollectorRegistry()
        labels = ("method", "rule", "status")
        self._requests = Counter("lapwise_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "lapwise_request_seconds", "Time to answer.", labels[:2], registry=self._registry
        )

        self._predictions = Histogram(
            "lapwise_prediction_seconds", "Time to predict.", ("model_type",), registry=self._registry
        )
        self._rows = Counter(
            "lapwise_predicted_rows", "Rows predicted.", ("model_type",), registry=self._registry
        )

        self.live_connections = Gauge(
            "lapwise_live_connections",
            "Live connections that are open.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.live_frames = Counter(
            "lapwise_live_frames",
            "Frames that came: answered, superseded by a newer one, or refused.",
            ("outcome",),
            registry=self._registry,
        )
        self.live_seconds = Histogram(
            "lapwise_live_seconds",
            "From a frame to its answer.",
            registry=self._registry,
            buckets=LIVE_BUCKETS,
        )

    def count(self, asked: Request, status: int, seconds: float) -> None:
        """Counts a request; one without a route counts under no name, for names are endless."""
        rule = asked.url_rule.rule if asked.url_rule else ""
        method = asked.method if rule else ""
        self._child(self._requests, method, rule, str(status)).inc()
        self._child(self._seconds, method, rule).observe(seconds)

    def _child(self, metric: M, *labels: str) -> M:
        """The part of a metric that has these labels; kept, for it takes longer to find than to count."""
        key = (metric, *labels)
        if key not in self._children:
            self._children[key] = metric.labels(*labels)
        return cast(M, self._children[key])

    def predicted(self, record: Predicted) -> None:
        """Counts an answered request for predictions."""
        self._child(self._predictions, record.model_type.value).observe(record.seconds)
        self._child(self._rows, record.model_type.value).inc(record.rows)

    def text(self) -> bytes:
        """All figures in the text format of Prometheus."""
        requests = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # prometheus_client's own variable, read at its import
            requests = CollectorRegistry()
            MultiProcessCollector(requests)  # type: ignore[no-untyped-call]
        counts = CollectorRegistry()
        counts.register(self._counts)
        return generate_latest(requests) + generate_latest(counts)


class _Counts(Collector):
    """Jobs by status and unreadable models, counted when asked for."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def describe(self) -> list[Metric]:
        return []  # so that registering counts nothing

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("lapwise_jobs", "Jobs by status.", labels=("status",))
        models = GaugeMetricFamily("lapwise_unreadable_models", "Versions that cannot be read.")
        try:
            for status, count in self._platform.job_counts().items():
                jobs.add_metric([status], count)
            models.add_metric([], self._platform.count_unreadable())
        except Unavailable as exc:  # the other figures matter most when a dependency is down
            log.warning("not_counted", error=str(exc))
        yield from (jobs, models)


def init_observe(app: Flask, metrics: Metrics) -> None:
    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        given = present().environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        tell("X-Request-Id", request_id)
        clear_contextvars()
        bind_contextvars(request_id=request_id)

    @app.after_request
    def end(response: Response) -> Response:
        seconds, asked = time.perf_counter() - g.started, present()
        metrics.count(asked, response.status_code, seconds)
        log.info(
            "request",
            method=asked.method,
            path=asked.path,
            status=response.status_code,
            seconds=round(seconds, 4),
        )
        return response

    app.wsgi_app = _Safe(app.wsgi_app)  # type: ignore[method-assign]


class _Safe:
    """Adds to each answer what `tell` was told, and the headers that browsers heed and it has none of."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            own = {name for name, _ in headers}  # a page may need a policy of its own
            safe = HEADERS | OVER_TLS if environ["wsgi.url_scheme"] == "https" else HEADERS
            more = [pair for pair in safe.items() if pair[0] not in own]
            return start_response(status, [*headers, *environ.get(TOLD, ()), *more], *exc_info)

        return self._app(environ, start)

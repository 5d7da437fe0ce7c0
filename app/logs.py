"""One JSON line a log record for every process, whether the record comes from us or from a library."""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.types import Processor

SECRET = ("authorization", "password", "secret", "token")  # parts of names whose values are never written


def configure(level: str = "INFO") -> None:
    """Sends structlog and the standard library's logging to stderr as JSON; safe to repeat."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    for other in [other for other in root.handlers if isinstance(other, Handler)]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level.upper())


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hides values whose name says that they are secret.

    >>> redact(None, "info", {"event": "login", "refresh_token": "abc"})
    {'event': 'login', 'refresh_token': '[hidden]'}
    """
    for name in event:
        if any(part in name.lower() for part in SECRET):
            event[name] = "[hidden]"
    return event


class Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Tells our handler from one that a test runner or a server has put beside it."""

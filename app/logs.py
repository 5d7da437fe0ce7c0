"""One line a log record for every process, whether the record comes from us or from a library.

In production a line is JSON; in a terminal it is made for eyes. No line holds a secret, and no text in it can
begin another line.
"""

import atexit
import logging
import re
import sys
import time
from collections import deque
from collections.abc import MutableMapping
from contextlib import suppress
from functools import lru_cache
from threading import Event, Lock, Thread
from typing import Any, Self, TextIO

import structlog
from structlog.contextvars import get_contextvars
from structlog.types import EventDict, Processor

GATHERING_SECONDS, MOST_EVENTS = 0.05, 10_000
SECRET = ("authorization", "password", "secret", "token")  # parts of names whose values are never written
HIDDEN = "[hidden]"
_CREDENTIALS = re.compile(r"(://)[^\s/@]+@")
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+")
_BEARER = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+|\bwhsec_[\w-]+")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028"}


def configure(level: str = "INFO", form: str = "", *, gathered: bool = False) -> None:
    """Sends structlog and the standard library's logging to stderr; safe to repeat.

    Parameters
    ----------
    form
        json, text or nothing, which means text in a terminal and JSON elsewhere.
    gathered
        Whether lines wait for a moment to be written together, as `Gathered` has it.
    """
    is_text = form == "text" or (not form and sys.stderr.isatty())
    renderer: Processor = _for_eyes if is_text else structlog.processors.JSONRenderer(default=str)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(  # not by way of logging, which doubles the cost of the line of each request
        processors=[*shared, _as_it_is] if gathered else [*shared, redact, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=Gathered(sys.stderr, renderer)
        if gathered
        else structlog.WriteLoggerFactory(file=sys.stderr),
    )
    handler = Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                *shared,
                redact,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    for other in [other for other in root.handlers if isinstance(other, Handler)]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # at DEBUG it writes whole documents, with whatever is in them
    logging.getLogger("pymongo").setLevel(max(logging.INFO, root.level))


def request_ids() -> tuple[str, ...]:
    """The ids of the requests that the present work comes from: one in web, in a worker perhaps more."""
    bound = get_contextvars()
    return (bound["request_id"],) if "request_id" in bound else tuple(bound.get("request_ids", ()))


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hides values whose name says that they are secret, and what looks like a secret or an address in texts.

    >>> redact(None, "info", {"event": "login", "refresh_token": "abc"})
    {'event': 'login', 'refresh_token': '[hidden]'}
    >>> redact(None, "info", {"error": "redis://user:pass@cache/0 of ann@example.com does not answer"})
    {'error': 'redis://[hidden]@cache/0 of [hidden] does not answer'}
    """
    for name, value in event.items():
        if not name.startswith("_"):  # structlog's own
            event[name] = _hidden(name, value)
    return event


def without_credentials(text: str) -> str:
    """The text with the credentials in its URLs hidden.

    >>> without_credentials("mongodb://user:pass@db/?tls=true")
    'mongodb://[hidden]@db/?tls=true'
    """
    return _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)


def _hidden(name: str, value: Any) -> Any:
    if _is_secret(name):
        return HIDDEN
    if isinstance(value, str):
        shown = _EMAIL.sub(HIDDEN, without_credentials(value)) if "@" in value else value
        return _BEARER.sub(HIDDEN, shown) if "eyJ" in shown or "whsec_" in shown else shown
    if isinstance(value, dict):
        return {key: _hidden(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden("", item) for item in value]
    return value


@lru_cache(maxsize=1_000)
def _is_secret(name: str) -> bool:
    return any(part in name.lower() for part in SECRET)


_console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _for_eyes(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    exception = event.pop("exception", None)
    shown = {name: _escaped(value) for name, value in event.items()}
    line = str(_console(logger, method, shown))
    return line if exception is None else f"{line}\n{_indented(exception)}"


def _escaped(value: Any) -> Any:
    return value.translate(_CONTROLS) if isinstance(value, str) else value


def _indented(text: str) -> str:
    """A traceback, none of whose lines can be taken for a record."""
    return "\n".join(f"    {line.translate(_CONTROLS)}" for line in text.split("\n"))


class Gathered:
    """Events that wait 50 ms to become lines together; a warning, or worse, does so at once.

    Each writing wakes whoever reads, and lets another thread have the interpreter: done for every request, it
    takes longer than making the line. A process that is killed takes the events of that moment with it.

    Parameters
    ----------
    render
        Makes a line of an event whose secrets are hidden.
    """

    def __init__(self, file: TextIO, render: Processor) -> None:
        self._file = file
        self._render = render
        self._events: deque[EventDict] = deque()
        self._writing = Lock()
        self._is_there_any = Event()
        Thread(target=self._keep_writing, name="logs", daemon=True).start()
        atexit.register(self.write)

    def __call__(self, *_: Any) -> Self:
        """Itself: all of structlog's loggers are this one."""
        return self

    def info(self, event: EventDict) -> None:
        self._events.append(event)
        if len(self._events) > MOST_EVENTS:  # whoever reads cannot keep up: nor may we
            self.write()
        elif not self._is_there_any.is_set():
            self._is_there_any.set()

    debug = info

    def warning(self, event: EventDict) -> None:
        self._events.append(event)
        self.write()

    error = critical = exception = warning

    def write(self) -> None:
        """Writes what waits."""
        with self._writing:
            events = [self._events.popleft() for _ in range(len(self._events))]
            if events:
                self._file.write("\n".join([*map(self._line, events), ""]))
                self._file.flush()

    def _line(self, event: EventDict) -> str:
        try:
            return str(self._render(None, "", redact(None, "", dict(event))))
        except Exception as exc:  # whoever asked for it is gone, and the lines after it must be written
            told = {"event": "line_not_made", "of": event["event"], "level": "error", "error": repr(exc)}
            return str(self._render(None, "", redact(None, "", told)))

    def _keep_writing(self) -> None:
        while self._is_there_any.wait():
            time.sleep(GATHERING_SECONDS)
            self._is_there_any.clear()
            with suppress(OSError):  # a full disk: nobody can be told, and there may be room for what follows
                self.write()


def _as_it_is(_logger: Any, _method: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """The event as the one argument of whatever writes it."""
    return (event,), {}


class Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Tells our handler from one that a test runner or a server has put beside it."""

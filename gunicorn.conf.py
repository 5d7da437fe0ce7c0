"""How gunicorn serves the web process, under `lapwise up` and by the Procfile alike."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from app.errors import LapwiseError
from app.local.tether import end_with_parent
from app.settings import LocalSettings, Settings

_settings = LocalSettings.from_environment()
try:
    Settings.from_environment()  # each worker reads them again; here a missing one ends the start in one line
except LapwiseError as exc:
    sys.exit(f"error: {exc.message}")

# Read when NumPy is loaded. A model's matrices are small, and the other core has requests of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

bind = f"127.0.0.1:{_settings.port or 8000}"  # the Procfile opens it to the network
worker_class = "gthread"
workers = _settings.web_processes
threads = _settings.web_threads
timeout = 60  # of a process that no longer beats, not of a request
graceful_timeout = 10
keepalive = 15
accesslog = None  # the application logs its requests itself, with their ids
control_socket_disable = True  # it would be shared by every gunicorn of this user

# Each process writes its figures there and any of them answers for all. prometheus_client reads this when it
# is imported: after this file, in each worker, for the application is not preloaded.
_metrics = Path(
    os.environ.setdefault(
        "PROMETHEUS_MULTIPROC_DIR", str(_settings.data_dir.resolve() / "run" / f"metrics-{_settings.port}")
    )
)


def on_starting(_server: Any) -> None:
    """Forgets the figures of former processes."""
    shutil.rmtree(_metrics, ignore_errors=True)
    _metrics.mkdir(parents=True)


def post_fork(_server: Any, _worker: Any) -> None:
    """A process whose master was killed would keep the port from the next one until it has noticed."""
    end_with_parent(signal.SIGKILL)


def post_worker_init(worker: Any) -> None:
    """Lets the application see how many requests wait for a thread."""
    worker.wsgi.extensions["lapwise-backlog"] = worker.tpool._work_queue.qsize


def child_exit(_server: Any, worker: Any) -> None:
    """Takes an ended process out of the figures that only count the living."""
    from prometheus_client.multiprocess import mark_process_dead  # not before the folder is set

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]

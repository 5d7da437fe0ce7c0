"""How gunicorn serves the web process, under `lapwise up` and by the Procfile alike."""

import gc
import hashlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from app.errors import LapwiseError
from app.local.tether import end_with_parent
from app.logs import configure
from app.settings import LocalSettings, Settings

_settings = LocalSettings.from_environment()
try:
    # each worker reads them again; here a missing one ends the start in one line
    _app_settings = Settings.from_environment()
except LapwiseError as exc:
    sys.exit(f"error: {exc.message}")

# Read when NumPy is loaded. A model's matrices are small, and the other core has requests of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


class OneForm(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gives gunicorn's messages the form of all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        configure(_app_settings.log_level, _app_settings.log_format)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


bind = f"127.0.0.1:{_settings.port or 8000}"  # the Procfile opens it to the network
worker_class = "gthread"
workers = _settings.web_processes
threads = _settings.web_threads
timeout = 60  # of a process that no longer beats, not of a request
graceful_timeout = 30  # for what a process is answering when it is asked to stop
keepalive = 15
logger_class = OneForm
forwarded_allow_ips = ""  # headers of proxies are for LAPWISE_TRUSTED_PROXIES to believe
accesslog = None  # the application logs its requests itself, with their ids
control_socket_disable = True  # it would be shared by every gunicorn of this user

# Each process writes its figures there and any of them answers for all. prometheus_client reads this when it
# is imported: after this file, in each worker, for the application is not preloaded.
# They are mapped into memory: where a full disk has no room for a page, the kernel ends the process (SIGBUS).
_data = _settings.data_dir.resolve()
_name = f"lapwise-metrics-{os.getuid()}-{hashlib.sha256(bytes(_data)).hexdigest()[:16]}-{_settings.port}"
_memory = Path("/dev/shm")  # noqa: S108  # the folder in it is made by us or not at all
_folder = _memory if os.access(_memory, os.W_OK) else _data / "run"
_metrics = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_folder / _name)))


def on_starting(_server: Any) -> None:
    """Forgets the figures of former processes."""
    shutil.rmtree(_metrics, ignore_errors=True)
    _metrics.mkdir(parents=True, mode=0o700)


def on_exit(_server: Any) -> None:
    """Leaves no figures in memory."""
    shutil.rmtree(_metrics, ignore_errors=True)


def post_fork(_server: Any, _worker: Any) -> None:
    """A process whose master was killed would keep the port from the next one until it has noticed.

    After a reload (SIGHUP) it loads the release that is on disk now, nothing of the former one.
    """
    end_with_parent(signal.SIGKILL)
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]


def post_worker_init(worker: Any) -> None:
    """Lets the application see how many requests wait for a thread, and when the process is told to end.

    What is loaded stays, so the collector need not look at it again: it would stop all requests meanwhile.
    """
    gc.collect()
    gc.freeze()
    worker.wsgi.extensions["lapwise-backlog"] = worker.tpool._work_queue.qsize
    worker.wsgi.extensions["lapwise-live"].is_stopping = lambda: not worker.alive


def worker_exit(_server: Any, worker: Any) -> None:
    """Tells live connections to connect to another process."""
    if hasattr(worker, "wsgi"):  # not of one whose application did not start
        worker.wsgi.extensions["lapwise-live"].close()


def child_exit(_server: Any, worker: Any) -> None:
    """Takes an ended process out of the figures that only count the living."""
    from prometheus_client.multiprocess import mark_process_dead  # not before the folder is set

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]

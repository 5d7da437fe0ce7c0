"""The Celery app; `celery -A workers worker` and `celery -A workers beat` find it here."""

import os
import signal
from functools import cache
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import heartbeat_sent, setup_logging, worker_init, worker_process_init

from app.local.tether import end_with_parent
from app.logs import configure
from app.settings import Settings
from app.stores import job_status

NICER = 10
COURIER = "courier@"  # how the name of the worker that sends notifications begins

celery = Celery("lapwise", include=["workers.tasks"])
celery.config_from_object("celery_config")


@setup_logging.connect  # type: ignore[untyped-decorator]  # celery has no types
def _configure_logs(**_: object) -> None:
    configure(Settings.from_environment().log_level)


@worker_init.connect  # type: ignore[untyped-decorator]
def _load_core(sender: Any, **_: object) -> None:
    """Before the fork, so that children share the memory; only workers that train need the learning core."""
    if not sender.hostname.startswith(COURIER):
        import_module("app.container")


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _end_with_main(**_: object) -> None:
    """A child whose main process was killed gets no more work, and would wait for it for ever."""
    end_with_parent(signal.SIGKILL)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _let_others_first(**_: object) -> None:
    """Training may take a little longer; whoever waits for an answer on the same machine may not."""
    os.nice(NICER)


@heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _show_worker(sender: Any, **_: object) -> None:
    """Runs in the worker's main process, which must not hold the container: its children would inherit it."""
    if not sender.eventer.hostname.startswith(COURIER):
        _status().worker_seen()


@cache
def _status() -> job_status.JobStatusStore:
    return job_status.JobStatusStore(job_status.connect(Settings.from_environment().redis_url))

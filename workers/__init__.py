"""The Celery app; `celery -A workers worker` and `celery -A workers beat` find it here."""

import gc
import os
import resource
import signal
import time
from functools import cache
from importlib import import_module
from multiprocessing.sharedctypes import RawValue
from typing import Any

from celery import Celery
from celery.bootsteps import StartStopStep
from celery.signals import (
    celeryd_init,
    heartbeat_sent,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_shutting_down,
)
from structlog.contextvars import bind_contextvars, clear_contextvars

from app.local.tether import end_with_parent
from app.logs import configure
from app.settings import Settings
from app.stores import job_status

NICER = 10
COURIER = "courier@"  # how the name of the worker that sends notifications begins

_leave_at = RawValue("d", 0.0)  # when running jobs are handed back; shared by a worker and its children

celery = Celery("lapwise", include=["workers.tasks"])
celery.config_from_object("celery_config")


@celeryd_init.connect  # type: ignore[untyped-decorator]  # celery has no types; earlier than its first warning
@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logs(**_: object) -> None:
    settings = Settings.from_environment()
    configure(settings.log_level, settings.log_format)


@task_prerun.connect  # type: ignore[untyped-decorator]
def _name_task(task_id: str, task: Any, **_: object) -> None:
    """Every line a task logs names the task, and the requests that its message came from."""
    clear_contextvars()
    asked = {"request_ids": sent} if (sent := task.request.get("request_ids")) else {}
    bind_contextvars(task_id=task_id, **asked)


@task_postrun.connect  # type: ignore[untyped-decorator]
def _forget_task(**_: object) -> None:
    clear_contextvars()


@worker_init.connect  # type: ignore[untyped-decorator]
def _load_core(sender: Any, **_: object) -> None:
    """Before the fork, so that children share the memory; only workers that train need the learning core."""
    if not sender.hostname.startswith(COURIER):
        import_module("app.container")
        gc.collect()
        gc.freeze()  # else a child's first collection writes into all of it, and so gets a copy of it all


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _end_with_main(**_: object) -> None:
    """A child whose main process was killed gets no more work, and would wait for it for ever."""
    end_with_parent(signal.SIGKILL)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _let_others_first(**_: object) -> None:
    """Training may take a little longer; whoever waits for an answer on the same machine may not."""
    os.nice(NICER)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _bound_memory(**_: object) -> None:
    """A job that needs too much gets a MemoryError, or dies of it, before the machine has none left."""
    most = Settings.from_environment().job_memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _begin_to_leave(**_: object) -> None:
    _leave_at.value = _leave_at.value or time.monotonic() + Settings.from_environment().drain_seconds


class _Leaving(StartStopStep):  # type: ignore[misc]
    """Errors of the broker that Celery does not expect end a worker without that signal.

    It would wait for its jobs to end, however long they take, and do nothing else meanwhile.
    """

    def close(self, _worker: object) -> None:
        _begin_to_leave()


celery.steps["worker"].add(_Leaving)


def is_leaving() -> bool:
    """Whether this worker stops and has waited long enough for its jobs to end."""
    return bool(0 < _leave_at.value <= time.monotonic())


@heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _show_worker(sender: Any, **_: object) -> None:
    """Runs in the worker's main process, which must not hold the container: its children would inherit it."""
    if not sender.eventer.hostname.startswith(COURIER):
        _status().worker_seen()


@cache
def _status() -> job_status.JobStatusStore:
    return job_status.JobStatusStore(job_status.connect(Settings.from_environment().redis_url))

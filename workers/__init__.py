"""The Celery app; `celery -A workers worker` and `celery -A workers beat` find it here."""

from functools import cache

from celery import Celery
from celery.signals import heartbeat_sent, setup_logging

from app.logs import configure
from app.settings import Settings
from app.stores import job_status

celery = Celery("lapwise", include=["workers.tasks"])
celery.config_from_object("celery_config")


@setup_logging.connect  # type: ignore[untyped-decorator]  # celery has no types
def _configure_logs(**_: object) -> None:
    configure(Settings.from_environment().log_level)


@heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _show_worker(**_: object) -> None:
    """Runs in the worker's main process, which must not hold the container: its children would inherit it."""
    _status().worker_seen()


@cache
def _status() -> job_status.JobStatusStore:
    return job_status.JobStatusStore(job_status.connect(Settings.from_environment().redis_url))

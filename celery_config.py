"""How the workers take their tasks; Celery loads this module when a worker or beat starts, not before."""

import os
from datetime import timedelta

from app.settings import Settings
from app.stores.queue import CHORES_QUEUE, QUEUE, RETRAIN, SWEEP, TASK_QUEUES, TIDY, broker_options

_settings = Settings.from_environment()

# Read when NumPy is loaded, which a worker does with its first job. Its children use the cores already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_broker = broker_options(_settings.queue_url)
broker_url = _broker["broker_url"]
broker_use_ssl = _broker["broker_use_ssl"]
broker_transport_options = _broker["broker_transport_options"]
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # a worker outlives its broker, for as long as it takes

task_queues = TASK_QUEUES
task_default_queue = QUEUE
task_default_exchange = ""
task_ignore_result = True
task_serializer = "json"
accept_content = ["json"]
# A task is acknowledged when it is done and given back when its process dies. That is a help: the guarantee
# is in app.services.runs, where a task that comes twice finds the work done.
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
task_time_limit = (
    _settings.job_seconds + 60
)  # of an attempt that its own alarm (app.services.watching) did not end
worker_max_tasks_per_child = 500
worker_max_memory_per_child = _settings.child_memory_bytes // 1024  # KiB
worker_send_task_events = True
worker_hijack_root_logger = False

beat_schedule = {
    "sweep": {
        "task": SWEEP,
        "schedule": timedelta(seconds=_settings.sweep_seconds),
        "options": {"expires": 4 * _settings.sweep_seconds, "queue": CHORES_QUEUE},
    },
    "retrain": {
        "task": RETRAIN,
        "schedule": timedelta(minutes=1),
        "options": {"expires": 120, "queue": CHORES_QUEUE},
    },
    "tidy": {"task": TIDY, "schedule": timedelta(hours=1), "options": {"queue": CHORES_QUEUE}},
}

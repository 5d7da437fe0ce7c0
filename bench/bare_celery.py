"""What the workers are measured against: Celery with their broker and settings, and a task without work."""

from celery import Celery
from kombu import Exchange, Queue

NAME = "lapwise-bare"
QUEUE = Queue(NAME, Exchange(""), routing_key=NAME)
NOTHING = "lapwise.nothing"

celery = Celery("bare")
celery.config_from_object("celery_config")
celery.conf.update(task_queues=(QUEUE,), task_default_queue=NAME, beat_schedule={})


@celery.task(name=NOTHING)  # type: ignore[untyped-decorator]  # celery has no types
def nothing() -> None:
    """Does nothing."""

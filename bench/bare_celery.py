"""What workers are measured against: Celery with their broker and settings, and tasks that keep nothing."""

from celery import Celery
from kombu import Exchange, Queue

NAME = "lapwise-bare"
QUEUE = Queue(NAME, Exchange(""), routing_key=NAME)
NOTHING = "lapwise.nothing"
LEARN = "lapwise.learn"

celery = Celery("bare")
celery.config_from_object("celery_config")
celery.conf.update(task_queues=(QUEUE,), task_default_queue=NAME, beat_schedule={})


@celery.task(name=NOTHING)  # type: ignore[untyped-decorator]  # celery has no types
def nothing() -> None:
    """Does nothing."""


@celery.task(name=LEARN)  # type: ignore[untyped-decorator]
def learn(lesson: str) -> None:
    """Learns what `bench.lessons` has written to a file, and keeps nothing."""
    from bench import lessons  # not before: an empty task shall not have it to carry

    lessons.learn(lesson)

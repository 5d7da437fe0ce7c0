"""What workers are measured against: Celery with their broker and settings, and tasks that keep nothing."""

import pickle
from functools import cache
from pathlib import Path
from typing import Any

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
    """Learns: a model from its pickle, a session in laps, a pickle again that nobody keeps.

    Parameters
    ----------
    lesson
        File of the pickled model and session.
    """
    pickled, session = _read(lesson)
    model = pickle.loads(pickled)  # noqa: S301  # the bench has just written it
    model.learn_session(session)
    pickle.dumps(model, protocol=pickle.HIGHEST_PROTOCOL)


@cache
def _read(lesson: str) -> tuple[bytes, Any]:
    pickled, session = pickle.loads(Path(lesson).read_bytes())  # noqa: S301
    return pickled, session

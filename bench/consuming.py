"""Lets Celery workers take messages or wait, so that a queue can be filled before it is measured."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery

from app.local.child import ChildPlatform
from app.stores.queue import QUEUE

ANSWER_SECONDS = 10.0
START_SECONDS = 60.0


class Consumer:
    """One worker of a broker and what it takes from one queue.

    Parameters
    ----------
    prefix
        How the worker's name begins.
    """

    def __init__(self, app: Celery, queue: str, prefix: str) -> None:
        self._app = app
        self._queue = queue
        self._to = [_name(app, prefix)]

    def pause(self) -> None:
        """Leaves messages where they are."""
        self._tell(self._app.control.cancel_consumer)

    def resume(self) -> None:
        """Takes them again."""
        self._tell(self._app.control.add_consumer)

    def _tell(self, command: Callable[..., Any]) -> None:
        if not command(self._queue, destination=self._to, reply=True, timeout=ANSWER_SECONDS):
            raise RuntimeError(f"{self._to[0]} does not answer")


@contextmanager
def consumer_of(platform: ChildPlatform) -> Iterator[Consumer]:
    """The platform's worker, and the jobs it takes."""
    with celery_of(platform) as app:
        yield Consumer(app, QUEUE, "worker@")


@contextmanager
def celery_of(platform: ChildPlatform) -> Iterator[Celery]:
    """A producer for the platform's broker, whose queues need no exchange."""
    app = Celery("bench", broker=platform.servers()["LAPWISE_REDIS_URL"], set_as_current=False)
    app.conf.update(task_default_exchange="")
    with app:
        yield app


def _name(app: Celery, prefix: str) -> str:
    """The whole name of the worker, once it answers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        for name in app.control.inspect(timeout=1.0).ping() or {}:
            if name.startswith(prefix):
                return str(name)
    raise RuntimeError(f"no worker {prefix}* has come up")

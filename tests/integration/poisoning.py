"""The workers' Celery app in which sessions of certain lengths do to their process what poison does."""

import os
import signal
import time
from typing import Any

from celery.signals import worker_process_init

from learning.laps import SessionLaps
from learning.model import RacingModel
from workers import celery

__all__ = ["celery"]

KILLS, EATS, HANGS, BREAKS, LASTS = 11, 12, 13, 14, 15  # laps
LAP_SECONDS = 0.1  # of one that lasts
_learn = RacingModel.learn_session


def _poisoned(model: Any, session: SessionLaps, *, on_lap: Any) -> Any:
    laps = len(session.laps)
    if laps == KILLS:
        os.kill(os.getpid(), signal.SIGKILL)
    if laps == EATS:
        eaten = [bytearray(1 << 28) for _ in range(64)]
        raise AssertionError(f"{len(eaten)} times 256 MiB were there to be had")
    while laps == HANGS:
        pass
    if laps == BREAKS:
        raise ZeroDivisionError

    def slowly(done: int, total: int) -> None:
        time.sleep(LAP_SECONDS)
        on_lap(done, total)

    return _learn(model, session, on_lap=slowly if laps == LASTS else on_lap)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _poison(**_: object) -> None:
    """Only in workers: whoever collects tests imports this file too."""
    RacingModel.learn_session = _poisoned  # type: ignore[method-assign]

"""Keeps an attempt at a job alive while its process is, and ends one that hangs or takes too long."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from app.errors import JobStalled, JobTimedOut, Unavailable


class Alarm:
    """Raises in the midst of an attempt that learns nothing for too long, or takes too long in all.

    It is the process's alarm clock (SIGALRM), so it works in its main thread only, which is where a worker's
    child runs its tasks; elsewhere it does nothing. What does not let Python's signal handlers run is ended
    by Celery's time limit, a little later.

    Parameters
    ----------
    stall_seconds
        Between two laps, or other signs of progress.
    job_seconds
        For the whole attempt.
    """

    def __init__(self, stall_seconds: float, job_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._job_seconds = job_seconds
        self._end: float | None = None

    @contextmanager
    def set(self) -> Iterator[None]:
        """Raises `JobStalled` or `JobTimedOut` within; what was set before is set again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handler = signal.signal(signal.SIGALRM, self._ring)
        former = signal.getitimer(signal.ITIMER_REAL)
        self._end = time.monotonic() + self._job_seconds
        self.postpone()
        try:
            yield
        finally:
            self._end = None
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, *former)

    def postpone(self) -> None:
        """A sign of progress."""
        if self._end is not None:
            left = max(self._end - time.monotonic(), 0.001)  # 0 would turn it off
            signal.setitimer(signal.ITIMER_REAL, min(self._stall_seconds, left))

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._end is None:
            return
        if time.monotonic() >= self._end:
            raise JobTimedOut(f"the job took longer than {self._job_seconds:.0f} s")
        raise JobStalled(f"the job got no further for {self._stall_seconds:.0f} s")


@contextmanager
def kept(keep: Callable[[], None], seconds: float) -> Iterator[None]:
    """Calls `keep` every so many seconds, from a thread of its own: for as long as the process lives."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(seconds):
            try:
                keep()
            except Unavailable:  # the next beat may reach it; if none does, another worker takes over
                continue

    thread = threading.Thread(target=beat, name="lapwise-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

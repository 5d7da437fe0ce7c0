"""Does together what several threads ask for at once, where one step for all costs little more than one."""

import time
from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741  # what is asked for
R = TypeVar("R")


class _Caller(Generic[I, R]):
    """One that waits: for its result or error, or for being the one to work off the next batch."""

    def __init__(self, item: I) -> None:
        self.item = item
        self.results: list[R | Exception] = []  # one, when it is there
        self.is_called = Event()

    def get(self) -> R:
        (result,) = self.results
        if isinstance(result, Exception):
            raise result
        return result


class Batches(Generic[I, R]):
    """Whoever comes when nothing is under way works off all that waits; the others wait for their part of it.

    So the work grows with the number of batches, not of callers. Callers that come one by one never wait.
    While several come at once, a batch begins when as many wait as were in the one before or waited at its
    end, for most of those will be back; but not later than a moment after that end.
    Each caller is woken once: with its result, or to work off the batch that it is the first of.

    Parameters
    ----------
    work
        The result or the error of each item, in order; an error it raises is that of all items.
    apart
        That moment, in seconds.
    """

    def __init__(self, work: Callable[[Sequence[I]], Sequence[R | Exception]], *, apart: float = 0.0) -> None:
        self._work = work
        self._apart = apart
        self._waiting: list[_Caller[I, R]] = []
        self._lock = Lock()
        self._is_working = False
        self._ended = 0.0  # when the last batch did
        self._expected = 1  # how many callers the next batch is for
        self._is_complete = Event()  # they are there

    def do(self, item: I) -> R:
        """The item's result, or its error raised."""
        mine: _Caller[I, R] = _Caller(item)
        with self._lock:
            self._waiting.append(mine)
            is_first, self._is_working = not self._is_working, True
            if len(self._waiting) >= self._expected:
                self._is_complete.set()
        if not is_first:
            mine.is_called.wait()
        if not mine.results:
            self._work_off()
        return mine.get()

    def _work_off(self) -> None:
        self._is_complete.wait(max(0.0, self._ended + self._apart - time.monotonic()))
        with self._lock:
            batch, self._waiting = self._waiting, []
        try:
            results = self._work([caller.item for caller in batch])
        except Exception as exc:  # handed to every caller, each of whom raises it
            results = [exc] * len(batch)
        self._hand_on(len(batch))
        for caller, result in zip(batch, results, strict=True):
            caller.results.append(result)
            caller.is_called.set()

    def _hand_on(self, done: int) -> None:
        """Lets the first of those that have come meanwhile work them off."""
        self._ended = time.monotonic()
        with self._lock:
            self._expected = done + len(self._waiting)
            self._is_complete.clear()
            self._is_working = bool(self._waiting)
            if self._waiting:
                self._waiting[0].is_called.set()

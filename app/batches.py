"""Does together what several threads ask for at once, where one step for all costs little more than one."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741  # what is asked for
R = TypeVar("R")


class Batches(Generic[I, R]):
    """Whoever comes when nothing is under way works off all that waits; the others wait for their part of it.

    So the work grows with the number of batches, not of callers. Callers that come one by one never wait.
    While several come at once, a batch begins no sooner than a moment after the one before, so that it is
    larger.

    Parameters
    ----------
    work
        The result or the error of each item, in order; an error it raises is that of all items.
    apart
        The moment between the beginnings of two batches, in seconds.
    """

    def __init__(self, work: Callable[[Sequence[I]], Sequence[R | Exception]], *, apart: float = 0.0) -> None:
        self._work = work
        self._apart = apart
        self._waiting: list[tuple[I, Future[R]]] = []
        self._changed = Condition()
        self._is_working = False
        self._begun = 0.0  # when the last batch was
        self._is_busy = False  # whether it had several items

    def do(self, item: I) -> R:
        """The item's result, or its error raised."""
        mine: Future[R] = Future()
        with self._changed:
            self._waiting.append((item, mine))
        if self._is_to_work(mine):
            self._work_off()
        return mine.result()

    def _is_to_work(self, mine: "Future[R]") -> bool:
        """Waits until another caller has done it, or none is at work and it is this one's turn."""
        with self._changed:
            self._changed.wait_for(lambda: mine.done() or not self._is_working)
            if mine.done():
                return False
            self._is_working = True
            return True

    def _work_off(self) -> None:
        if self._is_busy or len(self._waiting) > 1:
            time.sleep(max(0.0, self._begun + self._apart - time.monotonic()))
        with self._changed:
            batch, self._waiting = self._waiting, []
        self._begun, self._is_busy = time.monotonic(), len(batch) > 1
        try:
            results = self._work([item for item, _ in batch])
        except Exception as exc:  # handed to every caller, each of whom raises it
            results = [exc] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        with self._changed:
            self._is_working = False
            self._changed.notify_all()
